"""How well a pretrained model predicts held-out text, and what knowing only the word frequencies would give."""

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf

from models.bert.heads import PAIR_LABELS

# The most frequent pieces, which make up half of the train split's tokens; the next, up to nine tenths; all others.
BANDS = {"frequent": 0.5, "middle": 0.9, "rare": 1.0}


@dataclasses.dataclass(frozen=True)
class Masked:
    """Over masked tokens.

    Attributes:
      loss: mean, nats.
      accuracy: share whose best guess is right.
      count: how many there are.
    """

    loss: float
    accuracy: float
    count: int

    @property
    def perplexity(self) -> float:
        """Exponential of the loss: as many equally likely pieces would be as hard to tell apart."""
        return math.exp(self.loss)


@dataclasses.dataclass(frozen=True)
class Figures:
    """Over one pass of a held-out split.

    Attributes:
      mlm: of all masked tokens.
      bands: of those in each of ``BANDS``, which go by the frequency of the hidden piece; without the empty ones.
      unigram_loss: what the train split's token frequencies alone would lose on the same masked tokens, nats.
      nsp_accuracy: share of the rows; None without next-sentence prediction.
      sop_accuracy: … without sentence-order prediction.
    """

    mlm: Masked
    unigram_loss: float
    bands: dict[str, Masked] = dataclasses.field(default_factory=dict)
    nsp_accuracy: float | None = None
    sop_accuracy: float | None = None

    def metrics(self) -> dict[str, float]:
        """Every figure by its name, the loss first."""
        found = {"mlm_loss": self.mlm.loss, "mlm_accuracy": self.mlm.accuracy, "perplexity": self.mlm.perplexity}
        found["unigram_loss"] = self.unigram_loss
        pairs = {"nsp_accuracy": self.nsp_accuracy, "sop_accuracy": self.sop_accuracy}
        found |= {name: value for name, value in pairs.items() if value is not None}
        for name, band in self.bands.items():
            found |= {f"mlm_loss[{name}]": band.loss, f"mlm_accuracy[{name}]": band.accuracy}
            found[f"perplexity[{name}]"] = band.perplexity
        return found

    def __str__(self) -> str:
        bands = ", ".join(f"{name} {band.loss:.2f}" for name, band in self.bands.items())
        pairs = {"NSP": self.nsp_accuracy, "SOP": self.sop_accuracy}
        told = "".join(f" · {name} accuracy {value:.3f}" for name, value in pairs.items() if value is not None)
        return (
            f"MLM {self.mlm.loss:.2f} nats (unigrams {self.unigram_loss:.2f}; {bands}) · "
            f"accuracy {self.mlm.accuracy:.3f}{told}"
        )


def evaluate(model: Any, batches: tf.data.Dataset, unigrams: np.ndarray) -> Figures:
    """One pass.

    Args:
      model: ``heads.PretrainingModel``.
      batches: ``pretraining_data.held_out``.
      unigrams: log-probabilities, float64 (V,).
    """
    band_of = bands(unigrams)

    @tf.function(input_signature=[batches.element_spec], autograph=False)
    def judge(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs, hidden = model(batch, training=False), batch["masked_ids"]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(hidden, outputs["mlm_logits"])
        right = tf.argmax(outputs["mlm_logits"], axis=-1, output_type=tf.int32) == hidden
        columns = tf.stack([losses, tf.cast(right, tf.float32), tf.ones_like(losses)], axis=1)
        sums = {
            "masked": tf.math.unsorted_segment_sum(columns, tf.gather(tf.constant(band_of), hidden), len(BANDS)),
            "unigram": -tf.reduce_sum(tf.gather(tf.constant(unigrams, tf.float32), hidden)),
        }
        for objective, label in ((name, batch[key]) for name, key in PAIR_LABELS.items() if key in batch):
            right = tf.argmax(outputs["nsp_logits"], axis=-1, output_type=tf.int32) == label
            sums |= {"rows": tf.cast(tf.size(label), tf.float32), objective: tf.reduce_sum(tf.cast(right, tf.float32))}
        return sums

    totals: dict[str, Any] = {}
    for batch in batches:
        for name, value in judge(batch).items():
            totals[name] = totals.get(name, 0.0) + value.numpy().astype(np.float64)
    by_band = totals.get("masked", np.zeros([len(BANDS), 3]))
    if not by_band[:, 2].any():
        raise ValueError("the held-out split has no token to mask")
    whole = _masked(by_band.sum(axis=0))
    return Figures(
        mlm=whole,
        unigram_loss=float(totals["unigram"]) / whole.count,
        bands={name: _masked(sums) for name, sums in zip(BANDS, by_band, strict=True) if sums[2]},
        **{f"{name}_accuracy": float(totals[name] / totals["rows"]) for name in PAIR_LABELS if name in totals},
    )


def _masked(sums: np.ndarray) -> Masked:
    loss, right, count = sums.tolist()
    return Masked(loss / count, right / count, int(count))


def bands(unigrams: np.ndarray) -> np.ndarray:
    """Which of ``BANDS`` each piece is in, by its place in the order of frequency: int32 (V,).

    Args:
      unigrams: log-probabilities, float64 (V,).
    """
    order = np.argsort(-unigrams, kind="stable")
    shares = np.exp(unigrams[order])
    found = np.empty(len(unigrams), np.int32)
    # By what the more frequent ones make up; the last border only catches rounding.
    found[order] = np.searchsorted(list(BANDS.values())[:-1], np.cumsum(shares) - shares, side="right")
    return found


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
