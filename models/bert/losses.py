"""Cross-entropy with class weights and label smoothing, as ``torch.nn.CrossEntropyLoss`` computes it."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from models.training import replicas


def cross_entropy(logits: Any, labels: Any, weights: Sequence[float] | None = None, smoothing: float = 0.0) -> Any:
    """Mean over the rows, by ``replicas.mean``: float32 scalar, nats.

    Args:
      logits: float32 (N, C).
      labels: int (N,), the place of each right class.
      weights: of the C classes, 1 each where left out; the mean divides by the sum of the rows' weights.
      smoothing: share of the target that all classes get alike (Szegedy et al. 2016, section 7).
    """
    classes = tf.shape(logits)[1]
    of_class = tf.ones(classes) if weights is None else tf.constant(weights, tf.float32)
    target = (1 - smoothing) * tf.one_hot(labels, classes) + smoothing / tf.cast(classes, tf.float32)
    # tf.nn.softmax_cross_entropy_with_logits takes targets to sum to 1: its gradient would be wrong.
    losses = -tf.reduce_sum(target * of_class * tf.nn.log_softmax(logits), axis=1)
    return replicas.mean(losses, tf.gather(of_class, labels))
