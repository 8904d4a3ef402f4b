"""Intervals of figures, against the normal distribution and by hand."""

import math

import numpy as np
import pytest

from components.evaluate import bootstrap


def mean(rows):
    return float(rows.mean())


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    right = np.repeat([1.0, 0.0], [867, 133])[:, None]
    (drawn,) = bootstrap.resampled(mean, [right])
    low, high = bootstrap.interval(drawn)
    error = 1.96 * math.sqrt(0.867 * 0.133 / 1000)
    assert (low, high) == pytest.approx((0.867 - error, 0.867 + error), abs=0.003)
    np.testing.assert_array_equal(drawn, bootstrap.resampled(mean, [right])[0])


def test_differences_are_paired():
    """Two models that err alike, up to a constant, differ by that constant in every draw."""
    rows = np.random.default_rng(3).random((200, 1))
    first, second = bootstrap.resampled(mean, [rows, rows - 0.25])
    assert bootstrap.interval(first - second) == pytest.approx((0.25, 0.25), abs=1e-12)
    assert np.ptp(first) > 0.01


def test_figures_that_are_mostly_undefined_have_no_interval():
    assert bootstrap.interval(np.array([math.nan] * 5 + [1.0] * 5)) is None
    assert bootstrap.interval(np.array([math.nan] + [1.0] * 5)) == (1.0, 1.0)
