"""The encoder–decoder Transformer (Vaswani et al. 2017), pre-LayerNorm, in the layout of mBART (Liu et al. 2020).

Learned positions, LayerNorm on the embeddings and behind the last block of both sides, GELU, one table for source,
target and output: ``transformers.MBartForConditionalGeneration`` with ``scale_embedding=False`` computes the same.
Everything but attention runs on the real pieces only.

Axes: B batch, S source pieces, T target pieces, N real pieces of a batch, W beams, H heads, d width of a head,
D hidden, V vocabulary.
"""

import dataclasses
import functools
import itertools
from typing import Any

import keras
import tensorflow as tf

from models.bert import kernels
from models.bert.block import Dropout, LayerNorm
from models.bert.real_tokens import RealTokens
from models.translation.blocks import DecoderBlock, EncoderBlock, Memory

Tensor = Any
# Added to the scores of pairs that must not attend; exp() of it is 0 in float32 and bfloat16.
_BLOCKED = -1e9
_ROOM = 16  # pieces that caches grow by


@dataclasses.dataclass(frozen=True)
class Source:
    """What decoding reads of the sources.

    Attributes:
      states: (N, D), the encoder's, of the real pieces, row after row.
      tokens: between these and the grid (B, S).
      bias: (B, 1, 1, S), added to the scores of cross-attention.
    """

    states: Tensor
    tokens: RealTokens
    bias: Tensor


@dataclasses.dataclass(frozen=True)
class Seen:
    """Attention weights, a tensor a block.

    Attributes:
      encoder: (B, H, S, S).
      decoder: of its self-attention, (B, H, T, T).
      cross: of its cross-attention, (B, H, T, S).
    """

    encoder: list[Tensor] = dataclasses.field(default_factory=list)
    decoder: list[Tensor] = dataclasses.field(default_factory=list)
    cross: list[Tensor] = dataclasses.field(default_factory=list)


class Transformer(keras.layers.Layer):
    """Encoder and decoder. The weights exist from the start.

    Args:
      vocabulary_size: V, of both languages.
      num_layers: blocks of the encoder.
      num_decoder_layers: blocks of the decoder.
      hidden_dim: D.
      num_heads: H; divides D.
      intermediate_dim: width of the feed-forward layers; 4·D where not given.
      max_positions: longest row of either side, in pieces.
      dropout: of the embeddings and of each sublayer's output.
      attention_dropout: of the attention weights.
      layer_norm_epsilon: of every LayerNorm.

    Raises:
      ValueError: if ``num_heads`` does not divide ``hidden_dim``.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        num_layers: int,
        num_decoder_layers: int,
        hidden_dim: int,
        num_heads: int,
        intermediate_dim: int | None = None,
        max_positions: int = 256,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        layer_norm_epsilon: float = 1e-5,
        name: str = "transformer",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if hidden_dim % num_heads:
            raise ValueError(
                f"num_heads must divide hidden_dim. Received: num_heads={num_heads}, hidden_dim={hidden_dim}"
            )
        self.vocabulary_size, self.max_positions = vocabulary_size, max_positions
        self.num_layers, self.num_decoder_layers = num_layers, num_decoder_layers
        self.hidden_dim, self.num_heads = hidden_dim, num_heads
        self.intermediate_dim, self.layer_norm_epsilon = intermediate_dim or 4 * hidden_dim, layer_norm_epsilon
        self.dropout, self.attention_dropout = dropout, attention_dropout
        self.build()

    def build(self, input_shape: Any = None) -> None:  # noqa: ARG002
        """Creates the weights; every width is known without an input."""

        def table(name: str, rows: int) -> Any:
            # As fairseq begins (models/transformer): tied logits of normalised states have variance 1.
            start = keras.initializers.RandomNormal(stddev=self.hidden_dim**-0.5)
            return self.add_weight(name=name, shape=(rows, self.hidden_dim), initializer=start)

        def norm(name: str) -> LayerNorm:
            return LayerNorm(self.hidden_dim, self.layer_norm_epsilon, name=name)

        sizes = (self.hidden_dim, self.num_heads, self.intermediate_dim)
        rates = (self.dropout, self.attention_dropout, self.layer_norm_epsilon)
        self.token_embedding = table("token_embedding", self.vocabulary_size)
        self.source_positions = table("source_positions", self.max_positions)
        self.target_positions = table("target_positions", self.max_positions)
        self.source_norm, self.source_end = norm("source_norm"), norm("source_end")
        self.target_norm, self.target_end = norm("target_norm"), norm("target_end")
        # Attributes: tf.train.Checkpoint does not look into Keras's lists.
        for i in range(self.num_layers):
            setattr(self, f"encoder_block_{i}", EncoderBlock(*sizes, *rates, name=f"encoder_block_{i}"))
        for i in range(self.num_decoder_layers):
            setattr(self, f"decoder_block_{i}", DecoderBlock(*sizes, *rates, name=f"decoder_block_{i}"))
        self.seeds = keras.random.SeedGenerator(name="dropout_seed")
        self.built = True

    @property
    def encoder_blocks(self) -> list[EncoderBlock]:
        """From the first to the last."""
        return [getattr(self, f"encoder_block_{i}") for i in range(self.num_layers)]

    @property
    def decoder_blocks(self) -> list[DecoderBlock]:
        """From the first to the last."""
        return [getattr(self, f"decoder_block_{i}") for i in range(self.num_decoder_layers)]

    @property
    def layers_of_variables(self) -> list[list[keras.Variable]]:
        """The embeddings' variables, then each block's, the encoder's first. What ends a side is in none."""
        tables = [self.token_embedding, self.source_positions, self.target_positions]
        norms = [*self.source_norm.variables, *self.target_norm.variables]
        return [[*tables, *norms], *(block.variables for block in (*self.encoder_blocks, *self.decoder_blocks))]

    def freeze(self, blocks: int) -> None:
        """Takes the embeddings and the first ``blocks`` blocks out of ``trainable_variables``."""
        for variable in itertools.chain(*self.layers_of_variables[: 1 + blocks]):
            variable.trainable = False

    def encode(
        self, token_ids: Tensor, padding_mask: Tensor, training: bool = False, seen: Seen | None = None
    ) -> Source:
        """The sources.

        Args:
          token_ids: int (B, S).
          padding_mask: bool (B, S), true on real pieces; a row has at least one.
          training: whether to drop out.
          seen: gets the attention weights.
        """
        self._check_length(token_ids.shape[1])
        tokens, drop, bias = RealTokens(padding_mask), self._dropper(training), self._padding_bias(padding_mask)
        positions = tf.gather(self.source_positions, tokens.positions)
        x = tf.gather(self.token_embedding, tokens.gather(token_ids)) + positions
        x = drop(self.source_norm(x), self.dropout)
        for block in self.encoder_blocks:
            ways: dict[str, Any] = {"bias": bias, "drop": drop, "to_grid": tokens.scatter, "from_grid": tokens.gather}
            x = block(x, **ways) if seen is None else block.call(x, **ways, seen=seen.encoder)
        return Source(self.source_end(x), tokens, bias)

    def attentions(self, token_ids: Tensor, padding_mask: Tensor, target_in: Tensor, target_mask: Tensor) -> Seen:
        """Where every head looks; the arguments are those of ``call``."""
        seen = Seen()
        self.call(token_ids, padding_mask, target_in, target_mask, seen=seen)
        return seen

    def call(
        self,
        token_ids: Tensor,
        padding_mask: Tensor,
        target_in: Tensor,
        target_mask: Tensor,
        training: bool = False,
        seen: Seen | None = None,
    ) -> Tensor:
        """Logits of the next piece, behind every real piece of the targets.

        Args:
          token_ids: int (B, S).
          padding_mask: bool (B, S), true on real pieces.
          target_in: int (B, T), [CLS] and the pieces of the target.
          target_mask: bool (B, T), true on real pieces; padding is behind them.
          training: whether to drop out.
          seen: gets the attention weights; Keras copies what it is called with, so only ``attentions`` gives one.

        Returns:
          (N, V), row after row.
        """
        self._check_length(target_in.shape[1])
        source, drop = self.encode(token_ids, padding_mask, training, seen), self._dropper(training)
        tokens = RealTokens(target_mask)
        place = tf.range(tf.shape(target_in)[1])
        # Padding is behind the real pieces, so no real piece sees it.
        bias = tf.cast(tf.where(place[:, None] >= place, 0.0, _BLOCKED), self.compute_dtype)[None, None]
        x = tf.gather(self.token_embedding, tokens.gather(target_in))
        x = drop(self.target_norm(x + tf.gather(self.target_positions, tokens.positions)), self.dropout)
        for block, memory in zip(self.decoder_blocks, self.remember(source), strict=True):
            ways: dict[str, Any] = {"drop": drop, "to_grid": tokens.scatter, "from_grid": tokens.gather}
            ways |= {"bias": bias, "memory": memory, "memory_bias": source.bias}
            x = block(x, **ways) if seen is None else block.call(x, **ways, seen=seen.decoder, across=seen.cross)
        return self._logits(self.target_end(x))

    def remember(self, source: Source) -> list[Memory]:
        """What each decoder block's cross-attention reads of the sources."""
        return [block.remember(source.states, source.tokens.scatter) for block in self.decoder_blocks]

    def step(
        self, ids: Tensor, place: Tensor, caches: list[Memory], memories: list[Memory], bias: Tensor, table: Tensor
    ) -> tuple[Tensor, list[Memory]]:
        """One piece more for each beam.

        Args:
          ids: int (B, W), the newest piece of each.
          place: int32 scalar, from 0.
          caches: of each decoder block, keys and values, (B, W, H, T, d) each, as ``empty_cache`` or the step before
            left them; the beams may have been gathered.
          memories: of ``remember``.
          bias: of the ``Source``.
          table: of ``output_table``.

        Returns:
          Logits of the next piece, (B, W, V), and the caches with this one.
        """
        caches = tf.cond(tf.equal(place % _ROOM, 0), lambda: _with_room(caches), lambda: caches)
        x = self.target_norm(tf.gather(self.token_embedding, ids) + tf.gather(self.target_positions, place))
        seen = tf.cast(tf.where(tf.range(tf.shape(caches[0][0])[3]) <= place, 0.0, _BLOCKED), self.compute_dtype)
        longer = []
        for block, cache, memory in zip(self.decoder_blocks, caches, memories, strict=True):
            x, cache = block.step(x, place, cache, seen, memory, bias)
            longer.append(cache)
        rows = tf.matmul(tf.reshape(self.target_end(x), [-1, self.hidden_dim]), table)
        return tf.reshape(rows, [*tf.unstack(tf.shape(ids)), self.vocabulary_size]), longer

    def output_table(self) -> Tensor:
        """(D, V): the tokens' embeddings as ``step`` multiplies by them.

        TensorFlow's product of few rows with a transposed matrix takes up to five times as long as with this one.
        """
        return tf.transpose(self.token_embedding)

    def empty_cache(self, batch: Tensor, beams: int) -> Memory:
        """What ``step`` takes for the first piece, of one block."""
        empty = tf.zeros([batch, beams, self.num_heads, 0, self.hidden_dim // self.num_heads], self.compute_dtype)
        return empty, empty

    def _logits(self, x: Tensor) -> Tensor:
        rows = kernels.products(tf.reshape(x, [-1, self.hidden_dim]), self.token_embedding)
        return tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [self.vocabulary_size]], 0))

    def _padding_bias(self, padding_mask: Tensor) -> Tensor:
        return tf.cast(tf.where(padding_mask, 0.0, _BLOCKED), self.compute_dtype)[:, None, None, :]

    def _dropper(self, training: bool) -> Dropout:
        return functools.partial(kernels.dropout, seeds=self.seeds if training else None)

    def _check_length(self, length: int | None) -> None:
        if length is not None and length > self.max_positions:
            raise ValueError(
                f"rows must not be longer than max_positions, {self.max_positions} pieces. Received: {length} pieces"
            )


def _with_room(caches: list[Memory]) -> list[Memory]:
    """For so many pieces more."""
    wider: list[Memory] = tf.nest.map_structure(
        lambda each: tf.pad(each, [[0, 0], [0, 0], [0, 0], [0, _ROOM], [0, 0]]), caches
    )
    return wider
