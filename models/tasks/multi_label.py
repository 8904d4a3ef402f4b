"""Any number of labels for one text or a pair: a sigmoid for each label over the pooled [CLS]."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pydantic
from typing_extensions import override

from models import task
from models.pooled_task import Labels, PooledTask
from models.training import calibration


class Config(Labels):
    """The task's own keys.

    Attributes:
      labels: every label, in the order of the logits.
      max_length, dropout: as in classification.
      threshold: a label is assigned from this score on.
    """

    labels: Annotated[list[str], pydantic.Field(min_length=1)]
    threshold: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.5


class Task(PooledTask):
    """Labels that do not exclude each other."""

    schema = "multi_label"
    head = "multi_label"
    answers = ("assigned", "labels", "scores")
    gold = ("labels",)
    targets = ("label_mask",)
    metrics = (
        task.Metric("f1_micro"),
        task.Metric("f1_macro"),
        task.Metric("exact"),
        task.Metric("average_precision"),
    )
    calibrates = True

    def __init__(self, config: Config | Mapping[str, Any]) -> None:
        self.config: Config = config if isinstance(config, Config) else Config.model_validate(dict(config))

    @property
    @override
    def width(self) -> int:
        return len(self.config.labels)

    @property
    @override
    def logit_names(self) -> list[str]:
        return self.config.labels

    @override
    def target(self, record: task.Tensors) -> dict[str, Any]:
        """``label_mask`` float32 (B, C): 1 for the record's labels."""
        import tensorflow as tf

        given = record["labels"].to_tensor("")
        mask = tf.reduce_any(given[:, :, None] == tf.constant(self.config.labels), axis=1)
        return {"label_mask": tf.cast(mask, tf.float32)}

    @override
    def loss(self, outputs: task.Tensors, batch: task.Tensors) -> Any:
        """Binary cross-entropy, mean over the labels and the batch."""
        import tensorflow as tf

        from models.training import replicas

        losses = tf.nn.sigmoid_cross_entropy_with_logits(batch["label_mask"], outputs["logits"])
        return replicas.mean(tf.reduce_mean(losses, axis=1))

    @override
    def answer(self, outputs: task.Tensors, features: task.Tensors, record: task.Tensors) -> dict[str, Any]:
        """``assigned`` string (B, C), the record's labels, "" behind the last; ``labels``, ``scores`` (B, C) of all."""
        import tensorflow as tf

        del features, record
        scores = tf.nn.sigmoid(outputs["logits"])
        labels = tf.repeat(tf.constant(self.config.labels)[None], tf.shape(scores)[0], axis=0)
        assigned = tf.ragged.boolean_mask(labels, scores >= self.config.threshold)
        return {
            "assigned": assigned.to_tensor(shape=[None, len(self.config.labels)]),
            "labels": labels,
            "scores": scores,
        }

    @property
    @override
    def row_metric_names(self) -> tuple[str, ...]:
        """Whether each label is right, and each label's score."""
        labels = self.config.labels
        return (*(f"right[{label}]" for label in labels), *(f"score[{label}]" for label in labels))

    @override
    def score(self, outputs: task.Tensors, batch: task.Tensors) -> Any:
        import tensorflow as tf

        return tf.concat([batch["label_mask"], tf.nn.sigmoid(outputs["logits"])], axis=1)

    @override
    def row_metrics(self, answer: Mapping[str, np.ndarray], record: Mapping[str, np.ndarray]) -> list[float]:
        given = {label.decode() for label in record["labels"].ravel()}
        return [*(float(label in given) for label in self.config.labels), *answer["scores"].tolist()]

    @override
    def figures(self, rows: np.ndarray) -> dict[str, float]:
        """As scikit-learn's, over the labels that are assigned.

        ``f1_micro`` over all labels together, ``f1_macro`` the mean over them, ``exact`` the share of records with all
        labels right, ``average_precision`` the mean over the labels; ``ece``, the expected calibration error over the
        scores of all labels (Guo et al. 2017, 15 bins); ``trivial`` is F1 of always assigning the same labels, the best
        such set.
        """
        from sklearn import metrics

        labels = self.config.labels
        right, scores = rows[:, : len(labels)].astype(bool), rows[:, len(labels) :]
        answers = scores >= self.config.threshold
        if not len(rows):
            return {"f1_micro": math.nan}
        given = right.sum(axis=0)
        found = {
            "f1_micro": metrics.f1_score(right, answers, average="micro", zero_division=0),
            "f1_macro": metrics.f1_score(right, answers, average="macro", zero_division=0),
            "exact": (right == answers).all(axis=1).mean(),
            "average_precision": np.mean(
                [
                    metrics.average_precision_score(right[:, place], scores[:, place]) if given[place] else math.nan
                    for place in range(len(labels))
                ]
            ),
            "ece": calibration.expected_error(scores.ravel(), right.ravel()),
            # Of k labels assigned to everyone the best are the k most frequent ones.
            "trivial": max(
                2 * frequent / (len(rows) * count + given.sum())
                for count, frequent in enumerate(np.sort(given)[::-1].cumsum(), 1)
            ),
        }
        precision, recall, *_ = metrics.precision_recall_fscore_support(right, answers, zero_division=0)
        for place, label in enumerate(labels):
            found[f"precision[{label}]"], found[f"recall[{label}]"] = precision[place], recall[place]
        return {name: float(value) for name, value in found.items()}

    @override
    def wrong(self, row: np.ndarray) -> float:
        """The number of labels that are missing or too many."""
        right, scores = row.reshape(2, -1)
        return float(((scores >= self.config.threshold) != right).sum())

    @override
    def expected(self, record: Mapping[str, np.ndarray]) -> str:
        """The labels."""
        return ", ".join(task.strings(record["labels"])) or "no label"

    @override
    def summarize(self, answer: Mapping[str, np.ndarray]) -> str:
        """``action .91, drama .64``."""
        scores = dict(zip(task.strings(answer["labels"]), answer["scores"], strict=True))
        return (
            ", ".join(f"{label} {task.brief(scores[label])}" for label in task.strings(answer["assigned"]))
            or "no label"
        )

    @override
    def to_row(self, answer: Mapping[str, np.ndarray]) -> dict[str, str | int | float]:
        """``labels``, with commas between them, and ``score[L]`` of every label."""
        scores = zip(self.config.labels, answer["scores"], strict=True)
        return {
            "labels": ",".join(task.strings(answer["assigned"])),
            **{f"score[{label}]": task.decimal(score) for label, score in scores},
        }
