"""The way between the padded grid (B, S) and the T real tokens in it. Standard TensorFlow ops, any B and S."""

from typing import Any

import tensorflow as tf

Tensor = Any


class RealTokens:
    """The real tokens of a batch, row after row.

    Args:
      padding_mask: bool (B, S), true on real tokens.

    Attributes:
      positions: int64 (T,), each token's column.
      indices: int64 (T,), each token's place in the grid B·S.
      first: int64 (B,), the place in the grid of each row's first column.
    """

    def __init__(self, padding_mask: Tensor) -> None:
        self._mask = padding_mask
        self._cells = tf.where(padding_mask)
        self._batch, self._length = tf.unstack(tf.shape(padding_mask, out_type=tf.int64))
        rows, self.positions = tf.unstack(self._cells, axis=1)
        self.indices = rows * self._length + self.positions
        self.first = tf.range(self._batch) * self._length

    def gather(self, x: Tensor) -> Tensor:
        """(B, S, …) to (T, …)."""
        # gather_nd and scatter_nd are each other's gradients: no slow sums over indices.
        return tf.gather_nd(x, self._cells)

    def scatter(self, x: Tensor) -> Tensor:
        """(T, N) to (B, S, N), 0 on padding."""
        return tf.scatter_nd(self._cells, x, tf.stack([self._batch, self._length, x.shape[-1]]))

    def ordinals(self, indices: Tensor) -> Tensor:
        """Places in the grid B·S of real tokens to places among the real tokens: int (K,) to int32 (K,)."""
        counts = tf.cumsum(tf.cast(tf.reshape(self._mask, [-1]), tf.int32))
        return tf.gather(counts, indices) - 1
