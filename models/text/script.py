"""Which script a text is written in."""

import functools
import unicodedata
from collections import Counter

NONE = "none"
# Letters of one script under several names, by the first word of their names.
_SAME = {"CJK": "Han or Kana", "HIRAGANA": "Han or Kana", "KATAKANA": "Han or Kana"}


def script_of(text: str) -> str:
    """The script of most of its letters, such as ``Latin`` or ``Hangul``; ``none`` where it has no letter.

    Latin ones count only where there are no others: names of products are Latin in every language.
    """
    counts = Counter(map(_script, text))
    del counts[NONE]
    if len(counts) > 1:
        del counts["Latin"]
    return max(sorted(counts), key=counts.__getitem__, default=NONE)


@functools.cache
def _script(letter: str) -> str:
    """Of a letter, by its Unicode name: ``HANGUL SYLLABLE GA``."""
    plain = unicodedata.normalize("NFKC", letter)[0]
    if not plain.isalpha():
        return NONE
    first = unicodedata.name(plain, NONE).split()[0]
    return _SAME.get(first, first.capitalize() if first != NONE else NONE)
