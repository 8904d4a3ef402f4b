"""Divergences of heads beside SciPy's, and a map that keeps distances."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, jensenshannon

from models.analysis import likeness

LENGTHS = (6, 3, 4)


def given():
    generator = np.random.default_rng(2)
    mask = np.arange(6) < np.array(LENGTHS)[:, None]
    weights = generator.random((2, 3, 2, 6, 6)) ** 4 * mask[:, None, None]
    weights[0, :, 0] = weights[1, :, 1]  # two heads alike
    return weights / weights.sum(axis=-1, keepdims=True), mask


def test_divergences_are_those_of_scipy():
    weights, mask = given()
    expected = np.zeros((4, 4))
    flat = weights.transpose(1, 0, 2, 3, 4).reshape(3, 4, 6, 6)
    for a, b in np.ndindex(4, 4):
        for row, length in enumerate(LENGTHS):
            pairs = ((flat[row, a, q, :length], flat[row, b, q, :length]) for q in range(length))
            expected[a, b] += np.mean([jensenshannon(p, q, base=2) ** 2 for p, q in pairs]) / 3
    parts = [
        likeness.divergences(list(weights[:, part]), {"padding_mask": mask[part]}) for part in (slice(2), slice(2, 3))
    ]
    found = likeness.mean(parts)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[0, 3] == pytest.approx(0, abs=1e-6)
    assert found[0, 1] > 0.1


def test_a_map_of_places_in_a_plane_keeps_their_distances():
    places = np.random.default_rng(1).normal(size=(9, 2))
    distances = cdist(places, places)
    found = likeness.placed(distances)
    np.testing.assert_allclose(cdist(found, found), distances, atol=1e-9)
    assert (likeness.placed(distances) == found).all()
    assert (found[np.abs(found).argmax(axis=0), [0, 1]] > 0).all()
