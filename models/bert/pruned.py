"""Encoders without some of their heads, and back: what a cut head gave is gone, so what is left computes the same.

Heads are numbered as in the whole encoder. Axes: D hidden, H heads, d of a head.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from models.bert.block import Block
from models.bert.encoder import BertEncoder

Heads = Sequence[Sequence[int]]


def without(heads: Iterable[tuple[int, int]], encoder: BertEncoder) -> list[list[int]]:
    """``kept_heads`` of the encoder less these heads, (layer, head) each.

    Raises:
      ValueError: a block would have none.
    """
    cut = set(heads)
    kept = [[head for head in of if (layer, head) not in cut] for layer, of in enumerate(encoder.kept_heads)]
    if bare := [layer for layer, of in enumerate(kept) if not of]:
        raise ValueError(f"every block keeps at least one head. Received: none for block {bare[0]}")
    return kept


def copy(model: Any, encoder: BertEncoder, narrow: Any, narrow_encoder: BertEncoder) -> None:
    """Gives ``narrow`` the weights and the random seeds of ``model``, less those of heads that it has not.

    Args:
      model: a layer with ``encoder`` in it.
      encoder: that has all heads.
      narrow: a layer that was built in the same way around ``narrow_encoder``.
      narrow_encoder: of the same shape, with ``kept_heads``.
    """
    for before, after in zip(model.variables, narrow.variables, strict=True):
        if before.shape == after.shape:
            after.assign(before)
    for old, new, kept in zip(encoder.blocks, narrow_encoder.blocks, narrow_encoder.kept_heads, strict=True):
        _move(old, new, kept, np.arange(len(kept)))


def whole(encoder: BertEncoder) -> BertEncoder:
    """The encoder with all heads, zeros being the weights of those that it has not: it computes the same.

    It stays so in training: a head whose value and whose projection are both 0 has no gradient. An encoder that has all
    heads is returned as it is.
    """
    if all(len(kept) == encoder.num_heads for kept in encoder.kept_heads):
        return encoder
    made = BertEncoder(**encoder.arguments)
    for before, after in zip(encoder.variables, made.variables, strict=True):
        after.assign(before if before.shape == after.shape else np.zeros(after.shape, np.float32))
    for old, new, kept in zip(encoder.blocks, made.blocks, encoder.kept_heads, strict=True):
        _move(old, new, np.arange(len(kept)), kept)
    return made


def _move(old: Block, new: Block, of_old: Any, of_new: Any) -> None:
    """Heads ``of_old`` of a block become heads ``of_new`` of the other, whose further ones stay as they are."""
    if old.num_heads == new.num_heads:
        return
    for before, after in ((old.qkv.kernel, new.qkv.kernel), (old.qkv.bias, new.qkv.bias)):
        after.assign(_moved(before, after, 3, old, new, of_old, of_new))
    before, after = (np.transpose(each.projection.kernel) for each in (old, new))
    new.projection.kernel.assign(_moved(before, after, 1, old, new, of_old, of_new).T)


def _moved(before: Any, after: Any, parts: int, old: Block, new: Block, of_old: Any, of_new: Any) -> np.ndarray:
    """``after`` with those columns of ``before``: the columns are ``parts`` · H · d."""
    made = np.asarray(after).copy()
    taken = np.asarray(before).reshape(-1, parts, old.num_heads, old.head_dim)
    made.reshape(-1, parts, new.num_heads, new.head_dim)[:, :, list(of_new)] = taken[:, :, list(of_old)]
    return made
