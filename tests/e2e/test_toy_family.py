"""A family that lives outside of the product: from its file of records to an answer over REST, in one run."""

import csv
import pathlib

import numpy as np
import pytest
import yaml

from tests.e2e.tiny import COMMAND, result, states, tfx_bert
from tests.serving.conftest import started

pytestmark = pytest.mark.e2e
EXPERIMENT = {
    "name": "vowels",
    "task": {"type": "tests.toy.vowels", "data": {"path": "words.csv"}, "max_length": 16, "dropout": 0.0},
    "vocabulary": {"learn": 100},
    "encoder": {"hidden_dim": 4},
    "train": {"epochs": 12, "batch_size": 32, "learning_rate": 0.05, "weight_decay": 0.0},
    "evaluate": {"bless": {"pearson": 0.9, "mae": 0.5}},
}


def test_words_become_a_model_that_counts_vowels(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(__file__).parents[2]))
    chance = np.random.default_rng(5)
    words = ["".join(chance.choice(list("abeikmnosuy"), size=size)) for size in chance.integers(1, 12, 500)]
    with (tmp_path / "words.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("word", "vowels"), *((word, sum(map(word.count, "aeiou"))) for word in words)])
    (tmp_path / "vowels.yaml").write_text(yaml.safe_dump(EXPERIMENT), "utf-8")
    # PYTHONPATH is read at the start of a process: no fork of a warm one.
    tfx_bert(tmp_path, "run", "vowels.yaml", command=COMMAND)
    run = result(tmp_path, "vowels", 1)
    assert (run.verdict, run.pushed.version) == ("blessed", 1)
    assert set(states(run).values()) == {"ran"}
    with started(tmp_path, "--model", f"vowels={pathlib.Path(run.pushed.path).parent}") as client:
        client.ready()
        status, answer = client.post("/v1/models/vowels:predict", {"instances": ["banana", "sky", "beau"]})
        assert status == 200
        assert answer["predictions"] == pytest.approx([3, 0, 3], abs=0.5)
