"""BERT's encoder and its two pretraining heads (Devlin et al. 2019; post-LayerNorm blocks, Vaswani et al. 2017).

One set of weights, two ways through it: ``BertEncoder.call`` computes on the padded grid with ``keras.ops`` alone (any
backend, jit, packed rows), ``BertEncoder.padding_free`` runs everything but attention on the real tokens only
(TensorFlow; half the CPU time on texts of mixed length). They agree to 1e-6.

Axes: B batch, S sequence, T real tokens, H heads, D hidden, V vocabulary, M masked tokens.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from models.bert import kernels
from models.bert.block import Block, Dropout, LayerNorm, Linear, Select, initializer

Tensor = Any
# Google's reference: added to the scores of pairs that must not attend; exp() of it is 0 in float32 and bfloat16.
_BLOCKED = -1e9


class BertEncoder(keras.layers.Layer):
    """Embeddings, blocks and pooler. The weights exist from the start.

    Args:
      vocabulary_size: V.
      num_layers: blocks.
      hidden_dim: D.
      num_heads: H; divides D.
      intermediate_dim: width of the feed-forward layers; 4·D where not given.
      max_positions: longest row, in tokens.
      num_segments: kinds of ``segment_ids``.
      dropout: of the embeddings and of each sublayer's output.
      attention_dropout: of the attention weights.
      layer_norm_epsilon: of every LayerNorm.
      causal: whether a token attends only to itself and to those before it in its row.
      kept_heads: of each block, which of the ``num_heads`` it has, by their numbers; all where not given. What
        ``models.bert.pruned`` makes; ``head_mask`` takes encoders that have all.

    Raises:
      ValueError: if ``num_heads`` does not divide ``hidden_dim``.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        num_layers: int,
        hidden_dim: int,
        num_heads: int,
        intermediate_dim: int | None = None,
        max_positions: int = 512,
        num_segments: int = 2,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        layer_norm_epsilon: float = 1e-12,
        causal: bool = False,
        kept_heads: Sequence[Sequence[int]] | None = None,
        name: str = "encoder",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if hidden_dim % num_heads:
            raise ValueError(
                f"num_heads must divide hidden_dim. Received: num_heads={num_heads}, hidden_dim={hidden_dim}"
            )
        self.vocabulary_size, self.max_positions, self.num_segments = vocabulary_size, max_positions, num_segments
        self.num_layers, self.hidden_dim, self.num_heads = num_layers, hidden_dim, num_heads
        self.intermediate_dim, self.layer_norm_epsilon = intermediate_dim or 4 * hidden_dim, layer_norm_epsilon
        self.dropout, self.attention_dropout, self.causal = dropout, attention_dropout, causal
        # A tuple: Keras would wrap a list in one of its own, which JSON does not know.
        self.kept_heads = tuple(tuple(heads) for heads in kept_heads or [range(num_heads)] * num_layers)
        self._head_mask: list[Tensor] = []  # of the block of ``masked`` around a call
        self._embedded: list[Tensor] = []  # of that of ``embedded``
        self.build()

    def build(self, input_shape: Any = None) -> None:  # noqa: ARG002
        """Creates the weights; every width is known without an input."""

        def table(name: str, rows: int) -> Any:
            return self.add_weight(name=name, shape=(rows, self.hidden_dim), initializer=initializer())

        self.token_embedding = table("token_embedding", self.vocabulary_size)
        self.position_embedding = table("position_embedding", self.max_positions)
        self.segment_embedding = table("segment_embedding", self.num_segments)
        self.embedding_norm = LayerNorm(self.hidden_dim, self.layer_norm_epsilon, name="embedding_norm")
        for i in range(self.num_layers):
            # Attributes: tf.train.Checkpoint does not look into Keras's lists.
            setattr(self, f"block_{i}", self._block(f"block_{i}", len(self.kept_heads[i])))
        self.pooler = Linear(self.hidden_dim, self.hidden_dim, name="pooler")
        self.seeds = keras.random.SeedGenerator(name="dropout_seed")
        self.built = True

    def _block(self, name: str, num_heads: int) -> Block:
        return Block(
            self.hidden_dim,
            num_heads,
            self.hidden_dim // self.num_heads,
            self.intermediate_dim,
            self.dropout,
            self.attention_dropout,
            self.layer_norm_epsilon,
            name=name,
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """What an encoder of this shape is made with, ``kept_heads`` left out."""
        names = ("vocabulary_size", "num_layers", "hidden_dim", "num_heads", "intermediate_dim", "max_positions")
        more = ("num_segments", "dropout", "attention_dropout", "layer_norm_epsilon", "causal")
        return {name: getattr(self, name) for name in (*names, *more)}

    @property
    def told_heads(self) -> str:
        """``12 heads``; ``12 heads, 50 of 72 kept``."""
        kept, of = sum(map(len, self.kept_heads)), self.num_layers * self.num_heads
        return f"{self.num_heads} heads" + (f", {kept} of {of} kept" if kept < of else "")

    @property
    def blocks(self) -> list[Block]:
        """From the first to the last."""
        return [getattr(self, f"block_{i}") for i in range(self.num_layers)]

    @property
    def layers_of_variables(self) -> list[list[keras.Variable]]:
        """The embeddings' variables, then each block's. The pooler's are in none: it is nearer to the head."""
        tables = [self.token_embedding, self.position_embedding, self.segment_embedding]
        return [[*tables, *self.embedding_norm.variables], *(block.variables for block in self.blocks)]

    def freeze(self, blocks: int) -> None:
        """Takes the embeddings and the first ``blocks`` blocks out of ``trainable_variables``."""
        for variable in itertools.chain(*self.layers_of_variables[: 1 + blocks]):
            variable.trainable = False

    @contextlib.contextmanager
    def masked(self, head_mask: Tensor) -> Iterator[None]:
        """Whatever calls the encoder in this block masks these heads: a task's model need not pass the mask on.

        Args:
          head_mask: as ``call`` takes it. A graph that is traced in the block keeps it.
        """
        self._head_mask.append(head_mask)
        try:
            yield
        finally:
            self._head_mask.pop()

    @contextlib.contextmanager
    def embedded(self, vectors: Tensor) -> Iterator[None]:
        """Whatever calls the encoder in this block goes on from these embeddings, in the place of its own.

        Args:
          vectors: as they come out of the embeddings: (T, D) of the real tokens, (B, S, D) of ``call``.
        """
        self._embedded.append(vectors)
        try:
            yield
        finally:
            self._embedded.pop()

    def call(
        self,
        token_ids: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor,
        position_ids: Tensor | None = None,
        group_ids: Tensor | None = None,
        training: bool = False,
        return_all: bool = False,
        kept_tokens: Tensor | None = None,
        head_mask: Tensor | None = None,
        token_vectors: Tensor | None = None,
    ) -> dict[str, Any]:
        """The padded grid.

        Args:
          token_ids: int (B, S).
          segment_ids: int (B, S), 0 for the first text of a pair and 1 for the second.
          padding_mask: bool (B, S), true on real tokens.
          position_ids: int (B, S); 0 … S-1 where not given.
          group_ids: int (B, S): packed rows; tokens attend only within their group.
          training: whether to drop out.
          return_all: whether to return ``hidden_states`` and ``attentions`` too.
          kept_tokens: int (K,), tokens by their place in the grid B·S: the last block computes only these. None
            computes all.
          head_mask: float (L, H) or (B, L, H), L being the blocks: what each head's attention weights are multiplied
            with; 0 takes a head out.
          token_vectors: (V, D), in the place of ``token_embedding``.

        Returns:
          ``sequence`` (B, S, D), with ``kept_tokens`` (K, D) in its order; ``pooled`` (B, D) from each row's first
          token; with ``return_all``, ``hidden_states`` (the embeddings' and each block's output, B, S, D) and
          ``attentions`` (each block's weights, B, H, S, S, before dropout and ``head_mask``).
        """
        self._check_length(token_ids.shape[1])
        if position_ids is None:
            positions = self.position_embedding[: ops.shape(token_ids)[1]]
        else:
            positions = ops.take(self.position_embedding, position_ids, axis=0)
        bias = self._bias(padding_mask, group_ids)
        drop = self._dropper(training)
        x = self._embed(token_ids, segment_ids, positions, drop, token_vectors)
        batch, length = ops.shape(token_ids)
        last: dict[str, Select] = {}
        if kept_tokens is not None:
            # The pooler reads the rows' first tokens.
            kept = ops.concatenate([kept_tokens, ops.cast(ops.arange(batch) * length, kept_tokens.dtype)])
            last = dict.fromkeys(
                ("from_grid", "residual"), lambda x: ops.take(ops.reshape(x, (-1, x.shape[-1])), kept, axis=0)
            )
        hidden_states, attentions = [x], []
        head_mask = self._mask(head_mask)
        for index, block in enumerate(self.blocks):
            masked = _of_block(head_mask, index)
            x, weights = block(x, bias=bias, drop=drop, **masked, **(last if block is self.blocks[-1] else {}))
            hidden_states.append(x)
            attentions.append(weights)
        sequence, first = (x, x[:, 0]) if kept_tokens is None else (x[:-batch], x[-batch:])
        out = {"sequence": sequence, "pooled": self._pool(first)}
        return {**out, "hidden_states": hidden_states, "attentions": attentions} if return_all else out

    def padding_free(
        self,
        token_ids: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor,
        training: bool = False,
        kept_tokens: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        token_vectors: Tensor | None = None,
    ) -> dict[str, Any]:
        """The same on the real tokens only; padded again for attention alone. TensorFlow, any B and S.

        Args:
          token_ids: int (B, S).
          segment_ids: int (B, S).
          padding_mask: bool (B, S), true on real tokens; a row's first token is real.
          training: whether to drop out.
          kept_tokens: int (K,), real tokens by their place in the grid B·S: the last block computes no others, and
            ``sequence`` holds these, in this order. None computes all; an empty one only ``pooled``.
          position_ids: int (B, S); 0 … S-1 where not given.
          head_mask: float (L, H) or (B, L, H), as above.
          token_vectors: (V, D), in the place of ``token_embedding``.

        Returns:
          ``sequence`` (T, D): the real tokens, row after row; ``indices`` int64 (T,): their places in the grid B·S;
          ``pooled`` (B, D). With ``kept_tokens``, (K, D) and (K,).
        """
        import tensorflow as tf

        from models.bert.real_tokens import RealTokens

        self._check_length(token_ids.shape[1])
        tokens = RealTokens(padding_mask)
        grid = {
            "bias": self._bias(padding_mask),
            "drop": self._dropper(training),
            "to_grid": tokens.scatter,
        }
        place = tokens.positions if position_ids is None else tokens.gather(position_ids)
        positions = tf.gather(self.position_embedding, place)
        segments = tokens.gather(segment_ids)
        x = self._embed(tokens.gather(token_ids), segments, positions, grid["drop"], token_vectors)
        head_mask = self._mask(head_mask)
        for index, block in enumerate(self.blocks[:-1]):
            x, _ = block(x, from_grid=tokens.gather, **_of_block(head_mask, index), **grid)
        grid |= _of_block(head_mask, self.num_layers - 1)
        if kept_tokens is None:
            x, _ = self.blocks[-1](x, from_grid=tokens.gather, **grid)
            return {
                "sequence": x,
                "indices": tokens.indices,
                "pooled": self._pool(tf.gather(x, tokens.ordinals(tokens.first))),
            }
        # The pooler reads the rows' first tokens.
        kept = tf.concat([kept_tokens, tf.cast(tokens.first, kept_tokens.dtype)], axis=0)
        x, _ = self.blocks[-1](
            x,
            from_grid=lambda x: tf.gather(tf.reshape(x, [-1, x.shape[-1]]), kept),
            residual=lambda x: tf.gather(x, tokens.ordinals(kept)),
            **grid,
        )
        sequence, first = tf.split(x, [tf.size(kept_tokens), -1])
        return {"sequence": sequence, "indices": kept_tokens, "pooled": self._pool(first)}

    def _embed(
        self,
        token_ids: Tensor,
        segment_ids: Tensor,
        positions: Tensor,
        drop: Dropout,
        token_vectors: Tensor | None = None,
    ) -> Tensor:
        if self._embedded:
            return self._embedded[-1]
        table = self.token_embedding if token_vectors is None else token_vectors
        x = ops.take(table, token_ids, axis=0) + ops.take(self.segment_embedding, segment_ids, axis=0)
        return drop(self.embedding_norm(x + positions), self.dropout)

    def _bias(self, padding_mask: Tensor, group_ids: Tensor | None = None) -> Tensor:
        """What is added to the attention scores, (B, 1, 1 or S, S): nothing where a token may attend to another."""
        allowed = padding_mask[:, None, None, :]
        if group_ids is not None:
            allowed = ops.logical_and(allowed, ops.equal(group_ids[:, None, :, None], group_ids[:, None, None, :]))
        if self.causal:
            place = ops.arange(ops.shape(padding_mask)[1])
            allowed = ops.logical_and(allowed, place[:, None] >= place)
        return ops.cast(ops.where(allowed, 0.0, _BLOCKED), self.compute_dtype)

    def _mask(self, given: Tensor | None) -> Tensor | None:
        return self._head_mask[-1] if given is None and self._head_mask else given

    def _pool(self, first: Tensor) -> Tensor:
        return ops.tanh(self.pooler(first))

    def _dropper(self, training: bool) -> Dropout:
        return functools.partial(kernels.dropout, seeds=self.seeds if training else None)

    def _check_length(self, length: int | None) -> None:
        if length is not None and length > self.max_positions:
            raise ValueError(
                f"rows must not be longer than max_positions, {self.max_positions} tokens. Received: {length} tokens"
            )


def _of_block(head_mask: Tensor | None, index: int) -> dict[str, Tensor]:
    return {} if head_mask is None else {"head_mask": head_mask[..., index, :]}


class MaskedLanguageHead(keras.layers.Layer):
    """Scores every piece of the vocabulary, with the token embedding as the projection (Devlin et al. 2019, 3.1).

    Args:
      encoder: whose embedding is tied; it stays the encoder's variable.
    """

    def __init__(self, encoder: BertEncoder, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # In a closure: as an attribute, the encoder's variables would be listed as this layer's too.
        self._table: Callable[[], Any] = lambda: encoder.token_embedding
        self.vocabulary_size, self.hidden_dim, self.epsilon = (
            encoder.vocabulary_size,
            encoder.hidden_dim,
            encoder.layer_norm_epsilon,
        )
        self.build()

    def build(self, input_shape: Any = None) -> None:  # noqa: ARG002
        """Creates the weights; every width is known without an input."""
        self.transform = Linear(self.hidden_dim, self.hidden_dim, name="transform")
        self.norm = LayerNorm(self.hidden_dim, self.epsilon, name="norm")
        self.bias = self.add_weight(name="bias", shape=(self.vocabulary_size,), initializer="zeros")
        self.built = True

    def call(self, hidden: Tensor) -> Tensor:
        """Logits (M, V) of the masked tokens' hidden states (M, D)."""
        return kernels.products(self.states(hidden), self._table()) + self.bias

    def states(self, hidden: Tensor) -> Tensor:
        """What is multiplied with the table: (M, D) of hidden states (M, D)."""
        return self.norm(kernels.gelu(self.transform(hidden)))


class NextSentenceHead(keras.layers.Layer):
    """Whether the second text followed the first: index 0 says yes (Devlin et al.'s released code)."""

    def __init__(self, hidden_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.build()

    def build(self, input_shape: Any = None) -> None:  # noqa: ARG002
        """Creates the weights; every width is known without an input."""
        self.logits = Linear(self.hidden_dim, 2, name="logits")
        self.built = True

    def call(self, pooled: Tensor) -> Tensor:
        """Logits (B, 2) of pooled vectors (B, D)."""
        return self.logits(pooled)
