"""AdamW as BERT is trained with it: decoupled decay, clipping by the global norm, linear warm-up, then a schedule.

The step equals ``torch.optim.AdamW`` after ``torch.nn.utils.clip_grad_norm_`` to 1e-6.
"""

import abc
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Tensor = Any


@dataclasses.dataclass(frozen=True)
class _Schedule(abc.ABC):
    """Linear warm-up from 0, then a part of the peak (the formulas of transformers' ``get_*_schedule_with_warmup``).

    Attributes:
      peak: the learning rate after ``warmup_steps``.
      warmup_steps: optimizer steps; 0 starts at the peak.
      steps: of the whole training.
    """

    peak: float
    warmup_steps: int
    steps: int

    def __call__(self, step: Tensor | int) -> Tensor:
        """The learning rate, float64 scalar, of the step that follows ``step`` finished ones."""
        done = tf.cast(step, tf.float64)
        rising = done / max(1, self.warmup_steps)
        return self.peak * tf.where(done < self.warmup_steps, rising, self._after(done - self.warmup_steps))

    @abc.abstractmethod
    def _after(self, done: Tensor) -> Tensor:
        """The part of the peak, float64 scalar, after ``done`` steps at and behind it."""

    def _left(self, done: Tensor) -> Tensor:
        """From 1 to 0, then 0."""
        return tf.maximum(1 - done / max(1, self.steps - self.warmup_steps), 0.0)


class LinearSchedule(_Schedule):
    """Linear decay to 0 (Devlin et al. 2019, A.2)."""

    def _after(self, done: Tensor) -> Tensor:
        return self._left(done)


class CosineSchedule(_Schedule):
    """Half a cosine down to 0 (Loshchilov & Hutter 2017, eq. 5, without restarts)."""

    def _after(self, done: Tensor) -> Tensor:
        return 0.5 - 0.5 * tf.cos(math.pi * self._left(done))


class InverseSquareRootSchedule(_Schedule):
    """Decay by the root of the steps since the start (Vaswani et al. 2017, 5.3): the end is above 0.

    Without a warm-up as if after one of 10,000 steps, as in transformers.
    """

    def _after(self, done: Tensor) -> Tensor:
        timescale = self.warmup_steps or 10_000
        return tf.math.rsqrt(1 + done / timescale)


SCHEDULES: dict[str, type[_Schedule]] = {
    "linear": LinearSchedule,
    "cosine": CosineSchedule,
    "inverse_square_root": InverseSquareRootSchedule,
}


def layer_decay(variables: Sequence[Any], layers: Sequence[Sequence[Any]], decay: float) -> list[float]:
    """Factors of the learning rate that fall from the head to the embeddings (Sun et al. 2019, section 3.1).

    Args:
      variables: in the order of ``AdamW.apply``.
      layers: the variables of each layer, the lowest first; those in none are the head's, whose factor is 1.
      decay: from a layer to the one below; the highest layer has it once.
    """
    exponents = {id(variable): len(layers) - place for place, layer in enumerate(layers) for variable in layer}
    return [decay ** exponents.get(id(variable), 0) for variable in variables]


class AdamW(tf.Module):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019) and bias correction.

    Vectors are not decayed: in BERT they are exactly the biases and LayerNorm's scales and offsets.

    Args:
      learning_rate: from the number of finished steps, int64 scalar, to the rate of the next one.
      weight_decay: share of a weight lost in a step, in units of the learning rate.
      clip_norm: the longest that the gradient of all variables together may be.
      beta_1: decay of the mean of the gradients.
      beta_2: decay of the mean of their squares.
      epsilon: added to the root of the latter.
      factors: of the learning rate, a number a variable in the order of ``apply``; 1 each where left out.

    Attributes:
      iterations: int64 scalar variable, finished steps.
    """

    def __init__(
        self,
        learning_rate: Callable[[Tensor], Tensor],
        weight_decay: float = 0.01,
        clip_norm: float = 1.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        factors: Sequence[float] | None = None,
    ) -> None:
        super().__init__(name="adamw")
        self.learning_rate, self.weight_decay, self.clip_norm = learning_rate, weight_decay, clip_norm
        # As the float32 kernel sees them, so that the bias correction matches its sums.
        self.beta_1, self.beta_2, self.epsilon = float(np.float32(beta_1)), float(np.float32(beta_2)), epsilon
        self.factors = factors
        self.iterations = tf.Variable(0, dtype=tf.int64, trainable=False, name="iterations")
        self.means: list[tf.Variable] = []
        self.squares: list[tf.Variable] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Creates the state, once. Needed before a checkpoint is restored; ``apply`` does it otherwise."""
        if self.means:
            return
        with tf.init_scope():
            self.means = [tf.Variable(tf.zeros(v.shape, v.dtype), trainable=False, name="mean") for v in variables]
            self.squares = [tf.Variable(tf.zeros(v.shape, v.dtype), trainable=False, name="square") for v in variables]

    def apply(self, gradients: Sequence[Any], variables: Sequence[Any]) -> Tensor:
        """One step; works inside ``tf.function``.

        Args:
          gradients: tensors, ``IndexedSlices``, or None (a zero gradient) for variables that the loss does not reach.
          variables: Keras or TensorFlow variables, always the same ones in the same order.

        Returns:
          The global norm before clipping, float32 scalar.

        Raises:
          ValueError: if the number of variables changed.
        """
        self.build(variables)
        if not len(gradients) == len(variables) == len(self.means):
            raise ValueError(
                f"apply() takes a gradient for each of the {len(self.means)} variables it began with. "
                f"Received: {len(gradients)} gradients, {len(variables)} variables"
            )
        summed = [_summed(gradient, variable) for gradient, variable in zip(gradients, variables, strict=True)]
        norm = tf.linalg.global_norm(summed)
        # torch.nn.utils.clip_grad_norm_
        scale = tf.minimum(self.clip_norm / (norm + 1e-6), 1.0)
        rate = tf.cast(self.learning_rate(self.iterations), tf.float64)
        factors = self.factors or [1.0] * len(variables)
        state = zip(variables, self.means, self.squares, summed, factors, strict=True)
        for variable, mean, square, gradient, factor in state:
            self._update(_tensorflow_variable(variable), mean, square, _scaled(gradient, scale), rate * factor)
        # By its handle, as everything here: in a replica that is its own copy, and assign() would ask the others.
        tf.raw_ops.AssignAddVariableOp(resource=self.iterations.handle, value=tf.constant(1, tf.int64))
        return norm

    def _update(self, variable: Any, mean: tf.Variable, square: tf.Variable, gradient: Tensor, rate: Tensor) -> None:
        if self.weight_decay and variable.shape.rank > 1:
            kept = variable * tf.cast(1 - rate * self.weight_decay, variable.dtype)
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=kept)
        step = tf.cast(self.iterations + 1, tf.float64)
        # The kernel divides by sqrt(square) + epsilon and has both corrections in its rate, so torch's epsilon,
        # which is added to the corrected root, shrinks too. Powers of 0: in float32 1 - beta_2^step would lose digits.
        root = tf.sqrt(1 - self.beta_2**step)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=mean.handle,
            v=square.handle,
            beta1_power=tf.cast(0.0, variable.dtype),
            beta2_power=tf.cast(0.0, variable.dtype),
            lr=tf.cast(rate * root / (1 - self.beta_1**step), variable.dtype),
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon * root, variable.dtype),
            grad=gradient,
        )


def _tensorflow_variable(variable: Any) -> tf.Variable:
    return variable.value if isinstance(variable, keras.Variable) else variable


def _summed(gradient: Tensor | tf.IndexedSlices | None, variable: Any) -> Tensor | tf.IndexedSlices:
    """Sums repeated rows of IndexedSlices, so that the gradient's norm is right."""
    if gradient is None:
        return tf.zeros(variable.shape, variable.dtype)
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, tf.constant(tuple(variable.shape), rows.dtype))


def _scaled(gradient: Tensor | tf.IndexedSlices, scale: Tensor) -> Tensor:
    """Dense ``gradient · scale``; of IndexedSlices only the rows that are there are multiplied."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.scatter_nd(gradient.indices[:, None], gradient.values * scale, gradient.dense_shape)
    return gradient * scale
