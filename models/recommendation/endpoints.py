"""What a model of items answers beside ``serving_default``.

Axes: B requests, K items that are answered, D hidden, V ids.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from models.explain import UNITS, effects, run_length, wide
from models.recommendation import ranking
from models.vocabularies.items import FIRST, SEPARATOR

Record = Mapping[str, Any]
Answer = Callable[[Record], dict[str, Any]]
_HISTORY = "history"
_SHORTEST = 1e-12  # a length that can be divided by


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
    """The vector of an item, and the items whose vectors have the highest cosines to it.

    ``model`` is trained: the lengths of its vectors are constants of the graph.
    """
    items, count = the_task.items, the_task.config.top_k
    lengths = np.maximum(np.linalg.norm(model.network.table(), axis=1), _SHORTEST)

    def answer(record: Record) -> dict[str, Any]:
        ids, table = items.ids(record["item"]), model.network.table()
        # Of one item all cosines are divided by its own length: their order is the same without.
        cosines = tf.matmul(tf.gather(table, ids), table, transpose_b=True) / lengths
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


def explain(model: Any, the_task: Any, features_of: Callable[[Record], dict[str, Any]]) -> Answer:
    """``the_task.answer``, and what each item of the history adds to the probability of the first recommendation.

    An item is taken out of the history, and stays as eligible as it was. Items that the model does not read, since it
    does not know them or since they are too old, have no effect and are left out.

    Beside the answer: ``item`` and ``title`` string, ``start`` and ``end`` int64, the item's place in the history as it
    was given and the one behind it, ``effect`` float32; each (B, ``UNITS``), "" and 0 behind the last one. Items of
    longer histories stand in runs.
    """
    items = the_task.items

    def answer(record: Record) -> dict[str, Any]:
        features = features_of(record)
        eligible = the_task.eligible(features)
        outputs = model(the_task.inputs(features), training=False)
        numbers = tf.cast(ranking.shares(the_task.scores(outputs, features), eligible), tf.float32)
        chosen = tf.argmax(numbers, axis=1)
        unit, spans = _runs(features["item_ids"], record[_HISTORY], items, the_task.read)

        def without(of: Any, number: Any) -> Any:
            own, item_ids = tf.gather(unit, of), tf.gather(features["item_ids"], of)
            is_left = own.with_values(own.values != tf.gather(number, own.value_rowids()))
            rows = {"item_ids": tf.ragged.boolean_mask(item_ids, is_left)}
            scores = the_task.scores(model(the_task.inputs(rows), training=False), rows)
            shares = ranking.shares(scores, tf.gather(eligible, of))
            return tf.cast(tf.gather(shares, tf.gather(chosen, of), batch_dims=1), tf.float32)

        number = tf.gather(numbers, chosen, batch_dims=1)
        every = spans["start"].with_values(tf.ones_like(spans["start"].values, tf.bool))
        spans = {**spans, "effect": effects(number, every, without)}
        found = the_task.answer(outputs, features, record)
        return {**found, **{name: wide(value) for name, value in spans.items()}}

    return answer


def _runs(item_ids: Any, history: Any, items: Any, read: int) -> tuple[Any, dict[str, Any]]:
    """The unit of each of ``item_ids``, ragged int64 (B, None), -1 where it is not read; and the units' outputs."""
    known = history.with_values(items.ids(history.values) >= FIRST)
    names = tf.ragged.boolean_mask(history, known)
    places = tf.ragged.boolean_mask(tf.ragged.range(history.row_lengths()), known)
    lengths = item_ids.row_lengths()
    count = tf.minimum(lengths, read)
    size = run_length(count, UNITS)
    rows, place = item_ids.value_rowids(), tf.ragged.range(lengths).values
    since = place - tf.gather(lengths - count, rows)
    unit = item_ids.with_values(tf.where(since >= 0, since // tf.gather(size, rows), -1))
    units = -(-count // size)
    wide_rows = tf.RaggedTensor.from_row_lengths(tf.zeros([tf.reduce_sum(units)], tf.int64), units)
    is_read = unit.with_values(unit.values >= 0)
    flat = tf.ragged.boolean_mask(unit, is_read)
    flat = flat.values + tf.gather(wide_rows.row_starts(), flat.value_rowids())

    def joined(strings: Any) -> Any:
        kept = tf.ragged.boolean_mask(strings, is_read).values
        by_unit = tf.RaggedTensor.from_value_rowids(kept, flat, nrows=tf.reduce_sum(units))
        return wide_rows.with_values(tf.strings.reduce_join(by_unit, axis=1, separator=SEPARATOR))

    titles = item_ids.with_values(tf.gather(tf.constant(items.titles, tf.string), item_ids.values))
    where = tf.ragged.boolean_mask(places, is_read).values
    return unit, {
        "item": joined(names),
        "title": joined(titles),
        "start": wide_rows.with_values(tf.math.segment_min(where, flat)),
        "end": wide_rows.with_values(tf.math.segment_max(where, flat) + 1),
    }


def _among(items: Any, names: Any) -> Any:
    """Which ids are in a list of names: bool (B, V)."""
    ids = items.ids(names.values)
    shape = tf.stack([names.nrows(), tf.constant(items.size, tf.int64)])
    return tf.scatter_nd(tf.stack([names.value_rowids(), ids], axis=1), tf.ones_like(ids, tf.int32), shape) > 0
