"""Packing: every text once, whole, in a row that is not overfull."""

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.pretraining import packing

lengths = st.lists(st.integers(1, 16), min_size=1, max_size=40)


@given(lengths)
def test_no_row_is_overfull_and_none_is_empty(lengths):
    rows = packing.fill(np.array(lengths), 16)
    full = np.bincount(rows, weights=lengths)
    assert full.max() <= 16
    assert full.min() > 0


def test_best_fit_decreasing():
    assert packing.fill(np.array([3, 8, 5, 2, 6]), 10).tolist() == [1, 0, 2, 0, 1]


@given(lengths, st.integers(0, 5))
@settings(deadline=None)
def test_texts_stay_whole(lengths, seed):
    texts = [[100 + text] * length for text, length in enumerate(lengths)]
    rows = packing.pack(tf.ragged.constant(texts, tf.int64, ragged_rank=1), 16, [0, seed])
    rows = {name: value.to_list() for name, value in rows.items()}
    found = []
    for ids, groups, positions, segments in zip(
        rows["token_ids"], rows["group_ids"], rows["position_ids"], rows["segment_ids"], strict=True
    ):
        assert sorted(set(groups)) == list(range(1, max(groups) + 1))
        assert groups == sorted(groups)
        assert set(segments) == {0}
        for group in sorted(set(groups)):
            inside = [place for place, value in enumerate(groups) if value == group]
            found.append([ids[place] for place in inside])
            assert [positions[place] for place in inside] == list(range(len(inside)))
    assert sorted(found) == texts


def test_short_texts_fill_rows():
    texts = np.random.default_rng(0).integers(5, 60, 4096)
    rows = packing.fill(texts, 128)
    assert texts.sum() / (128 * (rows.max() + 1)) > 0.99
