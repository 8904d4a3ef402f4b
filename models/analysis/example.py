"""A text with the attention of every head, small enough for a page: a byte a weight.

Axes: L blocks, H heads, S tokens.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

LONGEST = 48  # tokens of a text; L·H·S² bytes


@dataclasses.dataclass(frozen=True)
class Example:
    """A text.

    Attributes:
      tokens: S pieces, special ones included.
      weights: uint8 (L, H, S, S), each query's row in 255ths of its largest.
      largest: uint8 (L, H, S), the largest of each row in 255ths.
    """

    tokens: Sequence[str]
    weights: np.ndarray
    largest: np.ndarray

    def attention(self) -> np.ndarray:
        """What a page shows: (L, H, S, S), within 1/255 of the attention."""
        return self.weights * (self.largest[..., None] / 255 / 255)

    @classmethod
    def of(cls, tokens: Sequence[str], attention: np.ndarray) -> "Example":
        """Of weights, float (L, H, S, S); every row has a positive one."""
        largest = attention.max(axis=-1)
        rows = np.rint(attention / largest[..., None] * 255).astype(np.uint8)
        return cls(tokens, rows, np.rint(largest * 255).astype(np.uint8))
