import numpy as np
import pytest

from models.analysis import geometry

GENERATOR = np.random.default_rng(7)
BALL = GENERATOR.normal(size=(4000, 20)).astype(np.float32)


def test_directions_of_a_ball_are_spread_and_those_of_a_cone_are_not():
    assert abs(geometry.anisotropy(BALL)) < 0.01
    cone = BALL + np.eye(20)[3] * 100
    assert geometry.anisotropy(cone) > 0.95
    assert abs(geometry.anisotropy(cone, centred=True)) < 0.01
    # Of few vectors, every pair.
    few = np.array([[1.0, 0], [1, 1], [0, 1]])
    pairs = {(0, 1): 0.5**0.5, (0, 2): 0, (1, 2): 0.5**0.5}
    assert geometry.anisotropy(few) == pytest.approx(np.mean(list(pairs.values())), abs=0.02)


def test_rank_counts_directions():
    assert geometry.rank(np.outer(np.arange(9.0), [1, 2, 3])) == pytest.approx(1)
    assert geometry.rank(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])) == pytest.approx(2)
    assert 19 < geometry.rank(BALL) < 20
    assert geometry.rank(np.ones((4, 3))) == 0


def test_outliers_are_dimensions_far_larger_than_the_median_one():
    assert geometry.outliers(BALL) == []
    assert geometry.outliers(BALL * np.where(np.arange(20) == 5, 9, 1)) == [5]


def test_cka():
    """Kornblith et al. 2019, section 2: rotations and factors change nothing; unrelated vectors are unlike."""
    rotation, _ = np.linalg.qr(GENERATOR.normal(size=(20, 20)))
    assert geometry.cka(BALL, BALL) == pytest.approx(1, abs=1e-6)
    assert geometry.cka(BALL, 3 * BALL @ rotation + 5) == pytest.approx(1, abs=1e-6)
    assert geometry.cka(BALL[:200], GENERATOR.normal(size=(200, 20))) < 0.1
    kernels = [x.astype(float) @ x.T for x in (BALL[:50], BALL[:50, :3])]
    centre = np.eye(50) - 1 / 50
    hsic = [np.trace(a @ centre @ b @ centre) for a in kernels for b in kernels]
    assert geometry.cka(BALL[:50], BALL[:50, :3]) == pytest.approx(hsic[1] / np.sqrt(hsic[0] * hsic[3]), abs=1e-6)
