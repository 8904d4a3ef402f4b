"""The rule against cleanlab's answers, and against the paper's definition by brute force."""

from pathlib import Path

import numpy as np
import pytest

from models.judging import label_errors

GOLDEN = np.load(Path(__file__).parents[3] / "data" / "label_errors.npz")


@pytest.mark.parametrize("case", range(5))
def test_cleanlab_doubts_the_same_labels_in_the_same_order(case):
    labels, scores, expected = (GOLDEN[f"{name}_{case}"] for name in ("labels", "scores", "doubted"))
    assert label_errors.doubted(scores, labels).tolist() == expected.tolist()


def test_by_hand():
    # Thresholds: label 0 (.9 + .8 + .1) / 3 = .6; label 1 (.7 + .8) / 2 = .75. The third record has .9 for label 1.
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.2, 0.8]])
    assert label_errors.doubted(scores, np.array([0, 0, 0, 1, 1])).tolist() == [2]


def test_a_record_that_is_sure_of_no_label_is_not_doubted():
    # Label 1's threshold is .9; .7 is more than the given label's .3, and still not enough.
    scores = np.array([[0.9, 0.1], [0.3, 0.7], [0.1, 0.9], [0.1, 0.9]])
    assert label_errors.doubted(scores, np.array([0, 0, 1, 1])).tolist() == []


def clusters(records, seed, labels=3, width=8):
    generator = np.random.default_rng(seed)
    centres = 4 * generator.normal(size=(labels, width))
    true = np.arange(records) % labels
    return centres[true] + generator.normal(size=(records, width)), true, generator


def test_flipped_labels_of_clusters_are_found():
    vectors, true, generator = clusters(300, seed=0)
    flipped = generator.choice(300, size=30, replace=False)
    given = true.copy()
    given[flipped] = (true[flipped] + 1) % 3
    scores = label_errors.probabilities(vectors, given, 3, seed=1)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    doubted = label_errors.doubted(scores, given)
    assert set(doubted) <= set(flipped)
    assert len(doubted) >= 27


def test_a_label_is_not_judged_by_itself():
    """With random vectors nothing can be known of a label: in fold, a model that wide would know every one."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    scores = label_errors.probabilities(generator.normal(size=(60, 200)), labels, 2, seed=1)
    assert 0.3 < (scores.argmax(axis=1) == labels).mean() < 0.7


def test_rare_labels_are_left_alone():
    vectors, true, _ = clusters(100, seed=1, labels=2)
    given = np.append(true, [2, 2])
    scores = label_errors.probabilities(np.vstack([vectors, vectors[:2]]), given, 4, seed=1)
    assert scores[-2:].tolist() == [[0, 0, 1, 0]] * 2
    assert label_errors.doubted(scores, given).tolist() == []


def test_nothing_can_be_doubted_where_one_label_has_records():
    with pytest.raises(ValueError, match=r"at least two of them have 5 records\. Received: 1"):
        label_errors.probabilities(np.ones((9, 2)), np.zeros(9, int), 2, seed=1)


def test_the_likeliest_other_label():
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    assert label_errors.highest_other(scores, np.array([0, 2])).tolist() == [0.3, 0.2]
