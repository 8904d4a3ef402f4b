"""More texts like those at hand, for a teacher to answer: words exchanged, and parts of a text (Tang et al. 2019).

Of the paper's three (section 3.3, "Distilling Task-Specific Knowledge from BERT into Simple Neural Networks",
arXiv:1903.12136) those that need no tagger: a word is exchanged for any other one, where the paper takes [MASK] or a
word of the same part of speech, and a text may be cut to a few words in a row.
"""

import random
from collections.abc import Iterator, Sequence

# The paper's: of a word that is masked and one that is exchanged, of n words in a row; and the most of these.
_EXCHANGED, _CUT, _ROW = 0.1 + 0.1, 0.25, 5


def variants(texts: Sequence[tuple[bytes, ...]], count: int) -> Iterator[tuple[bytes, ...]]:
    """``count`` variants of each text, or pair of texts; always the same.

    Args:
      texts: as they were read.
      count: of each.
    """
    draws = random.Random(0)
    words = [word for text in texts for part in text for word in part.split()]
    for text in texts:
        for _ in range(count):
            yield tuple(_variant(part.split(), words, draws) for part in text)


def _variant(text: list[bytes], words: Sequence[bytes], draws: random.Random) -> bytes:
    changed = [draws.choice(words) if draws.random() < _EXCHANGED else word for word in text]
    if changed and draws.random() < _CUT:
        length = draws.randint(1, _ROW)
        first = draws.randrange(max(1, len(changed) - length + 1))
        changed = changed[first : first + length]
    return b" ".join(changed)
