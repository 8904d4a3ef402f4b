"""Masked language model: which tokens are hidden, and what is written over them (Devlin et al. 2019, A.1).

Single tokens, whole words (the second release of Devlin et al.'s code) or n-grams of words (Lan et al. 2020, 3.1).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import tensorflow as tf

from models.text.tokenization import SPECIAL

Masking = Literal["token", "whole_word", "ngram"]
# Longest n-gram, and p(n) ∝ 1/n (Lan et al. 2020, section 3.1).
_NGRAM = 3


@dataclasses.dataclass(frozen=True)
class Ids:
    """The ids that rows and masks are made with.

    Attributes:
      size: pieces in the vocabulary, V.
      pad, unk, cls, sep, mask: ids of [PAD], [UNK], [CLS], [SEP], [MASK].
      continuing: ids of the pieces that go on with a word, ``##…``.
    """

    size: int
    pad: int
    unk: int
    cls: int
    sep: int
    mask: int
    continuing: tuple[int, ...] = ()

    @classmethod
    def of(cls, vocabulary: Sequence[str]) -> Self:
        """The ids of a vocabulary that holds the special pieces."""
        pad, unk, cls_, sep, mask = (list(vocabulary).index(piece) for piece in SPECIAL)
        continuing = tuple(number for number, piece in enumerate(vocabulary) if piece.startswith("##"))
        return cls(len(vocabulary), pad, unk, cls_, sep, mask, continuing)

    @property
    def special(self) -> Any:
        """True where a piece is never masked and never drawn as a random one: bool (V,)."""
        special = np.zeros(self.size, bool)
        special[[self.pad, self.unk, self.cls, self.sep, self.mask]] = True
        return special


def mask(
    token_ids: Any, padding_mask: Any, ids: Ids, *, share: float, seed: Any, masking: Masking = "token"
) -> tuple[Any, Any, Any]:
    """Hides up to ``max(1, round(share · length))`` tokens of each row.

    80 % become [MASK], 10 % a random piece, 10 % stay as they are: each token by itself, also inside a word. A row's
    length counts its special tokens, which are never masked; a row without other tokens has no mask.

    Words come in random order, n-grams of them one after another, and one that is longer than what is left is passed
    over, as in the code of both papers: so single tokens reach the number above, words may stay below it.

    Args:
      token_ids: int32 (B, S).
      padding_mask: bool (B, S), False on padding.
      ids: of the vocabulary.
      share: of the tokens.
      seed: int32 (2,). The same seed hides the same tokens.
      masking: what is hidden together: a ``token``; all pieces of a word; an ``ngram`` of up to three words.

    Returns:
      The rows with their masks, int32 (B, S); ``masked_indices`` int32 (M,) into the flattened (B · S) rows, ascending;
      ``masked_ids`` int32 (M,), the hidden tokens.
    """
    where, how, what = tf.unstack(tf.random.split(seed, 3))
    shape = tf.shape(token_ids)
    candidates = padding_mask & ~tf.gather(tf.constant(ids.special), token_ids)
    length = tf.math.count_nonzero(padding_mask, axis=1, keepdims=True, dtype=tf.int32)
    budget = tf.maximum(1, tf.cast(tf.round(tf.cast(length, tf.float64) * share), tf.int32))
    draws = tf.random.stateless_uniform(shape, where)
    if masking == "token":
        # The order of the draws, the others after all candidates.
        masked = candidates & (_rank(draws + tf.cast(~candidates, tf.float32)) < budget)
    else:
        words = _words(token_ids, ids)
        if masking == "ngram":
            draws = tf.gather(draws, _ngrams(shape, tf.random.fold_in(where, 1)), batch_dims=1)
        masked = candidates & tf.gather(_fitting(words, candidates, draws, budget), words, batch_dims=1)

    ordinary = tf.constant(np.flatnonzero(~ids.special), tf.int32)
    drawn = tf.gather(ordinary, tf.random.stateless_uniform(shape, what, maxval=tf.size(ordinary), dtype=tf.int32))
    kind = tf.random.stateless_uniform(shape, how)
    written = tf.where(kind < 0.8, ids.mask, tf.where(kind < 0.9, drawn, token_ids))
    indices = tf.where(tf.reshape(masked, [-1]))[:, 0]
    hidden = tf.gather(tf.reshape(token_ids, [-1]), indices)
    return tf.where(masked, written, token_ids), tf.cast(indices, tf.int32), hidden


def _rank(draws: Any) -> Any:
    """The place of each element in its row's ascending order: int32 (B, S); of equals, the first comes first."""
    return tf.argsort(tf.argsort(draws, axis=1, stable=True), axis=1)


def _words(token_ids: Any, ids: Ids) -> Any:
    """The number of each token's word in its row: int32 (B, S). A special token begins one."""
    continuing = np.zeros(ids.size, bool)
    continuing[list(ids.continuing)] = True
    begins = ~tf.gather(tf.constant(continuing), token_ids[:, 1:])
    return tf.pad(tf.cumsum(tf.cast(begins, tf.int32), axis=1), [[0, 0], [1, 0]])


def _ngrams(shape: Any, seed: Any) -> Any:
    """The number of the n-gram that each word of a row is in: int32 ``shape``, n-grams side by side."""
    chances = tf.repeat(-tf.math.log(tf.range(1.0, _NGRAM + 1))[None], shape[0], axis=0)
    lengths = 1 + tf.random.stateless_categorical(chances, shape[1], seed, dtype=tf.int32)
    words = tf.broadcast_to(tf.range(shape[1]), shape)
    return tf.searchsorted(tf.cumsum(lengths, axis=1), words, side="right")


def _fitting(words: Any, candidates: Any, draws: Any, budget: Any) -> Any:
    """Which words are taken: bool (B, S), by number. In the order of their ``draws``, each that fits into what is left.

    Args:
      words: int32 (B, S), each token's word.
      candidates: bool (B, S), the tokens that count.
      draws: float32 (B, S), of each word; words with equal draws stay together.
      budget: int32 (B, 1), tokens.
    """
    shape = tf.shape(words)
    flat = words + shape[1] * tf.range(shape[0])[:, None]
    sizes = tf.math.unsorted_segment_sum(tf.cast(candidates, tf.int32), flat, tf.size(words))
    sizes = tf.reshape(sizes, shape)
    order = tf.argsort(draws, axis=1, stable=True)
    in_order = tf.transpose(tf.gather(sizes, order, batch_dims=1))
    left = tf.scan(lambda left, size: left - tf.where(size <= left, size, 0), in_order, budget[:, 0])
    taken = tf.concat([budget, tf.transpose(left)[:, :-1]], axis=1) >= tf.transpose(in_order)
    return tf.gather(taken, _rank(draws), batch_dims=1)
