"""Classification of one text or of a pair."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pydantic
from typing_extensions import override

from models import task
from models.figures import CONFUSION, ROC, Figures, LabelFigures, Section
from models.judging import baseline_answers
from models.pooled_task import Labels, PooledTask
from models.training import calibration

if TYPE_CHECKING:
    import tensorflow as tf


class Config(Labels):
    """The task's own keys.

    Attributes:
      labels, max_length, dropout, pooling: as above.
      class_weights: how much a record of each label counts in the loss, 1 where a label is left out; ``balanced``:
        records / (labels · records of the label), of the train split, as scikit-learn has it.
      label_smoothing: share of a label's 1 that all labels get alike (Szegedy et al. 2016, section 7).
    """

    class_weights: Literal["balanced"] | dict[str, Annotated[float, pydantic.Field(gt=0)]] | None = None
    label_smoothing: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0

    @pydantic.field_validator("class_weights")
    @classmethod
    def _of_labels(cls, given: Any, info: pydantic.ValidationInfo) -> Any:
        labels = info.data.get("labels")
        if labels and isinstance(given, dict) and (unknown := sorted(given.keys() - set(labels))):
            raise ValueError(f"weighs labels that are none: {', '.join(unknown)}; labels: {', '.join(labels)}")
        return given


class Task(PooledTask):
    """One label for one text, or for two."""

    schema = "classification"
    answers: ClassVar[tuple[str, ...]] = ("label", "score", "scores")
    metrics = (task.Metric("accuracy"), task.Metric("f1"), task.Metric("auc"), task.Metric("mcc"))
    single_label = True
    baselines = ("majority", "tfidf")
    calibrates = True
    taught = "scores"
    explains = True
    head = "classification"

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
        """``label_id`` int64 (B,)."""
        import tensorflow as tf

        # Every label is in the list: ExampleGen refuses the others.
        return {"label_id": tf.argmax(record["label"][:, None] == tf.constant(self.config.labels), axis=1)}

    @override
    def fitted(self, rows: "tf.data.Dataset", held_out: "tf.data.Dataset", vocabulary: Any) -> task.Task:
        """With numbers for ``balanced`` class weights."""
        del held_out, vocabulary
        if self.config.class_weights != "balanced":
            return self
        from sklearn.utils import class_weight

        label_ids = np.fromiter(rows.map(lambda row: row["label_id"]).as_numpy_iterator(), np.int64)
        present = np.unique(label_ids)
        weights = class_weight.compute_class_weight("balanced", classes=present, y=label_ids)
        found = {self.config.labels[i]: float(weight) for i, weight in zip(present, weights, strict=True)}
        return type(self)(self.config.model_copy(update={"class_weights": found}))

    @override
    def loss(self, outputs: task.Tensors, batch: task.Tensors) -> Any:
        """Cross-entropy, mean over the batch, by ``class_weights``."""
        from models.bert import losses

        weights = self._class_weights()
        return losses.cross_entropy(outputs["logits"], batch["label_id"], weights, self.config.label_smoothing)

    @override
    def row_weights(self, batch: task.Tensors) -> Any:
        import tensorflow as tf

        weights = self._class_weights()
        return super().row_weights(batch) if weights is None else tf.gather(tf.constant(weights), batch["label_id"])

    def _class_weights(self) -> list[float] | None:
        """By the order of ``labels``; None where all count alike."""
        by_label = self.config.class_weights
        if by_label == "balanced":
            raise ValueError("class_weights: balanced has no numbers before fitted(rows)")
        return [by_label.get(label, 1.0) for label in self.config.labels] if by_label else None

    @override
    def soft_loss(self, outputs: task.Tensors, answers: Any, temperature: float) -> Any:
        """Divergence from its scores."""
        from models.bert import losses

        return losses.softmax_divergence(outputs["logits"], answers, temperature)

    @override
    def answer(self, outputs: task.Tensors, features: task.Tensors, record: task.Tensors) -> dict[str, Any]:
        """``label`` string, ``score`` float32 (B,); ``labels`` string, ``scores`` float32 (B, C), as listed."""
        import tensorflow as tf

        del features, record
        scores = tf.nn.softmax(outputs["logits"])
        best = tf.argmax(scores, axis=-1)
        labels = tf.constant(self.config.labels)
        return {
            "label": tf.gather(labels, best),
            "score": tf.reduce_max(scores, axis=-1),
            "labels": tf.repeat(labels[None], tf.shape(scores)[0], axis=0),
            "scores": scores,
        }

    @override
    def explained(self, outputs: task.Tensors) -> Any:
        """The probability of each label."""
        import tensorflow as tf

        return tf.nn.softmax(outputs["logits"])

    @property
    @override
    def row_metric_names(self) -> tuple[str, ...]:
        """The place of the right label, and the scores of all."""
        return ("label", *(f"score[{label}]" for label in self.config.labels))

    @override
    def row_metrics(self, answer: Mapping[str, np.ndarray], record: Mapping[str, np.ndarray]) -> list[float]:
        return [self.config.labels.index(record["label"].item().decode()), *answer["scores"].tolist()]

    @override
    def headline(self, rows: np.ndarray) -> float:
        """``accuracy``: the answer is the label of the highest score, as it is served."""
        return float((rows[:, 1:].argmax(axis=1) == rows[:, 0]).mean()) if len(rows) else math.nan

    @override
    def figures(self, rows: np.ndarray) -> Figures:
        """The answer is the label of the highest score, as it is served.

        ``accuracy``; ``f1`` and ``auc``, of the last label where there are two, else means over the labels, each
        against the rest; ``mcc``, Matthews' correlation; ``ece``, the expected calibration error (Guo et al. 2017, 15
        bins). ``trivial`` is the share of the most frequent label.
        """
        from sklearn import metrics

        labels, places = self.config.labels, range(len(self.config.labels))
        right, scores = rows[:, 0].astype(int), rows[:, 1:]
        answers = scores.argmax(axis=1)
        if not len(rows):
            return Figures({"accuracy": math.nan}, trivial=math.nan)
        confusion = self._confusion(rows)
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            right, answers, labels=list(places), zero_division=0
        )
        binary = len(labels) == 2
        areas = [_area(right == place, scores[:, place]) for place in ([1] if binary else places)]
        values = {
            "accuracy": self.headline(rows),
            "f1": float(f1[1] if binary else f1.mean()),
            "auc": float(np.mean(areas)),
            "mcc": float(metrics.matthews_corrcoef(right, answers)),
            "ece": calibration.expected_error(scores.max(axis=1), right == answers),
        }
        given = confusion.sum(axis=1)
        trivial = float(given.max() / len(rows))
        np.fill_diagonal(confusion, 0)
        mistaken = [labels[row.argmax()] if row.any() else None for row in confusion]
        each = map(LabelFigures, precision.tolist(), recall.tolist(), mistaken, given.tolist())
        return Figures(values, trivial, dict(zip(labels, each, strict=True)))

    def _confusion(self, rows: np.ndarray) -> np.ndarray:
        """Records by label and answer: int64 (C, C)."""
        from sklearn import metrics

        places = list(range(len(self.config.labels)))
        matrix: np.ndarray = metrics.confusion_matrix(rows[:, 0].astype(int), rows[:, 1:].argmax(axis=1), labels=places)
        return matrix

    @override
    def baseline(self, name: str, train: Sequence[task.Record], test: Sequence[task.Record]) -> task.Answers:
        if name == "majority":
            return baseline_answers.majority(train, test, self.config.labels)
        if name == "tfidf":
            return baseline_answers.tfidf(train, test, self.config.labels)
        return super().baseline(name, train, test)

    @override
    def sections(self, rows: np.ndarray, references: Mapping[str, np.ndarray]) -> Iterator[Section]:
        """The confusion of all labels; with two of them the ROC curve of the last one."""
        del references
        labels = self.config.labels
        matrix = [[label, *row] for label, row in zip(labels, self._confusion(rows).tolist(), strict=True)]
        yield Section(CONFUSION, ["label ╲ answer", *labels], matrix, "heat")
        if len(labels) == 2 and 0 < rows[:, 0].sum() < len(rows):
            yield Section(ROC, ["false positives", "recall", "threshold"], _curve(rows[:, 0], rows[:, 2]), "lines")

    @override
    def wrong(self, row: np.ndarray) -> float:
        """The score of the answer, where that is another label."""
        best = int(row[1:].argmax())
        return 0.0 if best == row[0] else float(row[1 + best])

    @override
    def expected(self, record: Mapping[str, np.ndarray]) -> str:
        """The label."""
        return str(record["label"].item().decode())

    @override
    def summarize(self, answer: Mapping[str, np.ndarray]) -> str:
        """``positive .98``, and the second best where the first is not sure."""
        labels, scores = task.strings(answer["labels"]), answer["scores"]
        first, second = scores.argsort()[::-1][:2]
        other = f"  ({labels[second]} {task.brief(scores[second])})" if scores[first] < 0.8 else ""
        return f"{labels[first]} {task.brief(scores[first])}{other}"

    @override
    def to_row(self, answer: Mapping[str, np.ndarray]) -> dict[str, str | int | float]:
        """``label``, ``score``, and ``score[L]`` of every label."""
        found: dict[str, str | int | float] = {
            "label": answer["label"].item().decode(),
            "score": task.decimal(answer["score"]),
        }
        return found | {
            f"score[{label}]": task.decimal(x) for label, x in zip(self.config.labels, answer["scores"], strict=True)
        }


def _area(positive: np.ndarray, scores: np.ndarray) -> float:
    """Under the ROC curve; NaN where there are no records of one kind."""
    from sklearn import metrics

    return float(metrics.roc_auc_score(positive, scores)) if 0 < positive.sum() < len(positive) else math.nan


# A curve of more points looks alike, and nears the 200 kB that Vertex takes of an artifact's metadata.
_POINTS = 500


def _curve(positive: np.ndarray, scores: np.ndarray) -> list[list[float]]:
    """False positive rate, recall and threshold of a ROC curve, by rising threshold; a score reaches its threshold."""
    from sklearn import metrics

    # The first threshold is infinite, of which JSON knows nothing: no score is above 1.
    points = np.array(metrics.roc_curve(positive, scores))[:, ::-1].T
    points[:, 2] = np.minimum(points[:, 2], 1)
    kept: list[list[float]] = points[np.linspace(0, len(points) - 1, min(len(points), _POINTS)).astype(int)].tolist()
    return kept
