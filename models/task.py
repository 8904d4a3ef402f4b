"""What a task must say so that one pipeline can ingest, train, judge and serve it.

``models/tasks/<name>.py`` defines ``Config`` (pydantic: the task's keys in the YAML) and ``Task``; ``load(name)`` finds
them by that name. Axes: B batch, S sequence, D hidden, C classes.
"""

import abc
import dataclasses
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import tensorflow as tf

    from models.encoder import BertEncoder
    from models.text import Tokenizer

Tensors = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure that this task is judged by.

    Attributes:
      name: as in ``evaluate.bless``.
      better: which way is up.
    """

    name: str
    better: Literal["higher", "lower"] = "higher"


class Task(abc.ABC):
    """A task in one file.

    TensorFlow and Keras are imported inside methods, so that ``check`` and ``--help`` stay light.

    Attributes:
      schema: the name of the record kind in ``schemas/``.
      metrics: the figures; the first one is the headline: it chooses the epoch and guards against regression.
      slices: features that ``featurize`` adds for the Evaluator to slice by, each with its values.
      head: the row of ``models.checkpoint.HEADS`` that the model's layer ``logits`` is, so that transformers can load
        it; None where transformers has no such head.
    """

    schema: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    slices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    head: ClassVar[str | None] = None

    @abc.abstractmethod
    def __init__(self, config: Mapping[str, Any]) -> None:
        """Takes the task's own keys of the YAML."""

    @abc.abstractmethod
    def featurize(self, record: Tensors, tokenizer: "Tokenizer") -> dict[str, Any]:
        """Raw record to model inputs, in graph mode; runs in Transform and inside every serving signature.

        Args:
          record: string tensors (B,), by column. The label is absent when served.
          tokenizer: WordPiece in the graph.

        Returns:
          int64, float32 or string tensors, one row a record; ragged where lengths differ.
        """

    @abc.abstractmethod
    def batches(
        self, rows: "tf.data.Dataset", *, batch_size: int, seed: int, epoch: int, start_step: int = 0
    ) -> "tf.data.Dataset":
        """One epoch of training batches, the same for the same ``(seed, epoch)``, from ``start_step`` on.

        Args:
          rows: what ``featurize`` returned, a record an element.
          batch_size: rows a step.
          seed: of the experiment.
          epoch: from 0.
          start_step: batches of this epoch that were trained on already.
        """

    @abc.abstractmethod
    def build(self, encoder: "BertEncoder") -> Any:
        """A ``keras.layers.Layer`` that maps a batch (``batches``) and ``training`` to named outputs."""

    @abc.abstractmethod
    def loss(self, outputs: Tensors, batch: Tensors) -> Any:
        """Mean loss of a batch: float32 scalar, nats. By ``replicas.mean``: a batch may be shared among GPUs."""

    @abc.abstractmethod
    def answer(self, outputs: Tensors, features: Tensors, record: Tensors) -> dict[str, Any]:
        """What a person reads: named tensors, in the graph. Runs in every serving signature and in the Evaluator."""

    @abc.abstractmethod
    def score(self, outputs: Tensors, batch: Tensors) -> tuple[Any, Any]:
        """The headline figure over one batch of the eval split, as (sum, count): float32 scalars."""


def load(name: str) -> type[Task]:
    """The class of the task ``name``."""
    task: type[Task] = importlib.import_module(f"models.tasks.{name}").Task
    return task


def pad(features: "tf.data.Dataset", batch_size: int) -> "tf.data.Dataset":
    """Batches of ragged rows, padded to the longest in the batch, with their ``padding_mask`` bool (B, S)."""
    import tensorflow as tf

    return features.ragged_batch(batch_size).map(dense, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def dense(features: Tensors) -> dict[str, Any]:
    """Ragged features as the encoder takes them: padded to the longest row, with their ``padding_mask`` bool (B, S)."""
    import tensorflow as tf

    out = {name: value.to_tensor() if isinstance(value, tf.RaggedTensor) else value for name, value in features.items()}
    return {**out, "padding_mask": tf.sequence_mask(features["token_ids"].row_lengths())}
