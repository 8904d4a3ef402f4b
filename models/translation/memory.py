"""The translation memory inside a model: the known pair whose source is most like a text, found in the graph.

The target of that pair is appended to the source, behind its [SEP], so that the network can copy from it (neural fuzzy
repair: Bulté & Tezcan 2019). A source that is known piece by piece is answered with its known translation.

How much two sources are alike is the cosine of their TF-IDF over single pieces and pairs of neighbours. Placeholders
are pieces, so they are alike whatever stands behind them.

Axes: B texts, E known pairs, F features, P postings.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any
# What more sources have says little about one; it bounds the work of a search.
_COMMON = 1000
# Bulté & Tezcan 2019 use what is alike by half.
_LEAST = 0.5
_MOST_PAIRS = 200_000  # a search keeps B·E numbers
_LONGEST = 4096  # pieces of a source that have a factor of their own in its hash
_FACTORS = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, _LONGEST) | 1


@dataclasses.dataclass(frozen=True)
class Found:
    """What a memory has for each text.

    Attributes:
      suggestion: int64 (B, None), pieces of the nearest pair's target and its end; empty where none is near.
      same: int64 (B, None), likewise of the pair whose source is the text itself.
      known: bool (B,), whether there is one.
    """

    suggestion: tf.RaggedTensor
    same: tf.RaggedTensor
    known: Tensor


class Memory(tf.Module):
    """Known pairs, as variables that are never trained.

    Args:
      pairs: pieces of sources, int64, [SEP] included, and of their targets, likewise; one pair at least. Of equal
        sources the first one counts.
      vocabulary_size: of the pieces.

    Raises:
      ValueError: there are more pairs than fit in a search.
    """

    def __init__(self, pairs: Sequence[tuple[np.ndarray, np.ndarray]], vocabulary_size: int) -> None:
        super().__init__(name="memory")
        if len(pairs) > _MOST_PAIRS:
            raise ValueError(
                f"memory: true searches all train pairs for each text, at most {_MOST_PAIRS:,}. "
                f"Received: {len(pairs):,} pairs; remove memory"
            )
        self.size = vocabulary_size
        first = {source.tobytes(): (source, target) for source, target in reversed(pairs)}
        sources, targets = zip(*first.values(), strict=True)
        hashes = np.array([_hash(source) for source in sources], np.int64)
        order = np.argsort(hashes, kind="stable")
        self.pairs = len(order)
        in_order = [[side[place] for place in order] for side in (sources, targets)]
        keys, idf, splits, entries, weights = _postings(in_order[0], vocabulary_size)
        self.hashes, self.keys = _variable(hashes[order], np.int64), _variable(keys, np.int64)
        self.idf, self.splits = _variable(idf, np.float32), _variable(splits, np.int32)
        self.entries, self.weights = _variable(entries, np.int32), _variable(weights, np.float32)
        self.sources, self.targets = map(_Rows, in_order)

    def find(self, ids: tf.RaggedTensor, *, others: bool) -> Found:
        """What is known of texts.

        Args:
          ids: int64 (B, None), their pieces and [SEP].
          others: whether the text itself is no suggestion: a pair must not learn from itself.
        """
        place, known = self._same(ids)
        nearest = self._nearest(ids, tf.where(known, place, -1) if others else None)
        return Found(self.targets.at(nearest), self.targets.at(tf.where(known, place, -1)), known)

    def _same(self, ids: tf.RaggedTensor) -> tuple[Tensor, Tensor]:
        """Places int32 (B,), and whether the source there is the text."""
        position = tf.minimum(tf.ragged.range(ids.row_lengths()).flat_values, _LONGEST - 1)
        terms = (ids.flat_values + 1) * tf.gather(_FACTORS, position)
        hashes = tf.math.unsorted_segment_sum(terms, ids.value_rowids(), ids.nrows())
        place = tf.minimum(tf.searchsorted(self.hashes, hashes), self.pairs - 1)
        there = self.sources.at(place)
        equal = tf.reduce_all(tf.equal(*_alike(there, ids)), axis=1)
        return place, equal & (there.row_lengths() == ids.row_lengths())

    def _nearest(self, ids: tf.RaggedTensor, left_out: Tensor | None) -> Tensor:
        """Places int32 (B,) of the most similar sources; -1 where none is similar enough."""
        row, weight, place, known = self._features(ids)
        rows = tf.cast(ids.nrows(), tf.int32)
        norm = tf.sqrt(tf.math.unsorted_segment_sum(weight**2, row, rows))
        start = tf.gather(self.splits, place)
        postings = tf.ragged.range(start, start + tf.where(known, tf.gather(self.splits, place + 1) - start, 0))
        of, at = tf.cast(postings.value_rowids(), tf.int32), postings.flat_values
        products = tf.gather(weight, of) * tf.gather(self.weights, at)
        cell = tf.gather(row, of) * self.pairs + tf.gather(self.entries, at)
        cosines = tf.reshape(tf.math.unsorted_segment_sum(products, cell, rows * self.pairs), [rows, self.pairs])
        cosines = tf.math.divide_no_nan(cosines, norm[:, None])
        if left_out is not None:
            cosines = tf.where(tf.range(self.pairs) == left_out[:, None], 0.0, cosines)
        best = tf.argmax(cosines, axis=1, output_type=tf.int32)
        near = tf.reduce_max(cosines, axis=1) >= _LEAST
        return tf.where(near, best, -1)

    def _features(self, ids: tf.RaggedTensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the distinct features of all texts: row, weight, place among those known, and whether it is one."""
        pieces, row = ids.flat_values, ids.value_rowids()
        both = row[:-1] == row[1:]
        pairs = tf.boolean_mask(_pair(pieces[:-1], pieces[1:], self.size), both)
        span = _pair(self.size, 0, self.size)  # more than any feature
        singles = row * span + pieces
        found, _, count = tf.unique_with_counts(tf.concat([singles, tf.boolean_mask(row[:-1], both) * span + pairs], 0))
        key = found % span
        place = tf.minimum(tf.searchsorted(self.keys, key), self.keys.shape[0] - 1)
        known = tf.gather(self.keys, place) == key
        idf = tf.where(known, tf.gather(self.idf, place), float(_idf(self.pairs, 0)))
        return tf.cast(found // span, tf.int32), tf.cast(count, tf.float32) * idf, place, known


class _Rows(tf.Module):
    """Rows of ids, and an empty one at -1."""

    def __init__(self, rows: Sequence[np.ndarray]) -> None:
        super().__init__()
        self.values = _variable(np.concatenate([*rows, np.zeros(0)]), np.int64)
        self.splits = _variable(np.cumsum([0, 0, *map(len, rows)]), np.int64)

    def at(self, places: Tensor) -> tf.RaggedTensor:
        """Those at int32 (B,): int64 (B, None)."""
        start, end = (tf.gather(self.splits, places + 1 + more) for more in (0, 1))
        return tf.gather(self.values, tf.ragged.range(start, end))


def _variable(values: Any, dtype: Any) -> tf.Variable:
    return tf.Variable(np.asarray(values, dtype), trainable=False)


def _pair(first: Any, second: Any, size: int) -> Any:
    """The feature of two neighbours; one of a single piece is the piece itself."""
    return size + first * size + second


def _idf(pairs: int, having: Any) -> Any:
    """Smooth, as scikit-learn's ``TfidfTransformer`` has it."""
    return np.log((1 + pairs) / (1 + having)) + 1


def _hash(ids: np.ndarray) -> int:
    """The sum of the ids, each times its place's factor, modulo 2^64."""
    factors = _FACTORS[np.minimum(np.arange(len(ids)), _LONGEST - 1)]
    return int(((ids.astype(np.int64) + 1) * factors).sum())


def _postings(sources: Sequence[np.ndarray], size: int) -> tuple[np.ndarray, ...]:
    """Sorted features (F,), their idf (F,), splits (F + 1,) of the postings: sources (P,) and weights (P,)."""
    having = [np.unique(np.concatenate([s, _pair(s[:-1], s[1:], size)]), return_counts=True) for s in sources]
    feature = np.concatenate([np.zeros(0, np.int64), *(each for each, _ in having)])
    count = np.concatenate([np.zeros(0), *(each for _, each in having)])
    entry = np.repeat(np.arange(len(sources)), [len(each) for each, _ in having])
    keys, place, number = np.unique(feature, return_inverse=True, return_counts=True)
    idf = np.where(number > _COMMON, 0.0, _idf(len(sources), number))
    weight = count * idf[place]
    norm = np.sqrt(np.bincount(entry, weight**2, minlength=len(sources)))
    order = np.lexsort((entry, place))
    order = order[weight[order] > 0]
    splits = np.concatenate([[0], np.cumsum(np.bincount(place[order], minlength=len(keys)))])
    return keys, idf, splits, entry[order], weight[order] / norm[entry[order]]


def _alike(first: tf.RaggedTensor, second: tf.RaggedTensor) -> tuple[Tensor, Tensor]:
    """Both (B, longest of both), -1 behind the ends."""
    grids = [each.to_tensor(-1) for each in (first, second)]
    longest = tf.maximum(*(tf.shape(each)[1] for each in grids))
    one, other = (tf.pad(each, [[0, 0], [0, longest - tf.shape(each)[1]]], constant_values=-1) for each in grids)
    return one, other
