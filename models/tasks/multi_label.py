"""Any number of labels for one text or a pair: a sigmoid for each label over the pooled [CLS]."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pydantic
from typing_extensions import override

from models import task
from models.figures import Figures, LabelFigures
from models.judging import baseline_answers
from models.pooled_task import Labels, PooledTask
from models.training import calibration


class Config(Labels):
    """The task's own keys.

    Attributes:
      labels: every label, in the order of the logits.
      max_length, dropout, pooling: as in classification.
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
    baselines = ("best_set", "tfidf")
    calibrates = True
    taught = "scores"
    explains = True

    def __init__(self, config: Config | Mapping[str, Any]) -> None:
        self.config: Config = config if isinstance(config, Config) else Config.model_validate(dict(config))

    @property
    @override
    def width(self) -> int:
        return len(self.config.labels)

    @property
    @override
    def label_names(self) -> list[str]:
        return self.config.labels

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
    def soft_loss(self, outputs: task.Tensors, answers: Any, temperature: float) -> Any:
        """Divergence from its scores, mean over the labels."""
        from models.bert import losses

        return losses.sigmoid_divergence(outputs["logits"], answers, temperature)

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

    @override
    def explained(self, outputs: task.Tensors) -> Any:
        """The score of each label."""
        import tensorflow as tf

        return tf.nn.sigmoid(outputs["logits"])

    @property
    @override
    def row_metric_names(self) -> tuple[str, ...]:
        """Whether each label is right, and each label's score."""
        labels = self.config.labels
        return (*(f"right[{label}]" for label in labels), *(f"score[{label}]" for label in labels))

    @override
    def row_metrics(self, answer: Mapping[str, np.ndarray], record: Mapping[str, np.ndarray]) -> list[float]:
        given = {label.decode() for label in record["labels"].ravel()}
        return [*(float(label in given) for label in self.config.labels), *answer["scores"].tolist()]

    @override
    def headline(self, rows: np.ndarray) -> float:
        """``f1_micro``, over all labels together."""
        if not len(rows):
            return math.nan
        right, answers = self._assigned(rows)
        both = right.sum() + answers.sum()
        return float(2 * (right & answers).sum() / both) if both else 0.0

    def _assigned(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which labels are right, and which are assigned: bool (N, C) each."""
        right, scores = np.split(rows, 2, axis=1)
        return right.astype(bool), scores >= self.config.threshold

    @override
    def figures(self, rows: np.ndarray) -> Figures:
        """As scikit-learn's, over the labels that are assigned.

        ``f1_micro`` over all labels together, ``f1_macro`` the mean over them, ``exact`` the share of records with all
        labels right, ``average_precision`` the mean over the labels; ``ece``, the expected calibration error over the
        scores of all labels (Guo et al. 2017, 15 bins); ``trivial`` is F1 of always assigning the same labels, the best
        such set.
        """
        from sklearn import metrics

        labels = self.config.labels
        if not len(rows):
            return Figures({"f1_micro": math.nan})
        (right, answers), scores = self._assigned(rows), rows[:, len(labels) :]
        given = right.sum(axis=0)
        values = {
            "f1_micro": self.headline(rows),
            "f1_macro": float(metrics.f1_score(right, answers, average="macro", zero_division=0)),
            "exact": float((right == answers).all(axis=1).mean()),
            "average_precision": float(
                np.mean(
                    [
                        metrics.average_precision_score(right[:, place], scores[:, place]) if given[place] else math.nan
                        for place in range(len(labels))
                    ]
                )
            ),
            "ece": calibration.expected_error(scores.ravel(), right.ravel()),
        }
        # Of k labels assigned to everyone the best are the k most frequent ones.
        trivial = max(
            2 * frequent / (len(rows) * count + given.sum())
            for count, frequent in enumerate(np.sort(given)[::-1].cumsum(), 1)
        )
        precision, recall, *_ = metrics.precision_recall_fscore_support(right, answers, zero_division=0)
        each = (
            LabelFigures(share, found, records=int(count))
            for share, found, count in zip(precision.tolist(), recall.tolist(), given, strict=True)
        )
        return Figures(values, float(trivial), dict(zip(labels, each, strict=True)))

    @override
    def baseline(self, name: str, train: Sequence[task.Record], test: Sequence[task.Record]) -> task.Answers:
        if name == "best_set":
            return baseline_answers.best_set(train, test, self.config.labels)
        if name == "tfidf":
            return baseline_answers.tfidf_set(train, test, self.config.labels)
        return super().baseline(name, train, test)

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
