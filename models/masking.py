"""Masked language model: which tokens are hidden, and what is written over them (Devlin et al. 2019, A.1)."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from models.text import SPECIAL


@dataclasses.dataclass(frozen=True)
class Ids:
    """The ids that rows and masks are made with.

    Attributes:
      size: pieces in the vocabulary, V.
      pad, unk, cls, sep, mask: ids of [PAD], [UNK], [CLS], [SEP], [MASK].
    """

    size: int
    pad: int
    unk: int
    cls: int
    sep: int
    mask: int

    @classmethod
    def of(cls, vocabulary: Sequence[str]) -> Self:
        """The ids of a vocabulary that holds the special pieces."""
        return cls(len(vocabulary), *(list(vocabulary).index(piece) for piece in SPECIAL))

    @property
    def special(self) -> Any:
        """True where a piece is never masked and never drawn as a random one: bool (V,)."""
        special = np.zeros(self.size, bool)
        special[[self.pad, self.unk, self.cls, self.sep, self.mask]] = True
        return special


def mask(token_ids: Any, padding_mask: Any, ids: Ids, *, share: float, seed: Any) -> tuple[Any, Any, Any]:
    """Hides ``max(1, round(share · length))`` tokens of each row.

    80 % become [MASK], 10 % a random piece, 10 % stay as they are. A row's length counts its special tokens, which are
    never masked; a row without other tokens has no mask.

    Args:
      token_ids: int32 (B, S).
      padding_mask: bool (B, S), False on padding.
      ids: of the vocabulary.
      share: of the tokens.
      seed: int32 (2,). The same seed hides the same tokens.

    Returns:
      The rows with their masks, int32 (B, S); ``masked_indices`` int32 (M,) into the flattened (B · S) rows, ascending;
      ``masked_ids`` int32 (M,), the hidden tokens.
    """
    where, how, what = tf.unstack(tf.random.split(seed, 3))
    shape = tf.shape(token_ids)
    candidates = padding_mask & ~tf.gather(tf.constant(ids.special), token_ids)
    # The order of uniform draws, the others after all candidates.
    draws = tf.random.stateless_uniform(shape, where) + tf.cast(~candidates, tf.float32)
    rank = tf.argsort(tf.argsort(draws, axis=1, stable=True), axis=1)
    length = tf.math.count_nonzero(padding_mask, axis=1, keepdims=True, dtype=tf.int32)
    count = tf.maximum(1, tf.cast(tf.round(tf.cast(length, tf.float64) * share), tf.int32))
    masked = candidates & (rank < count)

    ordinary = tf.constant(np.flatnonzero(~ids.special), tf.int32)
    drawn = tf.gather(ordinary, tf.random.stateless_uniform(shape, what, maxval=tf.size(ordinary), dtype=tf.int32))
    kind = tf.random.stateless_uniform(shape, how)
    written = tf.where(kind < 0.8, ids.mask, tf.where(kind < 0.9, drawn, token_ids))
    indices = tf.where(tf.reshape(masked, [-1]))[:, 0]
    hidden = tf.gather(tf.reshape(token_ids, [-1]), indices)
    return tf.where(masked, written, token_ids), tf.cast(indices, tf.int32), hidden
