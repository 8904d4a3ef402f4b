"""The folder that is written is the reference's: its names, its shapes, its weights."""

import json

import numpy as np
import pytest
import safetensors.numpy

from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from models.translation import checkpoint
from models.translation.transformer import Transformer
from models.vocabularies import read
from schemas import DataError

TOKENIZER = Tokenizer([*SPECIAL, *(f"▁{char}" for char in "abcdefghijklmnopqrstuvwxy")], TextRules("spaced"))


@pytest.fixture
def folder(tmp_path, mbart):
    checkpoint.save(tmp_path / "out", mbart, TOKENIZER)
    return tmp_path / "out"


def test_the_tensors_are_those_of_the_reference(folder, golden):
    expected = {name.removeprefix("weight/"): value for name, value in golden.items() if name.startswith("weight/")}
    written = safetensors.numpy.load_file(folder / "model.safetensors")
    assert written.keys() == expected.keys()
    for name, value in expected.items():
        # The reference has numbers in the two rows that no position has.
        start = 2 if name.endswith("embed_positions.weight") else 0
        assert written[name].shape == value.shape
        assert np.array_equal(written[name][start:], value[start:])


def test_a_checkpoint_brings_the_network_back(folder, mbart):
    again = Transformer(**checkpoint.arguments(folder))
    checkpoint.load(folder, again)
    for mine, theirs in zip(again.weights, mbart.weights, strict=True):
        assert np.array_equal(mine, theirs)
    assert read(folder).vocabulary == TOKENIZER.vocabulary


def test_files_that_are_not_ours(folder, mbart):
    (folder / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(DataError, match="truncated or damaged"):
        checkpoint.load(folder, mbart)
    config = json.loads((folder / "config.json").read_text())
    for change in ({"architectures": ["BertModel"]}, {"d_model": None}):
        kept = {name: value for name, value in {**config, **change}.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(kept))
        with pytest.raises(DataError, match="not the configuration of a translation model"):
            checkpoint.arguments(folder)
