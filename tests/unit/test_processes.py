"""Files of the folder that a command runs in are data, never code, whatever their names are.

The whole runs (tests/e2e/tiny.py) have such files in their folder.
"""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

from pipeline.run import runner

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ("schemas", "configs", "models", "components", "serving", "pipeline")
IMPORTS = "import http, random, models.export.golden"


def flags():
    """What our sources start Python with, up to the module or the code, by the place of that list."""
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) in ("sys.executable", "'python'"):
                words = [each.value for each in node.elts[1:] if isinstance(each, ast.Constant)]
                end = next(place for place, word in enumerate(words) if word in ("-m", "-c"))
                yield pytest.param(words[:end], id=f"{path.relative_to(ROOT)}:{node.lineno}")


@pytest.fixture
def folder(tmp_path):
    for name in ("models.py", "http.py", "random.py"):
        (tmp_path / name).write_text("raise SystemExit('a file of the working folder was imported')\n")
    return tmp_path


@pytest.fixture
def environment():
    """Without what would keep the working folder out in our stead."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONSAFEPATH", "PYTHONPATH")}


def test_the_places_are_found_and_a_hostile_folder_is_one(folder, environment):
    assert len(list(flags())) >= 4
    ran = subprocess.run([sys.executable, "-c", IMPORTS], cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.stderr == "a file of the working folder was imported\n"


@pytest.mark.parametrize("words", flags())
def test_a_python_that_we_start_does_not_look_into_the_working_folder(words, folder, environment):
    subprocess.run([sys.executable, *words, "-c", IMPORTS], cwd=folder, env=environment, check=True)


def test_nor_does_the_command(folder, environment):
    command = pathlib.Path(sys.executable).with_name("tfx-bert")
    subprocess.run([command, "--version"], cwd=folder, env=environment, check=True)


def test_nor_does_a_python_that_a_library_starts_during_a_run(folder, environment, monkeypatch, tmp_path_factory):
    """As Beam starts its workers."""
    monkeypatch.setattr(os, "environ", environment)
    before = dict(environment)
    with runner._temporary(tmp_path_factory.mktemp("runs")):
        subprocess.run([sys.executable, "-c", IMPORTS], cwd=folder, env=environment, check=True)
    assert environment == before
