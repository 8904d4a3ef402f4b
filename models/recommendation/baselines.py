"""Recommenders of every run that need no network: learned from the train split, ranked as the model is."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from models.recommendation import counts, ranking
from models.task import Record
from models.vocabularies.items import FIRST

NAMES = ("popularity", "item_knn", "markov", "decay")
# Past so many items only these are compared with: pairs of items that are near each other are too many then.
MOST, _LIGHT = 50_000, ("popularity", "markov")
_LAST = 20  # items of a history that item_knn reads: all of them do worse


def affordable(names: Sequence[str], train: Sequence[Record]) -> list[str]:
    """Those of ``names`` that the items of the train split are not too many for."""
    items = set[bytes]()
    for record in train:
        items.update(record["history"].tolist(), record["target"].tolist())
    return [name for name in names if name in _LIGHT or len(items) <= MOST]


def answers(
    name: str, train: Sequence[Record], test: Sequence[Record], *, exclude_seen: bool
) -> Iterator[dict[str, np.ndarray]]:
    """For each test record what ``figures.row_of`` reads: the scores of all items that the train split has.

    ``popularity``: how often an item occurs. ``item_knn``: cosines to the last 20 items, of the histories that they are
    in (Sarwar et al. 2001). ``markov``: how often it followed the last item. ``decay``: how often it came behind one of
    the last 20 items, weighed by distance and age. Of equal scores the more frequent item is the better one.

    Args:
      name: of ``NAMES``.
      train: ``history`` and ``target``, names of items.
      test: ``history``.
      exclude_seen: whether what is in a history is not eligible.
    """
    sequences = [np.concatenate([record["history"], record["target"]]) for record in train]
    names, places, frequencies = np.unique(np.concatenate(sequences), return_inverse=True, return_counts=True)
    order = np.lexsort((np.arange(len(names)), -frequencies))  # as the vocabulary has them
    ids = np.empty(len(names), np.int64)
    ids[order] = FIRST + np.arange(len(names))
    known = dict(zip(names, ids, strict=True))
    learned = np.split(ids[places], np.cumsum([len(each) for each in sequences])[:-1])
    popularity = np.concatenate([np.zeros(FIRST), frequencies[order]])
    all_names = np.concatenate([np.full(FIRST, b"", object), names[order]])
    histories = [np.array([known[each] for each in record["history"] if each in known], np.int64) for record in test]
    for history, scores in zip(histories, _scores(name, learned, histories, popularity), strict=True):
        eligible = ranking.eligible_of(history, len(popularity), exclude_seen=exclude_seen)
        # A history without a known item is answered by popularity, as a served one is.
        scored = scores if len(history) else popularity
        yield {"all_scores": scored, "popularity": popularity, "eligible": eligible, "names": all_names}


def _scores(
    name: str, learned: Sequence[np.ndarray], histories: Sequence[np.ndarray], popularity: np.ndarray
) -> Iterator[np.ndarray]:
    size, ties = len(popularity), counts.ties(popularity)
    match name:
        case "popularity":
            yield from (popularity for _ in histories)
        case "item_knn":
            yield from counts.scored(histories, counts.cosines(learned, size), ties, window=_LAST)
        case "markov":
            yield from counts.scored(histories, counts.followers(learned, size, reach=1), ties)
        case "decay":
            yield from decayed(counts.Decay(), learned, histories, size, ties)


def decayed(
    decay: counts.Decay, learned: Sequence[np.ndarray], histories: Sequence[np.ndarray], size: int, ties: np.ndarray
) -> Iterator[np.ndarray]:
    """The scores of decayed counts, float64 (V,) each; arguments as of ``counts.scored``."""
    matrix: Any = counts.shares(counts.followers(learned, size, decay.reach))
    return counts.scored(histories, matrix, ties, decay.window, decay.fade)
