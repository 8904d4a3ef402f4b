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
# place int32 (). Of the b rows that are not over: rows int32 (b,), which they are; newest int32 and log_probability
# float32 (b, W); ids int32 (b, W, t); caches of the network's blocks; left bool (b, W, K), which of ``once`` may be
# written; source, what the blocks remember of it, and its bias. Of all rows: the best answer so far, ``_BEST``.
State = dict[str, Any]
_BEST = ("answer", "lengths", "score", "unfinished")  # int32 (B, t); (B,) each
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
    batch, beams, size = tf.shape(token_ids)[0], how.beam, network.vocabulary_size
    once, allowed, table = tf.constant(list(how.once), tf.int32), _allowed(how, size), network.output_table()

    def step(state: State) -> State:
        rows, place, pieces = state["rows"], state["place"], state["place"] + 1
        best_of_all = {name: state[name] for name in _BEST} | {"answer": tf.pad(state["answer"], [[0, 0], [0, 1]])}
        room = tf.gather(longest, rows)
        memories, bias = state["source"]
        logits, caches = network.step(state["newest"], place, list(state["caches"]), list(memories), bias, table)
        steps = allowed(tf.nn.log_softmax(tf.cast(logits, tf.float32)), state["left"], room - place)
        total = tf.reshape(state["log_probability"][..., None] + steps, [-1, beams * size])
        best, index = _top(total, 2 * beams)
        parent, piece = index // size, index % size
        ending = piece == how.end_id
        # An end counts where it is among the W best; each beam has one, so that W of the 2·W go on.
        ends = tf.where(ending & (tf.range(2 * beams) < beams), best / how.penalty(pieces), _NEVER)
        log_probability, going_on = tf.math.top_k(tf.where(ending, _NEVER, best), beams)
        known = {name: tf.gather(value, rows) for name, value in best_of_all.items()}
        settled = _settled(how, state, known, room, parent, ends, log_probability)
        parent, newest = (tf.gather(each, going_on, batch_dims=1) for each in (parent, piece))
        ids = tf.concat([tf.gather(state["ids"], parent, batch_dims=1), newest[..., None]], axis=2)
        over = settled.pop("over")
        settled["answer"] = tf.where(settled["unfinished"][:, None], ids[:, 0], settled["answer"])
        # Rows that are over cost nothing more: what goes on is gathered by its beam, and by its row at the same time.
        still = tf.cast(tf.where(~over)[:, 0], tf.int32)
        beam = tf.reshape(still[:, None] * beams + tf.gather(parent, still), [-1])

        def ancestors(each: Tensor) -> Tensor:
            inner = tf.shape(each)[2:]
            flat = tf.reshape(each, tf.concat([[-1], inner], 0))
            return tf.reshape(tf.gather(flat, beam), tf.concat([[-1, beams], inner], 0))

        def of_rows(each: Tensor) -> Tensor:
            return tf.gather(each, still)

        return {
            "place": pieces,
            "rows": of_rows(rows),
            "newest": of_rows(newest),
            "ids": of_rows(ids),
            "log_probability": of_rows(log_probability),
            "caches": tf.nest.map_structure(ancestors, tuple(caches)),
            "left": ancestors(state["left"]) & (of_rows(newest)[..., None] != once),
            "source": tf.cond(
                tf.reduce_any(over),
                lambda: tf.nest.map_structure(of_rows, state["source"]),
                lambda: state["source"],
            ),
            **{
                name: tf.tensor_scatter_nd_update(value, rows[:, None], settled[name])
                for name, value in best_of_all.items()
            },
        }

    in_source = tf.reduce_any(tf.cast(token_ids if own is None else own, tf.int32)[..., None] == once, axis=1)
    state: State = {
        "place": tf.constant(0),
        "rows": tf.range(batch),
        "newest": tf.fill([batch, beams], how.start_id),
        "ids": tf.zeros([batch, beams, 0], tf.int32),
        # All begin alike: only one of them counts.
        "log_probability": tf.tile(tf.where(tf.range(beams) == 0, 0.0, _NEVER)[None], [batch, 1]),
        "caches": tuple(network.empty_cache(batch, beams) for _ in network.decoder_blocks),
        "left": tf.tile(in_source[:, None], [1, beams, 1]),
        "source": (tuple(network.remember(source)), source.bias),
        "answer": tf.zeros([batch, 0], tf.int32),
        "lengths": tf.zeros([batch], tf.int32),
        "score": tf.fill([batch], _NEVER),
        "unfinished": tf.zeros([batch], tf.bool),
    }
    shapes = tf.nest.map_structure(lambda each: tf.TensorShape([None] * each.shape.rank), state)
    (end,) = tf.while_loop(lambda state: tf.size(state["rows"]) > 0, lambda state: (step(state),), (state,), (shapes,))
    return {"ids": end["answer"], **{name: end[name] for name in ("lengths", "score", "unfinished")}}


def _allowed(how: Search, size: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Log-probabilities (B, W, V) of which those that must not be written are -∞.

    It takes them with ``left`` bool (B, W, K), which of ``once`` may be written, and ``room`` int32 (B,), how many
    pieces may be.
    """
    ids = np.arange(size)
    end, others, never = ids == how.end_id, ~np.isin(ids, list(how.once)), np.isin(ids, list(how.never))
    columns = np.eye(size, dtype=np.float32)[list(how.once)]

    def allowed(steps: Tensor, left: Tensor, room: Tensor) -> Tensor:
        def where_some_are_left() -> Tensor:
            spent = tf.reshape(1.0 - tf.cast(left, tf.float32), [-1, len(how.once)])
            blocked = never | tf.reshape(tf.matmul(spent, columns) > 0, tf.shape(steps))
            if how.all_of_them:
                lacking = tf.reduce_sum(tf.cast(left, tf.int32), axis=2, keepdims=True)
                # [SEP] needs a place too.
                blocked |= (lacking > 0) & (end | ((lacking >= room[:, None, None] - 1) & others))
            return tf.where(blocked, _NEVER, steps)

        return tf.cond(tf.reduce_any(left), where_some_are_left, lambda: tf.where(never | ~others, _NEVER, steps))

    return allowed


def _top(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` highest values of each row of (B, n) and their indices; of equal ones the lower index.

    ``top_k`` of all takes about as long as the product that makes the logits, and a maximum a seventh of that: so the
    best are sought in the blocks that have the highest maxima, which hold them.
    """
    width = values.shape[1]
    block = max(each for each in range(1, 129) if width % each == 0 and width // each >= count)
    if block < 8:
        return tuple(tf.math.top_k(values, count))
    blocks = tf.reshape(values, [-1, width // block, block])
    which = tf.sort(tf.math.top_k(tf.reduce_max(blocks, axis=2), count).indices)
    best, place = tf.math.top_k(tf.reshape(tf.gather(blocks, which, batch_dims=1), [-1, count * block]), count)
    return best, tf.gather(which, place // block, batch_dims=1) * block + place % block


def _settled(
    how: Search,
    state: State,
    known: dict[str, Tensor],
    longest: Tensor,
    parent: Tensor,
    ends: Tensor,
    log_probability: Tensor,
) -> dict[str, Tensor]:
    """The best answers of the rows after a step; and which rows are ``over``.

    Args:
      how: to search.
      state: before the step.
      known: the best answers before it; ``answer`` has room for the step's piece.
      longest: int32 (b,).
      parent: int32 (b, 2·W), the beam that each candidate goes on from.
      ends: float32 (b, 2·W), the score of each that ends; -∞ of the others.
      log_probability: float32 (b, W), of the beams that go on.
    """
    pieces = state["place"] + 1
    first = tf.argmax(ends, axis=1, output_type=tf.int32)
    ended = tf.gather(ends, first, batch_dims=1)
    better = ended > known["score"]
    score = tf.where(better, ended, known["score"])
    written = tf.gather(state["ids"], tf.gather(parent, first, batch_dims=1), batch_dims=1)
    at_end = pieces >= longest
    # At its longest, a row without a finished answer takes the best that it has.
    cut = at_end & (score == _NEVER)
    # No beam gets a better score than its log-probability over the penalty of the longest answer.
    beaten = score > _NEVER if how.beam == 1 else log_probability[:, 0] / how.penalty(longest) <= score
    return {
        "answer": tf.where(better[:, None], tf.pad(written, [[0, 0], [0, 1]]), known["answer"]),
        "lengths": tf.where(better, state["place"], tf.where(cut, pieces, known["lengths"])),
        "score": tf.where(cut, log_probability[:, 0] / how.penalty(pieces), score),
        "unfinished": cut,
        "over": at_end | beaten,
    }
