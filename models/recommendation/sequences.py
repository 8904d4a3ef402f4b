"""Rows that a network is trained on and asked with, made of sequences of ids.

Positions count from the end of a row: the last item has position 0 in training and when served, whatever the length.

Axes: B rows, S items, M places whose item is predicted.
"""

from typing import Any

Tensor = Any
Batch = dict[str, Tensor]


def asked(item_ids: Tensor, mask_id: int, max_length: int, *, hidden: bool) -> Batch:
    """What a network takes of whole histories: their last items.

    Args:
      item_ids: ragged int64 (B, None), the oldest first.
      mask_id: stands behind a history, or for one that is empty.
      max_length: S at most.
      hidden: whether [MASK] stands behind every history, as the objective ``cloze`` is asked.
    """
    import tensorflow as tf

    read = item_ids[:, -(max_length - hidden) :]
    marked = tf.ones_like(read.row_lengths()) if hidden else tf.cast(read.row_lengths() == 0, tf.int64)
    marks = tf.RaggedTensor.from_row_lengths(tf.fill([tf.reduce_sum(marked)], tf.constant(mask_id, tf.int64)), marked)
    return row(tf.concat([read, marks], axis=1))


def row(token_ids: Tensor) -> Batch:
    """``token_ids``, ``segment_ids``, ``position_ids`` int32 and ``padding_mask`` bool, each (B, S).

    Args:
      token_ids: ragged int64 (B, None), without empty rows.
    """
    import tensorflow as tf

    lengths = tf.cast(token_ids.row_lengths(), tf.int32)
    padded = tf.cast(token_ids.to_tensor(), tf.int32)
    place = tf.range(tf.shape(padded)[1])
    return {
        "token_ids": padded,
        "segment_ids": tf.zeros_like(padded),
        "position_ids": tf.maximum(lengths[:, None] - 1 - place, 0),
        "padding_mask": place < lengths[:, None],
    }


def windows(length: Tensor, max_length: int, passes: int | None) -> Tensor:
    """Rows that a sequence gives in an epoch, int64 scalar: ``passes``, or as many as cover it."""
    return (length + max_length - 2) // max_length if passes is None else passes


def window(sequences: Tensor, number: Tensor, longest: int, shift: Tensor) -> Tensor:
    """One window of each sequence, ragged int64 (B, None). Two in a row share one item: each predicts the next.

    Args:
      sequences: ragged int64 (B, None).
      number: int64 (B,), from 0: the windows behind the one that is wanted. Window 0 ends with the sequence.
      longest: items of a window.
      shift: float32 scalar, 0 to 1: how far the other windows are moved to the end, in windows.
    """
    import tensorflow as tf

    lengths = sequences.row_lengths()
    moved = tf.cast(shift * (longest - 1), tf.int64)
    return _parts(sequences, tf.where(number > 0, lengths - number * (longest - 1) + moved, lengths), longest)


def crop(sequences: Tensor, longest: int, seed: Tensor) -> Tensor:
    """Up to ``longest`` items in a row of each sequence, at a random place: ragged int64 (B, None).

    Args:
      sequences: ragged int64 (B, None).
      longest: items of a crop.
      seed: int (2,).
    """
    import tensorflow as tf

    lengths = sequences.row_lengths()
    least = tf.minimum(lengths, longest)
    more = tf.random.stateless_uniform(tf.shape(lengths), seed) * tf.cast(lengths - least + 1, tf.float32)
    return _parts(sequences, least + tf.cast(more, tf.int64), longest)


def _parts(sequences: Tensor, ends: Tensor, longest: int) -> Tensor:
    import tensorflow as tf

    ends = tf.minimum(ends, sequences.row_lengths())
    first = sequences.row_starts()
    places = tf.ragged.range(first + tf.maximum(ends - longest, 0), first + ends)
    return places.with_values(tf.gather(sequences.values, places.values))


def causal(crops: Tensor) -> Batch:
    """Every item predicts the next: ``row`` of all but the last, ``masked_indices`` and ``masked_ids`` int32 (M,)."""
    import tensorflow as tf

    made = row(crops[:, :-1])
    places = tf.where(tf.reshape(made["padding_mask"], [-1]))[:, 0]
    return made | {"masked_indices": tf.cast(places, tf.int32), "masked_ids": tf.cast(crops[:, 1:].values, tf.int32)}


def cloze(crops: Tensor, mask_id: int, share: float, last: float, seed: Tensor) -> Batch:
    """Hidden items: ``row``, ``masked_indices`` and ``masked_ids`` int32 (M,), what stands in their places.

    Args:
      crops: ragged int64 (B, None), without empty rows.
      mask_id: is written over every hidden item.
      share: of a row's items; at least one is hidden.
      last: share of the rows that hide their last item only.
      seed: int (2,).
    """
    import tensorflow as tf

    made = row(crops)
    real = made["padding_mask"]
    lengths = tf.reduce_sum(tf.cast(real, tf.int32), axis=1)
    count = tf.maximum(tf.cast(tf.round(share * tf.cast(lengths, tf.float32)), tf.int32), 1)
    of_places, of_rows = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    draws = tf.where(real, tf.random.stateless_uniform(tf.shape(real), of_places), 2.0)
    place = tf.argsort(tf.argsort(draws, axis=1), axis=1)  # of each draw among those of its row
    alone = tf.random.stateless_uniform(tf.shape(lengths), of_rows) < last
    hidden = tf.where(alone[:, None], made["position_ids"] == 0, place < count[:, None]) & real
    indices = tf.where(tf.reshape(hidden, [-1]))[:, 0]
    return made | {
        "token_ids": tf.where(hidden, mask_id, made["token_ids"]),
        "masked_indices": tf.cast(indices, tf.int32),
        "masked_ids": tf.gather(tf.reshape(made["token_ids"], [-1]), indices),
    }


def last_places(padding_mask: Tensor) -> Tensor:
    """The place of each row's last item in the grid B·S, int32 (B,)."""
    import tensorflow as tf

    lengths = tf.reduce_sum(tf.cast(padding_mask, tf.int32), axis=1)
    return tf.range(tf.shape(padding_mask)[0]) * tf.shape(padding_mask)[1] + lengths - 1
