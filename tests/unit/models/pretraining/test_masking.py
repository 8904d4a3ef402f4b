"""Masked language model: counts, shares and what is never touched."""

import dataclasses
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf

from models.pretraining.masking import Ids, Masking, mask
from models.text.tokenization import SPECIAL

# Special pieces in odd places, as in bert-base-uncased: [PAD] is 0 there, [UNK] 100.
VOCABULARY = ["[PAD]", "a", "b", "[UNK]", "[CLS]", *[f"w{n}" for n in range(90)], "[SEP]", "[MASK]", "c", "d", "e"]
IDS = Ids.of(VOCABULARY)
# Every third ordinary piece goes on with a word: words of 1 to 9 pieces and more.
PIECES = dataclasses.replace(IDS, continuing=tuple(np.flatnonzero(~IDS.special)[::3].tolist()))


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
    assert Ids.of([*SPECIAL, "a", "##b", "#", "##c"]) == Ids(9, 0, 1, 2, 3, 4, (6, 8))


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


@pytest.mark.parametrize("masking", get_args(Masking))
def test_the_seed_decides_all(masking):
    token_ids, padding_mask = rows([40] * 8, 40)
    first, again, other = (
        mask(token_ids, padding_mask, PIECES, share=0.15, seed=seed, masking=masking)
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])


# --- whole words and n-grams ----------------------------------------------------------------------------------------


def words_of(row: np.ndarray) -> list[list[int]]:
    """The columns of each word of ordinary pieces."""
    words: list[list[int]] = []
    for column, piece in enumerate(row):
        if IDS.special[piece]:
            continue
        if piece in PIECES.continuing and not IDS.special[row[column - 1]]:
            words[-1].append(column)
        else:
            words.append([column])
    return words


def hidden_columns(token_ids: tf.Tensor, indices: tf.Tensor) -> list[set[int]]:
    places, columns = np.divmod(np.asarray(indices), token_ids.shape[1])
    return [set(columns[places == row].tolist()) for row in range(len(token_ids))]


@pytest.mark.parametrize("masking", ["whole_word", "ngram"])
def test_all_pieces_of_a_word_are_hidden_together_and_within_the_share(masking):
    lengths = [*range(3, 129), *[128] * 100]
    token_ids, padding_mask = rows(lengths, 128)
    _, indices, _ = mask(token_ids, padding_mask, PIECES, share=0.15, seed=[1, 2], masking=masking)
    counts = []
    for length, row, hidden in zip(lengths, token_ids.numpy(), hidden_columns(token_ids, indices), strict=True):
        budget, words = max(1, round(0.15 * length)), words_of(row)
        whole = [word for word in words if hidden & set(word)]
        assert {column for word in whole for column in word} == hidden
        assert len(hidden) <= budget
        # What is left holds no word that was passed over.
        assert not [word for word in words if word not in whole and len(word) <= budget - len(hidden)]
        counts.append(len(hidden))
    assert np.mean(counts[-100:]) > 0.99 * 19


def test_a_word_begins_behind_a_special_token():
    """A window may begin inside a word; what is longer than the budget of one token is passed over."""
    pieces = dataclasses.replace(IDS, continuing=(1,))
    token_ids = tf.constant([[4, 1, 2, 1, 95], [4, 2, 1, 1, 95]])
    for seed in range(8):
        _, indices, _ = mask(token_ids, token_ids > 0, pieces, share=0.2, seed=[0, seed], masking="whole_word")
        assert indices.numpy().tolist() == [1]


def test_whole_words_are_as_likely_and_written_over_by_token():
    token_ids, padding_mask = rows([128] * 4000, 128)
    masked, indices, hidden = (
        np.asarray(value) for value in mask(token_ids, padding_mask, PIECES, share=0.15, seed=[3, 4], masking="ngram")
    )
    written, count = masked.ravel()[indices], len(indices)
    for name, found, expected in (("mask", written == IDS.mask, 0.8), ("kept", written == hidden, 0.1 + 0.1 / 95)):
        assert abs(found.mean() - expected) / np.sqrt(expected * (1 - expected) / count) < 4, name
    assert not IDS.special[hidden].any()
    # Long words fit less often at the end, so pieces that go on are hidden a little less often; places are alike.
    places = np.bincount(indices % 128, minlength=128)
    assert places[[0, 127]].tolist() == [0, 0]
    assert places[10:118].std() / places[10:118].mean() < 0.06


def test_ngrams_have_lengths_like_one_over_n():
    """A budget of three single-piece words is one of 3, 2 + 1 (also a cut 2) or 1 + 1 + 1."""
    count, width = 3000, 512
    token_ids, padding_mask = rows([width] * count, width)
    _, indices, _ = mask(token_ids, padding_mask, IDS, share=3 / width, seed=[5, 6], masking="ngram")
    columns = np.sort(indices.numpy().reshape(count, 3) % width, axis=1)
    together = (np.diff(columns, axis=1) == 1).sum(axis=1)
    shares = np.bincount(together, minlength=3) / count
    # p(1), p(2), p(3) = 6/11, 3/11, 2/11. N-grams that touch by chance, and at a row's ends, move this by about .01.
    expected = [6 / 11 * 6 / 11, 3 / 11 + 6 / 11 * 5 / 11, 2 / 11]
    np.testing.assert_allclose(shares, expected, atol=0.03)
