"""Classification of one text or of a pair: a linear layer over the pooled [CLS] (Devlin et al. 2019, section 4.1)."""

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pydantic

from models import task

if TYPE_CHECKING:
    import tensorflow as tf

    from models.bert.encoder import BertEncoder
    from models.text.tokenization import Tokenizer

# Upper edges in words: a slice a person can picture. Chosen for short real text (review snippets: median 19 words).
LENGTH_BUCKETS = (8, 16, 32)
_BUCKET_NAMES = (
    *(f"{low + 1}-{high} words" for low, high in itertools.pairwise((0, *LENGTH_BUCKETS))),
    f">{LENGTH_BUCKETS[-1]} words",
)


class Labels(pydantic.BaseModel):
    """The keys of every task that gives a text labels of a list.

    Attributes:
      labels: every label, in the order of the logits; with two, the last one is the positive class of F1 and AUC.
      max_length: tokens a row, special ones included; longer texts are cut.
      dropout: between the pooled vector and the classifier.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    labels: Annotated[list[str], pydantic.Field(min_length=2)]
    max_length: Annotated[int, pydantic.Field(ge=8)] = 128
    dropout: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.1

    @pydantic.model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels must be distinct. Received: {self.labels}")
        return self


class Config(Labels):
    """The task's own keys.

    Attributes:
      labels, max_length, dropout: as above.
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


class Task(task.Task):
    """One label for one text, or for two."""

    schema = "classification"
    answers: ClassVar[tuple[str, ...]] = ("label", "score", "scores")
    metrics = (task.Metric("accuracy"), task.Metric("f1"), task.Metric("auc"), task.Metric("mcc"))
    plots = True
    calibrates = True
    slices = {"length_bucket": _BUCKET_NAMES}
    head = "classification"

    def __init__(self, config: Config | Mapping[str, Any]) -> None:
        self.config = config if isinstance(config, Config) else Config.model_validate(dict(config))

    def featurize(self, record: task.Tensors, tokenizer: "Tokenizer") -> dict[str, Any]:
        """``token_ids``, ``segment_ids`` ragged int64 (B, None); ``length_bucket`` string, ``label_id`` int64 (B,)."""
        import tensorflow as tf

        from models.text import tokenization

        words = tf.cast(tf.strings.split(record["text"]).row_lengths(), tf.int32)
        ids = tokenizer.tokenize(record["text"])
        if "text_pair" in record:
            words += tf.cast(tf.strings.split(record["text_pair"]).row_lengths(), tf.int32)
            second = tokenizer.tokenize(record["text_pair"])
            token_ids, segment_ids = tokenization.pair(
                ids, second, tokenizer.cls_id, tokenizer.sep_id, self.config.max_length
            )
        else:
            token_ids, segment_ids = tokenization.single(
                ids, tokenizer.cls_id, tokenizer.sep_id, self.config.max_length
            )
        bucket = tf.reduce_sum(tf.cast(words[:, None] > tf.constant(LENGTH_BUCKETS), tf.int32), axis=1)
        features = {
            "token_ids": token_ids,
            "segment_ids": segment_ids,
            "length_bucket": tf.gather(_BUCKET_NAMES, bucket),
        }
        return features | (self.target(record) if set(self.gold) <= record.keys() else {})

    def target(self, record: task.Tensors) -> dict[str, Any]:
        """``label_id`` int64 (B,)."""
        import tensorflow as tf

        # Every label is in the list: ExampleGen refuses the others.
        return {"label_id": tf.argmax(record["label"][:, None] == tf.constant(self.config.labels), axis=1)}

    def fitted(self, rows: "tf.data.Dataset") -> task.Task:
        """See ``task.Task.fitted``: with numbers for ``balanced`` class weights."""
        # Tasks that derive from this one have other keys.
        if getattr(self.config, "class_weights", None) != "balanced":
            return self
        from sklearn.utils import class_weight

        label_ids = np.fromiter(rows.map(lambda row: row["label_id"]).as_numpy_iterator(), np.int64)
        present = np.unique(label_ids)
        weights = class_weight.compute_class_weight("balanced", classes=present, y=label_ids)
        found = {self.config.labels[i]: float(weight) for i, weight in zip(present, weights, strict=True)}
        return type(self)(self.config.model_copy(update={"class_weights": found}))

    def batches(
        self, rows: "tf.data.Dataset", *, batch_size: int, seed: int, epoch: int, start_step: int = 0
    ) -> "tf.data.Dataset":
        """See ``task.Task.batches``."""
        names = ("token_ids", "segment_ids", *self.targets)
        kept = rows.map(lambda row: {name: row[name] for name in names})
        # The buffer bounds memory: 20,000 rows of 128 tokens are about 40 MB.
        shuffled = kept.shuffle(20_000, seed=seed * 1000 + epoch, reshuffle_each_iteration=False)
        return task.pad(shuffled.skip(start_step * batch_size), batch_size)

    def build(self, encoder: "BertEncoder") -> Any:
        """A Keras layer: batch to ``logits`` float32 (B, C)."""
        from models.bert.heads import Classifier

        return Classifier(encoder, len(self.config.labels), self.config.dropout, name="classifier")

    def loss(self, outputs: task.Tensors, batch: task.Tensors) -> Any:
        """Cross-entropy, mean over the batch, by ``class_weights``."""
        from models.bert import losses

        given = self.config.class_weights
        weights = [given.get(label, 1.0) for label in self.config.labels] if given else None
        return losses.cross_entropy(outputs["logits"], batch["label_id"], weights, self.config.label_smoothing)

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

    @property
    def judged(self) -> tuple[str, ...]:
        """The place of the right label, and the scores of all."""
        return ("label", *(f"score[{label}]" for label in self.config.labels))

    def score(self, outputs: task.Tensors, batch: task.Tensors) -> Any:
        """See ``task.Task.score``."""
        import tensorflow as tf

        right = tf.cast(batch["label_id"], tf.float32)
        return tf.concat([right[:, None], tf.nn.softmax(outputs["logits"])], axis=1)

    def rate(self, answer: Mapping[str, np.ndarray], record: Mapping[str, np.ndarray]) -> list[float]:
        """See ``task.Task.rate``."""
        return [self.config.labels.index(record["label"].item().decode()), *answer["scores"].tolist()]

    def figures(self, rows: np.ndarray) -> dict[str, float]:
        """The answer is the label of the highest score, as it is served.

        ``accuracy``; ``f1`` and ``auc``, of the last label where there are two, else means over the labels, each
        against the rest; ``mcc``, Matthews' correlation; ``ece``, the expected calibration error (Guo et al. 2017, 15
        bins); ``precision``, ``recall`` and ``mistaken`` of every label: the last is the place of the answer that its
        records mostly got instead, -1 for none.
        """
        from sklearn import metrics

        labels, places = self.config.labels, range(len(self.config.labels))
        right, scores = rows[:, 0].astype(int), rows[:, 1:]
        answers = scores.argmax(axis=1)
        if not len(rows):
            return {"accuracy": math.nan, "trivial": math.nan}
        confusion = metrics.confusion_matrix(right, answers, labels=list(places))
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            right, answers, labels=list(places), zero_division=0
        )
        binary = len(labels) == 2
        areas = [_area(right == place, scores[:, place]) for place in ([1] if binary else places)]
        found = {
            "accuracy": confusion.trace() / len(rows),
            "trivial": confusion.sum(axis=1).max() / len(rows),
            "f1": f1[1] if binary else f1.mean(),
            "auc": np.mean(areas),
            "mcc": metrics.matthews_corrcoef(right, answers),
            "ece": calibration_error(scores.max(axis=1), right == answers),
        }
        np.fill_diagonal(confusion, 0)
        for place, label in enumerate(labels):
            found[f"precision[{label}]"], found[f"recall[{label}]"] = precision[place], recall[place]
            found[f"mistaken[{label}]"] = confusion[place].argmax() if confusion[place].any() else -1
        return {name: float(value) for name, value in found.items()}

    def wrong(self, row: np.ndarray) -> float:
        """The score of the answer, where that is another label."""
        best = int(row[1:].argmax())
        return 0.0 if best == row[0] else float(row[1 + best])

    def expected(self, record: Mapping[str, np.ndarray]) -> str:
        """The label."""
        return str(record["label"].item().decode())

    def told(self, answer: Mapping[str, np.ndarray]) -> str:
        """``positive .98``, and the second best where the first is not sure."""
        labels, scores = task.strings(answer["labels"]), answer["scores"]
        first, second = scores.argsort()[::-1][:2]
        other = f"  ({labels[second]} {task.brief(scores[second])})" if scores[first] < 0.8 else ""
        return f"{labels[first]} {task.brief(scores[first])}{other}"

    def cells(self, answer: Mapping[str, np.ndarray]) -> dict[str, str | int | float]:
        """``label``, ``score``, and ``score[L]`` of every label."""
        found: dict[str, str | int | float] = {
            "label": answer["label"].item().decode(),
            "score": decimal(answer["score"]),
        }
        return found | {
            f"score[{label}]": decimal(x) for label, x in zip(self.config.labels, answer["scores"], strict=True)
        }


def decimal(value: np.ndarray) -> float:
    """The shortest decimal that is this float32."""
    return float(str(np.float32(value)))


def _area(positive: np.ndarray, scores: np.ndarray) -> float:
    """Under the ROC curve; NaN where there are no records of one kind."""
    from sklearn import metrics

    return float(metrics.roc_auc_score(positive, scores)) if 0 < positive.sum() < len(positive) else math.nan


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """How far confidence and accuracy lie apart, mean over answers in equally wide bins (Guo et al. 2017, eq. 3)."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))
