"""Which script a text is written in."""

import functools
import unicodedata
from collections import Counter
from typing import Any

NONE, OTHER = "none", "another"
# What ``scripts`` tells apart, and the letters of each in RE2; Latin first.
_LETTERS = {
    "Latin": r"\p{Latin}",
    "Arabic": r"\p{Arabic}",
    "Cyrillic": r"\p{Cyrillic}",
    "Devanagari": r"\p{Devanagari}",
    "Greek": r"\p{Greek}",
    "Han or Kana": r"\p{Han}\p{Hiragana}\p{Katakana}",
    "Hangul": r"\p{Hangul}",
    "Hebrew": r"\p{Hebrew}",
    "Thai": r"\p{Thai}",
}
SCRIPTS = (*_LETTERS, OTHER, NONE)
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


def scripts(texts: Any) -> Any:
    """``script_of`` in the graph, for texts string (N,): one of ``SCRIPTS``."""
    import tensorflow as tf

    def count(letters: str) -> Any:
        return tf.strings.length(tf.strings.regex_replace(texts, f"[^{letters}]+", ""), "UTF8_CHAR")

    known = tf.stack([count(letters) for letters in _LETTERS.values()], axis=1)
    more = count(r"\pL") - tf.reduce_sum(known, axis=1)  # letters of scripts that are not listed
    counts = tf.concat([known, tf.maximum(more, 0)[:, None]], axis=1)
    # Of others the most frequent one; Latin only without any; of as many the first by name.
    other = tf.cast(tf.argmax(counts[:, 1:], axis=1), tf.int32) + 1
    latin = tf.where(counts[:, 0] > 0, 0, len(SCRIPTS) - 1)
    return tf.gather(SCRIPTS, tf.where(tf.reduce_any(counts[:, 1:] > 0, axis=1), other, latin))


@functools.cache
def _script(letter: str) -> str:
    """Of a letter, by its Unicode name: ``HANGUL SYLLABLE GA``."""
    plain = unicodedata.normalize("NFKC", letter)[0]
    if not plain.isalpha():
        return NONE
    first = unicodedata.name(plain, NONE).split()[0]
    return _SAME.get(first, first.capitalize() if first != NONE else NONE)
