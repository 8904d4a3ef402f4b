"""Labels on parts of a text, such as named entities: a linear layer over every token (Devlin et al. 2019, 5.3).

Records hold spans of characters, and so do answers: nothing depends on how words or pieces are cut. A piece takes the
label of its first character.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
import pydantic
from typing_extensions import override

from models import task
from models.figures import Figures, LabelFigures
from models.judging import baseline_answers

if TYPE_CHECKING:
    import tensorflow as tf

    from models.bert.encoder import BertEncoder
    from models.text.tokenization import Tokenizer

Span = tuple[int, int, str]

# Below any offset or label: a piece that no span covers.
_NONE = -1


class Config(pydantic.BaseModel):
    """The task's own keys.

    Attributes:
      labels: every label of a span, in the order of the logits; those of the data where left out.
      scheme: ``BIO``: spans are found, of any length; ``word``: every word, between white space, is labelled.
      max_length: tokens a row, special ones included; what lies behind is not labelled.
      dropout: between the encoder and the classifier.
      label_smoothing: share of a tag's 1 that all tags get alike (Szegedy et al. 2016, section 7).
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    labels: list[str] = []
    scheme: Literal["BIO", "word"] = "BIO"
    max_length: Annotated[int, pydantic.Field(ge=8)] = 128
    dropout: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.1
    label_smoothing: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0

    @pydantic.model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels must be distinct. Received: {self.labels}")
        return self


class Task(task.Task):
    """Spans of a text, each with a label."""

    schema = "token_classification"
    head = "token_classification"
    answers = ("span", "span_label", "start", "end", "span_score")
    gold = ("span_start", "span_end", "span_label")
    targets = ("tag_ids",)
    texts = ("text",)
    baselines = ("most_frequent_tag",)
    metrics = (task.Metric("entity_f1"), task.Metric("entity_f1_macro"), task.Metric("character_f1_macro"))

    def __init__(self, config: Config | Mapping[str, Any]) -> None:
        self.config: Config = config if isinstance(config, Config) else Config.model_validate(dict(config))

    @property
    @override
    def label_names(self) -> list[str]:
        return self.config.labels

    @property
    @override
    def logit_names(self) -> list[str]:
        """The tags of a token: ``O``, ``B-…`` and ``I-…``, in the order of the logits; labels with ``scheme: word``."""
        labels = self.config.labels
        return labels if self.config.scheme == "word" else ["O", *(f"{kind}-{x}" for x in labels for kind in "BI")]

    @override
    def featurize(self, record: task.Tensors, tokenizer: "Tokenizer") -> dict[str, Any]:
        """Tokens, and the characters that they stand for.

        Ragged int64 (B, None), a token an element: ``token_ids``, ``segment_ids``; ``piece_start``, ``piece_end``, in
        characters, 0 for special ones; ``word``, its number, with ``scheme: word``; ``tag_ids``, -1 where nothing is to
        be learned.
        """
        import tensorflow as tf

        from models.text import tokenization

        ids, start, end = tokenizer.tokenize_with_offsets(record["text"])
        token_ids, segment_ids = tokenization.single(ids, tokenizer.cls_id, tokenizer.sep_id, self.config.max_length)
        room = self.config.max_length - 2
        features = {
            "token_ids": token_ids,
            "segment_ids": segment_ids,
            "piece_start": _framed(start[:, :room], 0),
            "piece_end": _framed(end[:, :room], 0),
        }
        if self.config.scheme == "word":
            features["word"] = _framed(_word_of(record["text"], start[:, :room]), _NONE)
        if set(self.gold) <= record.keys():
            labels = tf.argmax(record["span_label"].values[:, None] == tf.constant(self.config.labels), axis=1)
            label = record["span_label"].with_values(labels)
            tags = self._tags(start[:, :room], record["span_start"], record["span_end"], label)
            features["tag_ids"] = _framed(tags, _NONE)
        return features

    def _tags(self, piece_start: Any, span_start: Any, span_end: Any, label: Any) -> Any:
        """Of the span that holds a piece's first character; its first piece begins it."""
        import tensorflow as tf

        pieces = piece_start.to_tensor(_NONE)[:, :, None]
        inside = (pieces >= span_start.to_tensor(_NONE)[:, None]) & (pieces < span_end.to_tensor(_NONE)[:, None])
        # A span more than there are, for the pieces that lie in none.
        inside = tf.concat([inside, tf.ones_like(pieces, tf.bool)], axis=2)
        span = tf.argmax(inside, axis=2)
        covered = tf.cast(span, tf.int64) < span_start.row_lengths()[:, None]
        first = tf.concat([tf.ones_like(span[:, :1], tf.bool), span[:, 1:] != span[:, :-1]], axis=1)
        padded = tf.concat([label.to_tensor(0), tf.zeros_like(span_start.row_lengths()[:, None])], axis=1)
        kind = tf.gather(padded, span, batch_dims=1)
        if self.config.scheme == "word":
            tags = tf.where(covered & first, kind, _NONE)
        else:
            tags = tf.where(covered, 1 + 2 * kind + tf.cast(~first, tf.int64), 0)
        return tf.RaggedTensor.from_tensor(tags, piece_start.row_lengths())

    @override
    def batches(
        self, rows: "tf.data.Dataset", *, batch_size: int, seed: int, epoch: int, start_step: int = 0
    ) -> "tf.data.Dataset":
        kept = rows.map(lambda row: {name: row[name] for name in ("token_ids", "segment_ids", "tag_ids")})
        shuffled = kept.shuffle(20_000, seed=seed * 1000 + epoch, reshuffle_each_iteration=False)
        return task.pad(shuffled.skip(start_step * batch_size), batch_size)

    @override
    def inputs(self, features: task.Tensors) -> dict[str, Any]:
        return task.dense({name: features[name] for name in ("token_ids", "segment_ids")})

    @override
    def build(self, encoder: "BertEncoder") -> Any:
        """A Keras layer: batch to ``logits`` float32 (B, S, tags)."""
        from models.bert.heads import TokenClassifier

        return TokenClassifier(encoder, len(self.logit_names), self.config.dropout, name="token_classifier")

    @override
    def loss(self, outputs: task.Tensors, batch: task.Tensors) -> Any:
        """Cross-entropy, mean over the labelled pieces of the batch."""
        import tensorflow as tf

        from models.bert import losses

        learned = batch["padding_mask"] & (batch["tag_ids"] >= 0)
        # Batches pad tags with 0.
        logits, tags = tf.boolean_mask(outputs["logits"], learned), tf.boolean_mask(batch["tag_ids"], learned)
        return losses.cross_entropy(logits, tags, smoothing=self.config.label_smoothing)

    @override
    def row_weights(self, batch: task.Tensors) -> Any:
        import tensorflow as tf

        return tf.math.count_nonzero(batch["padding_mask"] & (batch["tag_ids"] >= 0), axis=1, dtype=tf.float32)

    def _spans(self, outputs: task.Tensors, features: task.Tensors) -> tuple[Any, Any, Any, Any]:
        """What the tokens' best tags say: start, end, label int64 and score float32, ragged (B, None).

        A tag I that continues nothing begins a span, as in seqeval. A span's score is the mean of its pieces'.
        """
        import tensorflow as tf

        offset = features["piece_start"]
        scores = tf.RaggedTensor.from_tensor(tf.nn.softmax(outputs["logits"]), offset.row_lengths()).values
        best, score = tf.argmax(scores, axis=1), tf.reduce_max(scores, axis=1)
        row, real = offset.value_rowids(), features["piece_end"].values > 0
        if self.config.scheme == "word":
            label, group = best, features["word"].values
            begins = real & _changes(row, group)
        else:
            label = tf.where(real & (best > 0), (best - 1) // 2, _NONE)
            begins = (label >= 0) & ((best % 2 == 1) | _changes(row, label))
            real = label >= 0
        number = tf.cumsum(tf.cast(begins, tf.int64)) - 1
        kept, first = tf.boolean_mask(number, real), tf.where(begins)[:, 0]
        rows = tf.gather(row, first)

        def spans(values: Any) -> Any:
            return tf.RaggedTensor.from_value_rowids(values, rows, nrows=offset.nrows())

        # A word takes the tag of its first piece; the pieces of a found span have one label.
        sure = tf.gather(score, first) if self.config.scheme == "word" else tf.math.segment_mean(score[real], kept)
        return (
            spans(tf.gather(offset.values, first)),
            spans(tf.math.segment_max(features["piece_end"].values[real], kept)),
            spans(tf.gather(label, first)),
            spans(sure),
        )

    @override
    def answer(self, outputs: task.Tensors, features: task.Tensors, record: task.Tensors) -> dict[str, Any]:
        """Spans in their order, (B, max_length - 2), padded with "" and 0: a span a piece are the most there can be.

        ``span`` and ``span_label`` string; ``start`` and ``end`` int64, in characters; ``span_score`` float32.
        """
        import tensorflow as tf

        start, end, label, score = self._spans(outputs, features)
        texts = tf.gather(record["text"], start.value_rowids())
        where = (tf.cast(start.values, tf.int32), tf.cast(end.values - start.values, tf.int32))
        found = {
            "span": start.with_values(tf.strings.substr(texts, *where, unit="UTF8_CHAR")),
            "span_label": tf.gather(tf.constant(self.config.labels), label),
            "start": start,
            "end": end,
            "span_score": score,
        }
        return {name: value.to_tensor(shape=[None, self.config.max_length - 2]) for name, value in found.items()}

    @property
    @override
    def row_metric_names(self) -> tuple[str, ...]:
        """Of each label: spans that are right, found and given; likewise their first characters, and the others."""
        kinds = ("right", "found", "given")
        units = ("span",) if self.config.scheme == "word" else ("span", "first", "other")
        return tuple(f"{unit}_{kind}[{label}]" for unit in units for kind in kinds for label in self.config.labels)

    @override
    def row_metrics(self, answer: Mapping[str, np.ndarray], record: Mapping[str, np.ndarray]) -> list[float]:
        given = _listed(record["span_start"], record["span_end"], record["span_label"])
        found = _listed(answer["start"], answer["end"], answer["span_label"])
        if self.config.scheme == "word":  # only words that were labelled are judged
            places = {span[:2] for span in given}
            found = {span for span in found if span[:2] in places}
        pairs = [(given, found)]
        if self.config.scheme == "BIO":
            pairs += [(_characters(given, first=first), _characters(found, first=first)) for first in (True, False)]
        rows = list[float]()
        for right, seen in pairs:
            for spans in (right & seen, seen, right):
                rows += [sum(span[-1] == label for span in spans) for label in self.config.labels]
        return rows

    @override
    def headline(self, rows: np.ndarray) -> float:
        """``entity_f1``, over all labels together, as seqeval's."""
        right, predicted, expected = self._sums(rows)[0].sum(axis=1)
        return float(_share(2 * right, predicted + expected))

    def _sums(self, rows: np.ndarray) -> np.ndarray:
        """What is right, predicted and expected of each label, by unit: float64 (units, 3, labels)."""
        units = 1 if self.config.scheme == "word" else 3
        sums: np.ndarray = rows.reshape(len(rows), units, 3, len(self.config.labels)).sum(axis=0)
        return sums

    @override
    def figures(self, rows: np.ndarray) -> Figures:
        """Spans count when start, end and label are right.

        ``entity_f1`` over all labels together, as seqeval's; with ``scheme: word`` that is accuracy.
        ``entity_f1_macro``, the mean over the labels; ``character_f1_macro``, the same over characters, with B and I as
        classes, as KLUE has it.
        """
        labels = self.config.labels
        sums = self._sums(rows)
        right, found, given = sums[0]
        values, trivial = {"entity_f1": self.headline(rows), "entity_f1_macro": _mean_f1(*sums[0])}, None
        if self.config.scheme == "word":
            trivial = float(_share(given.max(), given.sum()))
        else:
            values["character_f1_macro"] = _mean_f1(*sums[1:].transpose(1, 0, 2).reshape(3, -1))
        each = {
            label: LabelFigures(
                float(_share(right[place], found[place], nothing=0.0)),
                float(_share(right[place], given[place])),
                records=int(given[place]),
            )
            for place, label in enumerate(labels)
        }
        return Figures(values, trivial, each)

    @override
    def baseline(self, name: str, train: Sequence[task.Record], test: Sequence[task.Record]) -> task.Answers:
        if name == "most_frequent_tag":
            return baseline_answers.most_frequent_tag(train, test, every_word=self.config.scheme == "word")
        return super().baseline(name, train, test)

    @override
    def wrong(self, row: np.ndarray) -> float:
        """The number of spans that are missing or wrong."""
        right, found, given = row.reshape(-1, 3, len(self.config.labels))[0].sum(axis=1)
        return float(found + given - 2 * right)

    @override
    def expected(self, record: Mapping[str, np.ndarray]) -> str:
        """The spans, by their characters."""
        spans = sorted(_listed(record["span_start"], record["span_end"], record["span_label"]))
        return " · ".join(f"{start}-{end} {label}" for start, end, label in spans) or "no span"

    @override
    def summarize(self, answer: Mapping[str, np.ndarray]) -> str:
        """``삼성전자 ORG .98 · 어제 DATE .91``."""
        labels, scores = task.strings(answer["span_label"]), answer["span_score"]
        spans = zip(task.strings(answer["span"]), labels, scores[: len(labels)], strict=True)
        return " · ".join(f"{text} {label} {task.brief(score)}" for text, label, score in spans) or "no span"

    @override
    def to_row(self, answer: Mapping[str, np.ndarray]) -> dict[str, str | int | float]:
        """``spans``: a JSON list of start, end, label and score."""
        labels = task.strings(answer["span_label"])
        columns = zip(answer["start"].tolist(), answer["end"].tolist(), labels, answer["span_score"], strict=False)
        spans = [
            {"start": start, "end": end, "label": label, "score": task.decimal(score)}
            for start, end, label, score in columns
        ]
        return {"spans": json.dumps(spans, ensure_ascii=False)}


def _framed(values: Any, special: int) -> Any:
    """With ``special`` where [CLS] and [SEP] stand."""
    import tensorflow as tf

    column = tf.fill([values.nrows(), 1], tf.constant(special, tf.int64))
    return tf.concat([column, values, column], axis=1)


def _word_of(texts: Any, piece_start: Any) -> Any:
    """The number of the white space before each piece: the same for pieces of one word."""
    import tensorflow as tf

    characters = tf.strings.unicode_split(texts, "UTF-8")
    space = tf.cast(tf.strings.regex_full_match(characters.values, r"\s|\p{Z}"), tf.int64)
    before, starts = tf.cumsum(space, exclusive=True), tf.gather(characters.row_starts(), piece_start.value_rowids())
    number = tf.gather(before, piece_start.values + starts) - tf.gather(before, starts)
    return piece_start.with_values(number)


def _changes(row: Any, value: Any) -> Any:
    """Where ``value``, or the row, is another than before: bool (T,)."""
    import tensorflow as tf

    changed = (row[1:] != row[:-1]) | (value[1:] != value[:-1])
    return tf.concat([tf.ones_like(row[:1], tf.bool), changed], axis=0)


def _listed(starts: np.ndarray, ends: np.ndarray, labels: np.ndarray) -> set[Span]:
    spans = zip(starts.ravel().tolist(), ends.ravel().tolist(), labels.ravel().tolist(), strict=True)
    return {(start, end, label.decode()) for start, end, label in spans if end}


def _characters(spans: set[Span], *, first: bool) -> set[Span]:
    """The first character of each span, or the others, as spans."""
    places = ((range(start, start + 1) if first else range(start + 1, end), label) for start, end, label in spans)
    return {(place, place + 1, label) for characters, label in places for place in characters}


def _share(part: float, whole: float, nothing: float = math.nan) -> float:
    return part / whole if whole else nothing


def _mean_f1(right: np.ndarray, found: np.ndarray, given: np.ndarray) -> float:
    """Over the classes that were given or found."""
    there = given + found > 0
    return float(np.mean(2 * right[there] / (found + given)[there])) if there.any() else math.nan
