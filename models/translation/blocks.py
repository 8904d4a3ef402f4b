"""Blocks of an encoder and a decoder, pre-LayerNorm (Xiong et al. 2020), in the layout of mBART (Liu et al. 2020).

Axes: B batch, S source pieces, T target pieces, N real pieces of a batch, W beams, H heads, d width of a head, D = H·d.
"""

from typing import Any

import keras
import tensorflow as tf

from models.bert import kernels
from models.bert.block import Dropout, LayerNorm, Linear, Select

Tensor = Any
# What cross-attention reads of the source: keys and values, float32 (B, H, S, d).
Memory = tuple[Tensor, Tensor]


def _linear(inputs: int, width: int, name: str) -> Linear:
    """As fairseq begins (modules/multihead_attention.py): 0.02, which suits BERT's widths, makes narrow ones slow."""
    return Linear(inputs, width, keras.initializers.GlorotUniform(), name=name)


class EncoderBlock(keras.layers.Layer):
    """Self-attention and feed-forward; LayerNorm before each, dropout and the residual behind each."""

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        intermediate_dim: int,
        dropout: float,
        attention_dropout: float,
        epsilon: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim, self.num_heads, self.intermediate_dim = hidden_dim, num_heads, intermediate_dim
        self.dropout, self.attention_dropout, self.epsilon = dropout, attention_dropout, epsilon
        self.build()

    def build(self, input_shape: Any = None) -> None:  # noqa: ARG002
        """Creates the weights; every width is known without an input."""
        width = self.hidden_dim
        self.attention_norm = LayerNorm(width, self.epsilon, name="attention_norm")
        self.qkv = _linear(width, 3 * width, name="qkv")
        self.projection = _linear(width, width, name="projection")
        self.output_norm = LayerNorm(width, self.epsilon, name="output_norm")
        self.intermediate = _linear(width, self.intermediate_dim, name="intermediate")
        self.output_dense = _linear(self.intermediate_dim, width, name="output")
        self.built = True

    def call(
        self,
        x: Tensor,
        bias: Tensor,
        drop: Dropout,
        to_grid: Select,
        from_grid: Select,
        seen: list[Tensor] | None = None,
    ) -> Tensor:
        """One block.

        Args:
          x: (N, D), the real pieces.
          bias: (B, 1, 1 or S, S), added to the attention scores.
          drop: tensor and rate to the dropped-out tensor.
          to_grid: (N, M) to (B, S, M).
          from_grid: (B, S, M) to (N, M).
          seen: gets the attention weights, (B, H, S, S). Keras copies lists: only ``call`` itself takes one.
        """
        return self.feed_forward(self.attend(x, bias, drop, to_grid, from_grid, seen), drop)

    def attend(
        self,
        x: Tensor,
        bias: Tensor,
        drop: Dropout,
        to_grid: Select,
        from_grid: Select,
        seen: list[Tensor] | None = None,
    ) -> Tensor:
        """The first half: ``x`` (N, D), to which self-attention has added."""
        query, key, value = self.heads(to_grid(self.qkv(self.attention_norm(x))), 3)
        context = from_grid(self.merged(self.weighed(query, key, value, bias, drop, seen)))
        return x + drop(self.projection(context), self.dropout)

    def feed_forward(self, x: Tensor, drop: Dropout) -> Tensor:
        """The last part: (…, D), to which the feed-forward layers have added."""
        hidden = kernels.gelu(self.intermediate(self.output_norm(x)))
        return x + drop(self.output_dense(hidden), self.dropout)

    def heads(self, x: Tensor, parts: int) -> list[Tensor]:
        """(B, S, parts·D) to ``parts`` tensors (B, H, S, d)."""
        batch, length = tf.unstack(tf.shape(x)[:2])
        grid = tf.reshape(x, [batch, length, parts, self.num_heads, self.hidden_dim // self.num_heads])
        # Unstacking: slices would each cost a padded gradient of the whole.
        unstacked: list[Tensor] = tf.unstack(tf.transpose(grid, [2, 0, 3, 1, 4]), num=parts)
        return unstacked

    def weighed(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor,
        drop: Dropout,
        seen: list[Tensor] | None = None,
    ) -> Tensor:
        """Scaled dot-product attention of queries (…, T, d) on keys and values (…, S, d): (…, T, d)."""
        scores = kernels.products(query * (self.hidden_dim // self.num_heads) ** -0.5, key) + bias
        weights = tf.nn.softmax(scores)
        if seen is not None:
            seen.append(weights)
        return tf.matmul(drop(weights, self.attention_dropout), value)

    def merged(self, context: Tensor) -> Tensor:
        """(B, H, S, d) to (B, S, D)."""
        turned = tf.transpose(context, [0, 2, 1, 3])
        return tf.reshape(turned, tf.concat([tf.shape(turned)[:2], [self.hidden_dim]], 0))


class DecoderBlock(EncoderBlock):
    """An encoder's block with cross-attention between its halves."""

    def build(self, input_shape: Any = None) -> None:
        """Creates the weights; every width is known without an input."""
        super().build(input_shape)
        width = self.hidden_dim
        self.cross_norm = LayerNorm(width, self.epsilon, name="cross_norm")
        self.query = _linear(width, width, name="query")
        self.key_value = _linear(width, 2 * width, name="key_value")
        self.cross_projection = _linear(width, width, name="cross_projection")

    def call(  # type: ignore[override]
        self,
        x: Tensor,
        bias: Tensor,
        memory: Memory,
        memory_bias: Tensor,
        drop: Dropout,
        to_grid: Select,
        from_grid: Select,
        seen: list[Tensor] | None = None,
        across: list[Tensor] | None = None,
    ) -> Tensor:
        """One block.

        Args:
          x: (N, D), the real pieces of the targets.
          bias: (B, 1, T, T), added to the scores of self-attention.
          memory: of ``remember``.
          memory_bias: (B, 1, 1, S), added to the scores of cross-attention.
          drop: tensor and rate to the dropped-out tensor.
          to_grid: (N, M) to (B, T, M).
          from_grid: (B, T, M) to (N, M).
          seen: gets the weights of self-attention, (B, H, T, T), as above.
          across: likewise those of cross-attention, (B, H, T, S).
        """
        x = self.attend(x, bias, drop, to_grid, from_grid, seen)
        (query,) = self.heads(to_grid(self.query(self.cross_norm(x))), 1)
        context = from_grid(self.merged(self.weighed(query, *memory, memory_bias, drop, across)))
        return self.feed_forward(x + drop(self.cross_projection(context), self.dropout), drop)

    def remember(self, states: Tensor, to_grid: Select) -> Memory:
        """What cross-attention reads of the encoder's states (N, D), whose ``to_grid`` makes (B, S, D) of them."""
        keys, values = self.heads(to_grid(self.key_value(states)), 2)
        return keys, values

    def step(
        self, x: Tensor, place: Tensor, cache: Memory, seen: Tensor, memory: Memory, memory_bias: Tensor
    ) -> tuple[Tensor, Memory]:
        """One piece more for each beam, without dropout.

        Args:
          x: (B, W, D), the newest piece.
          place: int32 scalar, where it stands.
          cache: keys and values of the pieces before it, (B, W, H, T, d) each; 0 from ``place`` on, which is below T.
          seen: (T,), added to the scores: 0 up to ``place``, very negative behind it.
          memory: (B, H, S, d) each; the beams share it.
          memory_bias: (B, 1, 1, S).

        Returns:
          (B, W, D), and the cache with the new piece.
        """
        shape, heads, width = tf.shape(cache[0]), self.num_heads, self.hidden_dim // self.num_heads
        batch, beams, _, room, _ = tf.unstack(shape)
        new = tf.reshape(self.qkv(self.attention_norm(x)), [batch, beams, 3, heads, 1, width])
        query, *parts = tf.unstack(new, axis=2)
        at = (tf.range(batch * beams * heads) * room + place)[:, None]

        def written(old: Tensor, part: Tensor) -> Tensor:
            # Of all operations that write rows this one alone takes its input's memory where nothing else reads it
            # (core/kernels/scatter_nd_op.cc); the others, and a concatenation, copy what is there.
            flat, rows = (tf.reshape(each, [-1, width]) for each in (old, part))
            flat = tf.raw_ops.ScatterNdNonAliasingAdd(input=flat, indices=at, updates=rows)
            return tf.reshape(flat, shape)

        key, value = (written(*each) for each in zip(cache, parts, strict=True))
        context = self.weighed(query, key, value, seen, _kept)
        x += self.projection(tf.reshape(context, [batch, beams, self.hidden_dim]))
        # The beams are the axis of the queries: nothing of the source is repeated for them.
        (query,) = self.heads(self.query(self.cross_norm(x)), 1)
        x += self.cross_projection(self.merged(self.weighed(query, *memory, memory_bias, _kept)))
        return self.feed_forward(x, _kept), (key, value)


def _kept(x: Tensor, rate: float) -> Tensor:
    del rate
    return x
