"""Intervals of figures by the paired bootstrap (Efron & Tibshirani 1993, chapter 13)."""

from collections.abc import Callable, Sequence

import numpy as np

RESAMPLES = 1000
# Of 95 %.
_LOW, _HIGH = 2.5, 97.5


def resampled(figure: Callable[[np.ndarray], float], tables: Sequence[np.ndarray], seed: int = 0) -> np.ndarray:
    """The figure of each table over ``RESAMPLES`` draws of records with replacement, float64 (T, RESAMPLES).

    A draw takes the same records of every table, so differences of two figures are paired.

    Args:
      figure: of rows.
      tables: rows of the same records in the same order, float64 (N, K) each; N at least 1.
      seed: of the draws.
    """
    draws, count = np.random.default_rng(seed), len(tables[0])
    drawn = (draws.integers(count, size=count) for _ in range(RESAMPLES))
    return np.array([[figure(table[rows]) for table in tables] for rows in drawn]).T


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """What holds the middle 95 % of ``values``; None where half of them or more are NaN."""
    known = values[~np.isnan(values)]
    if 2 * len(known) <= len(values):
        return None
    low, high = np.percentile(known, (_LOW, _HIGH))
    return float(low), float(high)
