import collections
import math

import numpy as np
import pytest

from models.recommendation import baselines, counts, figures
from models.vocabularies.items import FIRST

SIZE = 30


def sequences(count=60, seed=1):
    generator = np.random.default_rng(seed)
    return [generator.integers(FIRST, SIZE, generator.integers(0, 25)) for _ in range(count)]


def test_followers_are_those_of_two_loops():
    wanted = np.zeros((SIZE, SIZE))
    for sequence in sequences():
        for i, before in enumerate(sequence):
            for j in range(i + 1, min(i + 4, len(sequence))):
                wanted[before, sequence[j]] += 1 / (j - i)
    np.testing.assert_allclose(counts.followers(sequences(), SIZE, 3).toarray(), wanted)


def test_cosines_are_those_of_sets():
    sets = [set(each.tolist()) for each in sequences()]
    found = counts.cosines(sequences(), SIZE).toarray()
    for i in range(FIRST, SIZE):
        for j in range(FIRST, SIZE):
            with_i, with_j = ({n for n, each in enumerate(sets) if item in each} for item in (i, j))
            wanted = len(with_i & with_j) / math.sqrt(len(with_i) * len(with_j)) if i != j else 0
            assert found[i, j] == pytest.approx(wanted)


def test_of_a_row_the_most_likely_ones_are_kept(monkeypatch):
    monkeypatch.setattr(counts, "MOST", 3)
    full = counts.followers(sequences(), SIZE, 5).toarray()
    found = counts.shares(counts.followers(sequences(), SIZE, 5)).toarray()
    for row, kept in zip(full, found, strict=True):
        highest = np.sort(row)[::-1][:3] / max(row.sum(), 1e-9)
        np.testing.assert_allclose(np.sort(kept)[::-1][:3], highest)
        assert np.count_nonzero(kept) <= 3


def test_a_history_scores_by_its_last_items_faded():
    matrix = counts.shares(counts.followers(sequences(), SIZE, 10))
    history = sequences()[3]
    (found,) = counts.scored([history], matrix, np.zeros(SIZE), window=4, fade=0.5)
    wanted = sum(0.5**age * matrix.toarray()[item] for age, item in enumerate(history[::-1][:4]))
    np.testing.assert_allclose(found, wanted)


def records(histories):
    return [
        {
            "history": np.array([b"%d" % item for item in each[:-1]], object),
            "target": np.array([b"%d" % each[-1]], object),
        }
        for each in histories
        if len(each) > 1
    ]


@pytest.mark.parametrize("name", baselines.NAMES)
def test_a_baseline_never_answers_what_was_seen_and_ties_fall_to_the_more_frequent(name):
    train, test = records(sequences()), records(sequences(20, seed=2))
    frequency = collections.Counter(each for record in train for each in (*record["history"], *record["target"]))
    blind = [{**record, "target": np.zeros(0)} for record in test]
    answers = list(baselines.answers(name, train, blind, exclude_seen=True))
    rows = np.array(
        [figures.row_of(answer, record["target"].item()) for answer, record in zip(answers, test, strict=True)]
    )
    for answer, record, row in zip(answers, test, rows, strict=True):
        assert answer["names"][FIRST] == max(sorted(frequency), key=frequency.__getitem__)
        shown = answer["names"][row[4:].astype(int)].tolist()
        assert not set(shown) & set(record["history"])
    trivial = figures.of(rows).trivial
    if name == "popularity":
        assert figures.of(rows).values["ndcg_10"] == trivial
        assert (rows[:, 0] == rows[:, 2]).all()


@pytest.mark.parametrize(("items", "left"), [(50_000, list(baselines.NAMES)), (50_001, ["popularity", "markov"])])
def test_of_many_items_only_popularity_and_the_last_item_are_counted(items, left):
    train = [{"history": np.arange(items - 1).astype("S"), "target": np.array([b"0"])}] * 2
    train.append({"history": np.array([b"0"]), "target": np.array([b"the last"])})
    assert baselines.affordable(baselines.NAMES, train) == left


def test_popularity_by_hand():
    train = records([[5, 6, 7], [6, 7], [7, 6, 8]])  # 6 and 7 three times, 5 and 8 once
    test = [{"history": np.array([b"6"], object)}, {"history": np.array([b"no"], object)}]
    answers = list(baselines.answers("popularity", train, test, exclude_seen=True))
    names = [[answer["names"][int(place)] for place in figures.row_of(answer, b"5")[4:] if place] for answer in answers]
    assert names == [[b"7", b"5", b"8"], [b"6", b"7", b"5", b"8"]]
    assert [figures.row_of(answer, b"5")[:4] for answer in answers] == [[3, 2, 3, 4], [4, 3, 4, 4]]
    assert figures.row_of(answers[0], b"unknown")[:3] == [0, 0, 0]
