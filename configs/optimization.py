"""What the sections ``train`` and ``pretrain`` share."""

from typing import Annotated, Literal

from pydantic import Field

from configs.base import Count, Section, Share


class Optimization(Section):
    """AdamW as in BERT: linear warm-up, then a decay; no weight decay on biases and LayerNorm.

    Attributes:
      batch_size: rows a step.
      learning_rate: the peak.
      warmup: share of the steps.
      schedule: of the learning rate behind the warm-up: ``linear`` or ``cosine`` to 0, or ``inverse_square_root``.
      weight_decay: decoupled (Loshchilov & Hutter 2019).
      clip_norm: of the global gradient norm.
      precision: that a step computes in; weights, optimizer, evaluation and exports are float32 either way.
    """

    batch_size: Count = 32
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-5
    warmup: Share = 0.1
    schedule: Literal["linear", "cosine", "inverse_square_root"] = "linear"
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
