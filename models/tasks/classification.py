"""Classification of one text or of a pair: a linear layer over the pooled [CLS] (Devlin et al. 2019, section 4.1)."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

import pydantic

from models import task

if TYPE_CHECKING:
    import tensorflow as tf

    from models.encoder import BertEncoder
    from models.text import Tokenizer

# Upper edges in words: a slice a person can picture. Chosen for short real text (review snippets: median 19 words).
LENGTH_BUCKETS = (8, 16, 32)
_BUCKET_NAMES = (
    *(f"{low + 1}-{high} words" for low, high in itertools.pairwise((0, *LENGTH_BUCKETS))),
    f">{LENGTH_BUCKETS[-1]} words",
)


class Config(pydantic.BaseModel):
    """The task's own keys.

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


class Task(task.Task):
    """One label for one text, or for two."""

    schema = "classification"
    metrics = (task.Metric("accuracy"), task.Metric("f1"), task.Metric("auc"))
    slices = {"length_bucket": _BUCKET_NAMES}
    head = "classification"

    def __init__(self, config: Config | Mapping[str, Any]) -> None:
        self.config = config if isinstance(config, Config) else Config.model_validate(dict(config))

    def featurize(self, record: task.Tensors, tokenizer: "Tokenizer") -> dict[str, Any]:
        """``token_ids``, ``segment_ids`` ragged int64 (B, None); ``length_bucket`` string, ``label_id`` int64 (B,)."""
        import tensorflow as tf

        from models import text

        words = tf.cast(tf.strings.split(record["text"]).row_lengths(), tf.int32)
        ids = tokenizer.tokenize(record["text"])
        if "text_pair" in record:
            words += tf.cast(tf.strings.split(record["text_pair"]).row_lengths(), tf.int32)
            second = tokenizer.tokenize(record["text_pair"])
            token_ids, segment_ids = text.pair(ids, second, tokenizer.cls_id, tokenizer.sep_id, self.config.max_length)
        else:
            token_ids, segment_ids = text.single(ids, tokenizer.cls_id, tokenizer.sep_id, self.config.max_length)
        bucket = tf.reduce_sum(tf.cast(words[:, None] > tf.constant(LENGTH_BUCKETS), tf.int32), axis=1)
        features = {
            "token_ids": token_ids,
            "segment_ids": segment_ids,
            "length_bucket": tf.gather(_BUCKET_NAMES, bucket),
        }
        if "label" in record:
            # Every label is in the list: ExampleGen refuses the others.
            features["label_id"] = tf.argmax(record["label"][:, None] == tf.constant(self.config.labels), axis=1)
        return features

    def batches(
        self, rows: "tf.data.Dataset", *, batch_size: int, seed: int, epoch: int, start_step: int = 0
    ) -> "tf.data.Dataset":
        """See ``task.Task.batches``."""
        kept = rows.map(lambda row: {name: row[name] for name in ("token_ids", "segment_ids", "label_id")})
        # The buffer bounds memory: 20,000 rows of 128 tokens are about 40 MB.
        shuffled = kept.shuffle(20_000, seed=seed * 1000 + epoch, reshuffle_each_iteration=False)
        return task.pad(shuffled.skip(start_step * batch_size), batch_size)

    def build(self, encoder: "BertEncoder") -> Any:
        """A Keras layer: batch to ``logits`` float32 (B, C)."""
        from models.heads import Classifier

        return Classifier(encoder, len(self.config.labels), self.config.dropout, name="classifier")

    def loss(self, outputs: task.Tensors, batch: task.Tensors) -> Any:
        """Cross-entropy, mean over the batch."""
        import tensorflow as tf

        from models import replicas

        return replicas.mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=batch["label_id"], logits=outputs["logits"])
        )

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

    def score(self, outputs: task.Tensors, batch: task.Tensors) -> tuple[Any, Any]:
        """Right answers, and answers."""
        import tensorflow as tf

        right = tf.cast(tf.argmax(outputs["logits"], axis=-1) == tf.cast(batch["label_id"], tf.int64), tf.float32)
        return tf.reduce_sum(right), tf.cast(tf.size(right), tf.float32)
