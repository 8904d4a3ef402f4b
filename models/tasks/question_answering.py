"""Extractive question answering: where in a context the answer stands (Devlin et al. 2019, 4.2 and 4.3; SQuAD).

A context that is too long for a row is read in windows that overlap; the best span of all windows is the answer. With
``no_answer`` the span may be none: [CLS], whose score has to beat every window's.
"""

import collections
import difflib
import math
import re
import string
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
import pydantic
from typing_extensions import override

from models import task
from models.figures import Figures

if TYPE_CHECKING:
    import tensorflow as tf

    from models.bert.encoder import BertEncoder
    from models.text.tokenization import Tokenizer


class Config(pydantic.BaseModel):
    """The task's own keys.

    Attributes:
      max_length: tokens a window, question and special ones included.
      stride: tokens from one window's context to the next one's.
      max_question: tokens of a question; longer ones are cut.
      max_answer: tokens of an answer.
      no_answer: whether a context may hold no answer (SQuAD 2.0).
      threshold: how much better than the best span no answer has to be, in logits.
      dropout: between the encoder and the classifier.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    max_length: Annotated[int, pydantic.Field(ge=16)] = 384
    stride: Annotated[int, pydantic.Field(ge=1)] = 128
    max_question: Annotated[int, pydantic.Field(ge=1)] = 64
    max_answer: Annotated[int, pydantic.Field(ge=1)] = 30
    no_answer: bool = False
    threshold: float = 0.0
    dropout: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.1

    @pydantic.model_validator(mode="after")
    def _room(self) -> Self:
        room = self.max_length - self.max_question - 3
        if not self.stride <= room:
            raise ValueError(
                f"windows leave {room} tokens to the context (max_length - max_question - 3), and stride must not be "
                f"more, or tokens between them are not read. Received: stride={self.stride}"
            )
        return self


class Task(task.Task):
    """A span of a context that answers a question."""

    schema = "question_answering"
    head = "question_answering"
    answers = ("answer", "score", "start", "end")
    gold = ("answers", "answer_start")
    targets = ("start_token", "end_token")
    texts = ("text_pair",)
    metrics = (task.Metric("f1"), task.Metric("exact"), task.Metric("rouge_w"))

    def __init__(self, config: Config | Mapping[str, Any]) -> None:
        self.config: Config = config if isinstance(config, Config) else Config.model_validate(dict(config))

    @override
    def featurize(self, record: task.Tensors, tokenizer: "Tokenizer") -> dict[str, Any]:
        """``[CLS] question [SEP] context [SEP]``, as long as it is.

        Ragged int64 (B, None), a token an element: ``token_ids``, ``segment_ids``; ``piece_start``, ``piece_end``, in
        characters of the context, 0 outside of it.
        ``start_token``, ``end_token`` int64 (B,), the first answer's pieces, 0 for none.
        """
        import tensorflow as tf

        question = tokenizer.tokenize(record["text"])[:, : self.config.max_question]
        context, start, end = tokenizer.tokenize_with_offsets(record["text_pair"])
        column = tf.ones([question.nrows(), 1], tf.int64)
        first = tf.concat([column * tokenizer.cls_id, question, column * tokenizer.sep_id], axis=1)
        second = tf.concat([context, column * tokenizer.sep_id], axis=1)
        outside, behind = tf.zeros_like(first), column * 0
        features = {
            "token_ids": tf.concat([first, second], axis=1),
            "segment_ids": tf.concat([outside, tf.ones_like(second)], axis=1),
            "piece_start": tf.concat([outside, start, behind], axis=1),
            "piece_end": tf.concat([outside, end, behind], axis=1),
        }
        if set(self.gold) <= record.keys():
            lengths = tf.cast(tf.strings.length(record["answers"].values, unit="UTF8_CHAR"), tf.int64)
            gold_start = record["answer_start"]
            gold_end = gold_start.with_values(gold_start.values + lengths)
            # The pieces that the first answer has characters of; 0, [CLS], for none.
            begin, behind = (each[:, :1].to_tensor(0, shape=[None, 1]) for each in (gold_start, gold_end))
            inside = (start.to_tensor(0) < behind) & (end.to_tensor(0) > begin)
            found = tf.cast(tf.reduce_any(inside, axis=1), tf.int64)
            offset = first.row_lengths() + tf.argmax(inside, axis=1)
            count = tf.math.count_nonzero(inside, axis=1)
            features |= {"start_token": found * offset, "end_token": found * (offset + count - 1)}
        return features

    @override
    def inputs(self, features: task.Tensors) -> dict[str, Any]:
        """Windows, a row each: ``token_ids``, ``segment_ids`` and ``padding_mask`` (W, S).

        ``row`` int64 (W,), the record that a window is of; ``place`` int64 (W, S), where each token stands in its row.
        """
        import tensorflow as tf

        # Without the [SEP] at the end, which every window gets.
        lengths = features["token_ids"].row_lengths()
        question = tf.math.segment_sum(1 - features["segment_ids"].values, features["token_ids"].value_rowids())
        context, room = lengths - question - 1, self.config.max_length - question - 1
        beyond = tf.maximum(context - room, 0)
        windows = 1 + (beyond + self.config.stride - 1) // self.config.stride
        row = tf.repeat(tf.range(tf.size(windows, tf.int64)), windows)
        number = tf.ragged.range(windows).values
        skipped = number * self.config.stride
        question, context, room, last = (tf.gather(each, row) for each in (question, context, room, lengths - 1))
        first = question + skipped
        end = tf.minimum(first + room, question + context)
        place = tf.concat([tf.ragged.range(question), tf.ragged.range(first, end), last[:, None]], axis=1)

        def taken(name: str) -> Any:
            values, starts = features[name].values, features[name].row_starts()
            return place.with_values(
                tf.gather(values, place.values + tf.gather(tf.gather(starts, row), place.value_rowids()))
            )

        batch = task.dense({name: taken(name) for name in ("token_ids", "segment_ids")})
        return {**batch, "row": row, "place": place.to_tensor(0)}

    @override
    def batches(
        self, rows: "tf.data.Dataset", *, batch_size: int, seed: int, epoch: int, start_step: int = 0
    ) -> "tf.data.Dataset":
        """All windows of ``batch_size`` records."""
        names = ("token_ids", "segment_ids", *self.targets)
        kept = rows.map(lambda row: {name: row[name] for name in names})  # without the texts that are kept for judging
        shuffled = kept.shuffle(20_000, seed=seed * 1000 + epoch, reshuffle_each_iteration=False)
        batches = shuffled.skip(start_step * batch_size).ragged_batch(batch_size)
        return batches.map(self._learned).prefetch(2)

    def _learned(self, features: task.Tensors) -> dict[str, Any]:
        """Windows, with ``start_place`` and ``end_place`` int64 (W,): where the first answer stands, 0 for none."""
        import tensorflow as tf

        batch = self.inputs(features)
        row, place = batch.pop("row"), batch.pop("place")

        def found(name: str) -> Any:
            return (place == tf.gather(features[name], row)[:, None]) & batch["padding_mask"]

        start, end = found("start_token"), found("end_token")
        whole = tf.cast(tf.reduce_any(start, axis=1) & tf.reduce_any(end, axis=1), tf.int64)
        return {**batch, "start_place": whole * tf.argmax(start, axis=1), "end_place": whole * tf.argmax(end, axis=1)}

    @override
    def build(self, encoder: "BertEncoder") -> Any:
        """A Keras layer: batch to ``logits`` float32 (W, S, 2), of a start and of an end."""
        from models.bert.heads import TokenClassifier

        return TokenClassifier(encoder, 2, self.config.dropout, name="span_classifier")

    @override
    def loss(self, outputs: task.Tensors, batch: task.Tensors) -> Any:
        """Cross-entropy of start and end over the window's tokens, their mean; mean over the windows."""
        import tensorflow as tf

        from models.training import replicas

        start, end = _logits(outputs, batch["padding_mask"])
        losses = [
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=batch[name], logits=logits)
            for name, logits in (("start_place", start), ("end_place", end))
        ]
        return replicas.mean((losses[0] + losses[1]) / 2)

    def _best(self, outputs: task.Tensors, features: task.Tensors) -> tuple[Any, Any, Any]:
        """The best span of each record: start and end int64, in characters, 0 for no answer; its probability (B,)."""
        import tensorflow as tf

        windows = self.inputs(features)
        row, place, longest = windows["row"], windows["place"], self.config.max_answer
        position = place + tf.gather(features["token_ids"].row_starts(), row)[:, None]
        last = tf.gather(features["piece_end"].values, position)
        inside = windows["padding_mask"] & (last > 0)
        start, end = _logits(outputs, windows["padding_mask"])
        # A span of n pieces ends n - 1 places behind its start.
        length = tf.shape(place)[1]
        places = tf.range(length)[:, None] + tf.range(longest)
        ends = tf.pad(tf.where(inside, end, _NEVER), [[0, 0], [0, longest]], constant_values=_NEVER)
        spans = tf.where(inside, start, _NEVER)[:, :, None] + tf.gather(ends, places, axis=1)
        spans = tf.reshape(spans, [-1, length * longest])
        best, which = tf.reduce_max(spans, axis=1), tf.argmax(spans, axis=1)
        of_record = tf.math.segment_max(best, row)
        number = tf.range(tf.size(row))
        window = tf.math.segment_min(tf.where(best == tf.gather(of_record, row), number, tf.size(row)), row)
        none = tf.math.segment_min(start[:, 0] + end[:, 0], row)
        peak = tf.maximum(of_record, none) if self.config.no_answer else of_record
        total = tf.math.segment_sum(tf.exp(tf.reduce_logsumexp(spans, axis=1) - tf.gather(peak, row)), row)
        # A context without a piece has no span.
        answered, of_none = of_record > _NEVER, tf.zeros_like(none)
        if self.config.no_answer:
            answered &= none - of_record <= self.config.threshold
            of_none = tf.exp(none - peak)
            total += of_none
        begin = tf.gather(which, window) // longest
        token = tf.stack([begin, begin + tf.gather(which, window) % longest], axis=1)
        # Padding behind a window has place 0: of a record without context any place will do.
        token = tf.gather(tf.gather(position, window), tf.minimum(token, tf.cast(length, tf.int64) - 1), batch_dims=1)
        kept = tf.cast(answered, tf.int64)
        return (
            kept * tf.gather(features["piece_start"].values, token[:, 0]),
            kept * tf.gather(features["piece_end"].values, token[:, 1]),
            tf.where(answered, tf.exp(of_record - peak), of_none) / total,
        )

    @override
    def answer(self, outputs: task.Tensors, features: task.Tensors, record: task.Tensors) -> dict[str, Any]:
        """``answer`` string (B,), "" for none; its probability ``score``; ``start`` and ``end``, in characters."""
        import tensorflow as tf

        start, end, score = self._best(outputs, features)
        where = (tf.cast(start, tf.int32), tf.cast(end - start, tf.int32))
        answer = tf.strings.substr(record["text_pair"], *where, unit="UTF8_CHAR")
        return {"answer": answer, "score": score, "start": start, "end": end}

    @property
    @override
    def row_metric_names(self) -> tuple[str, ...]:
        """Whether the answer is right, how much of it is, whether there is one; how much is, by characters."""
        return ("exact", "f1", "answerable", "rouge_w")

    @override
    def row_metrics(self, answer: Mapping[str, np.ndarray], record: Mapping[str, np.ndarray]) -> list[float]:
        """As SQuAD's own script, and KLUE's: the best over all answers that were given."""
        given = [each.decode() for each in record["answers"].ravel()]
        text = answer["answer"].item().decode()
        found = _words(text)
        # An answer of articles alone is none there.
        golds = [words for each in given if (words := _words(each))] or [[]]
        exact = max(float(found == gold) for gold in golds)
        rouge_w = max(_rouge_w(text, gold) for gold in given or [""])
        return [exact, max(_overlap(found, gold) for gold in golds), float(bool(given)), rouge_w]

    @override
    def headline(self, rows: np.ndarray) -> float:
        """``f1``, mean over the questions."""
        return float(rows[:, 1].mean()) if len(rows) else math.nan

    @override
    def figures(self, rows: np.ndarray) -> Figures:
        """``f1``, ``exact`` match, and ``rouge_w``, the F1 of KLUE; means over the questions.

        With ``no_answer`` also ``f1_answerable``, over those that have an answer, and ``none_recall``, the share of the
        others that got none. ``trivial`` is F1 of never answering.
        """
        if not len(rows):
            return Figures({"f1": math.nan})
        exact, f1, answerable, rouge_w = rows.T
        values = {"f1": self.headline(rows), "exact": exact.mean(), "rouge_w": rouge_w.mean()}
        if self.config.no_answer:
            there = answerable > 0
            values["f1_answerable"] = f1[there].mean() if there.any() else math.nan
            values["none_recall"] = exact[~there].mean() if not there.all() else math.nan
        return Figures({name: float(value) for name, value in values.items()}, float(1 - answerable.mean()))

    @override
    def wrong(self, row: np.ndarray) -> float:
        """What F1 lacks."""
        return float(1 - row[1])

    @override
    def expected(self, record: Mapping[str, np.ndarray]) -> str:
        """The answers that were given."""
        return " | ".join(dict.fromkeys(task.strings(record["answers"]))) or "no answer"

    @override
    def summarize(self, answer: Mapping[str, np.ndarray]) -> str:
        """``the Supreme Court .91``."""
        return f"{answer['answer'].item().decode() or 'no answer'} {task.brief(answer['score'].item())}"

    @override
    def to_row(self, answer: Mapping[str, np.ndarray]) -> dict[str, str | int | float]:
        """``answer``, ``score``, ``start`` and ``end``."""
        return {
            "answer": answer["answer"].item().decode(),
            "score": task.decimal(answer["score"]),
            "start": answer["start"].item(),
            "end": answer["end"].item(),
        }


# Less than any sum of two logits.
_NEVER = -1e6


def _logits(outputs: task.Tensors, padding_mask: Any) -> tuple[Any, Any]:
    """Of a start and of an end, float32 (W, S); padding is never chosen."""
    import tensorflow as tf

    start, end = tf.unstack(outputs["logits"], axis=2)
    return tf.where(padding_mask, start, _NEVER), tf.where(padding_mask, end, _NEVER)


def _plain(text: str) -> str:
    """Lower case, without punctuation."""
    return "".join(letter for letter in text.lower() if letter not in string.punctuation)


def _words(text: str) -> list[str]:
    """Without articles too: ``normalize_answer`` of SQuAD's evaluation script."""
    return re.sub(r"\b(a|an|the)\b", " ", _plain(text)).split()


def _rouge_w(found: str, gold: str) -> float:
    """F1 of the longest run of characters in both (Park et al. 2021, "KLUE"; ``rouge_w_score_for_klue_mrc``)."""
    found, gold = (" ".join(_plain(text).split()) for text in (found, gold))
    if not gold:
        return float(not found)
    return 2 * difflib.SequenceMatcher(None, found, gold).find_longest_match().size / (len(found) + len(gold))


def _overlap(found: list[str], gold: list[str]) -> float:
    if not found or not gold:
        return float(found == gold)
    shared = (collections.Counter(found) & collections.Counter(gold)).total()
    return 2 * shared / (len(found) + len(gold))
