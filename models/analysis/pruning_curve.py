"""The headline figure with ever more heads masked: by importance, and in a random order beside it."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.analysis import importance
from models.analysis.subject import Subject
from models.judging import eval_rows

SHARES = tuple(share / 10 for share in range(1, 10))
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Curve:
    """Headline figures by the share of heads that are masked; the model is not trained on.

    Attributes:
      whole: with all heads.
      by_importance: for each of ``SHARES``.
      random: likewise, in a random order.
      records: that they are over.
    """

    whole: float
    by_importance: Sequence[float]
    random: Sequence[float]
    records: int

    def prunable(self, allowed: float, *, lower_is_better: bool = False) -> float:
        """The largest share up to which the headline stays within ``allowed`` of that of the whole model."""
        found = 0.0
        for share, value in zip(SHARES, self.by_importance, strict=True):
            loss = value - self.whole if lower_is_better else self.whole - value
            if not loss <= allowed + _ROUNDING:  # a figure that is none stops too
                break
            found = share
        return found


def of(subject: Subject, values: np.ndarray, records: tf.data.Dataset, batch_size: int) -> Curve:
    """Measures it; one graph serves all masks.

    Args:
      subject: with a task.
      values: importance of heads (L, H): of other records than these.
      records: transformed ones.
      batch_size: records at once.
    """
    assert subject.the_task is not None
    the_task, shape = subject.the_task, values.shape
    mask = tf.Variable(np.ones(shape, np.float32))
    batches = eval_rows.batches(the_task, records, batch_size).cache()
    answers = eval_rows.of_split(the_task, subject.model, batches)

    def headline(cut: list[tuple[int, int]]) -> float:
        mask.assign(importance.mask(cut, shape))
        with subject.encoder.masked(mask):
            return the_task.headline(answers())

    def curve(order: list[tuple[int, int]]) -> list[float]:
        return [headline(order[: round(share * values.size)]) for share in SHARES]

    count = sum(1 for _ in records)
    return Curve(
        headline([]),
        curve(importance.order(values)),
        curve(importance.order(np.random.default_rng(0).random(shape))),
        count,
    )
