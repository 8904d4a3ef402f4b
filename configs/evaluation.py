"""Section ``evaluate``: slices and thresholds."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from configs.base import Section, Share

Threshold = Annotated[float, Field(ge=0)]


class Bless(Section):
    """What a model must reach on the test split.

    Nothing given: better than always answering the majority class, and no regression.

    Attributes:
      …: a bound for each figure of the task, ``metrics`` of ``models/tasks/<type>.py``: ``accuracy``, ``f1``, ``auc``,
        ``mcc``; ``pearson``, ``mse`` …
      precision, recall: lower bounds for single labels.
      slices: bounds of the headline figure on parts of the test split, by ``length_bucket`` or a column of
        ``evaluate.slices``: ``{category: 0.8}`` on every value with at least 30 records, ``{category: {book: 0.8}}``
        on the named ones.
      mlm_loss: upper bound in nats, for experiments that pretrain alone. Nothing given: below the unigram entropy.
      beats: baselines of the task, such as ``tfidf``, that the headline figure must exceed; ``teacher`` is one, where
        there is one.
      teacher: the share of the teacher's headline figure that must be kept; with ``train.teacher``.
      max_regression: how far the headline figure may fall below the latest blessed model's.
    """

    precision: dict[str, Share] = {}
    recall: dict[str, Share] = {}
    slices: dict[str, Share | Annotated[dict[str, Share], Field(min_length=1)]] = {}
    mlm_loss: Threshold | None = None
    beats: list[str] = []
    teacher: Share | None = None
    max_regression: Threshold = 0.01


class Evaluate(Section):
    """How a model is judged, on the test split.

    Attributes:
      slices: columns whose values are figures of their own; length bucket and label always are.
      baselines: what the model is compared with in the run itself, by name: ``majority``, ``tfidf`` …; ``all`` that the
        task has, or ``none``. Those of ``bless.beats`` always are.
      bless: thresholds.
    """

    slices: list[str] = []
    baselines: Literal["all", "none"] | list[str] = "all"
    bless: Bless = Bless()

    def compared(self, known: Sequence[str]) -> list[str]:
        """The names of ``baselines`` and of ``bless.beats``, of all that the task has, in the task's order."""
        chosen = {"all": known, "none": ()}[self.baselines] if isinstance(self.baselines, str) else self.baselines
        return [name for name in known if name in {*chosen, *self.bless.beats}]
