"""What a family of models takes and how it is made: a module for each family, found by its name.

``models/families/<name>.py`` defines ``Family``, a subclass of the one here; a dotted path names a module elsewhere. A
task says which family it belongs to (``Task.family``). TensorFlow is imported inside methods: ``tfx-bert check`` loads
families too.
"""

import abc
import dataclasses
import importlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import pydantic

if TYPE_CHECKING:
    import tensorflow as tf

    from models.task import Task

Tensors = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Input:
    """An argument of a serving signature: string (B,).

    Attributes:
      name: of the argument, and of the record's feature that it becomes.
      golden: values that every export is checked with, hostile ones among them; as many for each input of a family.
      sized: a value of so many units (words, items), for the requests that warm a server up.
      empty: whether an empty value is a request like others.
      key: of ``task.data``, whose column holds it in files of records; its name where not given.
    """

    name: str
    golden: tuple[str, ...]
    sized: Callable[[int], str]
    empty: bool = False
    key: str = ""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A signature beside ``serving_default``, which has a task's answers.

    Attributes:
      answer: raw record to named outputs, in the graph; a row of an output has the same shape in every batch.
      inputs: its arguments.
    """

    answer: Callable[[Tensors], dict[str, Any]]
    inputs: tuple[Input, ...]


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a network costs, for the estimate of ``tfx-bert check``.

    Attributes:
      parameters: all of them.
      multiplied: those that every unit (token, item) of a row is multiplied with.
      activations: bytes that a training step keeps for every unit of a batch, in float32.
    """

    parameters: int
    multiplied: int
    activations: float


def block_parameters(width: int, inner: int) -> int:
    """Those of a Transformer's block: attention, feed-forward layers ``inner`` wide, and a LayerNorm for each."""
    attention, norms = 4 * (width * width + width), 4 * width
    return attention + 2 * width * inner + inner + width + norms


class Shape(pydantic.BaseModel):
    """The section ``encoder`` of the YAML: the shape of a family's network."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    def arguments(self) -> dict[str, Any]:
        """What ``Family.network`` takes."""
        return self.model_dump()


class Network(Protocol):
    """What a task's ``build`` puts a head on: a built ``keras.layers.Layer``.

    Attributes:
      layers_of_variables: from the input to the output, for layer-wise learning rates.
    """

    @property
    def layers_of_variables(self) -> list[list[Any]]:
        """The embeddings' variables, then each layer's."""

    def freeze(self, blocks: int) -> None:
        """Takes the embeddings and the first ``blocks`` layers behind them out of training."""


class Family(abc.ABC):
    """A family in one file.

    Attributes:
      vocabulary: the module in ``models/vocabularies/`` that turns strings into ids.
      inputs: the arguments of all its signatures, in the order in which a person gives them. ``serving_default`` takes
        those that are features of the records.
      signatures: those that every export has.
      shape: the section ``encoder`` of the YAML; None: that of a BERT encoder.
      mode: the one mode of ``text`` that its models can write in; None: any.
      architecture: transformers' class that loads the family's checkpoints as they are; None: those are BERT's.
      units: what a row is made of.
      reserve: pieces of every vocabulary that are never split, beside those of the YAML.
      analyzed: whether ``analyze`` can look into its networks.
    """

    vocabulary: ClassVar[str]
    inputs: ClassVar[tuple[Input, ...]]
    signatures: ClassVar[tuple[str, ...]]
    shape: ClassVar[type[Shape] | None] = None
    mode: ClassVar[str | None] = None
    units: ClassVar[str] = "tokens"
    reserve: ClassVar[tuple[str, ...]] = ()
    architecture: ClassVar[str | None] = None
    analyzed: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What ``load`` finds it by."""
        return type(self).__module__.removeprefix(f"{__name__}.")

    def required(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """The sections of the YAML that an experiment without a checkpoint must have.

        Args:
          config: the task's own keys of the YAML; empty without a task.
        """
        del config
        return "vocabulary", "encoder"

    def reads(self, config: Mapping[str, Any]) -> str | None:
        """A Hugging Face folder that the vocabulary is learned with, beside the experiment's checkpoint: here none.

        Args:
          config: as for ``required``.
        """
        del config
        return None

    @abc.abstractmethod
    def network(self, shape: Mapping[str, Any] | None, vocabulary: Any, start: Path | None) -> Any:
        """A built ``Network``; None for a task that needs none, without a shape.

        Args:
          shape: the YAML's ``encoder``; None with a checkpoint.
          vocabulary: that makes the ids.
          start: a checkpoint, whose shape is taken; its weights are not loaded.

        Raises:
          ValueError: the checkpoint's vocabulary is not the one that makes the ids.
        """

    def pruned(self, model: Any, vocabulary: Any, kept_heads: Sequence[Sequence[int]]) -> Any:
        """A network of the same shape with these heads alone, of a family that is ``analyzed``; its weights are random.

        Args:
          model: what a task's ``build`` made.
          vocabulary: that makes the ids.
          kept_heads: as ``BertEncoder`` takes them.
        """
        raise NotImplementedError(f"models of the family {self.name} have no heads that can be pruned")

    @abc.abstractmethod
    def load(self, folder: Path, network: Any) -> None:
        """Assigns the weights of a checkpoint to a ``network`` that was built of it."""

    @abc.abstractmethod
    def save(self, folder: Path, model: Any, the_task: "Task", vocabulary: Any) -> None:
        """Writes a checkpoint that ``network`` and ``load`` read.

        Args:
          folder: does not exist yet.
          model: what ``the_task.build`` made, trained.
          the_task: that was trained on.
          vocabulary: that made the ids.
        """

    def record(self, arguments: Tensors) -> dict[str, Any]:
        """The raw record that a request's arguments stand for, in the graph: here the arguments themselves.

        Args:
          arguments: string (B,), by the names of ``inputs``.

        Returns:
          Tensors by feature; ragged where a record holds several values of one.
        """
        return dict(arguments)

    def example(self, arguments: Mapping[str, str]) -> "tf.train.Example":
        """``record``, of one request, as a raw record on disk."""
        import tensorflow as tf

        example = tf.train.Example()
        for name, value in arguments.items():
            example.features.feature[name].bytes_list.value.append(value.encode())
        return example

    def shown(self, record: Mapping[str, Sequence[str]]) -> str:
        """What a model was asked, in one line, for ``tfx-bert errors``.

        Args:
          record: values of those features that are inputs.
        """
        return " | ".join(part for values in record.values() for part in values)

    @abc.abstractmethod
    def parse(self, line: str, names: Collection[str]) -> dict[str, str]:
        """A line of ``tfx-bert predict`` as arguments.

        Args:
          line: without its end.
          names: of the inputs that the model takes.

        Raises:
          ValueError: it is not what the model takes; the sentence says what is.
        """

    def settle(self, model: Any) -> None:
        """Computes, once a model is trained, what every answer would compute again: here nothing.

        Args:
          model: what ``the_task.build`` made; it is not trained any more.
        """
        del model

    @abc.abstractmethod
    def endpoints(
        self, model: Any, the_task: "Task | None", features_of: Callable[[Tensors], dict[str, Any]], inputs: Any
    ) -> dict[str, Endpoint]:
        """The signatures beside ``serving_default``, ``serving_examples`` and ``transform_features``.

        Args:
          model: what ``the_task.build`` made; of a base model the network with the heads of its pretraining.
          the_task: None for a base model, whose ``serving_default`` answers as its endpoint ``embed`` does.
          features_of: raw record to the features that the model was trained on, less those of the right answer.
          inputs: of ``serving_default``.
        """

    def explanation(
        self,
        model: Any,
        the_task: "Task",
        features_of: Callable[[Tensors], dict[str, Any]],
        vocabulary: Any,
        inputs: Sequence[Input],
    ) -> Endpoint:
        """The signature ``explain`` of a task that ``explains``: its answer, and what of a record decided it.

        Args:
          model: what ``the_task.build`` made.
          the_task: whose ``answer`` is part of the output.
          features_of: as for ``endpoints``.
          vocabulary: that made the ids.
          inputs: of ``serving_default``.
        """
        raise NotImplementedError(f"models of the family {self.name} explain no answers")

    @abc.abstractmethod
    def longest_row(self, model: Any, the_task: "Task | None") -> int:
        """How wide ``transform_features`` makes a ragged feature: longer rows are cut, shorter ones filled with 0."""

    @abc.abstractmethod
    def summarize(self, batches: Iterable[Tensors], vocabulary: Any, config: Mapping[str, Any]) -> str:
        """What Transform made, in one line.

        Args:
          batches: the features of the train split's first rows.
          vocabulary: that made the ids.
          config: the task's own keys of the YAML.
        """

    @abc.abstractmethod
    def describe(self, model: Any, vocabulary: Any) -> str:
        """The network in one line, for the model card."""

    def encoder(self, model: Any) -> Any:
        """The ``BertEncoder`` that ``models.analysis`` looks into; None for a family without one, as here.

        Args:
          model: what a task's ``build`` made.
        """
        del model
        return None

    def attended(self, model: Any, inputs: Tensors) -> dict[str, Any]:
        """What the encoder gives with ``return_all``, of what the model takes; in the graph.

        Args:
          model: what a task's ``build`` made.
          inputs: of ``Task.inputs``.
        """
        attended: dict[str, Any] = self.encoder(model)(
            inputs["token_ids"], inputs["segment_ids"], inputs["padding_mask"], return_all=True
        )
        return attended

    def limits(self, config: Mapping[str, Any]) -> list[str]:
        """What a model cannot do, a sentence each, for the model card; ``config`` as for ``summarize``."""
        del config
        return []

    @abc.abstractmethod
    def cost(self, shape: Mapping[str, Any], vocabulary_size: int) -> Cost:
        """What a network of ``shape``, the YAML's ``encoder``, costs."""


def module(name: str) -> str:
    """The dotted path of the family ``name``."""
    return name if "." in name else f"{__name__}.{name}"


def load(name: str) -> Family:
    """The family ``name``."""
    family: Family = importlib.import_module(module(name)).Family()
    return family
