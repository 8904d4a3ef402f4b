import pytest

from tests.e2e import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with the first rows of the demo data."""
    root = tmp_path_factory.mktemp("user")
    tiny.write(root)
    return root
