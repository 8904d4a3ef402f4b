"""Pretrainer and its gate over what Transform wrote."""

import json
import math
import pathlib

import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the model's operations)
from safetensors.numpy import load_file
from tfx.types import standard_artifacts

from components import artifacts
from components.evaluate import pretraining_evaluator, verdict
from components.train import pretrainer
from configs.pretraining import Pretrain
from models import progress
from tests.component.trainings import ENCODER, PRETRAIN, SPLITS, arguments, train
from tests.component.transforming import artifact


def test_pretraining_writes_a_base_model_and_says_how_well_it_reads(base):
    folder, events = base
    assert next(str(event) for event in events if isinstance(event, progress.Summary)).startswith("held-out MLM ")
    (checkpoints,) = [event.folder for event in events if isinstance(event, progress.Checkpoints)]
    assert pathlib.Path(checkpoints).parent == folder / "checkpoints"
    extra = folder / "Format-Serving/assets.extra"
    assert json.loads((extra / "pretraining.json").read_text())["after"]["mlm"]["count"] > 0
    assert "cls.predictions.bias" in load_file(extra / "checkpoint/model.safetensors")
    embed = tf.saved_model.load(str(folder / "Format-Serving")).signatures["serving_default"]
    assert embed(text=tf.constant(["a film"]))["mean"].shape == (1, 16)


def test_a_budget_of_tokens_becomes_steps_by_the_mean_of_each_phase():
    def seen(*counts):
        return tf.data.Dataset.from_tensor_slices({"padding_mask": tf.sequence_mask(counts)})

    assert pretrainer._steps(1000, [(0.75, seen(10, 30)), (0.25, seen(100))]) == 25
    assert pretrainer._steps(1, [(1.0, seen(10))]) == 1


def test_what_the_yaml_can_ask_of_pretraining_reaches_it(corpus, tmp_path):
    asked = {"objectives": ["mlm", "sop"], "masking": "ngram", "schedule": "cosine", "accumulate": 2}
    asked["precision"] = "bfloat16"
    asked["phases"] = [{"share": 0.5, "max_length": 8}]
    settings = Pretrain(steps=4, batch_size=8, max_length=16, **asked).model_dump(mode="json", exclude_none=True)
    given = arguments(corpus, tmp_path, None, pretrain=settings, encoder=ENCODER)
    events = train(pretrainer.run_fn, given, tmp_path)
    (last,) = [event for event in events if isinstance(event, progress.Step) and event.step == 4]
    assert last.learning_rate == pytest.approx(0.5e-4 * (1 + math.cos(0.75 * math.pi)))
    extra = tmp_path / "Format-Serving/assets.extra"
    figures = json.loads((extra / "pretraining.json").read_text())["after"]
    assert (figures["nsp_accuracy"], 0 <= figures["sop_accuracy"] <= 1) == (None, True)
    assert "cls.seq_relationship.weight" in load_file(extra / "checkpoint/model.safetensors")
    assert set(figures["bands"]) == {"frequent", "middle"}  # so few pieces: nothing rare is masked
    curves = list(tf.compat.v1.train.summary_iterator(str(next((tmp_path / "logs").glob("events*")))))
    tags = [(event.step, value.tag) for event in curves for value in event.summary.value]
    assert {(0, "eval/mlm_loss[middle]"), (4, "eval/mlm_loss[middle]"), (4, "eval/sop_accuracy")} <= set(tags)
    said = "- **Objectives**: MLM + SOP: cls.seq_relationship says whether two segments are in order\n"
    assert said in (extra / "model_card.md").read_text("utf-8")


@pytest.mark.parametrize(("bound", "blessed"), [(20.0, True), (0.1, False)])
def test_its_gate_judges_the_test_split_against_the_bound_and_the_baseline(corpus, base, tmp_path, bound, blessed):
    outputs = {
        "evaluation": [artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation")],
        "blessing": [artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing")],
        "metrics": [artifact(artifacts.Metrics, tmp_path / "metrics")],
        "report": [artifact(artifacts.HTML, tmp_path / "report")],
    }
    for folder in ("evaluation", "blessing"):
        (tmp_path / folder).mkdir()
    model = artifact(standard_artifacts.Model, base[0])
    names = json.dumps(list(SPLITS))
    inputs = {
        "examples": [artifact(standard_artifacts.Examples, corpus / "out", split_names=names)],
        "transform_graph": [artifact(standard_artifacts.TransformGraph, corpus / "graph")],
        "model": [model],
        "baseline_model": [model],
    }
    bless = json.dumps({"mlm_loss": bound, "max_regression": 0.01})
    properties = {"pretrain": json.dumps(PRETRAIN), "bless": bless, "seed": 1}
    pretraining_evaluator.Executor().Do(inputs, outputs, properties)
    found = verdict.read(str(tmp_path / "evaluation"))
    assert [(check.name, check.passed) for check in found.checks] == [("mlm_loss", blessed), ("change", True)]
    assert found.checks[1].value == 0.0  # the same model on the same masks
    assert outputs["blessing"][0].get_int_custom_property("blessed") == blessed
    assert outputs["metrics"][0].get_float_custom_property("blessed") == blessed
    assert outputs["metrics"][0].get_float_custom_property("mlm_loss") == found.metrics["mlm_loss"]
    assert ("Not blessed" in (tmp_path / "report").read_text("utf-8")) == (not blessed)
