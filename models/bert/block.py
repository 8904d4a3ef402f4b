"""A Transformer block, post-LayerNorm (Vaswani et al. 2017; Devlin et al. 2019), and the layers that it is made of.

Axes: B batch, S sequence, T real tokens, H heads, D hidden.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from models.bert import kernels

Tensor = Any


def initializer() -> keras.initializers.Initializer:
    """Truncated normal, 0.02 (Devlin et al.'s released code). A new one each time: an instance repeats its numbers."""
    return keras.initializers.TruncatedNormal(stddev=0.02)


class Linear(keras.layers.Layer):
    """``x·kernel + bias``: (…, inputs) to (…, width)."""

    def __init__(self, inputs: int, width: int, start: keras.initializers.Initializer | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.inputs, self.width, self.start = inputs, width, start or initializer()
        self.build()

    def build(self, input_shape: Any = None) -> None:  # noqa: ARG002
        """Creates the weights; both widths are known without an input."""
        self.kernel = self.add_weight(name="kernel", shape=(self.inputs, self.width), initializer=self.start)
        self.bias = self.add_weight(name="bias", shape=(self.width,), initializer="zeros")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """(…, inputs) to (…, width)."""
        return kernels.linear(x, self.kernel, self.bias)


class LayerNorm(keras.layers.Layer):
    """Layer normalisation over the last axis, with scale and offset (D,)."""

    def __init__(self, width: int, epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.epsilon = width, epsilon
        self.build()

    def build(self, input_shape: Any = None) -> None:  # noqa: ARG002
        """Creates the weights; the width is known without an input."""
        self.gamma = self.add_weight(name="gamma", shape=(self.width,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(self.width,), initializer="zeros")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """(…, D) to (…, D)."""
        return kernels.layer_norm(x, self.gamma, self.beta, self.epsilon)


Dropout = Callable[[Tensor, float], Tensor]
Select = Callable[[Tensor], Tensor]


def _same(x: Tensor) -> Tensor:
    return x


class Block(keras.layers.Layer):
    """Self-attention and feed-forward, each followed by dropout, the residual and LayerNorm.

    The heads need not fill ``hidden_dim``: a block whose heads were pruned is narrower inside (Michel et al. 2019).
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        head_dim: int,
        intermediate_dim: int,
        dropout: float,
        attention_dropout: float,
        epsilon: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim, self.num_heads, self.head_dim = hidden_dim, num_heads, head_dim
        self.intermediate_dim, self.epsilon = intermediate_dim, epsilon
        self.dropout, self.attention_dropout = dropout, attention_dropout
        self.build()

    def build(self, input_shape: Any = None) -> None:  # noqa: ARG002
        """Creates the weights; every width is known without an input."""
        heads = self.num_heads * self.head_dim
        self.qkv = Linear(self.hidden_dim, 3 * heads, name="qkv")
        self.projection = Linear(heads, self.hidden_dim, name="projection")
        self.attention_norm = LayerNorm(self.hidden_dim, self.epsilon, name="attention_norm")
        self.intermediate = Linear(self.hidden_dim, self.intermediate_dim, name="intermediate")
        self.output_dense = Linear(self.intermediate_dim, self.hidden_dim, name="output")
        self.output_norm = LayerNorm(self.hidden_dim, self.epsilon, name="output_norm")
        self.built = True

    def call(
        self,
        x: Tensor,
        bias: Tensor,
        drop: Dropout,
        to_grid: Select = _same,
        from_grid: Select = _same,
        residual: Select = _same,
        head_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One block.

        Args:
          x: (B, S, D), or (T, D) with ``to_grid`` and ``from_grid``.
          bias: (B, 1, 1 or S, S), added to the attention scores.
          drop: tensor and rate to the dropped-out tensor.
          to_grid: (T, N) to (B, S, N), N being 3·H·``head_dim``.
          from_grid: (B, S, N) to (T, N), or to the (K, N) that are wanted, N being H·``head_dim``.
          residual: (T, D) to the same of ``x``.
          head_mask: float (H,) or (B, H): what each head's weights are multiplied with, behind dropout.

        Returns:
          The output, of the shape of ``x`` or (K, D), and the attention weights (B, H, S, S), before dropout and mask.
        """
        context, weights = self._attend(to_grid(self.qkv(x)), bias, drop, head_mask)
        x = self.attention_norm(residual(x) + drop(self.projection(from_grid(context)), self.dropout))
        hidden = self.output_dense(kernels.gelu(self.intermediate(x)))
        return self.output_norm(x + drop(hidden, self.dropout)), weights

    def _attend(self, qkv: Tensor, bias: Tensor, drop: Dropout, head_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Scaled dot-product attention: (B, S, 3N) to (B, S, N) and the weights (B, H, S, S), N being H·head_dim."""
        batch, length = ops.shape(qkv)[:2]
        grid = ops.reshape(qkv, (batch, length, 3, self.num_heads, self.head_dim))
        # Unstacking: slices would each cost a padded gradient of the whole.
        query, key, value = ops.unstack(ops.transpose(grid, (2, 0, 3, 1, 4)), 3)
        scores = kernels.products(query * self.head_dim**-0.5, key) + bias
        weights = ops.softmax(scores, axis=-1)
        kept = drop(weights, self.attention_dropout)
        if head_mask is not None:
            kept = kept * ops.cast(head_mask, kept.dtype)[..., None, None]
        context = ops.transpose(ops.matmul(kept, value), (0, 2, 1, 3))
        return ops.reshape(context, (batch, length, self.num_heads * self.head_dim)), weights
