"""Section ``tune``: a search for settings of ``train``."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field, model_validator

from configs.base import Count, Section


class Range(Section):
    """Every value between two, drawn by its logarithm."""

    min: Annotated[float, Field(gt=0)]
    max: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min >= self.max:
            raise ValueError(f"min must be below max. Received: min={self.min}, max={self.max}")
        return self


Choices = Annotated[
    Annotated[list[int | float], Field(min_length=1), pydantic.Tag("list")] | Annotated[Range, pydantic.Tag("range")],
    pydantic.Discriminator(lambda value: "list" if isinstance(value, list) else "range"),  # one complaint, not two
]
Tuned = Literal["learning_rate", "batch_size", "epochs", "warmup", "weight_decay", "clip_norm", "layer_decay"]


class Tune(Section):
    """A search for settings of ``train`` before the training: each trial is one, judged by the eval split.

    Attributes:
      trials: how many; fewer where the space has no more.
      space: by the setting, a list of values, or ``{min: …, max: …}``.
      algorithm: ``random``, or ``bayesian``: a Gaussian process over the trials so far.
    """

    trials: Count
    space: Annotated[dict[Tuned, Choices], Field(min_length=1)]
    algorithm: Literal["random", "bayesian"] = "random"
