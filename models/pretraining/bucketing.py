"""Batches by tokens: rows of about one length together, so that little of a batch is padding."""

from typing import Any

import tensorflow as tf

# Lengths that share a batch, in tokens: at most seven of a row are padding.
_WIDTH = 8


def batches(rows: tf.data.Dataset, *, batch_size: int, batch_tokens: int) -> tf.data.Dataset:
    """Rows in the order in which the batches of their length fill up; at the end those that did not.

    Args:
      rows: dicts, among them ``token_ids`` (tokens,).
      batch_size: rows of a batch, at most.
      batch_tokens: tokens of a batch, padding included, at most; at least the longest row's, rounded up to eight.

    Returns:
      Ragged batches. The same rows in the same order give the same batches.
    """

    def bucket(row: Any) -> Any:
        return (tf.size(row["token_ids"], tf.int64) + _WIDTH - 1) // _WIDTH

    def size(key: Any) -> Any:
        return tf.clip_by_value(batch_tokens // (key * _WIDTH), 1, batch_size)

    return rows.group_by_window(bucket, lambda key, window: window.ragged_batch(size(key)), window_size_func=size)
