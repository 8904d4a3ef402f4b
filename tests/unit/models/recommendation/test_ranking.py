import numpy as np
import pytest
import tensorflow as tf

from models.recommendation import figures, ranking
from models.vocabularies.items import FIRST


def by_hand(scores, seen, target, *, exclude_seen=True):
    """Every item beside the target, one after the other: ranks with ties against it and for it, and the order."""
    allowed = [item for item in range(FIRST, len(scores)) if not (exclude_seen and item in seen)]
    order = sorted(allowed, key=lambda item: (-scores[item], item))
    if target < FIRST:
        return 0, 0, order
    others = [scores[item] for item in allowed if item != target]
    above, beside = (sum(test(other) for other in others) for test in (scores[target].__lt__, scores[target].__eq__))
    return 1 + above + beside, 1 + above, order


def drawn(rows=1000, size=40, seed=0):
    """Scores of few values, so that many are equal; histories with repeats; targets, some of which are no item."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 12, (rows, size)).astype(np.float32)
    seen = [generator.integers(FIRST, size, generator.integers(0, 30)).tolist() for _ in range(rows)]
    targets = np.where(generator.random(rows) < 0.1, 1, generator.integers(FIRST, size, rows))
    return scores, seen, targets


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_ranks_and_the_best_are_those_of_brute_force(exclude_seen):
    scores, seen, targets = drawn()
    size = scores.shape[1]
    allowed = ranking.eligible(
        tf.ragged.constant(seen, tf.int64, ragged_rank=1), np.arange(size) >= FIRST, exclude_seen=exclude_seen
    )
    given = tf.constant(scores)
    found = *ranking.ranks(given, allowed, tf.constant(targets)), *ranking.best(given, allowed, 20)
    ranks, best_ranks, ids, shares = (each.numpy() for each in found)
    for row, (values, history, target) in enumerate(zip(scores, seen, targets, strict=True)):
        rank, best, order = by_hand(values, history, target, exclude_seen=exclude_seen)
        assert (ranks[row], best_ranks[row]) == (rank, best)
        assert ids[row].tolist() == (order + [0] * 20)[:20]
        powers = np.exp(values[order].astype(float))
        np.testing.assert_allclose(shares[row], np.pad(powers / powers.sum(), (0, 20))[:20], rtol=1e-5)
        # The twin that baselines are ranked with.
        own = ranking.eligible_of(np.array(history, int), size, exclude_seen=exclude_seen)
        assert ranking.ranks_of(values, own, target if target >= FIRST else None) == (rank, best)
        assert ranking.best_of(values, own, 20).tolist() == (order + [0] * 20)[:20]


def test_a_constant_scorer_is_last_and_an_oracle_first():
    _, seen, _ = drawn()
    size, targets = 40, np.full(len(seen), 17)
    allowed = ranking.eligible(
        tf.ragged.constant(seen, tf.int64, ragged_rank=1), np.arange(size) >= FIRST, exclude_seen=True
    )
    rank, best = ranking.ranks(tf.zeros([len(seen), size]), allowed, tf.constant(targets))
    others = [len(set(range(FIRST, size)) - set(history) - {17}) for history in seen]
    np.testing.assert_array_equal(rank, np.array(others) + 1)
    assert set(best.numpy()) == {1}
    rank, best = ranking.ranks(tf.one_hot(targets, size), allowed, tf.constant(targets))
    assert set(rank.numpy()) == set(best.numpy()) == {1}


@pytest.mark.parametrize(("oracle", "hit_1", "hit_10", "mrr", "tied"), [(False, 0, 0, 1 / 27, 1), (True, 1, 1, 1, 0)])
def test_figures_of_a_constant_scorer_and_of_an_oracle(oracle, hit_1, hit_10, mrr, tied):
    """30 items, of which 3 were seen and one is the target: a constant scorer has it behind 26 others."""
    size = FIRST + 30
    names = np.array([b""] * FIRST + [b"%d" % item for item in range(30)], object)
    answer = {
        "all_scores": (names == b"9").astype(float) * oracle,
        "popularity": np.arange(size),
        "eligible": ranking.eligible_of(np.array([5, 6, 7]), size, exclude_seen=True),
        "names": names,
    }
    found = figures.of(np.array([figures.row_of(answer, b"9")] * 4)).values
    assert [found[name] for name in ("hit_1", "hit_10", "mrr", "tied")] == pytest.approx([hit_1, hit_10, mrr, tied])


def test_the_target_takes_part_though_it_was_seen():
    allowed = ranking.eligible(tf.ragged.constant([[6, 7]], tf.int64), np.arange(9) >= FIRST, exclude_seen=True)
    scores = tf.constant([[9.0, 9, 9, 9, 9, 1, 2, 8, 3]])
    assert ranking.ranks(scores, allowed, tf.constant([6], tf.int64))[0].numpy().tolist() == [2]  # behind 8, before 5
    assert ranking.best(scores, allowed, 4)[0].numpy().tolist() == [[8, 5, 0, 0]]


def test_nothing_is_answered_where_all_was_seen():
    allowed = ranking.eligible(tf.ragged.constant([[5, 6]], tf.int64), np.arange(7) >= FIRST, exclude_seen=True)
    ids, shares = ranking.best(tf.constant([[0.0, 0, 0, 0, 0, 1, 2]]), allowed, 3)
    assert ids.numpy().tolist() == [[0, 0, 0]]
    assert shares.numpy().tolist() == [[0, 0, 0]]
