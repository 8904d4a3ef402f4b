"""What most tests of ``init`` and ``check`` need."""

import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, in which the test is; lines of the terminal are wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path
