"""Cut heads: masked, cut, written as zeros and read again are one function, ours and transformers'."""

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.bert import pruned
from models.bert.encoder import BertEncoder, MaskedLanguageHead
from models.bert.heads import Classifier
from models.checkpoints import checkpoint, layout, task_head
from models.export import keras_model

DATA = pathlib.Path(__file__).parents[3] / "data"
# Made by transformers and torch: tests/golden/make_bert_golden.py.
INPUTS = tuple(np.load(DATA / "bert_tiny.npz")[name] for name in ("token_ids", "segment_ids", "padding_mask"))
PRUNED = np.load(DATA / "bert_tiny_pruned.npz")
CUT = [(0, 1), (1, 0), (1, 2), (1, 3)]
KEPT = [[0, 2, 3], [1], [0, 1, 2, 3]]
MASK = np.ones((3, 4), np.float32)
MASK[tuple(zip(*CUT, strict=True))] = 0


def difference(a, b):
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


@pytest.fixture(scope="module")
def encoder():
    made = BertEncoder(**checkpoint.read(DATA / "bert_tiny").encoder)
    checkpoint.load(DATA / "bert_tiny", made)
    return made


@pytest.fixture(scope="module")
def narrow(encoder):
    made = BertEncoder(**encoder.arguments, kept_heads=pruned.without(CUT, encoder))
    pruned.copy(encoder, encoder, made, made)
    return made


def test_a_cut_head_is_a_masked_one(encoder, narrow):
    masked, cut = encoder(*INPUTS, head_mask=MASK, return_all=True), narrow(*INPUTS, return_all=True)
    assert difference(masked["sequence"], encoder(*INPUTS)["sequence"]) > 0.1
    for name in ("sequence", "pooled"):
        assert difference(masked[name], cut[name]) < 1e-5  # of values up to 5
    assert [each.shape[1] for each in cut["attentions"]] == [3, 1, 4]
    assert difference(cut["attentions"][0], tf.gather(masked["attentions"][0], KEPT[0], axis=1)) < 1e-6
    assert narrow.count_params() == encoder.count_params() - len(CUT) * (6 * 3 * 25 + 6 * 24)
    assert (encoder.told_heads, narrow.told_heads) == ("4 heads", "4 heads, 8 of 12 kept")


def test_without_padding_it_is_the_same(narrow):
    grid, ids = narrow(*INPUTS)["sequence"], narrow.padding_free(*map(tf.constant, INPUTS))
    assert difference(tf.gather(tf.reshape(grid, [-1, 24]), ids["indices"]), ids["sequence"]) < 1e-5


def test_the_checkpoint_has_zeros_for_it_and_computes_the_same(encoder, narrow, tmp_path):
    mlm = MaskedLanguageHead(narrow)
    read = checkpoint.read(DATA / "bert_tiny")
    checkpoint.save(tmp_path, narrow, read.vocabulary, read.rules, mlm=mlm)
    assert json.loads((tmp_path / "config.json").read_text())["tfx_bert"] == {
        "pruned_heads": {"0": [1], "1": [0, 2, 3]}
    }
    assert checkpoint.tensors(tmp_path).items() <= checkpoint.tensors(DATA / "bert_tiny").items()  # of the whole shape
    assert layout.kept_heads(tmp_path / "config.json") == KEPT
    again = BertEncoder(**checkpoint.read(tmp_path).encoder)
    checkpoint.load(tmp_path, again)
    np.testing.assert_allclose(again(*INPUTS)["sequence"], narrow(*INPUTS)["sequence"], rtol=1e-6, atol=1e-6)
    block, was = again.blocks[1], encoder.blocks[1]
    assert np.flatnonzero(np.abs(block.projection.kernel).sum(axis=1)).tolist() == list(range(6, 12))
    np.testing.assert_array_equal(block.projection.kernel[6:12], was.projection.kernel[6:12])
    np.testing.assert_array_equal(block.qkv.bias[30:36], was.qkv.bias[30:36])
    assert layout.kept_heads(DATA / "bert_tiny/config.json") is None


def test_transformers_computes_the_same_of_such_a_checkpoint(narrow):
    """``bert_tiny`` with zeros in the same rows of ``attention.output.dense``."""
    assert PRUNED["cut"].tolist() == [list(head) for head in CUT]
    out = narrow(*INPUTS)
    mask = INPUTS[2]
    assert difference(np.asarray(out["sequence"])[mask], PRUNED["sequence"][mask]) < 1e-5
    assert difference(out["pooled"], PRUNED["pooled"]) < 1e-5


def test_training_leaves_it_out_of_a_checkpoint_that_was_read(narrow):
    whole = pruned.whole(narrow)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(whole(*INPUTS)["sequence"][..., 0]))
    block = whole.blocks[0]
    columns = [part * 24 + place for part in range(3) for place in range(6, 12)]
    of_qkv, of_projection = tape.gradient(loss, [block.qkv.kernel.value, block.projection.kernel.value])
    assert not np.take(of_qkv, columns, axis=1).any()
    assert not np.asarray(of_projection)[6:12].any()
    assert np.asarray(of_projection)[:6].all()
    assert pruned.whole(whole) is whole


def test_a_keras_file_is_as_small_as_the_model(encoder, narrow, tmp_path):
    keras.utils.set_random_seed(4)
    model = Classifier(encoder, 3, 0.1)
    cut = Classifier(narrow, 3, 0.1)
    pruned.copy(model, encoder, cut, narrow)
    assert difference(cut.logits.kernel, model.logits.kernel) == 0
    head = task_head.Head(task_head.HEADS["classification"], cut.logits, ["a", "b", "c"], 0.1, 16)
    read = checkpoint.read(DATA / "bert_tiny")
    checkpoint.save(tmp_path, narrow, read.vocabulary, read.rules, head=head)
    found = keras_model.load(tmp_path)
    assert found.encoder.count_params() == narrow.count_params()
    batch = dict(zip(("token_ids", "segment_ids", "padding_mask"), INPUTS, strict=True))
    found.save(tmp_path / "model.keras")
    assert difference(keras.saving.load_model(tmp_path / "model.keras")(batch)["logits"], cut(batch)["logits"]) < 1e-5


def test_a_layer_keeps_one(encoder):
    with pytest.raises(ValueError, match=r"at least one head\. Received: none for block 1"):
        pruned.without([(1, head) for head in range(4)], encoder)
