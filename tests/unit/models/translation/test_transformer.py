"""The network against transformers' mBART on ragged rows, and what must not influence what."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from models.bert import kernels
from models.translation.transformer import Transformer


def logits_of(network, batch, **changed):
    inputs = {**{name: batch[name] for name in ("token_ids", "padding_mask", "target_in", "target_mask")}, **changed}
    return network(*map(tf.constant, inputs.values())).numpy()


def test_encoder_states_equal_the_reference(mbart, golden):
    states = mbart.encode(tf.constant(golden["token_ids"]), tf.constant(golden["padding_mask"])).states
    np.testing.assert_allclose(states, golden["states"], atol=1e-5)


def test_logits_and_losses_equal_the_reference(mbart, golden):
    logits = logits_of(mbart, golden)
    np.testing.assert_allclose(logits, golden["logits"], atol=1e-5)
    ids = tf.constant(golden["target_out"][golden["target_mask"]], tf.int32)
    for name, smoothing in (("loss", 0.0), ("smooth_loss", 0.1)):
        loss = tf.reduce_mean(kernels.cross_entropy(tf.constant(logits), ids, smoothing))
        assert float(loss) == pytest.approx(float(golden[name]), abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_written_gradient_is_the_automatic_one(golden, smoothing):
    ids = tf.constant(golden["target_out"][golden["target_mask"]], tf.int32)
    logits = tf.Variable(golden["logits"])
    with tf.GradientTape(persistent=True) as tape:
        ours = tf.reduce_mean(kernels.cross_entropy(logits, ids, smoothing))
        target = (1 - smoothing) * tf.one_hot(ids, 30) + smoothing / 30
        plain = tf.reduce_mean(-tf.reduce_sum(target * tf.nn.log_softmax(logits), axis=1))
    np.testing.assert_allclose(tape.gradient(ours, logits), tape.gradient(plain, logits), atol=1e-7)


def test_no_target_piece_sees_a_later_one(mbart, golden):
    row = 1
    before = logits_of(mbart, golden)
    start, length = int(golden["target_mask"][:row].sum()), int(golden["target_mask"][row].sum())
    for place in range(1, length):
        changed = golden["target_in"].copy()
        changed[row, place:length] = (changed[row, place:length] + 7) % 26 + 4
        after = logits_of(mbart, golden, target_in=changed)
        assert np.array_equal(before[: start + place], after[: start + place])
        assert not np.allclose(before[start + place : start + length], after[start + place : start + length])


def test_every_source_piece_is_seen(mbart, golden):
    before = logits_of(mbart, golden)
    for place in range(int(golden["padding_mask"][0].sum())):
        changed = golden["token_ids"].copy()
        changed[0, place] = (changed[0, place] + 7) % 26 + 4
        after = logits_of(mbart, golden, token_ids=changed)
        first = int(golden["target_mask"][0].sum())
        assert not np.allclose(before[:first], after[:first])
        np.testing.assert_allclose(before[first:], after[first:], atol=1e-6)


def test_padding_has_no_influence(mbart, golden):
    before = logits_of(mbart, golden)
    junk = {
        "token_ids": np.where(golden["padding_mask"], golden["token_ids"], 9),
        "target_in": np.where(golden["target_mask"], golden["target_in"], 9),
    }
    np.testing.assert_allclose(logits_of(mbart, golden, **junk), before, atol=1e-6)
    wider = {name: np.pad(golden[name], [(0, 0), (0, 3)], constant_values=9) for name in ("token_ids", "target_in")}
    wider |= {name: np.pad(golden[name], [(0, 0), (0, 3)]) for name in ("padding_mask", "target_mask")}
    np.testing.assert_allclose(logits_of(mbart, golden, **wider), before, atol=1e-6)


def test_a_row_alone_is_the_row_in_its_batch(mbart, golden):
    together = np.split(logits_of(mbart, golden), np.cumsum(golden["target_mask"].sum(1))[:-1])
    names = ("token_ids", "padding_mask", "target_in", "target_mask")
    for row, logits in enumerate(together):
        alone = {name: golden[name][row : row + 1] for name in names}
        np.testing.assert_allclose(logits_of(mbart, alone), logits, atol=1e-5)


def test_a_step_is_the_full_decoder_over_the_prefix(mbart, golden):
    """Two beams, which go on from each other's pieces: the cache follows them."""
    ids, mask = tf.constant(golden["token_ids"]), tf.constant(golden["padding_mask"])
    source = mbart.encode(ids, mask)
    memories, caches = mbart.remember(source), [mbart.empty_cache(4, 2) for _ in mbart.decoder_blocks]
    table = mbart.output_table()
    draw = np.random.default_rng(1)
    beams = np.full((4, 2, 1), 2)
    for place in range(16):
        logits, caches = mbart.step(tf.constant(beams[:, :, -1]), place, caches, memories, source.bias, table)
        for beam in range(2):
            full = mbart(ids, mask, tf.constant(beams[:, beam]), tf.ones([4, place + 1], tf.bool))
            np.testing.assert_allclose(logits[:, beam], tf.reshape(full, [4, place + 1, 30])[:, -1], atol=1e-5)
        parents = draw.integers(0, 2, (4, 2))
        reorder = functools.partial(tf.gather, indices=tf.constant(parents), batch_dims=1)
        caches = tf.nest.map_structure(reorder, caches)
        beams = np.concatenate([np.take_along_axis(beams, parents[..., None], 1), draw.integers(4, 30, (4, 2, 1))], 2)


def test_dropout_is_for_training(mbart, golden):
    inputs = [tf.constant(golden[name]) for name in ("token_ids", "padding_mask", "target_in", "target_mask")]
    dropped = mbart(*inputs, training=True)
    assert np.isfinite(dropped).all()
    assert not np.allclose(dropped, golden["logits"], atol=1e-2)


def test_freezing_from_the_input_on(mbart):
    network = Transformer(vocabulary_size=9, num_layers=1, num_decoder_layers=1, hidden_dim=4, num_heads=2)
    groups = network.layers_of_variables
    network.freeze(1)
    frozen = {id(variable) for variable in (*groups[0], *groups[1])}
    assert frozen == {id(each) for each in network.weights} - {id(each) for each in network.trainable_weights}


@pytest.mark.parametrize(
    ("change", "message"),
    [({"num_heads": 3}, "num_heads must divide hidden_dim"), ({"length": 9}, "longer than max_positions, 8 pieces")],
)
def test_what_cannot_be_built_or_read(change, message):
    shape = {"vocabulary_size": 9, "num_layers": 1, "num_decoder_layers": 1, "hidden_dim": 4, "num_heads": 2}
    with pytest.raises(ValueError, match=message):
        network = Transformer(
            **{**shape, **{key: change[key] for key in change.keys() & shape.keys()}}, max_positions=8
        )
        network.encode(tf.zeros([1, change["length"]], tf.int32), tf.ones([1, change["length"]], tf.bool))
