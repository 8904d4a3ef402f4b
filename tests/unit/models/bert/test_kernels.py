import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import erf

from models.bert import kernels

RANDOM = np.random.default_rng(0)


def test_gelu_is_the_error_functions():
    x = np.linspace(-6, 6, 4001)
    expected = 0.5 * x * (1 + erf(x / np.sqrt(2)))
    assert np.abs(kernels.gelu(tf.constant(x, tf.float32)) - expected).max() < 1e-6
    assert np.abs(keras.ops.gelu(x, approximate=True) - expected).max() > 1e-4


@pytest.mark.parametrize("shape", [(7, 12), (2, 5, 12)])
def test_layer_norm_and_its_gradient_equal_the_formula(shape):
    # Rows of such small variance that an epsilon of 1e-5 would show.
    x = tf.constant(RANDOM.normal(size=shape) * 1e-3, tf.float64)
    gamma, beta = (tf.constant(RANDOM.normal(size=12)) for _ in range(2))
    upstream = tf.constant(RANDOM.normal(size=shape))

    def formula(x, gamma, beta):
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return (x - mean) / tf.sqrt(variance + 1e-12) * gamma + beta

    results = []
    for function in (formula, lambda *args: kernels.layer_norm(*args, 1e-12)):
        with tf.GradientTape() as tape:
            tape.watch((x, gamma, beta))
            y = function(x, gamma, beta)
        results.append((y, *tape.gradient(y, (x, gamma, beta), output_gradients=upstream)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_cross_entropy_and_its_gradient_equal_tensorflows(jit_compile):
    logits = tf.constant(RANDOM.normal(size=(5, 40), scale=30), tf.float32)
    ids, upstream = tf.constant([0, 39, 7, 7, 20]), tf.constant([1.0, -2.0, 0.0, 0.5, 3.0])

    def results(function):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = function(logits, ids)
        return losses, tape.gradient(losses, logits, output_gradients=upstream)

    compute = tf.function(lambda: results(kernels.cross_entropy), jit_compile=jit_compile)
    theirs = results(lambda logits, ids: tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits))
    for a, b in zip(compute(), theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    nothing = kernels.cross_entropy(tf.zeros([0, 40]), tf.zeros([0], tf.int32))
    assert nothing.shape == (0,)


@pytest.mark.parametrize("shape", [(7, 12), (2, 5, 12), (0, 12)])
def test_linear_keeps_every_axis_but_the_last(shape):
    x, kernel, bias = (RANDOM.normal(size=s).astype("float32") for s in (shape, (12, 3), (3,)))
    np.testing.assert_allclose(kernels.linear(tf.constant(x), kernel, bias), x @ kernel + bias, atol=1e-5)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_keeps_the_mean_and_drops_the_share(rate):
    y = kernels.dropout(tf.ones((401, 503)), rate, keras.random.SeedGenerator(1)).numpy()
    assert np.mean(y == 0) == pytest.approx(rate, abs=0.005)
    assert np.unique(y).size == 2
    assert y.mean() == pytest.approx(1, abs=0.005)


def test_dropout_draws_anew_each_time_and_not_at_all_without_seeds():
    seeds, x = keras.random.SeedGenerator(1), tf.ones((50, 50))
    assert np.any(kernels.dropout(x, 0.1, seeds) != kernels.dropout(x, 0.1, seeds))
    assert kernels.dropout(x, 0.1, None) is x
    assert kernels.dropout(x, 0.0, seeds) is x
