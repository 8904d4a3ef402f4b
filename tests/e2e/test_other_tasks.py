"""Pretraining by itself, a task that starts from it, pairs: tiny runs through the command line."""

import csv
import json
import pathlib
import subprocess

import pytest
import yaml

from tests.e2e.tiny import COMMAND, EXPERIMENT, result, states, tfx_bert

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
    assert json.loads((pathlib.Path(run.pushed.path) / "assets.extra/pretraining.json").read_text())["after"]["masked"]

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


def test_pairs_rehearsed_then_run_and_asked(folder):
    """Does the reply belong to the statement? ``--sample`` goes through every node and pushes nothing."""
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
    rehearsed = tfx_bert(folder, "run", "pairs.yaml", "--sample", "200")
    assert "DONE: 200 records went through every node" in rehearsed
    assert set(states(result(folder, "pairs-sample", 1)).values()) == {"ran"}
    assert not list(folder.glob("runs/pairs*/serving_model/*/*"))

    tfx_bert(folder, "run", "pairs.yaml")
    run = result(folder, "pairs", 1)
    assert "accuracy[length_bucket: 9-16 words]" in {check.name for check in run.checks}
    asked = tfx_bert(folder, "predict", "--model", "pairs", "Where are you?\tAt home.")
    assert '"Where are you? | At home." → ' in asked
    refused = subprocess.run(
        [*COMMAND, "predict", "--model", "pairs", "one text"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "with a tab between them" in refused.stderr
