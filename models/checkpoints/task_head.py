"""A task's head as transformers has it, so that transformers loads a fine-tuned model whole."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class HeadKind:
    """A task's head as transformers has it: one linear layer.

    Attributes:
      architecture: transformers' class.
      layer: what its tensors are called.
      over: the encoder's output that it reads: ``pooled`` (B, D) or ``sequence`` (B, S, D).
      pipeline_tag: what the Hub calls the task.
      problem_type: which loss, where the class has several.
    """

    architecture: str
    layer: str
    over: Literal["pooled", "sequence"]
    pipeline_tag: str
    problem_type: str | None = None


def _of_sequence(problem_type: str) -> HeadKind:
    return HeadKind("BertForSequenceClassification", "classifier", "pooled", "text-classification", problem_type)


# By the name that a task gives as its ``head``.
HEADS = {
    "classification": _of_sequence("single_label_classification"),
    "multi_label": _of_sequence("multi_label_classification"),
    "regression": _of_sequence("regression"),
    "token_classification": HeadKind("BertForTokenClassification", "classifier", "sequence", "token-classification"),
    "question_answering": HeadKind("BertForQuestionAnswering", "qa_outputs", "sequence", "question-answering"),
}


@dataclasses.dataclass(frozen=True)
class Head:
    """A fine-tuned head, to be written.

    Attributes:
      kind: its row of ``HEADS``.
      logits: the Keras layer: ``kernel`` (D, C) and ``bias`` (C,).
      labels: C names, in the order of the logits; none where the logits have no names.
      dropout: in front of the layer.
      max_length: tokens a row in training.
    """

    kind: HeadKind
    logits: Any
    labels: Sequence[str]
    dropout: float
    max_length: int


def of_config(config: Mapping[str, Any]) -> tuple[str, HeadKind | None, list[str]]:
    """Transformers' class, the head where it is one of ``HEADS``, and the names of its logits, of a ``config.json``."""
    architecture = (config.get("architectures") or ["BertModel"])[0]
    said = architecture, config.get("problem_type")
    head = next((kind for kind in HEADS.values() if (kind.architecture, kind.problem_type) == said), None)
    labels = config.get("id2label", {}) if head else {}
    return architecture, head, [labels[key] for key in sorted(labels, key=int)]
