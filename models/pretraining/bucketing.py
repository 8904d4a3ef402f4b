"""Batches by tokens: rows of about one length together, so that little of a batch is padding."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

# Lengths that share a batch, in tokens: at most seven of a row are padding.
_WIDTH = 8


def tokens(row: Any) -> Any:
    """How long a row is: the number of its ``token_ids``."""
    return tf.size(row["token_ids"], tf.int64)


def batches(
    rows: tf.data.Dataset, *, batch_size: int, batch_tokens: int, length: Callable[[Any], Any] = tokens
) -> tf.data.Dataset:
    """Rows in the order in which the batches of their length fill up; at the end those that did not.

    Args:
      rows: dicts, among them ``token_ids`` (tokens,).
      batch_size: rows of a batch, at most.
      batch_tokens: tokens of a batch, padding included, at most; at least the longest row's, rounded up to eight.
      length: of a row, in tokens, int64 scalar.

    Returns:
      Ragged batches. The same rows in the same order give the same batches.
    """

    def bucket(row: Any) -> Any:
        return (length(row) + _WIDTH - 1) // _WIDTH

    def size(key: Any) -> Any:
        return _rows(key, batch_size, batch_tokens)

    return rows.group_by_window(bucket, lambda key, window: window.ragged_batch(size(key)), window_size_func=size)


def count(rows: tf.data.Dataset, *, batch_size: int, batch_tokens: int, length: Callable[[Any], Any] = tokens) -> int:
    """How many batches ``batches`` makes of the rows, in whatever order they come."""
    lengths = np.array([int(each) for each in rows.map(length)], np.int64)
    keys, numbers = np.unique((lengths + _WIDTH - 1) // _WIDTH, return_counts=True)
    return int(sum(-(-numbers // _rows(keys, batch_size, batch_tokens).numpy())))


def _rows(key: Any, batch_size: int, batch_tokens: int) -> Any:
    """Rows of a batch whose rows are as long as ``key`` int64 says, in widths."""
    return tf.clip_by_value(batch_tokens // tf.maximum(key * _WIDTH, 1), 1, batch_size)
