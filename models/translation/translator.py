"""The network as a task trains it and asks it: logits of a target that is given, else the best answer."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from models.bert import kernels
from models.training import replicas
from models.translation.beam import Search, search
from models.translation.memory import Found, Memory
from models.translation.transformer import Transformer

Batch = Mapping[str, Any]


class Translator(keras.layers.Layer):
    """Logits with a target, answers without.

    Args:
      network: encoder and decoder.
      how: to search for an answer.
      memory: whose suggestions the network reads behind each source, if any.
    """

    def __init__(self, network: Transformer, how: Search, memory: Memory | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network, self.how, self.memory = network, how, memory
        self.built = True

    def call(self, batch: Batch, training: bool = False) -> dict[str, Any]:
        """Of ``token_ids`` int (B, S) and ``padding_mask`` bool (B, S).

        With ``target_in`` int (B, T) and ``target_mask`` bool (B, T) in the batch: ``logits`` float32 (N, V), of the
        real pieces of the targets. Without: the outputs of ``beam.search``; an answer has at most half as many pieces
        again as its source, and ten. With a memory: ``remembered`` bool (B,) too, whether the answer is a known pair's;
        no source that is cut or has unknown words is known.
        """
        own, mask = batch["token_ids"], batch["padding_mask"]
        pieces = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        source, found = (own, mask), None
        if self.memory is not None:
            ids = tf.RaggedTensor.from_tensor(tf.cast(own, tf.int64), pieces)
            found = self.memory.find(ids, others="target_in" in batch)
            rows = tf.concat([ids, found.suggestion], axis=1)[:, : self.network.max_positions]
            source = rows.to_tensor(), tf.sequence_mask(rows.row_lengths())
        if "target_in" in batch:
            return {"logits": self.network(*source, batch["target_in"], batch["target_mask"], training=training)}
        longest = tf.minimum((3 * pieces + 1) // 2 + 10, self.network.max_positions)
        answers = search(self.network, self.how, *source, longest, own)
        if found is None:
            return answers
        return _remembered(answers, found, found.known & (batch["cut"] == 0) & (batch["unknown"] == 0))


def _remembered(answers: Batch, found: Found, known: Any) -> dict[str, Any]:
    """Known translations in place of what was searched for, where bool (B,) says so."""
    lengths = tf.cast(found.same.row_lengths(), tf.int32) - 1  # without [SEP]
    grids = [answers["ids"], tf.cast(found.same[:, :-1].to_tensor(), tf.int32)]
    width = tf.maximum(*(tf.shape(grid)[1] for grid in grids))
    ids, same = (tf.pad(grid, [[0, 0], [0, width - tf.shape(grid)[1]]]) for grid in grids)
    return {
        "ids": tf.where(known[:, None], same, ids),
        "lengths": tf.where(known, lengths, answers["lengths"]),
        "score": tf.where(known, 0.0, answers["score"]),
        "unfinished": answers["unfinished"] & ~known,
        "remembered": known,
    }


def loss(outputs: Batch, batch: Batch, smoothing: float) -> tf.Tensor:
    """Mean cross-entropy over the real pieces of the targets, by ``replicas.mean``: float32 scalar, nats.

    Args:
      outputs: with ``logits``.
      batch: with ``target_out`` int (B, T) and ``target_mask`` bool (B, T).
      smoothing: share of the target that all pieces get alike.
    """
    return replicas.mean(piece_losses(outputs, batch, smoothing))


def piece_losses(outputs: Batch, batch: Batch, smoothing: float = 0.0) -> tf.Tensor:
    """The cross-entropy of every real piece of the targets, row after row: float32 (N,), nats."""
    ids = tf.boolean_mask(batch["target_out"], batch["target_mask"])
    return kernels.cross_entropy(outputs["logits"], tf.cast(ids, tf.int32), smoothing)


def with_target(features: Batch) -> dict[str, Any]:
    """What ``Translator`` takes of ragged ``token_ids`` and ``target_ids`` int64 (B, None), [CLS] … [SEP]."""
    source, target = features["token_ids"], features["target_ids"]
    return {
        "token_ids": source.to_tensor(),
        "padding_mask": tf.sequence_mask(source.row_lengths()),
        "target_in": target[:, :-1].to_tensor(),
        "target_out": target[:, 1:].to_tensor(),
        "target_mask": tf.sequence_mask(target.row_lengths() - 1),
    }
