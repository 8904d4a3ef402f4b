"""Several short texts in one row: the rows are full, all of one length, and attention stays within each text."""

from typing import Any

import numpy as np
import tensorflow as tf


def pack(token_ids: Any, max_length: int, seed: Any) -> dict[str, Any]:
    """Rows that hold several texts each, in random order.

    Args:
      token_ids: ragged int64 (N, tokens), texts with their special tokens, none longer than ``max_length``.
      max_length: of a row, in tokens.
      seed: int64 (2,), of the rows' order.

    Returns:
      Ragged (R, tokens): ``token_ids``; ``segment_ids``, 0; ``position_ids``, from 0 in each text; ``group_ids``, the
      number of the text in its row, from 1.
    """
    lengths = token_ids.row_lengths()
    row = tf.ensure_shape(tf.numpy_function(fill, [lengths, max_length], tf.int64, stateful=False), [None])
    rows = tf.reduce_max(row) + 1
    row = tf.gather(tf.random.experimental.stateless_shuffle(tf.range(rows), seed), row)
    order = tf.argsort(row, stable=True)
    texts = tf.RaggedTensor.from_value_rowids(tf.gather(token_ids, order), tf.gather(row, order), nrows=rows)
    group = tf.ragged.range(1, texts.row_lengths() + 1).values
    joined = texts.merge_dims(1, 2)
    return {
        "token_ids": joined,
        "segment_ids": tf.zeros_like(joined),
        "position_ids": joined.with_values(tf.ragged.range(texts.values.row_lengths()).values),
        "group_ids": joined.with_values(tf.gather(group, texts.values.value_rowids())),
    }


def fill(lengths: Any, capacity: int) -> Any:
    """Best-fit decreasing: the row that each text goes to, int64 (N,), rows numbered from 0.

    Args:
      lengths: int64 (N,), each at most ``capacity``.
      capacity: of a row.
    """
    rows = np.empty(len(lengths), np.int64)
    open_rows: list[list[int]] = [[] for _ in range(capacity + 1)]  # by the room they have left
    used = 0
    for text in np.argsort(-lengths, kind="stable"):
        length = lengths[text]
        room = next((room for room in range(length, capacity + 1) if open_rows[room]), None)
        if room is None:
            row, room, used = used, capacity, used + 1
        else:
            row = open_rows[room].pop()
        open_rows[room - length].append(row)
        rows[text] = row
    return rows
