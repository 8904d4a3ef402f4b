"""What a model of items answers beside ``serving_default``.

Axes: B requests, K items that are answered, D hidden, V ids.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from models.recommendation import ranking

Record = Mapping[str, Any]
Answer = Callable[[Record], dict[str, Any]]
_HISTORY = "history"


def recommend(model: Any, the_task: Any, features_of: Callable[[Record], dict[str, Any]]) -> Answer:
    """As ``serving_default``, without the items of ``exclude``; with ``candidates``, these alone.

    Args:
      model: what ``the_task.build`` made.
      the_task: ``models.tasks.next_item.Task``.
      features_of: raw record to features.
    """
    items = the_task.items

    def answer(record: Record) -> dict[str, Any]:
        features = features_of({_HISTORY: record[_HISTORY]})
        outputs = model(the_task.inputs(features), training=False)
        among = _among(items, record["candidates"]) | (record["candidates"].row_lengths() == 0)[:, None]
        eligible = the_task.eligible(features) & ~_among(items, record["exclude"]) & among
        found: dict[str, Any] = the_task.ranked(outputs, features, eligible)
        return found

    return answer


def item(model: Any, the_task: Any) -> Answer:
    """The vector of an item, and the items whose vectors have the highest cosines to it."""
    items, count = the_task.items, the_task.config.top_k

    def answer(record: Record) -> dict[str, Any]:
        ids, table = items.ids(record["item"]), model.network.table()
        unit = tf.math.l2_normalize(table, axis=1)
        cosines = tf.matmul(tf.gather(unit, ids), unit, transpose_b=True)
        known = ids != items.unk_id
        others = known[:, None] & the_task.catalogue & (ids[:, None] != tf.range(items.size, dtype=tf.int64))
        similar = ranking.best(cosines, others, count)[0]
        return {
            "vector": tf.where(known[:, None], tf.gather(table, ids), 0),
            "known": known,
            "similar": tf.gather(tf.constant(items.names, tf.string), similar),
        }

    return answer


def embed(model: Any, the_task: Any, features_of: Callable[[Record], dict[str, Any]]) -> Answer:
    """The vector of a history."""

    def answer(record: Record) -> dict[str, Any]:
        features = features_of(record)
        return {"vector": model(the_task.inputs(features), training=False)["vector"]}

    return answer


def _among(items: Any, names: Any) -> Any:
    """Which ids are in a list of names: bool (B, V)."""
    ids = items.ids(names.values)
    shape = tf.stack([names.nrows(), tf.constant(items.size, tf.int64)])
    return tf.scatter_nd(tf.stack([names.value_rowids(), ids], axis=1), tf.ones_like(ids, tf.int32), shape) > 0
