import json
import os

import pytest

from components.evaluate.verdict import Check
from pipeline.run.result import RunError, RunResult, find, runs_of


def make(root, name, number, **fields):
    folder = root / name / str(number)
    folder.mkdir(parents=True)
    RunResult(name=name, number=number, started="2026-01-02T03:04:05+00:00", **{"verdict": "blessed", **fields}).write(
        folder
    )
    # Files made within a clock tick look equally old.
    os.utime(folder / "result.json", (number, number + (100 if name == "b" else 0)))
    return folder


@pytest.fixture
def root(tmp_path):
    for name, number in (("a", 1), ("a", 2), ("a", 10), ("b", 1)):
        make(tmp_path, name, number)
    (tmp_path / "a" / "serving_model").mkdir()
    (tmp_path / "a" / "11").mkdir()  # of a run that was killed before it wrote anything
    return tmp_path


def test_what_is_written_is_read_back(tmp_path):
    checks = [
        Check(name="auc", value=float("nan"), relation="≥", bound=0.5, passed=False),
        Check(name="accuracy[genre: 드라마]", value=None, relation="≥", bound=0.5, passed=False, n=0),
    ]
    folder = make(tmp_path, "a", 1, metrics={"accuracy": 0.5}, checks=checks)
    found = RunResult.read(folder)
    assert found.metrics == {"accuracy": 0.5}
    assert [check.value for check in found.checks] == [None, None]
    assert [path.name for path in folder.iterdir()] == ["result.json"]


def test_what_an_earlier_version_kept_is_read(tmp_path):
    folder = make(tmp_path, "a", 1)
    kept = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**kept, "example": "of a version that asked a golden text"}))
    assert RunResult.read(folder).number == 1


def test_a_damaged_result_is_one_sentence(tmp_path):
    folder = make(tmp_path, "a", 1)
    (folder / "result.json").write_text('{"name": "a"')
    with pytest.raises(RunError, match=r"result\.json is damaged"):
        RunResult.read(folder)


def test_runs_are_in_the_order_of_their_numbers(root):
    assert [path.name for path in runs_of(root, "a")] == ["1", "2", "10"]
    assert runs_of(root, "none") == []


@pytest.mark.parametrize(
    ("run", "found"),
    [(None, "b/1"), ("a", "a/10"), ("a/2", "a/2"), ("a#2", "a/2"), ("1", "b/1"), ("b", "b/1")],
)
def test_a_run_by_any_of_its_names(root, run, found):
    assert find(root, run) == root / found


@pytest.mark.parametrize("run", ["c", "a/3", "7", "b/2"])
def test_a_run_that_is_not_there(root, run):
    with pytest.raises(RunError, match=rf"there is no run '{run}'; the last ones are a/1, a/2, a/10, b/1"):
        find(root, run)


def test_no_runs_at_all(tmp_path):
    with pytest.raises(RunError, match=r"no runs in .* yet: start one with tfx-bert run"):
        find(tmp_path / "runs", None)
