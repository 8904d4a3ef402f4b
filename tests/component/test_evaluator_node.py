"""What the Evaluator is given, and rules of its verdict that need no model."""

import dataclasses
import json

import numpy as np
import pytest
from tfx.types import Channel, standard_artifacts

from components.evaluate import evaluation, evaluator, verdict
from components.evaluate.evaluator import Evaluator
from models.export import golden
from models.tasks.classification import Task


@pytest.mark.parametrize(("right", "blessed"), [(8600, True), (8599, False)])
def test_a_fall_of_exactly_what_is_allowed_is_allowed(monkeypatch, right, blessed):
    shares = {"candidate": right, "baseline": 8700}  # of 10,000; .86 - .87 is a little less than -.01
    rows = {
        model: np.repeat([[0, 1.0, 0], [0, 0, 1.0]], [count, 10_000 - count], axis=0) for model, count in shares.items()
    }
    monkeypatch.setattr(evaluation, "rows", lambda _, __, model: (np.arange(10_000), rows[model]))
    monkeypatch.setattr(evaluation, "_outputs", lambda *_: iter(()))
    bless = {"accuracy": 0.5, "max_regression": 0.01}
    found = evaluation.verdict("", the_task=Task({"labels": ["a", "b"]}), bless=bless, baseline="before")
    assert found.blessed is blessed


class Telling(Task):
    """Says how its figures are computed."""

    def figures(self, rows):
        return dataclasses.replace(super().figures(rows), computed={"accuracy": "of all"})


def test_how_figures_are_computed_is_kept(monkeypatch):
    table = np.array([[0, 1.0, 0], [0, 0, 1.0]])
    ids = np.arange(2)
    monkeypatch.setattr(evaluation, "rows", lambda *_: (ids, table))
    monkeypatch.setattr(evaluation, "_outputs", lambda *_: iter(()))
    found = evaluation.verdict(
        "", the_task=Telling({"labels": ["a", "b"]}), bless={"max_regression": 1.0}, baseline="before"
    )
    assert found.computed == {"accuracy": "of all"}
    assert verdict.Verdict.model_validate_json(found.model_dump_json()) == found


def model_in(folder):
    made = standard_artifacts.Model()
    made.uri = str(folder)
    return made


def test_a_base_model_is_no_baseline(tmp_path):
    """An experiment that pretrained alone and got a task later: its first blessed model answers no labels."""
    folders = {"model": tmp_path / "a", "baseline_model": tmp_path / "b"}
    for folder, outputs in zip(folders.values(), ({"labels": [["x", "y"]]}, {"mean": [[0.0]]}), strict=True):
        (folder / "Format-Serving/assets.extra").mkdir(parents=True)
        kept = {"inputs": {"text": ["a"]}, "outputs": outputs}
        (folder / "Format-Serving/assets.extra" / golden.FILE).write_text(json.dumps(kept))
    inputs = {name: [model_in(folder)] for name, folder in folders.items()}
    assert evaluator._answers(inputs, "model") == (["text"], ["labels"], ["x", "y"])
    assert evaluator._answers(inputs, "baseline_model") == (["text"], ["mean"], None)


@pytest.mark.parametrize("shown", [False, True])
def test_the_component_judges_the_test_split(shown):
    node = Evaluator(
        shown=shown,
        examples=Channel(type=standard_artifacts.Examples),
        schema=Channel(type=standard_artifacts.Schema),
        model=Channel(type=standard_artifacts.Model),
        baseline_model=Channel(type=standard_artifacts.Model),
        the_task={"type": "classification", "config": {"labels": ["a", "b"]}},
        slices=[],
        bless={"max_regression": 0.01},
        baselines=["majority"],
        source_digest="0",
    )
    assert node.exec_properties["example_splits"] == '["test"]'
    assert '"max_regression": 0.01' in node.exec_properties["bless"]
    # Locally nobody would look at them.
    assert {"metrics", "classification", "report"} & node.outputs.keys() == (
        {"metrics", "classification", "report"} if shown else set()
    )
