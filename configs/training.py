"""Section ``train``: fine-tuning."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from configs.base import Count, Section, Seed
from configs.optimization import Optimization
from configs.teacher import Teacher


class EarlyStopping(Section):
    """When fine-tuning ends before its last epoch.

    Attributes:
      patience: epochs without a better headline figure on the eval split. The schedule still spans all epochs: it does
        not know which one will be the last.
    """

    patience: Count


class Prune(Section):
    """Cuts the heads that matter least to the loss of the eval split, once the best epoch is known; a layer keeps one.

    Attributes:
      heads: share of all heads.
      recover: epochs that what is left is trained for, at a tenth of the learning rate.
    """

    heads: Annotated[float, Field(gt=0, lt=1)]
    recover: Annotated[int, Field(ge=0)] = 1


class Train(Optimization):
    """Fine-tuning; the epoch with the best figure on the eval split is kept.

    Attributes:
      seeds: trains once with each, of the head's weights, the order of the records and dropout, and keeps the best by
        the eval split; where not given, the experiment's ``seed``.
      calibrate: whether logits are divided by one number, so that scores are as sure as they are right (Guo et al.
        2017): classification and multi_label, fitted on the eval split. No answer changes, but those of multi_label
        where ``threshold`` is not .5.
      batch_tokens: tokens a step, of both sides and their padding, where the task's rows are of two texts: translation.
        Then ``batch_size`` is the most rows of a step.
      average: epochs at the end whose weights are averaged (Vaswani et al. 2017, section 6.1); the mean is kept if it
        does better on the eval split than the best epoch. 25 epochs and ``average: 5``: those of epochs 21 to 25.
      refit: whether the model is trained once more from the start, on train and eval together, for as many epochs as
        were best; that one is exported, and judged by the test split.
      prune: fewer heads: a smaller model, judged and pushed as any.
      beta_2: AdamW's, of the mean of squared gradients; .999 where not given.
      teacher: a larger model of the same task, whose answers are learned too.
      layer_decay: from the head down, each layer's learning rate is that of the layer above times this; the embeddings
        have the lowest one (Sun et al. 2019, section 3.1; ELECTRA takes 0.9 for small models, 0.8 for others).
      freeze: ``embeddings``, or N: the embeddings and the first N layers keep the weights that training starts from.
    """

    epochs: Count = 3
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 3e-5
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    early_stopping: EarlyStopping | None = None
    batch_tokens: Count | None = None
    average: Annotated[int, Field(ge=2)] | None = None
    refit: bool = False
    prune: Prune | None = None
    beta_2: Annotated[float, Field(gt=0, lt=1)] | None = None
    calibrate: bool = True
    teacher: Teacher | None = None
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    freeze: Literal["embeddings"] | Count | None = None

    def own(self) -> dict[str, Any]:
        """What a Trainer is told: of the teacher, how its answers are learned."""
        told = self.model_dump(mode="json", exclude_none=True)
        if self.teacher:
            told["teacher"] = {name: told["teacher"][name] for name in ("temperature", "weight")}
        return told

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.seeds and len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be distinct. Received: {self.seeds}")
        if self.refit and self.average:
            raise ValueError(
                "refit trains for as many epochs as the best one, and average has none: remove one of the two"
            )
        if self.refit and self.prune:
            raise ValueError(
                "prune finds the heads to cut on the eval split, and refit trains on that split: remove one of the two"
            )
        return self
