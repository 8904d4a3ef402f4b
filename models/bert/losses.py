"""Cross-entropy as ``torch.nn.CrossEntropyLoss`` computes it, and divergences from the scores of a teacher."""

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


def softmax_divergence(logits: Any, scores: Any, temperature: float) -> Any:
    """T² · KL(teacher ‖ student) of each row at temperature T (Hinton et al. 2015, section 2): float32 (N,), nats.

    T² keeps the size of the gradients, which a temperature divides by as much (section 2, equation 4).

    Args:
      logits: of the student, float32 (N, C).
      scores: of the teacher, float32 (N, C), which sum to 1: their logarithms are its logits but for one number a row.
      temperature: T, what logits of both are divided by.
    """
    teacher = tf.nn.log_softmax(tf.math.log(tf.maximum(scores, _LEAST)) / temperature)
    student = tf.nn.log_softmax(logits / temperature)
    return temperature**2 * tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=1)


def sigmoid_divergence(logits: Any, scores: Any, temperature: float) -> Any:
    """As ``softmax_divergence``, of C answers of yes or no each, mean over them: float32 (N,), nats.

    Args:
      logits: of the student, float32 (N, C).
      scores: of the teacher, float32 (N, C), from 0 to 1 each.
      temperature: T.
    """
    kept = tf.clip_by_value(scores, _SURE, 1 - _SURE)
    teacher = (tf.math.log(kept) - tf.math.log1p(-kept)) / temperature
    yes, student = tf.nn.sigmoid(teacher), logits / temperature
    of = tf.nn.sigmoid_cross_entropy_with_logits
    return temperature**2 * tf.reduce_mean(of(yes, student) - of(yes, teacher), axis=1)


# What a score of 0 counts as: a normal float32, whose logarithm is finite.
_LEAST = 1e-37
# How near to 0 and 1 a float32 keeps a sigmoid apart from them: 1 - 2^-24 is the last number below 1.
_SURE = 2.0**-23
