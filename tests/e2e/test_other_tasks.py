"""Pretraining by itself, a task that starts from it, pairs: tiny runs through the command line."""

import contextlib
import csv
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
import yaml
from safetensors.numpy import load_file

from tests.e2e.tiny import EXPERIMENT, result, states, tfx_bert, warm

pytestmark = pytest.mark.e2e


def test_pretraining_alone_on_beam_then_a_task_from_it(folder):
    """BeamDagRunner; the MLM gate; packed rows; and ``checkpoint: {experiment: …}`` with its digest on record."""
    base = {key: EXPERIMENT[key] for key in ("corpus", "vocabulary", "encoder")} | {
        "name": "base",
        "pretrain": {"objectives": ["mlm"], "pack": True, "steps": 8, "batch_size": 4, "max_length": 64},
        "evaluate": {"bless": {"mlm_loss": 20.0}},
    }
    (folder / "base.yaml").write_text(yaml.safe_dump(base), "utf-8")
    tfx_bert(folder, "run", "base.yaml", "--env", "beam")
    run = result(folder, "base", 1)
    assert run.verdict == "blessed"
    assert run.pushed.version == 1
    assert run.metrics["mlm_loss"] < 20
    assert json.loads((pathlib.Path(run.pushed.path) / "assets.extra/pretraining.json").read_text())["after"]["bands"]

    chained = {key: EXPERIMENT[key] for key in ("task", "train", "evaluate")} | {
        "name": "chained",
        "checkpoint": {"experiment": "base"},
    }
    (folder / "chained.yaml").write_text(yaml.safe_dump(chained), "utf-8")
    tfx_bert(folder, "run", "chained.yaml")
    chain = result(folder, "chained", 1)
    assert (chain.verdict, chain.checkpoint) == ("blessed", "base v1")
    assert f"→ base v1@{chain.data['Checkpoint'][:4]} →" in tfx_bert(folder, "show", "chained")
    vocabularies = [
        (folder / f"runs/{name}/serving_model/{name}/1/assets.extra/checkpoint/vocab.txt").read_text("utf-8")
        for name in ("base", "chained")
    ]
    assert vocabularies[0] == vocabularies[1]


@pytest.fixture(scope="module")
def pairs(folder):
    """An experiment that ran: does the reply belong to the statement?"""
    with (folder / "dialogues.csv").open(encoding="utf-8", newline="") as file:
        talks = [row for row in csv.DictReader(file) if row["statement"].strip() and row["reply"].strip()]
    with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["statement", "reply", "label"])
        for here, other in zip(talks, [*talks[1:], talks[0]], strict=True):
            writer.writerow([here["statement"], here["reply"], "fits"])
            writer.writerow([here["statement"], other["reply"], "does not"])
    pairs = {key: EXPERIMENT[key] for key in ("vocabulary", "encoder", "train")} | {
        "name": "pairs",
        "task": {
            "type": "classification",
            "data": {"path": "pairs.csv", "text": "statement", "text_pair": "reply", "label": "label"},
            "labels": ["does not", "fits"],
            "max_length": 48,
        },
        "evaluate": {"bless": {"accuracy": 0.2, "slices": {"length_bucket": {"9-16 words": 0.1}}}},
    }
    (folder / "pairs.yaml").write_text(yaml.safe_dump(pairs), "utf-8")
    tfx_bert(folder, "run", "pairs.yaml")
    return folder


def test_a_rehearsal_goes_through_every_node_and_pushes_nothing(pairs):
    rehearsed = tfx_bert(pairs, "run", "pairs.yaml", "--sample", "200")
    assert "DONE: 200 records went through every node" in rehearsed
    assert set(states(result(pairs, "pairs-sample", 1)).values()) == {"ran"}
    assert not list(pairs.glob("runs/pairs-sample/serving_model/*/*"))


def test_pairs_are_judged_by_slice_and_asked_with_a_tab(pairs):
    run = result(pairs, "pairs", 1)
    assert "accuracy[length_bucket: 9-16 words]" in {check.name for check in run.checks}
    asked = tfx_bert(pairs, "predict", "--model", "pairs", "Where are you?\tAt home.")
    assert '"Where are you? | At home." → ' in asked
    refused = subprocess.run(
        [*warm(), "predict", "--model", "pairs", "one text"], cwd=pairs, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "with a tab between them" in refused.stderr


CLUSTER = """
image: registry.example.org/tfx-bert@sha256:0123456789012345678901234567890123456789012345678901234567890123
pipeline_root: gs://bucket/runs
checkpoint_seconds: 0
"""


def test_the_compiled_pipeline_ends_where_the_local_one_does(pairs):
    """Kubeflow's way, its trainer killed behind a checkpoint: the weights of the local run. Then Vertex's, over the
    same bucket: another learning rate has a baseline, and twice the same is pushed once."""
    (pairs / "kubeflow.yaml").write_text(f"kind: kubeflow{CLUSTER}", "utf-8")
    (pairs / "vertex.yaml").write_text(f"kind: vertex\nproject: p\nregion: r{CLUSTER}", "utf-8")
    command = [*warm(), "run", "pairs.yaml", "--dry-run", "--env"]
    home = pairs / "runs/pairs/dry-run/bucket/gcs/bucket/runs/pairs"
    with subprocess.Popen([*command, "kubeflow.yaml"], cwd=pairs, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list(home.glob("checkpoints/*/checkpoint")):
            time.sleep(0.02)
        trainers = [each for each in pathlib.Path("/proc").glob("[0-9]*/cmdline") if _trains(each, pairs)]
        os.kill(int(trainers[0].parent.name), signal.SIGKILL)
        printed = process.communicate()[0]
    assert process.returncode == 0, printed
    assert "! Trainer: killed by signal 9. Attempt 2 of 3" in printed
    assert "! resumed at step" in printed
    assert "BLESSED" in printed
    assert not list(home.glob("checkpoints/*"))
    ours, local = (
        load_file(folder / "1/assets.extra/checkpoint/model.safetensors")
        for folder in (home / "serving_model/pairs", pairs / "runs/pairs/serving_model/pairs")
    )
    assert ours.keys() == local.keys()
    for tensor, value in local.items():
        assert abs(value - ours[tensor]).max() <= 1e-6, tensor

    other = ["run", "pairs.yaml", "--set", "train.learning_rate=3e-4", "--dry-run", "--env", "vertex.yaml"]
    printed = tfx_bert(pairs, *other)
    assert re.search(r"✓ Transform +cached", printed)
    assert re.search(r"✓ Baseline +\d:\d\d  v1\n", printed)
    assert "serving_model/pairs/2" in printed
    assert "nothing new to push: same as v2" in tfx_bert(pairs, *other)


def _trains(cmdline, folder):
    """Whether a process is the container of this folder's Trainer."""
    with contextlib.suppress(OSError):  # it is gone
        text = cmdline.read_bytes()
        return b"tfx.components.trainer" in text and bytes(folder) in text
    return False
