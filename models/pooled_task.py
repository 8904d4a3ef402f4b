"""What tasks share that put a linear layer over one vector of a text or a pair.

The vector is the pooled [CLS] (Devlin et al. 2019, 4.1), or the mean of the tokens (Reimers & Gurevych 2019, 3).
"""

import abc
import itertools
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import pydantic
from typing_extensions import override

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


class Pooled(pydantic.BaseModel):
    """The keys of every task with a linear layer over one vector.

    Attributes:
      max_length: tokens a row, special ones included; longer texts are cut.
      dropout: between the vector and the linear layer.
      pooling: ``first``: tanh of a layer over [CLS], as transformers' classes have it; ``mean``: of the last layer over
        the tokens, as sentence encoders such as MiniLM were trained.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    max_length: Annotated[int, pydantic.Field(ge=8)] = 128
    dropout: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.1
    pooling: Literal["first", "mean"] = "first"


class Labels(Pooled):
    """The keys of every task that gives a text labels of a list.

    Attributes:
      labels: every label, in the order of the logits; with two, the last one is the positive class of F1 and AUC.
      max_length, dropout, pooling: as above.
    """

    labels: Annotated[list[str], pydantic.Field(min_length=2)]

    @pydantic.model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels must be distinct. Received: {self.labels}")
        return self


class PooledTask(task.Task):
    """A task of one text or two, whose config has the keys of ``Pooled``.

    Attributes:
      layer: name of the layer that ``build`` makes.
    """

    slices = {"length_bucket": _BUCKET_NAMES}
    layer: ClassVar[str] = "classifier"

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """C, the number of logits a text."""

    @abc.abstractmethod
    def target(self, record: task.Tensors) -> dict[str, Any]:
        """``targets`` of a record that has its ``gold``."""

    @override
    def featurize(self, record: task.Tensors, tokenizer: "Tokenizer") -> dict[str, Any]:
        """``token_ids``, ``segment_ids`` ragged int64 (B, None); ``length_bucket`` string (B,); ``targets``."""
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

    @override
    def batches(
        self, rows: "tf.data.Dataset", *, batch_size: int, seed: int, epoch: int, start_step: int = 0
    ) -> "tf.data.Dataset":
        taught = (name for name in task.TAUGHT if name in rows.element_spec)
        names = ("token_ids", "segment_ids", *self.targets, *taught)
        kept = rows.map(lambda row: {name: row[name] for name in names})
        # The buffer bounds memory: 20,000 rows of 128 tokens are about 40 MB.
        shuffled = kept.shuffle(20_000, seed=seed * 1000 + epoch, reshuffle_each_iteration=False)
        return task.pad(shuffled.skip(start_step * batch_size), batch_size)

    @override
    def build(self, encoder: "BertEncoder") -> Any:
        """A Keras layer: batch to ``logits`` float32 (B, C)."""
        from models.bert.heads import Classifier

        config = self.config
        return Classifier(encoder, self.width, config.dropout, mean=config.pooling == "mean", name=self.layer)
