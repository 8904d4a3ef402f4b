"""How well a pretrained model predicts held-out text, and what knowing only the word frequencies would give."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from models.heads import PAIR_LABELS, mlm_loss


@dataclasses.dataclass(frozen=True)
class Figures:
    """Over one pass of a held-out split.

    Attributes:
      mlm_loss: mean over the masked tokens, nats.
      mlm_accuracy: share of the masked tokens whose best guess is right.
      unigram_loss: what the train split's token frequencies alone would lose on the same masked tokens, nats.
      masked: how many tokens that is.
      nsp_accuracy: share of the rows; None without next-sentence prediction.
      sop_accuracy: … without sentence-order prediction.
    """

    mlm_loss: float
    mlm_accuracy: float
    unigram_loss: float
    masked: int
    nsp_accuracy: float | None = None
    sop_accuracy: float | None = None

    def __str__(self) -> str:
        pairs = {"NSP": self.nsp_accuracy, "SOP": self.sop_accuracy}
        told = "".join(f" · {name} accuracy {value:.3f}" for name, value in pairs.items() if value is not None)
        return (
            f"MLM {self.mlm_loss:.2f} nats (unigrams {self.unigram_loss:.2f}) · accuracy {self.mlm_accuracy:.3f}{told}"
        )


def evaluate(model: Any, batches: tf.data.Dataset, unigrams: np.ndarray) -> Figures:
    """One pass.

    Args:
      model: ``heads.PretrainingModel``.
      batches: ``pretraining_data.held_out``.
      unigrams: log-probabilities, float64 (V,).
    """

    @tf.function(input_signature=[batches.element_spec], autograph=False)
    def judge(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = model(batch, training=False)
        masked = tf.cast(tf.size(batch["masked_ids"]), tf.float32)
        guesses = tf.argmax(outputs["mlm_logits"], axis=-1, output_type=tf.int32)
        sums = {
            "masked": masked,
            "loss": mlm_loss(outputs, batch) * masked,
            "right": tf.reduce_sum(tf.cast(guesses == batch["masked_ids"], tf.float32)),
            "unigram": -tf.reduce_sum(tf.gather(tf.constant(unigrams, tf.float32), batch["masked_ids"])),
        }
        for objective, label in ((name, batch[key]) for name, key in PAIR_LABELS.items() if key in batch):
            right = tf.argmax(outputs["nsp_logits"], axis=-1, output_type=tf.int32) == label
            sums |= {"rows": tf.cast(tf.size(label), tf.float32), objective: tf.reduce_sum(tf.cast(right, tf.float32))}
        return sums

    totals: dict[str, float] = {}
    for batch in batches:
        for name, value in judge(batch).items():
            totals[name] = totals.get(name, 0.0) + float(value)
    if not totals.get("masked"):
        raise ValueError("the held-out split has no token to mask")
    return Figures(
        mlm_loss=totals["loss"] / totals["masked"],
        mlm_accuracy=totals["right"] / totals["masked"],
        unigram_loss=totals["unigram"] / totals["masked"],
        masked=int(totals["masked"]),
        **{f"{name}_accuracy": totals[name] / totals["rows"] for name in PAIR_LABELS if name in totals},
    )


def unigram_log_probabilities(documents: tf.data.Dataset, size: int) -> np.ndarray:
    """Log-frequencies of the pieces, add-one smoothed: float64 (V,).

    Args:
      documents: transformed records with ``token_ids``, ragged.
      size: V.
    """
    counts = np.ones(size)
    for record in documents:
        counts += np.bincount(record["token_ids"].flat_values.numpy(), minlength=size)
    logs: np.ndarray = np.log(counts / counts.sum())
    return logs
