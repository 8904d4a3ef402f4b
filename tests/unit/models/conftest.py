import pathlib

import keras
import numpy as np
import pytest

from models.bert.encoder import BertEncoder
from models.checkpoints import checkpoint, task_head

TINY = pathlib.Path(__file__).parents[2] / "data" / "bert_tiny"
LABELS = {
    "classification": ["bad", "so-so", "좋음"],
    "multi_label": ["toxic", "insult", "threat"],
    "token_classification": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
}


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory):
    """A folder of the tiny encoder with the golden head of that name, and what transformers answers with it."""

    def write(name):
        golden, kind = np.load(TINY.parent / "bert_tiny_heads.npz"), task_head.HEADS[name]
        read = checkpoint.read(TINY)
        encoder = BertEncoder(**read.encoder)
        checkpoint.load(TINY, encoder)
        source = name.removeprefix("mean_")  # a head over the mean has the other one's weights
        bias = golden[f"{source}/{kind.layer}.bias"]
        logits = keras.layers.Dense(len(bias))
        logits.build((None, encoder.hidden_dim))
        logits.set_weights([golden[f"{source}/{kind.layer}.weight"].T, bias])
        head = task_head.Head(kind, logits, LABELS.get(source, []), dropout=0.2, max_length=12)
        folder = tmp_path_factory.mktemp(name)
        checkpoint.save(folder, encoder, read.vocabulary, {"mode": "bert_uncased"}, head=head)
        if kind.over == "mean":  # transformers has no such class: of its last hidden state, by the definition
            given = np.load(TINY.parent / "bert_tiny.npz")
            real = given["padding_mask"][..., None]
            mean = (given["hidden_states"][-1] * real).sum(axis=1) / real.sum(axis=1)
            return folder, mean @ golden[f"{source}/{kind.layer}.weight"].T + bias
        return folder, golden[f"{name}/logits"]

    return write
