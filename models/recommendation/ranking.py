"""Ranks over the whole catalogue, defined once: in the graph, and in NumPy for baselines.

An item may be answered if it is eligible: it is in the catalogue, and not in the history where seen items are excluded.
The target itself always takes part. Ties count against a model: a model that scores all alike has the last place, not
the first.

Axes: B records, V ids, special pieces included.
"""

from typing import Any

import numpy as np

from models.vocabularies.items import FIRST

Tensor = Any


def eligible(seen: Tensor, catalogue: np.ndarray, *, exclude_seen: bool) -> Tensor:
    """Which ids may be answered: bool (B, V).

    Args:
      seen: ragged int64 (B, None), ids of the whole history.
      catalogue: bool (V,), false for special pieces, and for items that are never answered.
      exclude_seen: whether those of ``seen`` are not eligible.
    """
    import tensorflow as tf

    shape = tf.stack([seen.nrows(), tf.constant(len(catalogue), tf.int64)])
    found = tf.broadcast_to(tf.constant(catalogue), shape)
    if not exclude_seen:
        return found
    cells = tf.stack([seen.value_rowids(), seen.values], axis=1)
    return tf.tensor_scatter_nd_update(found, cells, tf.zeros_like(seen.values, tf.bool))


def ranks(scores: Tensor, eligible: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The target's place, int64 (B,), with ties against it and with ties for it; 0 for a target without an item.

    Args:
      scores: (B, V).
      eligible: bool (B, V).
      target: int64 (B,); special pieces stand for no item.
    """
    import tensorflow as tf

    own = tf.gather(scores, target, batch_dims=1)[:, None]
    others = eligible & (tf.range(tf.shape(scores, tf.int64)[1]) != target[:, None])
    higher = tf.math.count_nonzero(others & (scores > own), axis=1)
    equal = tf.math.count_nonzero(others & (scores == own), axis=1)
    there = tf.cast(target >= FIRST, tf.int64)
    return there * (1 + higher + equal), there * (1 + higher)


def shares(scores: Tensor, eligible: Tensor) -> Tensor:
    """The softmax of ``scores`` (B, V) over the ids that are ``eligible`` bool (B, V); 0 for the others."""
    import tensorflow as tf

    masked = tf.where(eligible, scores, scores.dtype.min)
    powers = tf.where(eligible, tf.exp(masked - tf.reduce_max(masked, axis=1, keepdims=True)), 0)
    return tf.math.divide_no_nan(powers, tf.reduce_sum(powers, axis=1, keepdims=True))


def best(scores: Tensor, eligible: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` best eligible ids, int64 (B, count), and their softmax over all eligible ones, float32.

    Of equal scores the lower id comes first: it is the more frequent item. Where there are fewer ids: 0 and 0.

    Args:
      scores: (B, V).
      eligible: bool (B, V).
      count: K.
    """
    import tensorflow as tf

    lowest = scores.dtype.min
    masked = tf.where(eligible, scores, lowest)
    values, ids = tf.math.top_k(masked, min(count, scores.shape[1]))
    there = values > lowest
    highest = values[:, :1]
    total = tf.reduce_sum(tf.exp(masked - highest), axis=1, keepdims=True)  # what is not eligible adds exp(-∞)
    chosen = tf.where(there, tf.exp(values - highest) / total, 0)
    short = [[0, 0], [0, count - chosen.shape[1]]]
    return tf.pad(tf.where(there, tf.cast(ids, tf.int64), 0), short), tf.pad(tf.cast(chosen, tf.float32), short)


def eligible_of(seen: np.ndarray, size: int, *, exclude_seen: bool) -> np.ndarray:
    """``eligible`` of one record, over all ids but special pieces: bool (V,)."""
    found = np.arange(size) >= FIRST
    if exclude_seen:
        found[seen] = False
    return found


def ranks_of(scores: np.ndarray, eligible: np.ndarray, target: int | None) -> tuple[int, int]:
    """``ranks`` of one record: ``scores`` (V,), ``eligible`` bool (V,); None for a target without an item."""
    if target is None:
        return 0, 0
    others = scores[eligible & (np.arange(len(scores)) != target)]
    higher, equal = int((others > scores[target]).sum()), int((others == scores[target]).sum())
    return 1 + higher + equal, 1 + higher


def best_of(scores: np.ndarray, eligible: np.ndarray, count: int) -> np.ndarray:
    """The ids of ``best`` of one record, int64 (count,)."""
    allowed = np.flatnonzero(eligible)
    chosen = allowed[np.argsort(-scores[allowed], kind="stable")[:count]]
    return np.pad(chosen, (0, count - len(chosen)))
