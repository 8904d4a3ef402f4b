"""Texts in another language: an encoder–decoder Transformer, and the best of several answers."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

from models import task
from models.figures import Figures, Section
from models.text.script import SCRIPTS, scripts
from models.translation import baselines, figures
from models.translation.options import Options

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from models.text.protection import Protection
    from models.text.tokenization import Tokenizer
    from models.translation.transformer import Transformer

Config = Options
# Upper edges in words: half of a program's strings have three or fewer.
_LENGTHS = (4, 8, 16, 32)
_BUCKETS = ("1-4 words", "5-8 words", "9-16 words", "17-32 words", ">32 words")


class Task(task.Task):
    """A text and its translation."""

    family = "translation"
    schema = "parallel"
    gold = ("target",)
    targets = ("source_ids", "target_ids")
    texts = ("text",)
    answers = ("translation", "score", "truncated", "missing")
    written = ("translation",)
    by_sentences = True
    metrics = (
        task.Metric("chrf", most=100),
        task.Metric("bleu", most=100),
        task.Metric("exact"),
        task.Metric("placeholders_kept"),
        task.Metric("length_ratio", most=10),
        task.Metric("truncated", better="lower"),
        task.Metric("empty", better="lower"),
        task.Metric("copied", better="lower"),
    )
    chosen = task.Metric("loss", better="lower")
    by_tokens = True
    baselines = ("copy", "nearest")
    # A model that loses what programs fill in, or is worse than a look-up, is not pushed.
    gate = {"beats": ["copy", "nearest"], "placeholders_kept": 0.99, "empty": 0.01}
    slices = {"length_bucket": _BUCKETS, "script": SCRIPTS}

    def __init__(self, config: Config | Mapping[str, Any]) -> None:
        self.config: Config = config if isinstance(config, Config) else Config.model_validate(dict(config))
        self._tokenizer: Tokenizer | None = None
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []

    @override
    @classmethod
    def recipe(cls, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """That of fairseq for IWSLT'14 (examples/translation/README.md), and Vaswani et al. 2017: 5.3 and 6.1."""
        del config
        return {
            "epochs": 25,
            "batch_size": 512,
            "batch_tokens": 4096,
            "learning_rate": 5e-4,
            "schedule": "inverse_square_root",
            "weight_decay": 1e-4,
            "beta_2": 0.98,
            "average": 5,
        }

    @property
    def tokenizer(self) -> "Tokenizer":
        """What writes the answers.

        Raises:
          ValueError: the task is not ``fitted``.
        """
        if self._tokenizer is None:
            raise ValueError("translation has no pieces to write with before fitted(…)")
        return self._tokenizer

    @property
    def _protection(self) -> "Protection":
        from models.text.protection import Protection

        return Protection(self.config.protect, tuple(self.config.glossary.items()))

    @override
    def featurize(self, record: task.Tensors, tokenizer: "Tokenizer") -> dict[str, Any]:
        """The source as it is asked, and the pair as it is trained on.

        ``token_ids`` ragged int64 (B, None): pieces and [SEP]; ``protected`` string (B, 8): what stands behind reserved
        pieces; ``beyond`` string (B,): the text behind the eighth span; ``unknown`` int64 (B,): words without pieces;
        ``cut`` int64 (B,): whether pieces were cut off; ``length_bucket`` and ``script`` string (B,). With gold
        ``source_ids`` and ``target_ids`` ragged int64 (B, None), uncut: spans stay text that only one side has.
        """
        import tensorflow as tf

        source = self._protection.source(record["text"])
        ids = source.tokenize(tokenizer)
        end = tf.fill([ids.nrows(), 1], tf.constant(tokenizer.sep_id, tf.int64))
        words = tf.cast(tf.strings.split(record["text"]).row_lengths(), tf.int32)
        bucket = tf.reduce_sum(tf.cast(words[:, None] > tf.constant(_LENGTHS), tf.int32), axis=1)
        features = {
            "token_ids": tf.concat([ids[:, : self.config.max_length - 1], end], axis=1),
            "protected": source.standing,
            "beyond": source.beyond,
            "unknown": tf.reduce_sum(tf.cast(ids == tokenizer.unk_id, tf.int64), axis=1),
            "cut": tf.cast(ids.row_lengths() >= self.config.max_length, tf.int64),
            "length_bucket": tf.gather(_BUCKETS, bucket),
            "script": scripts(record["text"]),
        }
        if "target" not in record:
            return features
        both = self._protection.pair(record["text"], record["target"])
        source_ids, target_ids = (side.tokenize(tokenizer) for side in both)
        begin = tf.fill([ids.nrows(), 1], tf.constant(tokenizer.cls_id, tf.int64))
        return {
            **features,
            "source_ids": tf.concat([source_ids, end], axis=1),
            "target_ids": tf.concat([begin, target_ids, end], axis=1),
        }

    @override
    def fitted(self, rows: "tf.data.Dataset", held_out: "tf.data.Dataset", vocabulary: Any) -> Self:
        del held_out
        known = copy.copy(self)
        known._tokenizer = vocabulary
        if self.config.memory:
            pairs = rows.map(lambda row: (row["token_ids"], row["target_ids"][1:]))
            known._pairs = list(pairs.as_numpy_iterator())
        return known

    @override
    def training_rows(self, rows: "tf.data.Dataset") -> "tf.data.Dataset":
        """``source_ids`` and ``target_ids`` of the pairs that ``max_length`` has room for."""
        kept = rows.map(lambda row: {"token_ids": row["source_ids"], "target_ids": row["target_ids"]})
        return kept.filter(lambda row: _length(row) <= self.config.max_length)

    @override
    def steps(self, rows: "tf.data.Dataset", *, batch_size: int, batch_tokens: int | None = None) -> int:
        from models.pretraining import bucketing

        return bucketing.count(rows, **_sizes(batch_size, batch_tokens), length=_length)

    @override
    def batches(
        self,
        rows: "tf.data.Dataset",
        *,
        batch_size: int,
        seed: int,
        epoch: int,
        start_step: int = 0,
        batch_tokens: int | None = None,
    ) -> "tf.data.Dataset":
        """Pairs of about one length together; ``batch_tokens`` counts both sides and their padding."""
        import tensorflow as tf

        from models.pretraining import bucketing
        from models.translation.translator import with_target

        shuffled = rows.shuffle(100_000, seed=seed * 1000 + epoch, reshuffle_each_iteration=False)
        grouped = bucketing.batches(shuffled, **_sizes(batch_size, batch_tokens), length=_length)
        return grouped.skip(start_step).map(with_target, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)

    @override
    def build(self, encoder: "Transformer") -> Any:
        """A ``Translator``."""
        from models.text.reserved import RESERVED
        from models.translation.beam import Search
        from models.translation.memory import Memory
        from models.translation.translator import Translator

        its = self.tokenizer
        how = Search(
            start_id=its.cls_id,
            end_id=its.sep_id,
            never=(its.pad_id, its.unk_id, its.cls_id, its.mask_id),
            once=tuple(its.vocabulary.index(piece) for piece in RESERVED),
            all_of_them=self.config.protect_strictly,
            beam=self.config.beam,
            length_penalty=self.config.length_penalty,
        )
        memory = Memory(self._pairs, its.size) if self.config.memory else None
        return Translator(encoder, how, memory, name="translator")

    @override
    def loss(self, outputs: task.Tensors, batch: task.Tensors) -> Any:
        from models.translation import translator

        return translator.loss(outputs, batch, self.config.label_smoothing)

    @override
    def weight(self, batch: task.Tensors) -> Any:
        """The real pieces of its targets."""
        import tensorflow as tf

        return tf.reduce_sum(tf.cast(batch["target_mask"], tf.float32))

    @override
    def answer(self, outputs: task.Tensors, features: task.Tensors, record: task.Tensors) -> dict[str, Any]:
        """``translation`` string (B,), and what is to be known of it.

        ``score`` float32 (B,): log-probability over the length penalty; ``truncated`` bool (B,): the source was cut, or
        the answer; ``missing`` int64 (B,): protected spans that the answer lacks; ``unknown`` int64 (B,): words of the
        source without pieces. With ``memory``: ``remembered`` bool (B,), whether a known pair has this source.
        """
        import tensorflow as tf

        from models.text import protection
        from models.text.reserved import RESERVED

        del record
        ids = tf.RaggedTensor.from_tensor(tf.cast(outputs["ids"], tf.int64), outputs["lengths"])
        pieces = tf.constant([self.tokenizer.vocabulary.index(piece) for piece in RESERVED], tf.int64)
        written = tf.reduce_any(ids.to_tensor(-1)[..., None] == pieces, axis=1)
        lost = tf.cast((features["protected"] != "") & ~written, tf.int64)
        as_text = protection.restore(self.tokenizer, ids, tf.fill(tf.shape(features["protected"]), ""))
        more = self._protection.lost(features["beyond"], as_text)
        # Of nothing but [SEP] there is nothing to say.
        something = features["token_ids"].row_lengths() > 1
        known = {"remembered": outputs["remembered"]} if self.config.memory else {}
        return {
            **known,
            "translation": tf.where(something, protection.restore(self.tokenizer, ids, features["protected"]), ""),
            "score": tf.where(something, outputs["score"], 0.0),
            "truncated": (features["cut"] > 0) | (outputs["unfinished"] & something),
            "missing": tf.reduce_sum(lost, axis=1) + more,
            "unknown": features["unknown"],
        }

    @override
    def examined(self, outputs: task.Tensors, features: task.Tensors, record: task.Tensors) -> dict[str, Any]:
        """``source`` string (B,), which figures compare answers with."""
        del outputs, features
        return {"source": record["text"]}

    @property
    @override
    def row_metric_names(self) -> tuple[str, ...]:
        return figures.NAMES

    @override
    def row_metrics(self, answer: Mapping[str, "np.ndarray"], record: Mapping[str, "np.ndarray"]) -> list[float]:
        return figures.judged(answer, record, self.config.protect)

    @override
    def headline(self, rows: "np.ndarray") -> float:
        return figures.chrf(rows)

    @override
    def figures(self, rows: "np.ndarray") -> Figures:
        return figures.figures(rows)

    @override
    def baseline(self, name: str, train: Sequence[task.Record], test: Sequence[task.Record]) -> task.Answers:
        found = {"copy": baselines.copy, "nearest": baselines.nearest}
        return found[name](train, test) if name in found else super().baseline(name, train, test)

    @override
    def sections(self, rows: "np.ndarray", references: Mapping[str, "np.ndarray"]) -> Iterator[Section]:
        """ChrF by how much a source is like a known one."""
        if "nearest" in references:
            yield figures.novelty(rows, references["nearest"])

    @override
    def wrong(self, row: "np.ndarray") -> float:
        """0 for the reference itself, 1 for an answer that shares nothing with it."""
        return 1 - self.headline(row[None]) / 100

    @override
    def expected(self, record: Mapping[str, "np.ndarray"]) -> str:
        return str(record["target"].item().decode())

    @override
    def summarize(self, answer: Mapping[str, "np.ndarray"]) -> str:
        return str(answer["translation"].item().decode())

    @override
    def joined(self, answers: Sequence[Mapping[str, "np.ndarray"]]) -> dict[str, Any]:
        """Translations with spaces between them; the lowest ``score``; ``truncated`` if any is; the sums of counts."""
        found: dict[str, Any] = {
            "translation": b" ".join(text for each in answers if (text := each["translation"].item())),
            "score": min(each["score"] for each in answers),
            "truncated": any(each["truncated"] for each in answers),
            **{name: sum(each[name] for each in answers) for name in ("missing", "unknown")},
        }
        return found | ({"remembered": all(each["remembered"] for each in answers)} if self.config.memory else {})

    @override
    def told(self, answer: Mapping[str, "np.ndarray"]) -> list[str]:
        """``in 3 sentences``, ``cut``, ``1 placeholder lost``, ``2 words unknown``."""
        sentences = int(answer.get("sentences", 1))
        lost, unknown = int(answer["missing"]), int(answer["unknown"])
        return [
            *([f"in {sentences} sentences"] if sentences > 1 else []),
            *(["cut"] if answer["truncated"] else []),
            *([f"{lost} placeholder{'s' * (lost > 1)} lost"] if lost else []),
            *([f"{unknown} word{'s' * (unknown > 1)} unknown"] if unknown else []),
        ]

    @override
    def to_row(self, answer: Mapping[str, "np.ndarray"]) -> dict[str, str | int | float]:
        return {
            "translation": self.summarize(answer),
            "score": task.decimal(answer["score"]),
            "truncated": int(answer["truncated"]),
            "missing": int(answer["missing"]),
            "sentences": int(answer.get("sentences", 1)),
        }


def _length(row: task.Tensors) -> Any:
    """Of the longer side of a pair, in pieces."""
    import tensorflow as tf

    return tf.maximum(tf.size(row["token_ids"], tf.int64), tf.size(row["target_ids"], tf.int64) - 1)


def _sizes(batch_size: int, batch_tokens: int | None) -> dict[str, int]:
    """Both sides are padded, so that each has half of the tokens; without a number of them rows alone count."""
    return {"batch_size": batch_size, "batch_tokens": (batch_tokens or 1 << 40) // 2}
