"""Encoders with their heads: a batch in, named outputs out.

Both compute without padding (``BertEncoder.padding_free``) unless rows are packed: packed rows have one shape and no
padding to save.
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from models.bert import kernels
from models.bert.encoder import BertEncoder, MaskedLanguageHead, NextSentenceHead
from models.training import replicas

Batch = Mapping[str, Any]
# What the head over pairs learns, by the objective (Devlin et al. 2019, section 3.1; Lan et al. 2020, section 3.1).
PAIR_LABELS = {"nsp": "next_sentence_label", "sop": "sentence_order_label"}


def _linear(encoder: BertEncoder, num_classes: int) -> keras.layers.Dense:
    """A built layer from the encoder's vectors to ``num_classes`` logits."""
    normal = keras.initializers.TruncatedNormal(stddev=0.02)
    layer = keras.layers.Dense(num_classes, kernel_initializer=normal, name="logits")
    layer.build((None, encoder.hidden_dim))
    return layer


def mean(sequence: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
    """The mean of each row's real tokens, float32 (B, D).

    Args:
      sequence: (T, D), of ``BertEncoder.padding_free``.
      padding_mask: bool (B, S).
    """
    return tf.math.segment_mean(sequence, tf.cast(tf.where(padding_mask)[:, 0], tf.int32))


class Classifier(keras.layers.Layer):
    """Dropout and one linear layer over the pooled [CLS] (Devlin et al. 2019, section 4.1), or over the tokens' mean.

    Args:
      encoder: gives ``pooled`` (B, D) and ``sequence``.
      num_classes: C.
      dropout: share of the vector set to 0 in training.
      mean: whether the vector is the mean of the tokens.
    """

    def __init__(
        self, encoder: BertEncoder, num_classes: int, dropout: float, mean: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.encoder, self.mean = encoder, mean
        self.dropout = keras.layers.Dropout(dropout)
        self.logits = _linear(encoder, num_classes)
        self.built = True

    def call(self, batch: Batch, training: bool = False) -> dict[str, tf.Tensor]:
        """``logits`` float32 (B, C) from ``token_ids``, ``segment_ids`` int (B, S) and ``padding_mask`` bool (B, S)."""
        inputs = (batch["token_ids"], batch["segment_ids"], batch["padding_mask"])
        if self.mean:
            vector = mean(self.encoder.padding_free(*inputs, training=training)["sequence"], batch["padding_mask"])
        else:
            nothing = tf.zeros([0], tf.int32)  # beside the pooled vector: the last block then computes little else
            vector = self.encoder.padding_free(*inputs, training=training, kept_tokens=nothing)["pooled"]
        return {"logits": self.logits(self.dropout(vector, training=training))}


class TokenClassifier(keras.layers.Layer):
    """Dropout and one linear layer over every token (Devlin et al. 2019, sections 4.2 and 5.3).

    Args:
      encoder: gives ``sequence``.
      num_classes: C.
      dropout: share of the vectors set to 0 in training.
    """

    def __init__(self, encoder: BertEncoder, num_classes: int, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.dropout = keras.layers.Dropout(dropout)
        self.logits = _linear(encoder, num_classes)
        self.built = True

    def call(self, batch: Batch, training: bool = False) -> dict[str, tf.Tensor]:
        """``logits`` float32 (B, S, C), 0 on padding, from ``token_ids``, ``segment_ids``, ``padding_mask`` (B, S)."""
        inputs = (batch["token_ids"], batch["segment_ids"], batch["padding_mask"])
        hidden = self.encoder.padding_free(*inputs, training=training)["sequence"]
        logits = self.logits(self.dropout(hidden, training=training))
        cells = tf.where(batch["padding_mask"])
        shape = tf.concat([tf.shape(batch["padding_mask"], tf.int64), [logits.shape[-1]]], 0)
        return {"logits": tf.scatter_nd(cells, logits, shape)}


class PairEncoder(keras.layers.Layer):
    """The mean vectors of two texts, each encoded by itself (Reimers & Gurevych 2019, section 3).

    Args:
      encoder: gives ``sequence``.
    """

    def __init__(self, encoder: BertEncoder, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.built = True

    def call(self, batch: Batch, training: bool = False) -> dict[str, tf.Tensor]:
        """``vector``, ``pair_vector`` float32 (B, D) of length 1, from ``token_ids`` and ``pair_token_ids`` (B, S)."""
        return {
            "vector": self._mean(batch["token_ids"], batch["padding_mask"], training),
            "pair_vector": self._mean(batch["pair_token_ids"], batch["pair_padding_mask"], training),
        }

    def _mean(self, token_ids: tf.Tensor, padding_mask: tf.Tensor, training: bool) -> tf.Tensor:
        out = self.encoder.padding_free(token_ids, tf.zeros_like(token_ids), padding_mask, training=training)
        return tf.math.l2_normalize(mean(out["sequence"], padding_mask), axis=-1)


class PretrainingModel(keras.layers.Layer):
    """Masked language model, and where asked a head over pairs: next-sentence or sentence-order prediction.

    Args:
      encoder: shared with the fine-tuned model.
      next_sentence: whether there is a head over pairs; which of the two it learns, a batch's label decides.
    """

    def __init__(self, encoder: BertEncoder, next_sentence: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.masked_language = MaskedLanguageHead(encoder, name="masked_language")
        self.next_sentence = NextSentenceHead(encoder.hidden_dim, name="next_sentence") if next_sentence else None
        self.built = True

    def call(self, batch: Batch, training: bool = False) -> dict[str, tf.Tensor]:
        """``mlm_logits`` float32 (M, V), for ``masked_indices`` int32 (M,) into B·S; ``nsp_logits`` float32 (B, 2)."""
        inputs = (batch["token_ids"], batch["segment_ids"], batch["padding_mask"])
        if "group_ids" in batch:
            places = {name: batch[name] for name in ("position_ids", "group_ids")}
            out = self.encoder(*inputs, **places, training=training, kept_tokens=batch["masked_indices"])
        else:
            out = self.encoder.padding_free(*inputs, training=training, kept_tokens=batch["masked_indices"])
        outputs = {"mlm_logits": self.masked_language(out["sequence"])}
        if self.next_sentence is not None:
            outputs["nsp_logits"] = self.next_sentence(out["pooled"])
        return outputs


def pretraining_loss(outputs: Batch, batch: Batch) -> tf.Tensor:
    """Mean MLM loss over the masked tokens plus mean NSP or SOP loss over the rows: float32 scalar, nats."""
    loss = mlm_loss(outputs, batch)
    for label in (batch[name] for name in PAIR_LABELS.values() if name in batch):
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(label, outputs["nsp_logits"])
        loss += replicas.mean(losses, step_count=batch.get("step_rows"))
    return loss


def mlm_loss(outputs: Batch, batch: Batch) -> tf.Tensor:
    """Mean over the masked tokens, without those of ``masked_ids`` -1: float32 scalar, nats; 0 where there is none."""
    ids = batch["masked_ids"]
    real = tf.cast(ids >= 0, tf.float32)
    losses = kernels.cross_entropy(outputs["mlm_logits"], tf.maximum(ids, 0))
    return replicas.mean(losses * real, step_count=batch.get("step_masked", tf.reduce_sum(real)))


def masked_of_rows(batch: Batch) -> tf.Tensor:
    """How many masked tokens each row has, without those of ``masked_ids`` -1: float32 (B,)."""
    rows, length = tf.unstack(tf.shape(batch["padding_mask"]))
    real = tf.cast(batch["masked_ids"] >= 0, tf.float32)
    return tf.math.unsorted_segment_sum(real, batch["masked_indices"] // length, rows)
