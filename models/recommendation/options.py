"""The keys of the task ``next_item`` in the YAML."""

from typing import Annotated, Literal, Self

import pydantic

Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class Options(pydantic.BaseModel):
    """How the next item is learned and answered.

    Attributes:
      objective: ``causal``: every item of a row predicts the one behind it (SASRec, Kang & McAuley 2018, with full
        cross-entropy); ``cloze``: hidden items are predicted from both sides (BERT4Rec, Sun et al. 2019); ``counts``:
        no network, how often an item followed another one, weighed by distance.
      loss: ``softmax`` over all items; ``sampled_softmax`` over ``negatives`` drawn ones, corrected for how likely each
        was drawn (Jean et al. 2015); ``gbce``: binary cross-entropy against drawn ones, corrected for overconfidence
        (Petrov & Macdonald 2023).
      negatives: items drawn in each step, for the last two losses.
      calibration: ``gbce``: t of the paper; 0 is plain binary cross-entropy, 1 is fully corrected.
      max_length: items of a row; of longer histories the last ones are read.
      passes: rows that a history gives in an epoch. Where not given: ``causal`` as many as cover it, ``cloze`` 10.
      mask_share: ``cloze``: of a row's items, how many are hidden; at least one.
      mask_last: ``cloze``: share of the rows that hide their last item only, as a request does.
      exclude_seen: whether what is in a history is never answered; false where people come back to the same item.
      top_k: how many items are answered.
      titles: a text model, a Hugging Face BERT folder: items start from the vectors of their titles.
      cold_items: with ``titles``: whether items of the catalogue without one event can be answered.
      id_dropout: with ``titles``: share of items that a step knows by their title alone.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    objective: Literal["causal", "cloze", "counts"] = "causal"
    loss: Literal["softmax", "sampled_softmax", "gbce"] = "softmax"
    negatives: Annotated[int, pydantic.Field(ge=1)] = 256
    calibration: Share = 0.75
    max_length: Annotated[int, pydantic.Field(ge=2)] = 50
    passes: Annotated[int, pydantic.Field(ge=1)] | None = None
    mask_share: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.2
    mask_last: Share = 0.3
    exclude_seen: bool = True
    top_k: Annotated[int, pydantic.Field(ge=1)] = 20
    titles: str | None = None
    cold_items: bool = True
    id_dropout: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.1

    @pydantic.model_validator(mode="after")
    def _has_a_network(self) -> Self:
        if self.objective == "counts" and self.titles:
            raise ValueError("objective: counts has no network that could read titles: remove titles, or take causal")
        if self.objective == "counts" and self.loss != "softmax":
            raise ValueError(f"objective: counts has no loss: remove loss. Received: loss={self.loss}")
        return self
