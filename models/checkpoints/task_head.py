"""A task's head as transformers has it, so that transformers loads a fine-tuned model whole.

A head over the mean of the tokens has no class there: it stands beside a ``BertModel``, under the name of the others.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class HeadKind:
    """A task's head as transformers has it: one linear layer.

    Attributes:
      architecture: transformers' class.
      layer: what its tensors are called.
      over: the encoder's output that it reads: ``pooled`` (B, D), ``sequence`` (B, S, D), or the ``mean`` (B, D) of its
        real tokens.
      pipeline_tag: what the Hub calls the task.
      problem_type: which loss, where the class has several.
    """

    architecture: str
    layer: str
    over: Literal["pooled", "sequence", "mean"]
    pipeline_tag: str
    problem_type: str | None = None


_PROBLEMS = {
    "classification": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
_MEAN = "mean_"
# What a person is told who loads such a head with transformers.
OF_MEAN = (
    "reads the mean of `last_hidden_state` over the tokens of `attention_mask`. Transformers has no BERT class for it: "
    "`BertModel` loads the encoder; logits = mean · `classifier.weight`ᵀ + `classifier.bias`, two tensors of "
    "`model.safetensors`"
)
# By the name that a task gives as its ``head``; with ``pooling: mean`` behind ``mean_``.
HEADS = {
    **{
        name: HeadKind("BertForSequenceClassification", "classifier", "pooled", "text-classification", problem)
        for name, problem in _PROBLEMS.items()
    },
    **{
        f"{_MEAN}{name}": HeadKind("BertModel", "classifier", "mean", "text-classification", problem)
        for name, problem in _PROBLEMS.items()
    },
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


def of_task(the_task: Any) -> HeadKind | None:
    """The head of the model of a ``models.task.Task``; None where it is not one of ``HEADS``."""
    if the_task.head is None:
        return None
    return HEADS[f"{_MEAN if getattr(the_task.config, 'pooling', 'first') == 'mean' else ''}{the_task.head}"]


def of_config(config: Mapping[str, Any]) -> tuple[str, HeadKind | None, list[str]]:
    """Transformers' class, the head where it is one of ``HEADS``, and the names of its logits, of a ``config.json``."""
    architecture = (config.get("architectures") or ["BertModel"])[0]
    said = architecture, config.get("problem_type")
    head = next((kind for kind in HEADS.values() if (kind.architecture, kind.problem_type) == said), None)
    labels = config.get("id2label", {}) if head else {}
    return architecture, head, [labels[key] for key in sorted(labels, key=int)]
