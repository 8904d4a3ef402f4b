"""The pointwise mathematics of BERT: next to the matrix products, what a training step on a CPU spends its time on.

On TensorFlow the gradients are written out: the automatic ones keep more intermediates and pass over memory more often
(2.8 for 3.6 CPU ms a LayerNorm, 5.0 for 6.9 a GELU, at the sizes of MiniLM with 860 tokens; 27 for 66 the loss of 608
hidden tokens over 30,522 pieces).
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensor = Any
_TENSORFLOW = keras.backend.backend() == "tensorflow"
if _TENSORFLOW:
    import tensorflow as tf


def linear(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """``x·kernel + bias``: (…, N) to (…, M)."""
    if not _TENSORFLOW:
        return ops.matmul(x, kernel) + bias
    # BiasAdd, not an addition: its gradient is one op, and graph optimization fuses it with a product of matrices.
    rows = tf.reshape(x, [-1, x.shape[-1]])
    out = tf.nn.bias_add(tf.matmul(rows, tf.convert_to_tensor(kernel)), tf.convert_to_tensor(bias))
    return out if x.shape.rank == 2 else tf.reshape(out, tf.concat([tf.shape(x)[:-1], tf.shape(out)[-1:]], 0))


def products(a: Tensor, b: Tensor) -> Tensor:
    """Of every row of ``a`` with every row of ``b``: (…, N, D) and (…, M, D) to (…, N, M)."""
    if not _TENSORFLOW:
        return ops.matmul(a, ops.swapaxes(b, -1, -2))
    # Inside the product; TensorFlow would write a transposed copy first.
    return tf.matmul(a, tf.convert_to_tensor(b), transpose_b=True)


def gelu(x: Tensor) -> Tensor:
    """``x·Φ(x)`` by the error function (Hendrycks & Gimpel 2016), not its tanh approximation."""
    return tf.custom_gradient(_gelu)(x) if _TENSORFLOW else ops.gelu(x, approximate=False)


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> Tensor:
    """Normalisation over the last axis (Ba et al. 2016).

    Args:
      x: (…, D).
      gamma: (D,), the scale.
      beta: (D,), the offset.
      epsilon: added to the variance.
    """
    if _TENSORFLOW:
        # Statistics of a row need more than bfloat16's eight bits.
        wide = tf.float32 if x.dtype == tf.bfloat16 else x.dtype
        normal = _layer_norm(tf.cast(x, wide), tf.cast(gamma, wide), tf.cast(beta, wide), epsilon)
        return tf.cast(normal, x.dtype)
    normal, _ = _normalize(x, epsilon)
    return normal * gamma + beta


def dropout(x: Tensor, rate: float, seeds: keras.random.SeedGenerator | None) -> Tensor:
    """Inverted dropout (Srivastava et al. 2014); ``x`` itself without ``seeds``.

    On TensorFlow a random byte decides about a cell, so the rate is rounded to a multiple of 1/256.
    """
    if seeds is None or not rate:
        return x
    if not _TENSORFLOW:
        return keras.random.dropout(x, rate, seed=seeds)
    dropped = round(rate * 256)
    keep = tf.cast(_random_bytes(tf.shape(x), seeds.next()) >= dropped, x.dtype)
    return x * (keep * (256 / (256 - dropped)))


def _normalize(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """(…, D) with mean 0 and variance 1, and the factor (…, 1) that made it so."""
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    factor = ops.rsqrt(ops.mean(ops.square(centred), axis=-1, keepdims=True) + epsilon)
    return centred * factor, factor


if _TENSORFLOW:

    def cross_entropy(logits: Tensor, ids: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy of ``ids`` int32 (N,) by the softmax of ``logits`` float32 (N, V), nats: (N,).

        The exponentials serve the gradient too. ``smoothing`` is the share of the target that all ids get alike
        (Szegedy et al. 2016, section 7); without it these are the negative log-probabilities of ``ids``.
        """

        def apply(logits: Tensor) -> tuple[Tensor, Callable[..., Any]]:
            top = tf.reduce_max(logits, axis=-1, keepdims=True)
            powers = tf.exp(logits - top)
            total = tf.reduce_sum(powers, axis=-1)

            def gradient(upstream: Tensor) -> Tensor:
                places = tf.stack([tf.range(tf.size(ids)), ids], axis=1)
                likely = powers * (upstream / total)[:, None]
                if smoothing:
                    likely -= (upstream * (smoothing / logits.shape[-1]))[:, None]
                return tf.tensor_scatter_nd_sub(likely, places, upstream * (1 - smoothing))

            wanted = tf.gather(logits, ids, batch_dims=1)
            if smoothing:
                wanted = (1 - smoothing) * wanted + smoothing * tf.reduce_mean(logits, axis=-1)
            return tf.math.log(total) + top[:, 0] - wanted, gradient

        return tf.custom_gradient(apply)(logits)

    def _random_bytes(shape: Tensor, seed: Tensor) -> Tensor:
        """uint8 of ``shape``, uniform; four from each random word."""
        size = tf.reduce_prod(shape)
        words = tf.random.stateless_uniform(
            [(size + 3) // 4], seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
        )
        return tf.reshape(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:size], shape)

    def _gelu(x: Tensor) -> tuple[Tensor, Callable[..., Any]]:
        below = 0.5 * tf.math.erf(x * math.sqrt(0.5)) + 0.5

        def gradient(upstream: Tensor) -> Tensor:
            density = tf.exp(-0.5 * tf.square(x) - 0.5 * math.log(2 * math.pi))
            return upstream * (below + x * density)

        return x * below, gradient

    def _layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> Tensor:
        def apply(x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Callable[..., Any]]:
            normal, factor = _normalize(x, epsilon)

            def gradient(upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
                rows = list(range(x.shape.rank - 1))
                scaled = upstream * gamma
                mean = tf.reduce_mean(scaled, axis=-1, keepdims=True)
                slope = tf.reduce_mean(scaled * normal, axis=-1, keepdims=True)
                d_gamma = tf.reduce_sum(upstream * normal, axis=rows)
                return (scaled - mean - normal * slope) * factor, d_gamma, tf.reduce_sum(upstream, axis=rows)

            return normal * gamma + beta, gradient

        return tf.custom_gradient(apply)(x, gamma, beta)
