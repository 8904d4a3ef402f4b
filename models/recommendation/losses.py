"""Losses against drawn items, for catalogues whose full softmax is too large.

Axes: M predicted places, K drawn items, V ids, D hidden.
"""

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models.bert import kernels
from models.training import replicas
from models.vocabularies.items import FIRST

Tensor = Any
_HIT = -1e9  # added to the score of a drawn item that is the right one


def draw(seed: Tensor, count: int, size: int) -> Tensor:
    """int32 (K,): items, each as likely as any other, with replacement; ``size`` is V."""
    return tf.random.stateless_uniform([count], seed, FIRST, size, tf.int32)


def sampled(states: Tensor, table: Tensor, bias: Tensor, right: Tensor, drawn: Tensor) -> dict[str, Tensor]:
    """The scores that the losses below take: ``positive`` (M,) and ``negatives`` (M, K).

    Args:
      states: (M, D).
      table: (V, D).
      bias: (V,).
      right: int32 (M,).
      drawn: int32 (K,), of ``draw``.
    """
    bias = tf.cast(bias, states.dtype)
    positive = tf.reduce_sum(states * tf.gather(table, right), axis=1) + tf.gather(bias, right)
    negatives = kernels.products(states, tf.gather(table, drawn)) + tf.gather(bias, drawn)
    hits = tf.cast(right[:, None] == drawn, states.dtype)
    return {"positive": positive, "negatives": negatives + _HIT * hits}


def sampled_softmax(outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor], items: int) -> Tensor:
    """Cross-entropy whose sum over all items is estimated: each drawn one stands for I / K of them. float32, nats.

    The logarithm of that is the correction of Jean et al. 2015, section 3.2, for items that are drawn uniformly.

    Args:
      outputs: of ``sampled``.
      batch: with ``step_masked`` where it is a share of a step.
      items: I.
    """
    positive, negatives = outputs["positive"], outputs["negatives"]
    corrected = negatives + math.log(items / negatives.shape[1])
    total = tf.reduce_logsumexp(tf.concat([positive[:, None], corrected], axis=1), axis=1)
    return _mean(total - positive, batch)


def gbce(outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor], items: int, calibration: float) -> Tensor:
    """Generalised binary cross-entropy (Petrov & Macdonald 2023, equations 6 and 11): float32, nats.

    The probability of the right item is raised to β, which undoes that most wrong items are never drawn.

    Args:
      outputs: of ``sampled``.
      batch: as above.
      items: I.
      calibration: t.
    """
    positive, negatives = outputs["positive"], outputs["negatives"]
    count = negatives.shape[1]
    rate = min(count / max(items - 1, 1), 1.0)
    beta = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    losses = beta * tf.nn.softplus(-positive) + tf.reduce_sum(tf.nn.softplus(negatives), axis=1)
    return _mean(losses / (1 + count), batch)


def _mean(losses: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    return replicas.mean(losses, step_count=batch.get("step_masked"))
