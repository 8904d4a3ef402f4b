"""Beam search with cached keys and values, in ``tf.while_loop`` (Sutskever et al. 2014; Wu et al. 2016, section 7).

A row ends by itself: when no beam can become better than its best finished answer, or at its own longest length. What
other rows of the batch do changes nothing.

Axes: B batch, W beams, t pieces so far, V vocabulary, K pieces that may be written once.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from models.translation.transformer import Transformer

Tensor = Any
# place int32 (); newest int32, log_probability float32 (B, W); ids int32 (B, W, t); caches of the network's blocks;
# left bool (B, W, K), which of ``once`` may be written; answer int32 (B, t); lengths, score, unfinished, over (B,).
State = dict[str, Any]
_NEVER = float("-inf")


@dataclasses.dataclass(frozen=True)
class Search:
    """How an answer is searched for.

    Attributes:
      start_id: what the decoder reads first, [CLS].
      end_id: what ends an answer, [SEP].
      never: ids that are never written.
      once: ids, K, that may be written once each, and by rows only that have them in their source.
      all_of_them: whether every answer holds all of a row's ``once`` that it has room for: it does not end before, and
        near its longest length nothing else is written.
      beam: W; 1 is greedy.
      length_penalty: α of ``((5 + pieces) / 6)^α``, which log-probabilities are divided by (Wu et al. 2016, eq. 14);
        [SEP] counts as a piece.
    """

    start_id: int
    end_id: int
    never: tuple[int, ...] = ()
    once: tuple[int, ...] = ()
    all_of_them: bool = False
    beam: int = 4
    length_penalty: float = 0.6

    def penalty(self, pieces: Tensor) -> Tensor:
        """What the log-probability of so many ``pieces`` is divided by, float32."""
        return ((5.0 + tf.cast(pieces, tf.float32)) / 6.0) ** self.length_penalty


def search(
    network: Transformer,
    how: Search,
    token_ids: Tensor,
    padding_mask: Tensor,
    longest: Tensor,
    own: Tensor | None = None,
) -> dict[str, Any]:
    """The best answer to each source.

    Args:
      network: in inference.
      how: to search.
      token_ids: int (B, S).
      padding_mask: bool (B, S), true on real pieces; a row has at least one.
      longest: int32 (B,), pieces that an answer may have, [SEP] included; at least 1, at most ``max_positions``.
      own: int (B, any), where ``token_ids`` hold more than the sources: these alone.

    Returns:
      ``ids`` int32 (B, t), without [SEP], 0 behind the end; ``lengths`` int32 (B,); ``score`` float32 (B,), the
      log-probability over the penalty; ``unfinished`` bool (B,), whether it was cut at ``longest``.
    """
    source = network.encode(token_ids, padding_mask)
    memories, batch, beams = network.remember(source), tf.shape(token_ids)[0], how.beam
    once, blocked = tf.constant(list(how.once), tf.int32), _blocked(how, network.vocabulary_size)

    def step(state: State) -> State:
        place, pieces = state["place"], state["place"] + 1
        logits, caches = network.step(state["newest"], place, list(state["caches"]), memories, source.bias)
        never = blocked(state["left"], longest - place)
        steps = tf.where(never, _NEVER, tf.nn.log_softmax(tf.cast(logits, tf.float32)))
        total = tf.reshape(state["log_probability"][..., None] + steps, [batch, -1])
        # Of equal ones the lower index: the same answer every time.
        best, index = tf.math.top_k(total, 2 * beams)
        parent, piece = index // network.vocabulary_size, index % network.vocabulary_size
        ending = piece == how.end_id
        # An end counts where it is among the W best; each beam has one, so that W of the 2·W go on.
        ends = tf.where(ending & (tf.range(2 * beams) < beams), best / how.penalty(pieces), _NEVER)
        log_probability, going_on = tf.math.top_k(tf.where(ending, _NEVER, best), beams)
        settled = _settled(how, state, longest, parent, ends, log_probability)
        parent, newest = (tf.gather(each, going_on, batch_dims=1) for each in (parent, piece))
        ids = tf.concat([tf.gather(state["ids"], parent, batch_dims=1), newest[..., None]], axis=2)
        cut = settled.pop("cut")
        return {
            **settled,
            "place": pieces,
            "newest": newest,
            "ids": ids,
            "log_probability": log_probability,
            "caches": tuple(tf.gather(cache, parent, batch_dims=1) for cache in caches),
            "left": tf.gather(state["left"], parent, batch_dims=1) & (newest[..., None] != once),
            "answer": tf.where(cut[:, None], ids[:, 0], settled["answer"]),
        }

    in_source = tf.reduce_any(tf.cast(token_ids if own is None else own, tf.int32)[..., None] == once, axis=1)
    state: State = {
        "place": tf.constant(0),
        "newest": tf.fill([batch, beams], how.start_id),
        "ids": tf.zeros([batch, beams, 0], tf.int32),
        # All begin alike: only one of them counts.
        "log_probability": tf.tile(tf.where(tf.range(beams) == 0, 0.0, _NEVER)[None], [batch, 1]),
        "caches": tuple(network.empty_cache(batch, beams) for _ in network.decoder_blocks),
        "left": tf.tile(in_source[:, None], [1, beams, 1]),
        "answer": tf.zeros([batch, 0], tf.int32),
        "lengths": tf.zeros([batch], tf.int32),
        "score": tf.fill([batch], _NEVER),
        "unfinished": tf.zeros([batch], tf.bool),
        "over": tf.zeros([batch], tf.bool),
    }
    shapes = tf.nest.map_structure(lambda each: tf.TensorShape([None] * each.shape.rank), state)
    (end,) = tf.while_loop(
        lambda state: ~tf.reduce_all(state["over"]), lambda state: (step(state),), (state,), (shapes,)
    )
    return {"ids": end["answer"], **{name: end[name] for name in ("lengths", "score", "unfinished")}}


def _blocked(how: Search, size: int) -> Callable[[Tensor, Tensor], Tensor]:
    """What must not be written, bool (V,) or (B, W, V).

    It takes ``left`` bool (B, W, K), which of ``once`` may be written, and ``room`` int32 (B,), how many pieces may be.
    """
    never = np.isin(np.arange(size), list(how.never))
    columns = np.eye(size, dtype=np.float32)[list(how.once)]
    end, others = np.arange(size) == how.end_id, ~np.isin(np.arange(size), list(how.once))

    def blocked(left: Tensor, room: Tensor) -> Tensor:
        if not how.once:
            return never
        spent = tf.reshape(1.0 - tf.cast(left, tf.float32), [-1, len(how.once)])
        columns_spent = tf.reshape(tf.matmul(spent, columns) > 0, tf.concat([tf.shape(left)[:2], [size]], 0))
        if how.all_of_them:
            lacking = tf.reduce_sum(tf.cast(left, tf.int32), axis=2, keepdims=True)
            columns_spent |= (lacking > 0) & end
            # [SEP] needs a place too.
            columns_spent |= (lacking > 0) & (lacking >= room[:, None, None] - 1) & others
        return never | columns_spent

    return blocked


def _settled(
    how: Search, state: State, longest: Tensor, parent: Tensor, ends: Tensor, log_probability: Tensor
) -> dict[str, Tensor]:
    """The answers after a step, and which rows are over.

    Args:
      how: to search.
      state: before the step.
      longest: int32 (B,).
      parent: int32 (B, 2·W), the beam that each candidate goes on from.
      ends: float32 (B, 2·W), the score of each that ends; -∞ of the others.
      log_probability: float32 (B, W), of the beams that go on.
    """
    pieces, running = state["place"] + 1, ~state["over"]
    first = tf.argmax(ends, axis=1, output_type=tf.int32)
    ended = tf.gather(ends, first, batch_dims=1)
    better = running & (ended > state["score"])
    score = tf.where(better, ended, state["score"])
    beam = tf.gather(parent, first, batch_dims=1)
    answer = tf.where(better[:, None], tf.gather(state["ids"], beam, batch_dims=1), state["answer"])
    # At its longest, a row without a finished answer takes the best that it has.
    at_end = running & (pieces >= longest)
    cut = at_end & (score == _NEVER)
    # No beam gets a better score than its log-probability over the penalty of the longest answer.
    beaten = score > _NEVER if how.beam == 1 else log_probability[:, 0] / how.penalty(longest) <= score
    return {
        "answer": tf.pad(answer, [[0, 0], [0, 1]]),
        "lengths": tf.where(better, state["place"], tf.where(cut, pieces, state["lengths"])),
        "score": tf.where(cut, log_probability[:, 0] / how.penalty(pieces), score),
        "unfinished": state["unfinished"] | cut,
        "over": state["over"] | at_end | beaten,
        "cut": cut,
    }
