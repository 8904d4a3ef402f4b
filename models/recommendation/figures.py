"""What is noted of every record that a recommender is judged by, and the figures that follow."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from models import figures
from models.recommendation import ranking
from models.vocabularies.items import FIRST

SHOWN = 10  # of an answer, what coverage and popularity look at
CUTS = (1, 5, 10, 20)
NAMES = ("rank", "best_rank", "popularity_rank", "catalogue", *(f"item_{place}" for place in range(SHOWN)))


def noted(ranks: Sequence[int], catalogue: int, shown: np.ndarray) -> list[float]:
    """A row of ``NAMES``.

    Args:
      ranks: the target's, with ties against it and with ties for it, and its rank by popularity; 0 for no item.
      catalogue: items that can be answered, I.
      shown: ids int (K,), the best first; 0 behind the last one.
    """
    return [*map(float, ranks), float(catalogue), *map(float, np.pad(shown[:SHOWN], (0, max(SHOWN - len(shown), 0))))]


def row_of(answer: Mapping[str, np.ndarray], target: bytes) -> list[float]:
    """The row of a baseline's answer.

    Args:
      answer: ``all_scores`` float64 (V,), ``popularity`` (V,), ``eligible`` bool (V,) and ``names`` bytes (V,).
      target: the name of the right item.
    """
    eligible, places = answer["eligible"], np.flatnonzero(answer["names"] == target)
    right = int(places[0]) if len(places) else None
    ranks = ranking.ranks_of(answer["all_scores"], eligible, right)
    by_popularity, _ = ranking.ranks_of(answer["popularity"], eligible, right)
    shown = ranking.best_of(answer["all_scores"], eligible, SHOWN)
    return noted([*ranks, by_popularity], len(eligible) - FIRST, shown)


def ndcg(ranks: np.ndarray, cut: int) -> float:
    """Mean discounted gain of one right item a record (Järvelin & Kekäläinen 2002); NaN without records."""
    gains = np.where((ranks > 0) & (ranks <= cut), 1 / np.log2(np.maximum(ranks, 1) + 1), 0)
    return float(gains.mean()) if len(gains) else math.nan


def of(rows: np.ndarray) -> figures.Figures:
    """The figures of records.

    ``hit_k``: share of the targets among the first k; ``ndcg_k``; ``mrr``: mean of 1 / rank; ``coverage_10``: share of
    the catalogue that is among the first ten of any record; ``popularity_10``: mean place of these, 1 for the most
    frequent item, 0 for the least; ``tied``: share of the targets whose rank ties decide; ``new``: share of the targets
    that are no item of the catalogue. A new target counts as missed.

    Args:
      rows: float64 (N, 14), of ``NAMES``.
    """
    rank, best, by_popularity, catalogue = rows[:, :4].T
    values = {"ndcg_10": ndcg(rank, 10), **{f"hit_{cut}": _mean((rank > 0) & (rank <= cut)) for cut in CUTS}}
    values |= {f"ndcg_{cut}": ndcg(rank, cut) for cut in CUTS if cut not in (1, 10)}
    values["mrr"] = _mean(np.divide(1, rank, out=np.zeros_like(rank), where=rank > 0))
    shown = rows[:, 4:]
    real = shown >= FIRST
    size = catalogue.max(initial=1)
    values["coverage_10"] = len(np.unique(shown[real])) / size if len(rows) else math.nan
    values["popularity_10"] = _mean(1 - (shown[real] - FIRST) / max(size - 1, 1))
    values["tied"], values["new"] = _mean(rank != best), _mean(rank == 0)
    return figures.Figures(values, trivial=ndcg(by_popularity, 10) if len(rows) else None)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
