"""What a task must say so that one pipeline can ingest, train, judge and serve it.

``models/tasks/<name>.py`` defines ``Config`` (pydantic: the task's keys in the YAML) and ``Task``; ``load(name)`` finds
them by that name. Axes: B batch, S sequence, D hidden, C classes.
"""

import abc
import dataclasses
import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from models.figures import Figures, Section

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from models.bert.encoder import BertEncoder

Tensors = Mapping[str, Any]
# A raw record: an array of values by feature, bytes where they are text.
Record = Mapping[str, "np.ndarray"]
# Of each of several records what ``row_metrics`` reads of an answer.
Answers = Iterable[Mapping[str, "np.ndarray"]]

# Among the baselines; bounds of ``evaluate.bless`` call it so too.
TEACHER = "teacher"
# Features of a row that a teacher answered: its answer, float32 (C,), and whether the row has a label, 1 or 0.
TAUGHT = ("teacher_answer", "labelled")


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure that this task is judged by.

    Attributes:
      name: as in ``evaluate.bless``.
      better: which way is up.
      most: the largest value, where more is better.
    """

    name: str
    better: Literal["higher", "lower"] = "higher"
    most: float = 1.0


class Task(abc.ABC):
    """A task in one file.

    TensorFlow and Keras are imported inside methods, so that ``check`` and ``--help`` stay light.

    Attributes:
      rows: what ``training_rows`` gives, for a person.
      family: the name of the family in ``models/families/``, or its dotted path: what a record and the network are.
      schema: the name of the record kind in ``schemas/``.
      gold: what a record is judged by: features of the raw record that are absent when it is served.
      targets: what ``featurize`` makes of ``gold``: features that only training reads.
      texts: columns of the raw record that ``answer`` reads.
      metrics: what ``evaluate.bless`` can bound; the first one is the headline: it chooses the epoch and guards against
        regression.
      chosen: ``loss``, where the epoch is chosen by the mean loss of the eval split: answers would take too long.
      by_tokens: whether ``batches`` takes ``batch_tokens`` too.
      answers: the outputs of ``answer`` that are kept with records that are scored.
      written: of these, what is text of the model's own writing, not one of several labels: the ServingValidator
        compares it byte for byte.
      by_sentences: whether a text whose answer is ``truncated`` can be answered sentence by sentence: see ``joined``.
      separate_encoding: whether the two texts of a pair go through the encoder one by one.
      single_label: whether exactly one label of a list is right: the gold is ``label``, the answer ``scores`` of all.
      baselines: what a model can be compared with, by name; see ``baseline``.
      gate: values of the YAML's ``evaluate.bless`` that suit the task better than those of all tasks.
      calibrates: whether answers are the softmax of ``logits`` (B, C), whose right place is ``targets[0]``, or their
        sigmoids, of which ``targets[0]`` (B, C) says 1 or 0; then ``figures`` has ``ece``.
      slices: features that ``featurize`` adds for the Evaluator to slice by, each with its values.
      taught: the output of ``answer`` that a student of this task learns, and that ``row_metrics`` reads; empty where a
        task has none.
      explains: whether an answer rests on one number, ``explained``, so that it can be said which words or items
        decided it.
      head: the row of ``models.checkpoints.task_head.HEADS`` that the model's layer ``logits`` is, so that
        transformers can load it; None where transformers has no such head.
    """

    rows: ClassVar[str] = "records"
    family: ClassVar[str] = "text"
    schema: ClassVar[str]
    gold: ClassVar[tuple[str, ...]] = ("label",)
    targets: ClassVar[tuple[str, ...]] = ("label_id",)
    texts: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[tuple[Metric, ...]]
    chosen: ClassVar[Metric | None] = None
    by_tokens: ClassVar[bool] = False
    answers: ClassVar[tuple[str, ...]]
    by_sentences: ClassVar[bool] = False
    written: ClassVar[tuple[str, ...]] = ()
    separate_encoding: ClassVar[bool] = False
    single_label: ClassVar[bool] = False
    baselines: ClassVar[tuple[str, ...]] = ()
    gate: ClassVar[Mapping[str, Any]] = {}
    calibrates: ClassVar[bool] = False
    slices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    taught: ClassVar[str] = ""
    explains: ClassVar[bool] = False
    head: ClassVar[str | None] = None

    config: Any

    @abc.abstractmethod
    def __init__(self, config: Mapping[str, Any]) -> None:
        """Takes the task's own keys of the YAML, and keeps them as ``config``."""

    def dump(self) -> dict[str, Any]:
        """``type`` and ``config``: what ``load(type)(config)`` is made of again."""
        return {
            "type": type(self).__module__.removeprefix("models.tasks."),
            "config": self.config.model_dump(mode="json"),
        }

    @property
    def kept_columns(self) -> tuple[str, ...]:
        """Columns of the raw record that transformed records keep, so that the eval split can be judged."""
        return (*self.gold, *self.texts)

    @abc.abstractmethod
    def featurize(self, record: Tensors, tokenizer: Any) -> dict[str, Any]:
        """Raw record to model inputs, in graph mode; runs in Transform and inside every serving signature.

        Args:
          record: tensors (B,), by feature; ragged where a record has several values. ``gold`` is absent when served.
          tokenizer: the vocabulary, of the module that the family names: WordPiece, items.

        Returns:
          int64, float32 or string tensors, one row a record; ragged where lengths differ.
        """

    @classmethod
    def recipe(cls, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Values of the YAML's ``train`` that suit the task better than those of all tasks; here none.

        Args:
          config: the task's own keys as they stand in the YAML, not validated yet.
        """
        del config
        return {}

    def fitted(self, rows: "tf.data.Dataset", held_out: "tf.data.Dataset", vocabulary: Any) -> "Task":
        """The task with what it has to know before ``build``: here nothing more. It is the one that is exported.

        Args:
          rows: of the train split, as for ``batches``.
          held_out: what ``featurize`` returned for the eval split, a record an element.
          vocabulary: that made the ids.
        """
        del rows, held_out, vocabulary
        return self

    def training_rows(self, rows: "tf.data.Dataset") -> "tf.data.Dataset":
        """Those of ``rows`` that are trained on: ``batches`` takes these."""
        return rows

    def together(self, train: "tf.data.Dataset", held_out: "tf.data.Dataset") -> "tf.data.Dataset":
        """The records of the train split and of the eval split as one split: here all of them.

        Args:
          train: what ``featurize`` returned, a record an element.
          held_out: likewise.
        """
        return train.concatenate(held_out)

    def steps(self, rows: "tf.data.Dataset", *, batch_size: int) -> int:
        """How many batches an epoch has, whatever the order of the rows.

        Args:
          rows: as for ``batches``.
          batch_size: likewise.
        """
        return int(-(-rows.reduce(0, lambda n, _: n + 1) // batch_size))

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

    def inputs(self, features: Tensors) -> dict[str, Any]:
        """What ``build``'s layer takes, of what ``featurize`` gave: here ``dense`` without strings and gold.

        In the graph of every serving signature. A task may cut a record into several rows.
        """
        import tensorflow as tf

        unread = (*self.targets, *self.gold, *TAUGHT)
        kept = {name: value for name, value in features.items() if name not in unread}
        return dense({name: value for name, value in kept.items() if value.dtype != tf.string})

    @abc.abstractmethod
    def build(self, encoder: "BertEncoder") -> Any:
        """A ``keras.layers.Layer`` that maps a batch (``batches``) and ``training`` to named outputs."""

    @property
    def label_names(self) -> Sequence[str] | None:
        """The labels of records; empty where the data are to say them; None for a task without labels."""
        return None

    @property
    def logit_names(self) -> Sequence[str]:
        """What each logit stands for, in order; empty where logits are no labels."""
        return ()

    @abc.abstractmethod
    def loss(self, outputs: Tensors, batch: Tensors) -> Any:
        """Mean loss of a batch: float32 scalar, nats. By ``replicas.mean``: a batch may be shared among GPUs."""

    def soft_loss(self, outputs: Tensors, answers: Any, temperature: float) -> Any:
        """How far each row is from what a teacher answered: float32 (B,).

        Args:
          outputs: of ``build``'s layer.
          answers: the teacher's ``taught``, float32 (B, C), a label's score at the label's place; C is 1 for a number.
          temperature: what logits of both are divided by; of no meaning to numbers.

        Raises:
          NotImplementedError: the task has no ``taught``.
        """
        raise NotImplementedError

    def row_weights(self, batch: Tensors) -> Any:
        """How much each row counts in the mean that ``loss`` is: float32 (B,); 0 for a row without a loss.

        Args:
          batch: of ``batches``.
        """
        import tensorflow as tf

        return tf.ones(tf.shape(batch["token_ids"])[:1])

    def weight(self, batch: Tensors) -> Any:
        """How much a batch's loss counts in that of a split, float32 scalar: here the number of its rows."""
        import tensorflow as tf

        return tf.cast(tf.shape(batch["token_ids"])[0], tf.float32)

    @abc.abstractmethod
    def answer(self, outputs: Tensors, features: Tensors, record: Tensors) -> dict[str, Any]:
        """What a person reads: named tensors, in the graph. Runs in every serving signature and in the Evaluator."""

    def explained(self, outputs: Tensors) -> Any:
        """Numbers of a record, float32 (B, C): its highest one is what the answer rests on, and is explained.

        Args:
          outputs: of ``build``'s layer.

        Raises:
          NotImplementedError: the task does not ``explains``.
        """
        raise NotImplementedError

    def examined(self, outputs: Tensors, features: Tensors, record: Tensors) -> dict[str, Any]:
        """More for ``row_metrics`` than a served answer holds, such as the rank of the right one; here nothing.

        In the graph of ``serving_examples`` and on the eval split: the one place where outputs and gold meet.

        Args:
          outputs: of ``build``'s layer.
          features: of ``featurize``, which has not looked at the gold.
          record: as for ``answer``, with ``gold``, ragged (B, None): without values where a record has none.

        Returns:
          Named tensors, a row each; their names are none of ``answer``'s.
        """
        del outputs, features, record
        return {}

    def sliced(self, features: Tensors, record: Tensors) -> dict[str, Any]:
        """Features to slice by that are made of the gold, string (B,); here none. In ``transform_features`` only.

        Args:
          features: of ``featurize``.
          record: as for ``examined``.
        """
        del features, record
        return {}

    @property
    @abc.abstractmethod
    def row_metric_names(self) -> tuple[str, ...]:
        """What is noted of every record to judge a model by: the names of K numbers."""

    @abc.abstractmethod
    def row_metrics(self, answer: Mapping[str, "np.ndarray"], record: Mapping[str, "np.ndarray"]) -> list[float]:
        """``row_metric_names`` of one record, on the eval split and on the test split: K numbers.

        Args:
          answer: its row of what ``answer`` and ``examined`` give.
          record: its ``gold``, an array of values each.
        """

    @abc.abstractmethod
    def headline(self, rows: "np.ndarray") -> float:
        """The first of ``metrics``, alone: cheap, since intervals ask for it a thousand times; NaN where there is none.

        Args:
          rows: as for ``figures``.
        """

    @abc.abstractmethod
    def figures(self, rows: "np.ndarray") -> Figures:
        """The figures of a split or a slice; always the same names.

        Args:
          rows: ``row_metrics`` of every record, float64 (N, K); N may be 0.
        """

    def choose(self, rows: "np.ndarray") -> float:
        """The figure of the eval split that chooses the epoch: here the headline; NaN where there is none.

        Args:
          rows: as for ``figures``.
        """
        return self.headline(rows)

    def affordable(self, names: Sequence[str], train: Sequence[Record]) -> list[str]:
        """Those of ``names``, baselines, that these records are not too many for: here all."""
        del train
        return list(names)

    def baseline(self, name: str, train: Sequence[Record], test: Sequence[Record]) -> Answers:
        """What the baseline ``name`` answers to the test records: what ``row_metrics`` reads of an answer, each.

        Args:
          name: of ``baselines``.
          train: raw records to learn from; at least one.
          test: raw records to answer; at least one. Their gold is there, and is not to be looked at.
        """
        del train, test
        raise ValueError(f"no baseline {name!r}; there is {', '.join(self.baselines) or 'none'}")

    def sections(self, rows: "np.ndarray", references: Mapping[str, "np.ndarray"]) -> Iterable[Section]:
        """What is shown beside the figures; here nothing. Tables are on the terminal too, drawings in reports alone.

        Args:
          rows: as for ``figures``.
          references: the rows of the same records in the same order, by the name of a baseline; those that there are.
        """
        del rows, references
        return ()

    @abc.abstractmethod
    def wrong(self, row: "np.ndarray") -> float:
        """How wrong an answer is, by its ``row_metrics``, float64 (K,): 0 is right, more is worse."""

    @abc.abstractmethod
    def expected(self, record: Mapping[str, "np.ndarray"]) -> str:
        """The right answer in one line, from ``gold``; beside it stands what ``examined`` gave, where that is known."""

    @abc.abstractmethod
    def summarize(self, answer: Mapping[str, "np.ndarray"]) -> str:
        """A record's answer in one line."""

    def joined(self, answers: Sequence[Mapping[str, "np.ndarray"]]) -> dict[str, Any]:
        """The answer to a text, of the answers to its sentences; of a task that is ``by_sentences``."""
        raise NotImplementedError(f"{type(self).__module__} does not answer by sentences")

    def told(self, answer: Mapping[str, "np.ndarray"]) -> list[str]:
        """What a person should know of an answer beside its ``summarize``; here nothing."""
        del answer
        return []

    @abc.abstractmethod
    def to_row(self, answer: Mapping[str, "np.ndarray"]) -> dict[str, str | int | float]:
        """A record's answer as columns of a table, always the same ones."""


def brief(value: float) -> str:
    """``.98``, ``3.20``."""
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"


def strings(values: "np.ndarray") -> list[str]:
    """Text that came out of a graph; without the padding behind it."""
    return [value.decode() for value in values.ravel() if value]


def decimal(value: "np.ndarray") -> float:
    """The shortest decimal that is this float32."""
    import numpy as np

    return float(str(np.float32(value)))


def nth(values: Mapping[str, Any], index: int) -> dict[str, "np.ndarray"]:
    """One record of a signature's outputs, tensors (B, …) or arrays."""
    import numpy as np

    return {name: np.asarray(value[index]) for name, value in values.items()}


def load(name: str) -> type[Task]:
    """The class of the task ``name``: of ``models/tasks/<name>.py``, or of the module of that dotted path."""
    task: type[Task] = importlib.import_module(name if "." in name else f"models.tasks.{name}").Task
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
