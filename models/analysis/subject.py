"""A model as it is looked into: read from a checkpoint, with its encoder, its task and its vocabulary."""

import dataclasses
import pathlib
from typing import Any

import keras
import tensorflow as tf

from models import families
from models.analysis.attention import Marks
from models.bert.encoder import BertEncoder
from models.bert.heads import PretrainingModel
from models.checkpoints import checkpoint, task_head
from models.task import Task


@dataclasses.dataclass(frozen=True)
class Subject:
    """What figures are of.

    Attributes:
      model: batch to outputs; of a base model ``PretrainingModel``.
      encoder: of the model.
      the_task: that it was trained on; None for a base model.
      vocabulary: that makes the ids.
      predicts_masked: whether a base model has an MLM head.
    """

    model: Any
    encoder: BertEncoder
    the_task: Task | None
    vocabulary: Any
    predicts_masked: bool = False

    @property
    def family(self) -> families.Family:
        """Of the task; of a base model that of texts."""
        return families.load(self.the_task.family if self.the_task else "text")

    @property
    def reads_text(self) -> bool:
        """Whether ids are pieces of text."""
        return self.family.vocabulary == "wordpiece"

    @property
    def marks(self) -> Marks:
        """What the ids stand for."""
        if self.reads_text:
            return Marks.of_pieces(self.vocabulary.vocabulary)
        return Marks({"[MASK]": self.vocabulary.mask_id} if not self.encoder.causal else {})

    @property
    def max_length(self) -> int:
        """Tokens of a row."""
        longest = self.family.longest_row(self.model, self.the_task)
        return min(longest, self.encoder.max_positions) if self.the_task else min(longest, _OF_BASE)


_OF_BASE = 128  # tokens of a text that a base model is shown


def load(folder: pathlib.Path, the_task: Task | None, vocabulary: Any) -> Subject:
    """Reads a checkpoint.

    Args:
      folder: in the family's format.
      the_task: that was trained on, ``fitted``; None for a base model.
      vocabulary: that makes the ids.

    Raises:
      ValueError: the model has no BERT encoder.
    """
    family = families.load(the_task.family if the_task else "text")
    if the_task is None:
        model = PretrainingModel(family.network(None, vocabulary, folder), next_sentence=False)
        found = checkpoint.load(folder, model.encoder, model.masked_language)
        return Subject(model, model.encoder, None, vocabulary, "mlm" in found)
    if not family.analyzed:
        raise ValueError(f"analyze looks into BERT encoders; a model of the family {family.name} has none")
    if not (folder / "config.json").is_file():
        raise ValueError("analyze looks into the heads of an encoder; counts have none")
    network = family.network(None, vocabulary, folder)
    model = the_task.build(network)
    family.load(folder, network)
    if kind := task_head.of_task(the_task):
        checkpoint.load(folder, network, head=(kind, model.logits))
    return Subject(model, family.encoder(model), the_task, vocabulary)


def untrained(encoder: BertEncoder, seed: int) -> BertEncoder:
    """An encoder of the same shape with random weights."""
    keras.utils.set_random_seed(seed)
    return BertEncoder(**encoder.arguments)


def moved(before: BertEncoder, after: BertEncoder) -> list[float]:
    """How far training moved each layer: length of the change of its weights over theirs before, embeddings first."""
    found = []
    for old, new in zip(before.layers_of_variables, after.layers_of_variables, strict=True):
        change = sum(float(tf.reduce_sum(tf.square(b - a))) for a, b in zip(old, new, strict=True))
        found.append((change / sum(float(tf.reduce_sum(tf.square(tf.convert_to_tensor(a)))) for a in old)) ** 0.5)
    return found
