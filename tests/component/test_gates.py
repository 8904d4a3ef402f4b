"""The gates behind training: baseline, pretraining's verdict, serving validation."""

import dataclasses
import json
import pathlib

import keras
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.deploy import serving_validator
from components.evaluate import pretraining_evaluator
from components.evaluate.resolver import PreviousBlessedModel
from models.bert.encoder import BertEncoder
from models.checkpoints import checkpoint
from models.export import golden, saved_model
from models.pretraining.mlm_figures import Figures, Masked
from models.tasks.classification import Task
from models.text.tokenization import SPECIAL, TextRules, Tokenizer

TINY = pathlib.Path(__file__).parents[1] / "data" / "bert_tiny"


def model(number):
    made = standard_artifacts.Model()
    made.uri, made.id = f"model-{number}", number
    return made


def blessing(number, blessed):
    made = standard_artifacts.ModelBlessing()
    made.id = 100 + number
    made.set_int_custom_property("blessed", blessed)
    made.set_int_custom_property("current_model_id", number)
    return made


@pytest.mark.parametrize(
    ("candidate", "baseline"),
    [(3, 1), (1, 3), (4, 3)],
    ids=["itself left out, the refused one passed over", "an older candidate", "a new candidate"],
)
def test_the_baseline_is_the_latest_blessed_model_other_than_the_candidate(candidate, baseline):
    resolved = PreviousBlessedModel().resolve_artifacts(
        None,
        {
            "model": [model(number) for number in (1, 2, 3, 4)],
            "model_blessing": [blessing(1, 1), blessing(2, 0), blessing(3, 1)],
            "candidate": [model(candidate)],
        },
    )
    assert [found.id for found in resolved["model"]] == [baseline]
    assert [found.id for found in resolved["candidate"]] == [candidate]


def test_the_first_run_has_no_baseline():
    resolved = PreviousBlessedModel().resolve_artifacts(
        None, {"model": [model(1)], "model_blessing": [], "candidate": [model(1)]}
    )
    assert resolved["model"] == []


def figures(loss, unigrams=5.0):
    return Figures(Masked(loss, accuracy=0.2, count=100), unigrams)


BOUNDS = {"max_regression": 0.1}


def test_pretraining_must_beat_the_unigrams_where_nothing_is_asked():
    assert pretraining_evaluator.verdict(figures(4.9), None, BOUNDS, None).blessed
    refused = pretraining_evaluator.verdict(figures(5.1), None, BOUNDS, None)
    assert not refused.blessed
    (check,) = refused.checks
    assert (check.name, check.value, check.relation, check.bound, check.passed) == ("mlm_loss", 5.1, "≤", 5.0, False)


def test_the_accuracy_over_pairs_goes_by_its_objective():
    pairs = dataclasses.replace(figures(4.9), sop_accuracy=0.75)
    found = pretraining_evaluator.verdict(pairs, None, BOUNDS, None).metrics
    assert (found["sop_accuracy"], "nsp_accuracy" in found) == (0.75, False)


def test_pretraining_takes_the_threshold_that_is_given():
    assert not pretraining_evaluator.verdict(figures(4.9), None, {**BOUNDS, "mlm_loss": 4.0}, None).blessed


def test_pretraining_may_not_fall_behind_the_baseline():
    assert pretraining_evaluator.verdict(figures(4.05), figures(4.0), BOUNDS, "before").blessed
    assert not pretraining_evaluator.verdict(figures(4.2), figures(4.0), BOUNDS, "before").blessed


@pytest.mark.parametrize(
    ("change", "length", "head", "why"),
    [
        ({}, 16, True, None),
        ({"vocabulary": ["other"]}, 16, True, "has another vocabulary"),
        ({"rules": {"mode": "cased"}}, 16, True, "has another vocabulary"),
        ({}, 4096, True, "tokens, not 4096"),
        ({}, 16, False, "predicts no masked tokens"),
    ],
)
def test_a_baseline_is_judged_only_where_it_can_be(change, length, head, why, monkeypatch):
    read = checkpoint.read(TINY)
    kept = {"model": read, "baseline_model": dataclasses.replace(read, **change)}
    monkeypatch.setattr(pretraining_evaluator, "_folder", lambda _, name: name)
    monkeypatch.setattr(pretraining_evaluator.checkpoint, "read", kept.__getitem__)
    monkeypatch.setattr(pretraining_evaluator.checkpoint, "predicts_masked", lambda _: head)
    found = pretraining_evaluator._incomparable({}, length)
    assert found == why if why is None else why in found


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tokenizer = Tokenizer([*SPECIAL, "a", "film"], TextRules())
    keras.utils.set_random_seed(1)
    encoder = BertEncoder(
        vocabulary_size=tokenizer.size, num_layers=1, hidden_dim=8, num_heads=1, intermediate_dim=8, max_positions=32
    )
    task = Task({"labels": ["no", "yes"], "max_length": 16})
    saved_model.write(
        str(folder / "Format-Serving"),
        family="text",
        model=task.build(encoder),
        the_task=task,
        featurize=lambda record: task.featurize(record, tokenizer),
        raw_spec={"text": tf.io.FixedLenFeature([], tf.string)},
    )
    return folder


def validate(exported, folder):
    given, made = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
    given.uri, made.uri = str(exported), str(folder)
    serving_validator.Executor().Do({"model": [given]}, {"blessing": [made]}, {"source_digest": ""})
    return made


def test_a_model_that_loads_and_answers_is_blessed(exported, tmp_path):
    made = validate(exported, tmp_path)
    assert made.get_int_custom_property("blessed") == 1
    assert (tmp_path / "INFRA_BLESSED").exists()


def test_a_model_that_answers_something_else_stops_the_run(exported, tmp_path):
    path = exported / "Format-Serving/assets.extra" / golden.FILE
    before = path.read_text("utf-8")
    kept = json.loads(before)
    kept["outputs"]["score"][0] += 0.5
    path.write_text(json.dumps(kept), "utf-8")
    try:
        with pytest.raises(serving_validator.ServingFault, match=r"score differs by 5\.0e-01 on golden value 0"):
            validate(exported, tmp_path)
    finally:
        path.write_text(before, "utf-8")
    assert not (tmp_path / "INFRA_BLESSED").exists()
