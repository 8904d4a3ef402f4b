"""Masked language model: counts, shares and what is never touched (references.md, oracles 8 and 9)."""

import numpy as np
import pytest
import tensorflow as tf

from models.masking import Ids, mask
from models.text import SPECIAL

# Special pieces in odd places, as in bert-base-uncased: [PAD] is 0 there, [UNK] 100.
VOCABULARY = ["[PAD]", "a", "b", "[UNK]", "[CLS]", *[f"w{n}" for n in range(90)], "[SEP]", "[MASK]", "c", "d", "e"]
IDS = Ids.of(VOCABULARY)


def rows(lengths: list[int], width: int, seed: int = 0) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows of ordinary tokens between [CLS] and [SEP]."""
    ordinary = np.flatnonzero(~IDS.special)
    token_ids = np.full([len(lengths), width], IDS.pad, np.int32)
    for row, length in enumerate(lengths):
        token_ids[row, :length] = np.random.default_rng(seed + row).choice(ordinary, length)
        token_ids[row, 0], token_ids[row, length - 1] = IDS.cls, IDS.sep
    return tf.constant(token_ids), tf.sequence_mask(lengths, width)


def test_ids_of_a_vocabulary():
    assert (IDS.size, IDS.pad, IDS.unk, IDS.cls, IDS.sep, IDS.mask) == (100, 0, 3, 4, 95, 96)
    assert np.flatnonzero(IDS.special).tolist() == [0, 3, 4, 95, 96]
    assert Ids.of([*SPECIAL, "a"]) == Ids(6, 0, 1, 2, 3, 4)


@pytest.mark.parametrize("share", [0.15, 0.4])
def test_count_is_the_rounded_share_of_the_length(share):
    lengths = list(range(3, 129))
    token_ids, padding_mask = rows(lengths, 128)
    _, indices, _ = mask(token_ids, padding_mask, IDS, share=share, seed=[1, 2])
    counts = np.bincount(indices.numpy() // 128, minlength=len(lengths))
    # A row of 3 has one token that can be masked.
    assert counts.tolist() == [min(max(1, round(share * length)), length - 2) for length in lengths]


def test_masked_ids_are_the_tokens_that_were_there():
    token_ids, padding_mask = rows([9, 30, 17], 32)
    masked, indices, hidden = mask(token_ids, padding_mask, IDS, share=0.15, seed=[1, 2])
    assert np.all(np.diff(indices) > 0)
    assert np.array_equal(token_ids.numpy().ravel()[indices], hidden)
    restored = masked.numpy().ravel()
    restored[indices] = hidden
    assert np.array_equal(restored, token_ids.numpy().ravel())


def test_80_10_10_and_no_special_token_over_100000_masks():
    token_ids, padding_mask = rows([128] * 6000, 128)
    masked, indices, hidden = (
        np.asarray(value) for value in mask(token_ids, padding_mask, IDS, share=0.15, seed=[3, 4])
    )
    written = masked.ravel()[indices]
    count = len(indices)
    assert count == 6000 * 19
    assert not IDS.special[hidden].any()
    assert not IDS.special[written[written != IDS.mask]].any()
    # A random piece is the one that was there once in 95.
    shares = {"mask": np.mean(written == IDS.mask), "kept": np.mean(written == hidden)}
    for name, expected in {"mask": 0.8, "kept": 0.1 + 0.1 / 95}.items():
        z = (shares[name] - expected) / np.sqrt(expected * (1 - expected) / count)
        assert abs(z) < 4, name
    drawn = written[(written != IDS.mask) & (written != hidden)]
    frequencies = np.bincount(drawn, minlength=IDS.size)[~IDS.special]
    expected = len(drawn) / 95
    chi_squared = np.sum((frequencies - expected) ** 2 / expected)
    assert abs(chi_squared - 94) / np.sqrt(2 * 94) < 4


def test_every_place_is_as_likely():
    token_ids, padding_mask = rows([22] * 20_000, 24)
    _, indices, _ = mask(token_ids, padding_mask, IDS, share=0.15, seed=[5, 6])
    places = np.bincount(indices.numpy() % 24, minlength=24)
    assert places[[0, 21, 22, 23]].tolist() == [0, 0, 0, 0]
    expected = len(indices) / 20
    assert np.all(np.abs(places[1:21] - expected) < 4 * np.sqrt(expected))


def test_unknown_tokens_and_rows_without_words_are_left_alone():
    token_ids = tf.constant([[4, 3, 3, 95, 0], [4, 95, 0, 0, 0]])
    masked, indices, hidden = mask(token_ids, token_ids != IDS.pad, IDS, share=0.15, seed=[1, 2])
    assert (masked.numpy().tolist(), indices.numpy().tolist(), hidden.numpy().tolist()) == (
        token_ids.numpy().tolist(),
        [],
        [],
    )


def test_the_seed_decides_all():
    token_ids, padding_mask = rows([40] * 8, 40)
    first, again, other = (
        mask(token_ids, padding_mask, IDS, share=0.15, seed=seed) for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])
