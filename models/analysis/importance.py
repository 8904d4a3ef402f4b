"""How much a model's loss depends on each head (Michel et al. 2019, section 4.1), per example, and which heads to cut.

Axes: B batch, L blocks, H heads.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from models.bert.encoder import BertEncoder

Batch = Mapping[str, Any]


def of_heads(
    model: Any,
    encoder: BertEncoder,
    loss: Callable[[Any, Any], Any],
    row_weights: Callable[[Any], Any],
    batches: tf.data.Dataset,
) -> np.ndarray:
    """Mean over the rows of abs(∂L_x/∂ξ): L_x is a row's own loss, ξ = 1 a factor on what a head passes on.

    One backward pass of a batch gives every row's gradient, as each row has factors of its own: the figure does not
    depend on how rows are batched, unless their losses do. The gradients of the weights are not computed.

    Args:
      model: batch to outputs.
      encoder: of the model.
      loss: ``loss(outputs, batch)``: the mean over the rows by ``row_weights``, nats.
      row_weights: float32 (B,), as ``Task.row_weights``; rows of 0 are left out.
      batches: with ``padding_mask`` bool (B, S).

    Returns:
      float64 (L, H), not normalised; NaN where no row has a loss.
    """

    @tf.function(input_signature=[batches.element_spec], autograph=False)
    def of_batch(batch: Batch) -> tuple[Any, Any]:
        factors = tf.ones([tf.shape(batch["padding_mask"])[0], encoder.num_layers, encoder.num_heads])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(factors)
            with encoder.masked(factors):
                mean = loss(model(batch, training=False), batch)
        weights = tf.cast(row_weights(batch), tf.float32)
        slopes = tf.abs(tape.gradient(mean, factors)) * tf.reduce_sum(weights)
        return tf.reduce_sum(tf.math.divide_no_nan(slopes, weights[:, None, None]), axis=0), tf.math.count_nonzero(
            weights
        )

    total, rows = np.zeros((encoder.num_layers, encoder.num_heads)), 0
    for batch in batches:
        sums, count = of_batch(batch)
        total, rows = total + sums.numpy().astype(float), rows + int(count)
    return total / rows if rows else total * np.nan


def normalised(values: np.ndarray) -> np.ndarray:
    """Of length 1 within each layer (Michel et al. 2019, section 4.1): (L, H); a layer of zeros stays one."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1)


def order(values: np.ndarray) -> list[tuple[int, int]]:
    """Heads as (layer, head) in the order in which they are cut: the least important first, of equals the first.

    The most important head of each layer is in none: a layer keeps it.
    """
    kept = {(layer, int(head)) for layer, head in enumerate(values.argmax(axis=1))}
    places = np.unravel_index(np.argsort(values, axis=None, kind="stable"), values.shape)
    return [head for head in zip(*(place.tolist() for place in places), strict=True) if head not in kept]


def mask(heads: list[tuple[int, int]], shape: tuple[int, int]) -> np.ndarray:
    """``head_mask`` without these heads: float32 (L, H)."""
    made = np.ones(shape, np.float32)
    for head in heads:
        made[head] = 0
    return made


def lowest(values: np.ndarray, share: float) -> list[tuple[int, int]]:
    """The least important heads that make up this share of all, rounded; fewer where a layer would lose its last."""
    return order(values)[: round(share * values.size)]
