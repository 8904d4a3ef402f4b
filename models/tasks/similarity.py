"""How alike two texts are: the cosine of their mean vectors, each encoded by itself (Reimers & Gurevych 2019)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pydantic
from typing_extensions import override

from models import task
from models.figures import Figures
from models.judging import baseline_answers
from models.tasks import regression

if TYPE_CHECKING:
    import tensorflow as tf

    from models.bert.encoder import BertEncoder
    from models.text.tokenization import Tokenizer


class Config(pydantic.BaseModel):
    """The task's own keys.

    Attributes:
      max_length: tokens of each text, special ones included; longer texts are cut.
      objective: ``contrastive``: the second text of an alike pair is told from those of the other pairs of the batch
        (Henderson et al. 2017, with the cosine over ``temperature``); ``cosine``: the cosine is to be the label, scaled
        to 0 … 1 by ``range`` (Reimers & Gurevych 2019, section 3).
      positive: contrastive: pairs with this label or more are alike; the others are not trained on.
      temperature: contrastive: what cosines are divided by.
      range: cosine: the labels that stand for 0 and for 1.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    max_length: Annotated[int, pydantic.Field(ge=8)] = 128
    objective: Literal["contrastive", "cosine"] = "contrastive"
    positive: float = 1.0
    temperature: Annotated[float, pydantic.Field(gt=0)] = 0.05
    range: Annotated[list[float], pydantic.Field(min_length=2, max_length=2)] = [0.0, 1.0]


class Task(task.Task):
    """A number for two texts, and vectors for texts: ``embed``."""

    schema = "similarity"
    answers = ("similarity",)
    targets = ("target",)
    metrics = (task.Metric("spearman"), task.Metric("pearson"))
    baselines = ("tfidf",)
    separate_encoding = True
    taught = "similarity"
    explains = True

    def __init__(self, config: Config | Mapping[str, Any]) -> None:
        self.config: Config = config if isinstance(config, Config) else Config.model_validate(dict(config))

    @override
    def featurize(self, record: task.Tensors, tokenizer: "Tokenizer") -> dict[str, Any]:
        """``token_ids``, ``segment_ids``, ``pair_token_ids`` ragged int64 (B, None); ``target`` float32 (B,)."""
        from models.text import tokenization

        def row(texts: Any) -> tuple[Any, Any]:
            return tokenization.single(
                tokenizer.tokenize(texts), tokenizer.cls_id, tokenizer.sep_id, self.config.max_length
            )

        token_ids, segment_ids = row(record["text"])
        features = {"token_ids": token_ids, "segment_ids": segment_ids}
        if "text_pair" in record:  # `embed` takes one text
            features["pair_token_ids"] = row(record["text_pair"])[0]
        if "label" in record:
            features["target"] = record["label"]
        return features

    @override
    def inputs(self, features: task.Tensors) -> dict[str, Any]:
        """``inputs`` with ``pair_padding_mask`` bool (B, S)."""
        import tensorflow as tf

        mask = tf.sequence_mask(features["pair_token_ids"].row_lengths())
        return {**super().inputs(features), "pair_padding_mask": mask}

    @override
    def training_rows(self, rows: "tf.data.Dataset") -> "tf.data.Dataset":
        contrastive, positive = self.config.objective == "contrastive", self.config.positive
        return rows.filter(lambda row: row["target"] >= positive) if contrastive else rows

    @override
    def batches(
        self, rows: "tf.data.Dataset", *, batch_size: int, seed: int, epoch: int, start_step: int = 0
    ) -> "tf.data.Dataset":
        """Several GPUs tell a pair from those of their own share of the batch only."""
        shuffled = rows.shuffle(20_000, seed=seed * 1000 + epoch, reshuffle_each_iteration=False)
        groups = shuffled.skip(start_step * batch_size).ragged_batch(batch_size)
        names = ("target", *(name for name in task.TAUGHT if name in rows.element_spec))
        return groups.map(lambda batch: self.inputs(batch) | {name: batch[name] for name in names}).prefetch(2)

    @override
    def build(self, encoder: "BertEncoder") -> Any:
        """A Keras layer: batch to ``vector``, ``pair_vector`` float32 (B, D)."""
        from models.bert.heads import PairEncoder

        return PairEncoder(encoder, name="pair_encoder")

    @override
    def loss(self, outputs: task.Tensors, batch: task.Tensors) -> Any:
        """See ``Config.objective``; mean over the batch."""
        import tensorflow as tf

        from models.training import replicas

        if self.config.objective == "contrastive":
            cosines = tf.matmul(outputs["vector"], outputs["pair_vector"], transpose_b=True)
            right = tf.range(tf.shape(cosines)[0])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(right, cosines / self.config.temperature)
        else:
            low, high = self.config.range
            losses = tf.square(_cosine(outputs) - (batch["target"] - low) / (high - low))
        return replicas.mean(losses)

    @override
    def soft_loss(self, outputs: task.Tensors, answers: Any, temperature: float) -> Any:
        """Squared difference of the cosines."""
        del temperature
        import tensorflow as tf

        return tf.square(_cosine(outputs) - answers[:, 0])

    @override
    def answer(self, outputs: task.Tensors, features: task.Tensors, record: task.Tensors) -> dict[str, Any]:
        """``similarity`` float32 (B,), -1 to 1."""
        del features, record
        return {"similarity": _cosine(outputs)}

    @override
    def explained(self, outputs: task.Tensors) -> Any:
        """The cosine."""
        return _cosine(outputs)[:, None]

    @property
    @override
    def row_metric_names(self) -> tuple[str, ...]:
        """The label, and the cosine."""
        return ("target", "similarity")

    @override
    def row_metrics(self, answer: Mapping[str, np.ndarray], record: Mapping[str, np.ndarray]) -> list[float]:
        return [record["label"].item(), answer["similarity"].item()]

    @override
    def headline(self, rows: np.ndarray) -> float:
        """``spearman``."""
        return regression.spearman(rows)

    @override
    def figures(self, rows: np.ndarray) -> Figures:
        """``spearman`` and ``pearson``, correlations of cosines and labels."""
        return Figures({"spearman": self.headline(rows), "pearson": regression.pearson(rows)})

    @override
    def baseline(self, name: str, train: Sequence[task.Record], test: Sequence[task.Record]) -> task.Answers:
        return baseline_answers.cosine(train, test) if name == "tfidf" else super().baseline(name, train, test)

    @override
    def wrong(self, row: np.ndarray) -> float:
        """How far the cosine is from the label, as ``range`` scales it."""
        low, high = self.config.range
        return float(abs(row[1] - (row[0] - low) / (high - low)))

    @override
    def expected(self, record: Mapping[str, np.ndarray]) -> str:
        """The label."""
        return task.brief(record["label"].item())

    @override
    def summarize(self, answer: Mapping[str, np.ndarray]) -> str:
        """The cosine."""
        return task.brief(answer["similarity"].item())

    @override
    def to_row(self, answer: Mapping[str, np.ndarray]) -> dict[str, str | int | float]:
        """``similarity``."""
        return {"similarity": task.decimal(answer["similarity"])}


def _cosine(outputs: task.Tensors) -> Any:
    import tensorflow as tf

    return tf.reduce_sum(outputs["vector"] * outputs["pair_vector"], axis=1)
