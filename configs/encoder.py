"""Section ``encoder``: the network's shape."""

from typing import Any, Self

from pydantic import model_validator
from typing_extensions import override

from configs.base import Count, Section, Share
from models.families import Shape


class Encoder(Section, Shape):
    """The shape of a BERT encoder (Devlin et al. 2019, section 3). Defaults: BERT-base.

    Attributes:
      num_layers: transformer blocks.
      hidden_dim: width D.
      num_heads: attention heads; divides ``hidden_dim``.
      intermediate_dim: width of the feed-forward layer; 4·D where not given.
      max_positions: longest row in tokens.
      dropout: of embeddings and of each sublayer's output.
      attention_dropout: of the attention weights.
    """

    num_layers: Count = 12
    hidden_dim: Count = 768
    num_heads: Count = 12
    intermediate_dim: Count | None = None
    max_positions: Count = 512
    dropout: Share = 0.1
    attention_dropout: Share = 0.1

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_dim % self.num_heads:
            raise ValueError(
                f"num_heads must divide hidden_dim. Received: num_heads={self.num_heads}, hidden_dim={self.hidden_dim}"
            )
        return self

    @override
    def arguments(self) -> dict[str, Any]:
        """What ``models.bert.encoder.BertEncoder`` takes, the vocabulary's size left out."""
        return {**self.model_dump(), "intermediate_dim": self.intermediate_dim or 4 * self.hidden_dim}
