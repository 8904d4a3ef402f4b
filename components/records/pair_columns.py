"""Which two columns of a file are a text and its translation: a guess, told to the person."""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from components.records.head import Guess
from models.text.script import NONE, script_of

_ROWS = 1000  # of a sample, that are looked at
_SEEN = 200  # characters of a text, likewise
_FEWEST = 10  # pairs that tell anything
# Translations are about as long as each other, text by text. Of other columns of a table the lengths are independent.
_ALIKE = 0.5
_NAMES = (
    "ar bg bn cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv ms nl no pl pt ro ru "
    "sk sl sr sv th tr uk vi zh "
    "arabic chinese czech danish dutch english finnish french german greek hebrew hindi hungarian indonesian italian "
    "japanese korean norwegian polish portuguese romanian russian spanish swedish thai turkish ukrainian vietnamese "
    "한국어 영어 일본어 중국어 원문 번역 번역문 source target src tgt trg translation reference"
)
_LANGUAGE = frozenset(_NAMES.split())
# Names of a source, where the order of the columns does not say which one it is.
_SOURCES = frozenset(["source", "src", "원문", "en", "english", "영어"])
_TARGETS = frozenset(["target", "tgt", "trg", "translation", "reference", "번역", "번역문"])


def guess(columns: Mapping[str, Sequence[str]]) -> Guess | None:
    """The two columns that look most like a text and its translation; None where none do.

    They are texts whose lengths go together, in two scripts; or in one, if their names are those of languages.
    """
    texts = {name: cells[:_ROWS] for name, cells in columns.items() if _is_text(cells[:_ROWS])}
    scripts = {name: _script(cells) for name, cells in texts.items()}
    found = []
    for pair in itertools.combinations(texts, 2):
        named = all(_words(name) & _LANGUAGE for name in pair)
        apart = scripts[pair[0]] != scripts[pair[1]] and None not in (scripts[pair[0]], scripts[pair[1]])
        if (named or apart) and (alike := _alike(*(texts[name] for name in pair))) >= _ALIKE:
            found.append((named, alike, pair))
    if not found:
        return None
    *_, (one, other) = max(found)
    backwards = bool(_words(other) & _SOURCES) or bool(_words(one) & _TARGETS)
    source, target = (other, one) if backwards and not _words(one) & _SOURCES else (one, other)
    why = f"{source!r} is the text and {target!r} its translation: their lengths go together"
    return Guess({"text": source, "target": target}, (f"{why}; edit task.data if they are not",))


def _words(name: str) -> set[str]:
    """``sentence_en`` and ``en-US`` are of English."""
    return set(re.split(r"[\W_]+", name.lower()))


def _is_text(cells: Sequence[str]) -> bool:
    """Whether most cells have words, and hardly any comes often."""
    written = [cell for cell in cells if cell.strip()]
    letters = sum(any(map(str.isalpha, cell[:_SEEN])) for cell in written)
    return len(written) >= _FEWEST and 10 * letters >= 9 * len(written) and 2 * len(set(written)) > len(written)


def _script(cells: Sequence[str]) -> str | None:
    """The script of nearly all of them; None where they have none in common."""
    counts = Counter(script_of(cell[:_SEEN]) for cell in cells)
    del counts[NONE]
    script, number = counts.most_common(1)[0]
    return script if 10 * number >= 8 * counts.total() else None


def _alike(first: Sequence[str], second: Sequence[str]) -> float:
    """The correlation of the logarithms of both lengths; 0 where there are few pairs, or lengths that do not vary."""
    pairs = [[len(one), len(other)] for one, other in zip(first, second, strict=True) if one and other and one != other]
    if len(pairs) < _FEWEST or not (lengths := np.log(pairs)).std(axis=0).all():
        return 0.0
    return float(np.corrcoef(lengths.T)[0, 1])
