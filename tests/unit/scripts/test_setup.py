"""``scripts/setup`` where it cannot work: one sentence, and nothing that breaks the next call."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def setup(tmp_path):
    """Runs the script in a copy of what it reads; programs given by name take the place of the machine's."""
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()

    def run(programs=(), **variables):
        # The machine that runs the tests may have less disk than a set-up needs.
        for name, body in {"df": "echo Avail; echo 16777216", **dict(programs)}.items():
            path = tmp_path / "bin" / name
            path.unlink(missing_ok=True)  # a link would lead to the machine's own program
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)
        environment = {
            **os.environ,
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "PYTHON": sys._base_executable,
            **variables,
        }
        done = subprocess.run([tmp_path / "scripts/setup"], env=environment, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stdout == ""
        assert not (tmp_path / ".venv/.complete").exists()
        (sentence,) = done.stderr.splitlines()
        return sentence

    return run


def test_another_platform_is_pointed_to_the_container(setup):
    sentence = setup({"uname": "[ $1 = -s ] && echo Darwin || echo arm64"})
    assert sentence.startswith(
        "✗ this project is locked and tested on Linux x86-64 only, this is Darwin arm64: run 'docker run --platform"
    )


def test_another_python(setup):
    other = 'case "$1" in --version) echo Python 3.12.1;; *) exit 1;; esac'
    sentence = setup({"python3": other, "python3.11": other}, PYTHON="")
    assert sentence.startswith(
        "✗ Python 3.11 with venv was not found (python3 is Python 3.12.1); the lock is for Python 3.11"
    )


def test_no_compiler(setup, tmp_path):
    """Every program but the compilers."""
    for folder in reversed(os.environ["PATH"].split(":")):
        for program in Path(folder).glob("*") if Path(folder).is_dir() else ():
            place = tmp_path / "bin" / program.name
            if not program.name.endswith(("g++", "clang++", "c++")):
                place.unlink(missing_ok=True)
                place.symlink_to(program)
    assert setup(PATH=str(tmp_path / "bin"), CXX="g++ -pthread").startswith(
        "✗ a C++ compiler, or Python's headers, are missing, and pyfarmhash"
    )


def test_a_full_disk(setup):
    sentence = setup({"df": "echo Avail; echo 2097152"})
    assert "✗ set-up needs 6 GB of disk in " in sentence
    assert sentence.endswith(", 2 GB are free: free some and call make again.")


def test_a_lock_that_is_not_there(setup):
    assert setup(LOCK="requirements/tpu.txt").startswith("✗ requirements/tpu.txt: no such lock file")


def test_no_network_says_so_every_time(setup):
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
    }
    first, second = setup(**nowhere), setup(**nowhere)
    assert first.startswith("✗ the package index could not be reached or refused uv: check the network")
    assert second.startswith("✗ the package index could not be reached or refused uv: check the network")
