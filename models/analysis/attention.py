"""Where heads look: entropy, distance and the share of attention by what a token looks at (Clark et al. 2019).

Everything is reduced in the graph to sums of a batch: no attention leaves it. Of real tokens: the mean over the queries
of a row, then the mean over the rows of three tokens or more.

Axes: B batch, L blocks, H heads, S sequence, V vocabulary, K figures.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_LEAST = 3  # tokens of a row; of fewer, every head looks alike
# Clark et al. 2019, section 3, name a head by what most of its attention goes to; the thresholds are ours.
THRESHOLDS = {"previous": 0.5, "next": 0.5, "self": 0.5}
_OTHER, _BROAD = 0.6, 0.9
BROAD, MIXED = "broad", "mixed"


@dataclasses.dataclass(frozen=True)
class Marks:
    """What ids stand for.

    Attributes:
      special: ids by name, such as ``[SEP]``.
      punctuation: bool (V,); None where ids are no pieces of text.
      continues: bool (V,), whether a piece goes on with the word before it; likewise.
    """

    special: Mapping[str, int]
    punctuation: np.ndarray | None = None
    continues: np.ndarray | None = None

    @classmethod
    def of_pieces(cls, pieces: Sequence[str]) -> "Marks":
        """Of a WordPiece vocabulary."""
        return cls(
            {name: pieces.index(name) for name in ("[CLS]", "[SEP]")},
            np.array([not any(letter.isalnum() for letter in piece.strip("#▁")) for piece in pieces])
            & ~np.array([piece.startswith("[") and len(piece) > 2 for piece in pieces]),
            np.array([piece.startswith("##") and len(piece) > 2 for piece in pieces]),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What attention goes to, as ``targets`` stacks it."""
        text = ("punctuation", "own word") if self.punctuation is not None else ()
        return ("self", "previous", "next", *self.special, *text, "same token elsewhere")


@dataclasses.dataclass(frozen=True)
class Heads:
    """Figures of heads.

    Attributes:
      entropy: 0 for one token, 1 for all alike: nats over the logarithm of how many tokens may be looked at; (L, H).
      distance: in tokens, (L, H).
      mass: share of the attention by what it goes to, each (L, H).
      uniform: what attention to all tokens alike would give, by the same names.
      rows: how many rows the figures are of.
    """

    entropy: np.ndarray
    distance: np.ndarray
    mass: Mapping[str, np.ndarray]
    uniform: Mapping[str, float]
    rows: int

    def lift(self, name: str) -> np.ndarray:
        """How many times more than of uniform attention goes there: (L, H)."""
        uniform = self.uniform[name]
        return self.mass[name] / uniform if uniform else np.full_like(self.mass[name], np.nan)

    def roles(self) -> list[list[str]]:
        """Of each head: what most of its attention goes to, else ``broad`` or ``mixed``; L lists of H."""
        layers, heads = self.entropy.shape
        return [[self._role((layer, head)) for head in range(heads)] for layer in range(layers)]

    def _role(self, head: tuple[int, int]) -> str:
        # A word's other pieces and repetitions are too rare in most texts for a role.
        shares = {name: float(mass[head]) for name, mass in self.mass.items() if name not in _RARE}
        found = {name: share for name, share in shares.items() if share > THRESHOLDS.get(name, _OTHER)}
        if found:
            return max(found, key=found.__getitem__)
        return BROAD if self.entropy[head] > _BROAD else MIXED


_RARE = ("own word", "same token elsewhere", "same token")
ACROSS = ("same place", "[SEP]", "punctuation", "same token")


def targets(token_ids: Any, marks: Marks) -> Any:
    """Which token stands to which in each relation of ``marks.names``: float32 (B, K, S, S), queries before keys."""
    length = tf.shape(token_ids)[1]
    place = tf.range(length)
    step = place[None, :] - place[:, None]
    alike = token_ids[:, :, None] == token_ids[:, None, :]
    shape = tf.shape(alike)
    found = [tf.broadcast_to((step == offset)[None], shape) for offset in (0, -1, 1)]
    found += [tf.broadcast_to((token_ids == one)[:, None, :], shape) for one in marks.special.values()]
    if marks.punctuation is not None and marks.continues is not None:
        found.append(tf.broadcast_to(tf.gather(marks.punctuation, token_ids)[:, None, :], shape))
        word = tf.cumsum(tf.cast(~tf.gather(marks.continues, token_ids), tf.int32), axis=1)
        found.append((word[:, :, None] == word[:, None, :]) & (step != 0))
    return tf.cast(tf.stack([*found, alike & (step != 0)], axis=1), tf.float32)


def sums(attentions: Sequence[Any], batch: Mapping[str, Any], marks: Marks, *, causal: bool) -> dict[str, Any]:
    """What ``figures`` adds up, of a batch; in the graph.

    Args:
      attentions: of each block, (B, H, S, S).
      batch: ``token_ids`` int (B, S), ``padding_mask`` bool (B, S).
      marks: of the ids.
      causal: whether a token looks only at itself and at those before it.

    Returns:
      ``heads`` (L, H, 2 + K): entropy, distance, shares; ``uniform`` (K,); ``rows`` scalar: float32.
    """
    mask = batch["padding_mask"]
    real = tf.cast(mask, tf.float32)
    count = tf.reduce_sum(real, axis=1)
    taken = tf.cast(count >= _LEAST, tf.float32)
    query = real * (taken / tf.maximum(count, 1))[:, None]  # sums to 1 over a row
    length = tf.shape(mask)[1]
    place = tf.range(length)
    allowed = tf.broadcast_to(real[:, None, :], [tf.shape(mask)[0], length, length])
    if causal:
        allowed *= tf.cast(place[:, None] >= place, tf.float32)
    choices = tf.maximum(tf.reduce_sum(allowed, axis=2), 1)
    distance = tf.cast(tf.abs(place[None, :] - place[:, None]), tf.float32)[None, None]
    related = targets(batch["token_ids"], marks)
    weighed = tf.concat([tf.broadcast_to(distance, tf.shape(related[:, :1])), related], 1) * query[:, None, :, None]
    spread = tf.math.divide_no_nan(query, tf.math.log(choices))
    heads = []
    for weights in attentions:
        weights = tf.cast(weights, tf.float32)
        entropy = -tf.einsum("bhqk,bq->h", tf.math.xlogy(weights, weights), spread)
        heads.append(tf.concat([entropy[:, None], tf.einsum("bhqk,brqk->hr", weights, weighed)], axis=1))
    uniform = tf.einsum("bqk,brqk->r", allowed / choices[:, :, None], weighed[:, 1:])
    return {"heads": tf.stack(heads), "uniform": uniform, "rows": tf.reduce_sum(taken)}


def sums_across(
    attentions: Sequence[Any], batch: Mapping[str, Any], source: Mapping[str, Any], marks: Marks
) -> dict[str, Any]:
    """The same of attention from the tokens of one row to those of another, by what ``ACROSS`` names.

    Args:
      attentions: of each block, (B, H, T, S).
      batch: of the queries, ``token_ids`` int (B, T), ``padding_mask`` bool (B, T).
      source: of the keys, likewise with S.
      marks: of the ids; pieces of text.
    """
    assert marks.punctuation is not None
    real, keys = (tf.cast(given["padding_mask"], tf.float32) for given in (batch, source))
    counts = [tf.reduce_sum(each, axis=1) for each in (real, keys)]
    taken = tf.cast(tf.minimum(*counts) >= _LEAST, tf.float32)
    query = real * (taken / tf.maximum(counts[0], 1))[:, None]
    ids, asked = source["token_ids"], batch["token_ids"]
    step = tf.range(tf.shape(ids)[1])[None, :] - tf.range(tf.shape(asked)[1])[:, None]
    alike = asked[:, :, None] == ids[:, None, :]
    shape = tf.shape(alike)
    of_key = (ids == marks.special["[SEP]"], tf.gather(marks.punctuation, ids))
    related = [
        tf.broadcast_to(tf.abs(step)[None], shape),
        tf.broadcast_to((step == 0)[None], shape),
        *(tf.broadcast_to(each[:, None, :], shape) for each in of_key),
        alike,
    ]
    weighed = tf.stack([tf.cast(each, tf.float32) for each in related], axis=1) * query[:, None, :, None]
    spread = tf.math.divide_no_nan(query, tf.math.log(tf.maximum(counts[1], 1))[:, None])
    heads = []
    for weights in attentions:
        weights = tf.cast(weights, tf.float32)
        entropy = -tf.einsum("bhqk,bq->h", tf.math.xlogy(weights, weights), spread)
        heads.append(tf.concat([entropy[:, None], tf.einsum("bhqk,brqk->hr", weights, weighed)], axis=1))
    uniform = tf.einsum("bk,brqk->r", keys / tf.maximum(counts[1], 1)[:, None], weighed[:, 1:])
    return {"heads": tf.stack(heads), "uniform": uniform, "rows": tf.reduce_sum(taken)}


def figures(parts: Iterable[Mapping[str, Any]], names: Sequence[str]) -> Heads:
    """The figures of all rows.

    Args:
      parts: what ``sums`` or ``sums_across`` gave for each batch.
      names: of what attention goes to, as these stack it.

    Raises:
      ValueError: no row has three tokens.
    """
    total: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + np.asarray(value, float)
    rows = float(total.get("rows", 0))
    if not rows:
        raise ValueError(f"no row has {_LEAST} tokens: there is no attention to look at")
    heads, uniform = total["heads"] / rows, total["uniform"] / rows
    return Heads(
        entropy=heads[..., 0],
        distance=heads[..., 1],
        mass={name: heads[..., 2 + place] for place, name in enumerate(names)},
        uniform={name: float(uniform[place]) for place, name in enumerate(names)},
        rows=round(rows),
    )
