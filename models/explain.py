"""Which words decided an answer: each is hidden in turn, and the answer is computed again. Forward passes only.

Hiding is "occlusion" (Zeiler & Fergus 2014, section 4.1; for text Li et al. 2016, "representation erasure"). A word's
pieces become [MASK], so no other word moves. In the graph of the signature ``explain``: every operation is one that a
stock TensorFlow Serving links.

Axes: B records, U units of a record (words, or runs of words), C columns of text, R rows: a record without one unit.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from models.task import Task

Tensors = Mapping[str, Any]
UNITS = 64  # of an answer: its rows have one width, as batching wants it
_ROWS = 256  # that go through the model at a time: they bound the memory


class Words(NamedTuple):
    """The words of a column of text; ragged tensors (B, None), a value a piece.

    Attributes:
      text: string (B,), as it was given.
      pieces: string, as they are written in ``text``; with a space before the first one of a word.
      word: int64, the number of the word that a piece belongs to.
      first: int64, a piece's first character in ``text``; -1 where the text was rewritten before it was split.
      end: int64, the one behind its last.
      count: int64 (B,), all words.
      read: int64 (B,), those that the model reads.
    """

    text: Any
    pieces: Any
    word: Any
    first: Any
    end: Any
    count: Any
    read: Any


def of_words(
    model: Any,
    the_task: Task,
    features_of: Callable[[Tensors], dict[str, Any]],
    tokenizer: Any,
    names: Sequence[str],
) -> Callable[[Tensors], dict[str, Any]]:
    """A text, or a pair, to what ``the_task`` answers, and the effect of each word on it.

    Beside ``answer``'s: ``word`` string, ``start`` and ``end`` int64 in Unicode characters, ``effect`` float32, and for
    a pair ``column`` int64; each (B, ``UNITS``), "" and 0 behind the last one. ``effect`` is what the number of the
    answer falls by without the word. For a task with labels ``label`` string (B,) is the one whose number that is.

    Args:
      model: what ``the_task.build`` made.
      the_task: one that ``explains``.
      features_of: raw record to features.
      tokenizer: ``models.text.tokenization.Tokenizer``, that made the ids.
      names: of the columns of text.
    """

    def answer(record: Tensors) -> dict[str, Any]:
        features = features_of(record)
        outputs = model(the_task.inputs(features), training=False)
        numbers = the_task.explained(outputs)
        chosen = tf.argmax(numbers, axis=1)
        number = tf.gather(numbers, chosen, batch_dims=1)
        spans, places = units_of(record, features, tokenizer, names)
        hides = spans.pop("read")
        mask_id = tf.constant(tokenizer.mask_id, tf.int64)

        def hidden(of: Any, unit: Any) -> Any:
            rows = {name: tf.gather(value, of) for name, value in features.items() if value.dtype != tf.string}
            for name, place in places.items():
                own = tf.gather(place, of)
                is_hidden = own.values == tf.gather(unit, own.value_rowids())
                rows[name] = own.with_values(tf.where(is_hidden, mask_id, rows[name].values))
            found = the_task.explained(model(the_task.inputs(rows), training=False))
            return tf.gather(found, tf.gather(chosen, of), batch_dims=1)

        effect = effects(number, hides, hidden)
        labels = {"label": tf.gather(list(the_task.logit_names), chosen)} if the_task.logit_names else {}
        kept = {name: wide(value) for name, value in {**spans, "effect": effect}.items()}
        return {**the_task.answer(outputs, features, record), **labels, **kept}

    return answer


def units_of(
    record: Tensors, features: Tensors, tokenizer: Any, names: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The words of records as at most ``UNITS`` units.

    Args:
      record: string (B,) by column.
      features: of ``featurize``.
      tokenizer: that made the ids.
      names: of the columns.

    Returns:
      ``word``, ``start``, ``end``, for a pair ``column``, and ``read``, whether the model reads it, ragged (B, U); by
      feature the unit at every place, ragged int64 (B, None), -1 for special pieces.
    """
    columns = _columns(features, tokenizer, len(names))
    words = [_words(tokenizer, record[name], column.pieces) for name, column in zip(names, columns, strict=True)]
    units, spans = _units(words)
    return spans, _unit_of_place(features, columns, units)


def effects(number: Any, hides: Any, without: Callable[[Any, Any], Any]) -> Any:
    """What each unit adds to a record's number: ragged float32 (B, U).

    Args:
      number: float32 (B,), of the whole record.
      hides: ragged bool (B, U), whether the model reads the unit; the effect of others is 0.
      without: records int64 (R,) and units int64 (R,) to the number of each record without that unit, float32 (R,).
    """
    cells = tf.where(hides)  # of a ragged tensor too: int64 (R, 2)
    count = tf.shape(cells)[0]

    def some(start: Any, found: Any) -> tuple[Any, Any]:
        of, unit = tf.unstack(cells[start : start + _ROWS], axis=1)
        return start + _ROWS, tf.concat([found, tf.gather(number, of) - without(of, unit)], axis=0)

    _, found = tf.while_loop(
        lambda start, _: start < count,
        some,
        (tf.constant(0), tf.zeros([0])),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
        parallel_iterations=1,
    )
    places = tf.where(hides.values)
    return hides.with_values(tf.scatter_nd(places, found, tf.shape(hides.values, tf.int64)))


def wide(values: Any) -> Any:
    """Ragged (B, U) to (B, ``UNITS``): a row has the same shape in every batch."""
    return values.to_tensor(shape=[None, UNITS])


def run_length(read: Any, room: Any) -> Any:
    """How many neighbours make one unit, int64 (B,): 1 where all of ``read`` int64 (B,) fit into ``room``."""
    return tf.maximum(-(-read // room), 1)


class _Column(NamedTuple):
    """Where a column of text stands in the features.

    Attributes:
      feature: name of the one that holds its pieces.
      body: ragged bool, which of the feature's places are pieces of the column.
      pieces: ragged int64 (B, None), their ids.
    """

    feature: str
    body: Any
    pieces: Any


def _columns(features: Tensors, tokenizer: Any, count: int) -> list[_Column]:
    def column(feature: str, segment: int | None) -> _Column:
        ids = features[feature]
        body = (ids.values != tokenizer.cls_id) & (ids.values != tokenizer.sep_id)
        if segment is not None:
            body &= features["segment_ids"].values == segment
        body = ids.with_values(body)
        return _Column(feature, body, tf.ragged.boolean_mask(ids, body))

    if "pair_token_ids" in features:  # each text goes through the encoder by itself
        return [column("token_ids", None), column("pair_token_ids", None)]
    return [column("token_ids", segment) for segment in range(count)]


def _words(tokenizer: Any, text: Any, read: Any) -> Words:
    """The words of ``text`` string (B,), of which the model reads the pieces ``read`` ragged int64 (B, None)."""
    ids, first, end = tokenizer.tokenize_with_offsets(text)
    # Where ``text.replace`` or a reserved piece has changed the text, the pieces that are read stand nowhere in it.
    width = read.bounding_shape(axis=1)
    wanted, found = read.to_tensor(-1), ids.to_tensor(-1, shape=[None, None])[:, :width]
    found = tf.pad(found, [[0, 0], [0, width - tf.shape(found, width.dtype)[1]]], constant_values=-1)
    exact = tf.reduce_all((wanted == found) | (wanted == -1), axis=1)
    nowhere = read.with_values(tf.fill(tf.shape(read.values), tf.constant(-1, tf.int64)))
    choose = functools.partial(_either, exact)
    ids, first, end = choose(ids, read), choose(first, nowhere), choose(end, nowhere)
    is_continued = tf.constant([piece.startswith("##") for piece in tokenizer.vocabulary])
    begins = tf.logical_not(tf.gather(is_continued, ids.values))
    word = ids.with_values(_running(ids, begins))
    written = [piece[2:] if piece.startswith("##") else f" {piece}" for piece in tokenizer.vocabulary]
    pieces = ids.with_values(tf.gather(tf.constant(written), ids.values))
    return Words(text, pieces, word, first, end, _last(word, ids.row_lengths()), _last(word, read.row_lengths()))


def _either(first: Any, one: Any, other: Any) -> Any:
    """Rows of ``one`` ragged where ``first`` bool (B,), else those of ``other``."""

    def rows(values: Any, kept: Any) -> Any:
        return tf.ragged.boolean_mask(values, values.with_values(tf.gather(kept, values.value_rowids())))

    return tf.concat([rows(one, first), rows(other, tf.logical_not(first))], axis=1)


def _running(rows: Any, begins: Any) -> Any:
    """How often ``begins`` bool (N,) was true in its row so far, less 1: int64 (N,); rows are those of ``rows``."""
    so_far = tf.cumsum(tf.cast(begins, tf.int64))
    before = tf.gather(tf.concat([[0], so_far], axis=0), rows.row_starts())
    return so_far - tf.gather(before, rows.value_rowids()) - 1


def _last(word: Any, length: Any) -> Any:
    """One more than the number of the word that the piece ``length`` int64 (B,) ends; 0 for no piece."""
    padded = tf.concat([[0], word.values + 1], axis=0)
    return tf.where(length > 0, tf.gather(padded, word.row_starts() + length), 0)


def _units(words: Sequence[Words]) -> tuple[list[Any], dict[str, Any]]:
    """Words as units of an answer: as they are, or in runs; what lies behind ``max_length`` is one more.

    Returns:
      ragged int64 (B, None), the unit of every piece of each column; what ``units_of`` says of the units.
    """
    read = functools.reduce(lambda a, b: a + b, [each.read for each in words])
    room = UNITS - functools.reduce(lambda a, b: a + b, [tf.cast(each.count > each.read, tf.int64) for each in words])
    # A run does not reach from one column into the next, which may cost one unit more.
    length = run_length(read, tf.where(read <= room, room, room - (len(words) - 1)))
    made, before = [], tf.zeros_like(read)
    parts: dict[str, list[Any]] = {name: [] for name in ("word", "start", "end", "column", "read")}
    for number, each in enumerate(words):
        runs = -(-each.read // length)
        rows = each.word.value_rowids()
        unit = tf.where(
            each.word.values < tf.gather(each.read, rows),
            each.word.values // tf.gather(length, rows),
            tf.gather(runs, rows),
        )
        units = runs + tf.cast(each.count > each.read, tf.int64)
        for name, value in _spans(each, unit, units).items():
            parts[name].append(value)
        there = tf.ragged.range(units)
        parts["column"].append(tf.zeros_like(there) + number)
        parts["read"].append(there.with_values(there.values < tf.gather(runs, there.value_rowids())))
        made.append(each.word.with_values(unit + tf.gather(before, rows)))
        before += units
    joined = {name: tf.concat(values, axis=1) for name, values in parts.items()}
    if len(words) == 1:
        del joined["column"]
    return made, joined


def _spans(words: Words, unit: Any, count: Any) -> dict[str, Any]:
    """``word``, ``start`` and ``end`` of each unit: ragged (B, None).

    Args:
      words: of a column.
      unit: int64, of each of its pieces, from 0 in each row.
      count: int64 (B,), units.
    """
    rows = tf.RaggedTensor.from_row_lengths(tf.zeros([tf.reduce_sum(count)], tf.int64), count)
    flat = unit + tf.gather(rows.row_starts(), words.word.value_rowids())
    start, end = tf.math.segment_min(words.first.values, flat), tf.math.segment_max(words.end.values, flat)
    cut = tf.strings.substr(
        tf.gather(words.text, rows.value_rowids()), tf.maximum(start, 0), tf.maximum(end - start, 0), unit="UTF8_CHAR"
    )
    by_unit = tf.RaggedTensor.from_value_rowids(words.pieces.values, flat, nrows=tf.reduce_sum(count))
    joined = tf.strings.strip(tf.strings.reduce_join(by_unit, axis=1))
    named = {"word": tf.where(start < 0, joined, cut), "start": start, "end": end}
    return {name: rows.with_values(value) for name, value in named.items()}


def _unit_of_place(features: Tensors, columns: Sequence[_Column], units: Sequence[Any]) -> dict[str, Any]:
    """By feature, the unit at every place of it: ragged int64 (B, None), -1 for special pieces."""
    found: dict[str, Any] = {}
    for column, unit in zip(columns, units, strict=True):
        ids = features[column.feature]
        place = _running(ids, column.body.values) + tf.gather(unit.row_starts(), ids.value_rowids())
        padded = tf.concat([unit.values, [-1]], axis=0)
        own = tf.gather(padded, tf.where(column.body.values, place, tf.size(unit.values, tf.int64)))
        before = (
            found[column.feature].values
            if column.feature in found
            else tf.fill(tf.shape(own), tf.constant(-1, tf.int64))
        )
        found[column.feature] = ids.with_values(tf.where(column.body.values, own, before))
    return found
