"""How often an item followed another one: what baselines and the objective ``counts`` score with.

Everything is learned from sequences of ids, the oldest first, and sparse.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from models.recommendation import figures, ranking
from models.vocabularies.items import FIRST

Sequences = Sequence[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Decay:
    """Constants of the decayed counts.

    Attributes:
      reach: an item counts for the ones up to so many places behind it, by 1 over the distance.
      window: so many items of a history are read, the last ones.
      fade: what an item weighs less than the one behind it in the history.
    """

    reach: int = 10
    window: int = 20
    fade: float = 0.8


# Followers of an item that are kept: bounds what a served model holds.
MOST = 200
# What is added to scores for an item's share of all events: it decides between equal scores only.
_TIE = 1e-9
# What the objective ``counts`` chooses from, by the eval split.
CHOICES = [
    Decay(reach, window, fade) for reach, window, fade in itertools.product((3, 10, 20), (5, 20), (0.7, 0.8, 0.9))
]


def followers(sequences: Sequences, size: int, reach: int) -> Any:
    """Sparse float64 (V, V): how often j came behind i, each time by 1 over the distance, up to ``reach``."""
    from scipy import sparse

    flat = np.concatenate([*sequences, np.zeros(0, np.int64)])
    owner = np.repeat(np.arange(len(sequences)), [len(each) for each in sequences])
    total = sparse.csr_matrix((size, size))
    for distance in range(1, reach + 1):
        same = owner[distance:] == owner[:-distance]
        before, after = flat[:-distance][same], flat[distance:][same]
        weights = np.full(len(before), 1 / distance)
        total = total + sparse.coo_matrix((weights, (before, after)), (size, size)).tocsr()
    return total


def shares(counts: Any) -> Any:
    """The rows of a sparse matrix, each divided by its sum; of a row the ``MOST`` highest are kept."""
    from scipy import sparse

    sums = np.asarray(counts.sum(axis=1)).ravel()
    found = (sparse.diags(np.divide(1, sums, out=np.zeros_like(sums), where=sums > 0)) @ counts).tocsr()
    found.sort_indices()
    for start, end in itertools.pairwise(found.indptr):
        row = found.data[start:end]
        row[np.argsort(-row, kind="stable")[MOST:]] = 0
    found.eliminate_zeros()
    return found


def cosines(sequences: Sequences, size: int) -> Any:
    """Sparse float64 (V, V): cosines of the sets of sequences that two different items are in."""
    from scipy import sparse

    rows = np.repeat(np.arange(len(sequences)), [len(each) for each in sequences])
    flat = np.concatenate([*sequences, np.zeros(0, np.int64)])
    within = sparse.coo_matrix((np.ones(len(flat)), (rows, flat)), (len(sequences), size)).tocsr()
    within.data[:] = 1  # an item of a sequence counts once
    norms = np.sqrt(np.asarray(within.sum(axis=0)).ravel())
    scale = sparse.diags(np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0))
    alike = (scale @ (within.T @ within) @ scale).tocsr()
    return alike - sparse.diags(alike.diagonal())


def ties(counts: np.ndarray) -> np.ndarray:
    """What makes the more frequent of two items the better one where their scores are equal: float64 (V,)."""
    found: np.ndarray = _TIE * counts / max(counts.sum(), 1)
    return found


def scored(
    histories: Sequences, matrix: Any, ties: np.ndarray, window: int = 1, fade: float = 1.0
) -> Iterator[np.ndarray]:
    """Of each history the scores of all ids, float64 (V,).

    Args:
      histories: ids, the oldest first.
      matrix: sparse (V, V): what each item of a history says of every item.
      ties: of ``ties``.
      window: so many items are read, the last ones.
      fade: what an item weighs less than the one behind it.
    """
    for history in histories:
        last = history[::-1][:window]
        yield np.asarray(fade ** np.arange(len(last)) @ matrix[last]).ravel() + ties


def chosen(
    learned: Sequences, asked: Sequence[tuple[np.ndarray, int]], frequencies: np.ndarray, *, exclude_seen: bool
) -> tuple[Decay, Any]:
    """Which of ``CHOICES`` has the best ``ndcg_10`` on the eval split, and what ``shares`` gives for it.

    Args:
      learned: sequences of the train split.
      asked: histories of the eval split and their targets; those without an item are passed over.
      frequencies: of each id in the train split, int (V,).
      exclude_seen: whether what is in a history is not eligible.
    """
    size, of_ties = len(frequencies), ties(frequencies)
    real = [(history, target) for history, target in asked if len(history) and target >= FIRST]
    histories = [history for history, _ in real]
    matrices = {reach: shares(followers(learned, size, reach)) for reach in {each.reach for each in CHOICES}}

    def quality(decay: Decay) -> float:
        found = scored(histories, matrices[decay.reach], of_ties, decay.window, decay.fade)
        ranks = [
            ranking.ranks_of(scores, ranking.eligible_of(history, size, exclude_seen=exclude_seen), target)[0]
            for scores, (history, target) in zip(found, real, strict=True)
        ]
        return figures.ndcg(np.array(ranks), 10)

    best = max(CHOICES, key=quality) if real else Decay()
    return best, matrices[best.reach]
