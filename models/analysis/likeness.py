"""Which heads look alike: Jensen–Shannon divergence of their attention, and a map of it (Clark et al. 2019, section 6).

Axes: B batch, N heads of all blocks, S sequence.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def divergences(attentions: Sequence[Any], batch: Mapping[str, Any]) -> dict[str, Any]:
    """What ``mean`` adds up, of a batch; in the graph.

    Args:
      attentions: of each block, (B, H, S, S).
      batch: ``padding_mask`` bool (B, S).

    Returns:
      ``divergence`` (N, N): bits, between 0 and 1, the mean over the queries of a row, summed over rows; ``rows``.
    """
    mask = batch["padding_mask"]
    weights = tf.boolean_mask(tf.transpose(tf.cast(tf.concat(attentions, 1), tf.float32), [0, 2, 1, 3]), mask)
    share = tf.cast(mask, tf.float32) / tf.reduce_sum(tf.cast(mask, tf.float32), axis=1, keepdims=True)
    query = tf.boolean_mask(share, mask)  # (T,), sums to 1 over a row
    rows = tf.transpose(weights, [1, 0, 2])  # (N, T, S)
    own = _entropy(rows, query)

    def beside(head: Any) -> Any:
        """Of a head and each head: entropy of the mean less the mean of the entropies."""
        both = _entropy((rows + rows[head]) / 2, query)
        return both - (own + own[head]) / 2

    count = tf.shape(rows)[0]
    found = tf.map_fn(beside, tf.range(count), fn_output_signature=tf.float32)
    return {"divergence": tf.maximum(found, 0), "rows": tf.cast(tf.shape(mask)[0], tf.float32)}


def _entropy(rows: Any, query: Any) -> Any:
    """Bits, of each head: (N,)."""
    nats = -tf.einsum("nts,t->n", tf.math.xlogy(rows, rows), query)
    return nats / np.log(2.0)


def mean(parts: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Mean over all rows of what ``divergences`` gave: float64 (N, N), 0 on the diagonal."""
    total = np.sum([np.asarray(part["divergence"], float) for part in parts], axis=0)
    found: np.ndarray = (total + total.T) / (2 * sum(float(part["rows"]) for part in parts))
    np.fill_diagonal(found, 0)
    return found


def placed(distances: np.ndarray) -> np.ndarray:
    """Classical multidimensional scaling (Torgerson 1952): places whose distances are nearly these, (N, 2).

    The sign of an axis means nothing: the head that lies farthest out is on its positive side.
    """
    size = len(distances)
    centre = np.eye(size) - 1 / size
    values, vectors = np.linalg.eigh(-centre @ np.square(distances) @ centre / 2)
    axes = np.argsort(values)[::-1][:2]
    found: np.ndarray = vectors[:, axes] * np.sqrt(np.maximum(values[axes], 0))
    farthest = found[np.abs(found).argmax(axis=0), range(found.shape[1])]
    return found * np.where(farthest < 0, -1, 1)
