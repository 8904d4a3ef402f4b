import numpy as np
import pytest
import tensorflow as tf

from models.bert import heads
from models.recommendation import losses
from models.vocabularies.items import FIRST

SIZE, WIDTH, PLACES = 30, 8, 40


@pytest.fixture
def drawn():
    generator = np.random.default_rng(0)
    states, table = (tf.constant(generator.normal(size=(rows, WIDTH)), tf.float32) for rows in (PLACES, SIZE))
    bias = tf.constant(generator.normal(size=SIZE), tf.float32)
    return states, table, bias, {"masked_ids": tf.constant(generator.integers(FIRST, SIZE, PLACES), tf.int32)}


def test_with_all_items_drawn_it_is_the_full_softmax(drawn):
    states, table, bias, batch = drawn
    outputs = losses.sampled(states, table, bias, batch["masked_ids"], tf.range(FIRST, SIZE))
    full = tf.matmul(states, table, transpose_b=True) + bias - 1e9 * tf.cast(tf.range(SIZE) < FIRST, tf.float32)
    wanted = heads.mlm_loss({"mlm_logits": full}, batch)
    assert float(losses.sampled_softmax(outputs, batch, SIZE - FIRST)) == pytest.approx(float(wanted), rel=1e-5)


def test_the_estimate_of_the_sum_over_all_items_has_no_bias(drawn):
    """The mean over 4,000 draws of 6 items; five standard errors."""
    states, table, bias, batch = drawn
    one = {"masked_ids": batch["masked_ids"][:1]}

    @tf.function
    def estimate(number):
        ids = losses.draw(tf.stack([number, 0]), 6, SIZE)
        outputs = losses.sampled(states[:1], table, bias, one["masked_ids"], ids)
        return tf.exp(losses.sampled_softmax(outputs, one, SIZE - FIRST) + outputs["positive"][0])

    sums = tf.map_fn(estimate, tf.range(4000), fn_output_signature=tf.float32).numpy()
    scores = (tf.matmul(states[:1], table, transpose_b=True) + bias)[0].numpy()[FIRST:]
    assert abs(np.mean(sums) - np.exp(scores).sum()) < 5 * np.std(sums) / np.sqrt(len(sums))


def test_without_calibration_it_is_binary_cross_entropy(drawn):
    states, table, bias, batch = drawn
    ids = losses.draw(tf.constant([1, 2]), 10, SIZE)
    outputs = losses.sampled(states, table, bias, batch["masked_ids"], ids)
    logits = tf.concat([outputs["positive"][:, None], outputs["negatives"]], axis=1)
    labels = tf.one_hot(tf.zeros(PLACES, tf.int32), 11)
    wanted = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))
    assert float(losses.gbce(outputs, batch, SIZE - FIRST, 0.0)) == pytest.approx(float(wanted), rel=1e-6)


def test_the_right_item_s_probability_is_raised_to_beta(drawn):
    """β of the paper's table for MovieLens-1M: 3,416 items, k = 256, t = .75 gives .30622."""
    outputs = {"positive": tf.constant([0.7]), "negatives": tf.fill([1, 256], -100.0)}
    rate = 256 / 3415
    beta = rate * (0.75 * (1 - 1 / rate) + 1 / rate)
    assert beta == pytest.approx(0.30622, abs=1e-5)
    wanted = -np.log((1 / (1 + np.exp(-0.7))) ** beta) / 257
    assert float(losses.gbce(outputs, {"masked_ids": tf.constant([9])}, 3416, 0.75)) == pytest.approx(wanted, rel=1e-5)


def test_draws_are_items_and_each_alike():
    ids = losses.draw(tf.constant([5, 5]), 25_000, SIZE).numpy()
    assert ids.min() == FIRST
    counts = np.bincount(ids)[FIRST:]
    assert len(counts) == SIZE - FIRST
    assert (abs(counts - 1000) < 4 * np.sqrt(1000)).all()
