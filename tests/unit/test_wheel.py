"""The wheel that ``pip install .`` builds: installed into an environment of its own, and called there."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [name.removesuffix("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
UV = Path(sys.executable).with_name("uv")


def call(*command, folder):
    """In ``folder``, outside the checkout: what stands out and what the command says."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of what the build reads, as in a clean checkout."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in (*PACKAGES, "requirements"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    code, said = call(
        *(UV, "build", "--wheel", "--offline", "--no-build-isolation"),
        *("--python", sys.executable, "--out-dir", built, source),
        folder=source,
    )
    assert code == 0, said
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """The ``bin`` of an environment with the wheel alone, which finds the dependencies where the tests do."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    python = folder / "bin/python"
    for arguments in (
        ("venv", "--offline", "--python", sys.executable, folder),
        ("pip", "install", "--offline", "--no-index", "--no-deps", "--python", python, wheel),
    ):
        code, said = call(UV, *arguments, folder=folder.parent)
        assert code == 0, said
    _, packages = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder)
    # A folder named in a .pth file is searched last, and the .pth file of the editable install in it is not read.
    Path(packages.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


def test_it_holds_every_file_of_the_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()}
    assert held == {path.as_posix() for path in files if "__pycache__" not in path.parts}
    assert {f"{name}/py.typed" for name in PACKAGES} < held


def test_its_dependencies_are_those_of_the_requirements(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        head = archive.read(name).decode().split("\n\n")[0]
    needed = [line.removeprefix("Requires-Dist: ") for line in head.splitlines() if line.startswith("Requires-Dist")]
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements/run.in").read_text().splitlines()]
    assert needed == [line for line in lines if line]
    assert {"tfx[kfp]==1.21.0", "click", "pydantic"} < set(needed)


def test_the_code_is_that_of_the_wheel(programs, tmp_path):
    code, places = call(
        programs / "python",
        "-c",
        "import pipeline.cli as c, configs as d; print(c.__file__, d.__file__)",
        folder=tmp_path,
    )
    assert code == 0
    assert all(place.startswith(str(programs.parent)) for place in places.split())


def test_the_command_answers(programs, tmp_path):
    version = (0, f"tfx-bert {metadata.version('tfx-bert')}\n")
    assert call(programs / "tfx-bert", "--version", folder=tmp_path) == version
    code, page = call(programs / "tfx-bert", "--help", folder=tmp_path)
    assert code == 0
    assert "BERT on your text" in page


def test_the_yaml_files_are_found_outside_the_checkout(programs, tmp_path):
    code, schema = call(programs / "tfx-bert", "check", "--schema", folder=tmp_path)
    assert code == 0
    assert json.loads(schema) == json.loads((ROOT / "configs/experiment.schema.json").read_text())
    code, said = call(programs / "tfx-bert", "check", "sentiment", folder=tmp_path)
    assert code == 3  # the YAML is there, the data is this folder's
    assert "✓ sentiment: the YAML holds together" in said
    assert "$.task.data.path: no file matches 'data/movie_reviews.csv'" in said
    assert "tfx-bert data fetch" in said


def test_the_page_is_served_from_the_package(programs, tmp_path):
    program = "from serving.page import file; print(len(file('/').content))"
    size = (ROOT / "serving/page/index.html").stat().st_size
    assert call(programs / "python", "-c", program, folder=tmp_path) == (0, f"{size}\n")


def test_an_experiment_of_ones_own(programs, tmp_path):
    rows = "".join(f"a fine film number {n},good\na dull film number {n},bad\n" for n in range(100))
    (tmp_path / "films.csv").write_text("review,verdict\n" + rows)
    code, said = call(programs / "tfx-bert", "init", "--data", "films.csv", folder=tmp_path)
    assert code == 0, said
    assert (tmp_path / "films.yaml").is_file()
    assert (tmp_path / "schemas/films.pbtxt").is_file()
