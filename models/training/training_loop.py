"""The training loop that pretraining and fine-tuning share: steps, checkpoints, progress, TensorBoard.

A loop of our own, because Keras 3's ``fit`` cannot resume in the middle of an epoch and fails on several workers
(keras-team/keras#20585).
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from models import progress
from models.training import replicas
from models.training.optimizer import AdamW
from models.training.resume import TrainingState

Batch = Mapping[str, tf.Tensor]
Precision = Literal["float32", "bfloat16"]
# Often enough for a live view, rare enough to cost nothing.
_REPORT_SECONDS = 1.0


class NotFinite(ValueError):
    """The loss became NaN or infinite."""


class Loop:
    """Runs optimizer steps, on all GPUs.

    Args:
      model: a built Keras layer: ``model(batch, training=True)`` gives named outputs.
      loss: ``loss(outputs, batch)``, a float32 scalar in nats, of ``replicas.mean``.
      optimizer: applied to the model's trainable variables.
      state: restored by the caller, saved here every ``checkpoint_seconds``.
      steps: of the whole training.
      checkpoint_seconds: at least this long between two checkpoints.
      logs: folder of the TensorBoard events.
      jit_compile: let XLA compile the step, once for each shape of a batch; on one device, without micro-batches.
      precision: that the step computes in. Weights, sums and what comes after training are float32.
      accumulate: micro-batches a step: its rows are computed in so many parts, one after another. More than one takes a
        loss that knows the whole step's counts, as ``heads.pretraining_loss`` does.
      units: what a person is told that rows are made of.
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Batch, Batch], tf.Tensor],
        optimizer: AdamW,
        state: TrainingState,
        *,
        steps: int,
        checkpoint_seconds: float,
        logs: str,
        accumulate: int = 1,
        jit_compile: bool = False,
        precision: Precision = "float32",
        units: str = "tokens",
    ) -> None:
        if jit_compile and (devices := replicas.strategy().num_replicas_in_sync) > 1:
            raise ValueError(f"jit_compile compiles a step of one device, and there are {devices}: remove it")
        self.model, self.loss, self.optimizer, self.state = model, loss, optimizer, state
        self.steps, self.checkpoint_seconds, self.accumulate = steps, checkpoint_seconds, accumulate
        self.jit_compile, self.precision, self.units = jit_compile, precision, units
        self.writer = tf.summary.create_file_writer(logs) if replicas.chief() else tf.summary.create_noop_writer()
        self._variables = [variable.value for variable in model.trainable_variables]
        self._step_function: Any = None
        self._last_save = time.monotonic()

    def _compile(self, batch_spec: Any) -> Any:
        """One optimizer step as a graph, traced once: the batch's shapes stay open."""
        strategy = replicas.strategy()

        def replica(batch: Batch) -> tf.Tensor:
            loss, gradients = self._accumulated(batch) if self.accumulate > 1 else self._gradients(batch)
            if self.jit_compile:  # which rows of IndexedSlices repeat is no static shape
                gradients = [_sum(tf.zeros_like(v), each) for v, each in zip(self._variables, gradients, strict=True)]
            self.optimizer.apply(replicas.total(gradients), self._variables)
            return loss

        @tf.function(input_signature=[batch_spec], autograph=False, jit_compile=self.jit_compile or None)
        def step(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
            loss = strategy.reduce("SUM", strategy.run(replica, [batch]), axis=None)
            return loss, tf.reduce_sum(tf.cast(batch["padding_mask"], tf.int32))

        return step

    def _gradients(self, batch: Batch, part: Any = 0) -> tuple[tf.Tensor, list[Any]]:
        share = replicas.share(batch, part, self.accumulate)
        with computing_in(self.precision, self.model), tf.GradientTape() as tape:
            outputs = {name: tf.cast(value, tf.float32) for name, value in self.model(share, training=True).items()}
            loss = self.loss(outputs, share)
        return loss, tape.gradient(loss, self._variables)

    def _accumulated(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Sums loss and gradients over the micro-batches. Each loss is a share of the whole step's mean."""

        def add(sums: tuple[tf.Tensor, list[tf.Tensor]], part: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
            loss, gradients = self._gradients(batch, part)
            return sums[0] + loss, [_sum(*each) for each in zip(sums[1], gradients, strict=True)]

        nothing = (tf.constant(0.0), [tf.zeros(variable.shape, variable.dtype) for variable in self._variables])
        # Sequential: in parallel they would need the memory of the whole batch.
        sums: tuple[tf.Tensor, list[tf.Tensor]] = tf.foldl(add, tf.range(self.accumulate), nothing, 1)
        return sums

    def run(self, batches: tf.data.Dataset, phase: str) -> None:
        """Trains on every batch, or until ``steps`` are done.

        Args:
          batches: a dataset of padded batches, already at ``state.step``.
          phase: as shown to the person who waits, such as ``epoch 1/2``.

        Raises:
          NotFinite: naming the step and its learning rate; the checkpoint before it is kept.
        """
        if self._step_function is None:
            self._step_function = self._compile(batches.element_spec)
        replicas.diverge(self.model)
        done = int(self.state.step)
        since, first, losses, units = time.monotonic(), done, [], 0
        start, began, began_at = done, since, done
        for batch in batches.take(self.steps - done):
            loss, count = self._step_function(batch)
            losses.append(loss)
            units += count
            done += 1
            now = time.monotonic()
            if done == start + 1 and done < self.steps:
                # Do not time the first step: it includes tracing and compilation.
                since, began, began_at, units = now, now, done, 0
            if now - since < _REPORT_SECONDS and done < self.steps:
                continue
            mean = self._checked_mean(losses, first)
            self.state.step.assign(done)
            left = (self.steps - done) * (now - began) / max(1, done - began_at)
            self._report(done, mean, int(units) / max(now - since, 1e-9), left, phase)
            since, first, losses, units = now, done, [], 0
            if now - self._last_save > self.checkpoint_seconds:
                self.save()
        if losses:
            self.state.curve.add(done, self._checked_mean(losses, first), float(self.optimizer.learning_rate(done - 1)))
        self.state.step.assign(done)

    def save(self) -> None:
        """A checkpoint now."""
        self.state.save()
        self._last_save = time.monotonic()

    def _report(self, done: int, loss: float, per_second: float, left: float, phase: str) -> None:
        rate = float(self.optimizer.learning_rate(done - 1))
        self.state.curve.add(done, loss, rate)
        progress.emit(progress.Step(done, self.steps, loss, rate, per_second, left, phase, self.units))
        with self.writer.as_default(step=done):
            tf.summary.scalar("loss", loss)
            tf.summary.scalar("learning_rate", rate)
            tf.summary.scalar(f"real_{self.units}_per_second", per_second)

    def _checked_mean(self, losses: list[tf.Tensor], first: int) -> float:
        values = np.array([float(loss) for loss in losses])
        if not np.isfinite(values).all():
            step = first + int(np.argmax(~np.isfinite(values)))
            rate = float(self.optimizer.learning_rate(step))
            raise NotFinite(
                f"the loss became {values[step - first]} at step {step + 1:,} of {self.steps:,} "
                f"(learning rate {rate:.1e}); "
                f"the last good checkpoint is kept in {self.state.folder}. Lower learning_rate, or raise warmup."
            )
        return float(values.mean())


@contextlib.contextmanager
def computing_in(precision: Precision, model: keras.layers.Layer) -> Iterator[None]:
    """Makes every layer of ``model`` compute in ``precision`` while the block is traced. Weights stay float32."""
    layers = list(model._flatten_layers())
    before = [layer.dtype_policy for layer in layers]
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    try:
        for layer in layers:
            layer.dtype_policy = policy
        yield
    finally:
        for layer, kept in zip(layers, before, strict=True):
            layer.dtype_policy = kept


def _sum(total: tf.Tensor, gradient: Any) -> tf.Tensor:
    """Dense; None is a zero gradient."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.tensor_scatter_nd_add(total, gradient.indices[:, None], gradient.values)
    return total if gradient is None else total + gradient
