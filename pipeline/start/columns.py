"""Which column is the text, which its pair, which the label: guesses, each of them told to the person."""

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterable

from components.records.kinds.classification import Kind
from configs.base import ConfigError
from configs.yaml.validate import one_of
from schemas import DataError

_TEXT = re.compile(
    r"text|review|sentence|content|document|comment|message|body|tweet|question|리뷰|문장|내용|본문|댓글|텍스트", re.I
)
# What labels are called, first choice first.
_LABELS = (
    re.compile(r"label|sentiment|target|polarity|intent|감성|감정|라벨|레이블", re.I),
    re.compile(r"class|categor|topic|rating|stars|분류|평점", re.I),
)
_PAIRS = (
    ("1", "2"), ("a", "b"), ("premise", "hypothesis"), ("question", "answer"), ("query", "passage"),
    ("statement", "reply"), ("text", "text_pair"),
)  # fmt: skip
# Names that records have for something else.
_NO_SLICES = (*Kind.features(), "length_bucket")
# More values are no labels; up to so many, broken numbers such as 0.5 may be.
_MOST_LABELS, _FEW_NUMBERS = 50, 10
_POSITIVE = ("positive", "pos", "1", "true", "yes", "y", "spam", "good", "긍정")


def named(column: str | None, columns: list[str], option: str) -> str | None:
    """The column that the person named with ``option``.

    Raises:
      ConfigError: it is not there.
    """
    if column is not None and column not in columns:
        raise ConfigError(f"{option}: {one_of(column, columns)}")
    return column


def text_column(values: dict[str, list[str]], path: str, assumed: list[str]) -> str:
    """The column with the longest, most varied values; a telling name counts double."""
    letters = {
        name: statistics.fmean(sum(map(str.isalpha, cell)) for cell in cells or [""]) for name, cells in values.items()
    }

    def score(name: str) -> float:
        cells = values[name]
        return letters[name] * len(set(cells)) / max(1, len(cells)) * (2 if _TEXT.search(name) else 1)

    best = max(values, key=score, default="")
    if letters.get(best, 0) < 2:
        raise DataError(f"{path}: no column looks like text ({_listed(values)}); name it with --text")
    assumed.append(f"{best!r} is the text: its values are the longest")
    return best


def pair_columns(text: str, values: dict[str, list[str]], assumed: list[str]) -> tuple[str, str | None]:
    """The texts of a pair, in their order: ``sentence1`` and ``sentence2``, ``premise`` and ``hypothesis``."""
    for first, second in _PAIRS:
        for one, other in ((first, second), (second, first)):
            partner = text[: -len(one)] + other if text.endswith(one) else None
            if partner in values and partner != text:
                pair = (text, partner) if one == first else (partner, text)
                assumed.append(f"{pair[0]!r} and {pair[1]!r} are a pair")
                return pair
    return text, None


def label_column(values: dict[str, list[str]], texts: set[str | None], path: str, assumed: list[str]) -> str:
    """A column with few values, or of numbers; a telling name comes first."""

    def score(name: str) -> float:
        distinct = len(set(values[name]))
        if distinct > max(_MOST_LABELS, len(values[name]) / 5) and not _numeric(values[name]):
            return 0.0
        few = 0.01 if distinct < 2 else 1.0 if distinct <= _MOST_LABELS else 0.1
        named = next((weight for weight, names in zip((20, 5), _LABELS, strict=True) if names.search(name)), 1)
        return few * named / (1 + distinct / 1000)

    candidates = [name for name in values if name not in texts and not _counts_up(values[name])]
    best = max(candidates, key=score, default=None)
    if best is None or not score(best):
        raise DataError(f"{path}: no column looks like a label ({_listed(values)}); name it with --label")
    assumed.append(f"{best!r} is the label: it has {len(set(values[best]) - {''}):,} values")
    return best


def _listed(names: Iterable[str]) -> str:
    shown = [name if name.isprintable() and len(name) <= 40 else repr(name[:40]) for name in names]
    return ", ".join(shown[:20]) + ", …" * (len(shown) > 20)


def bounds(counts: Counter[str]) -> tuple[float, float] | None:
    """The least and the highest number, where a column holds numbers that are no labels: many, or broken ones."""
    if not _numeric(list(counts)) or len(counts) <= _FEW_NUMBERS:
        return None
    numbers = [float(cell) for cell in counts]
    whole = all(number.is_integer() for number in numbers)
    return (min(numbers), max(numbers)) if not whole or len(counts) > _MOST_LABELS else None


def a_number(label: str, counts: Counter[str]) -> str:
    """What it means that a column holds numbers, and what else it could."""
    numbers = sorted(float(cell) for cell in counts.elements())
    middle = 0.0 if numbers[0] < 0 < numbers[-1] else statistics.median(numbers)
    if middle == numbers[0]:  # which is that of more than half of them
        middle = next(number for number in numbers if number > middle)
    return (
        f"{label!r} is a number to predict; for labels: type: classification, labels: [low, high], "
        f"label: {{column: {label}, ranges: {{low: '< {middle:.15g}', high: '>= {middle:.15g}'}}}}"
    )


def labels(counts: Counter[str], path: str, label: str, assumed: list[str]) -> list[str]:
    """Labels in the YAML's order.

    Raises:
      DataError: they are none, or nothing can be learned from them.
    """
    if counts.total() < 2:
        raise DataError(f"{path} has one record only; nothing can be learned from one")
    if len(counts) < 2:
        raise DataError(f"{path}: column {label!r} has one value only; nothing can be learned from one label")
    if len(counts) > _MOST_LABELS:
        raise DataError(
            f"{path}: column {label!r} has {len(counts):,} values; a label has few: name another with --label"
        )
    labels = ordered(counts)
    if len(labels) == 2:
        labels.sort(key=lambda each: each.lower() in _POSITIVE)
        assumed.append(f"{labels[1]!r} is the positive label")
    assumed += [
        f"{' and '.join(map(repr, alike))} are different labels, though only their spelling differs; join them in the "
        "file if they are one"
        for alike in _alike(labels)
    ]
    return labels


def ordered(labels: Iterable[str]) -> list[str]:
    """Numbers by what they are, then words by their spelling."""
    return sorted(labels, key=lambda each: (not _numeric([each]), float(each) if _numeric([each]) else 0.0, each))


def _alike(labels: list[str]) -> list[list[str]]:
    """Labels that differ only in case, in their Unicode form or in how a number is written."""
    groups: dict[str | float, list[str]] = {}
    for label in labels:
        plain = unicodedata.normalize("NFKC", label).casefold()
        groups.setdefault(float(plain) if _numeric([plain]) else plain, []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def _numeric(cells: list[str]) -> bool:
    return all(re.fullmatch(r"[-+]?\d{1,30}(\.\d+)?", cell) for cell in cells if cell)


def _counts_up(cells: list[str]) -> bool:
    """Whether the column numbers the rows."""
    return len(cells) > 2 and len(set(cells)) == len(cells) and all(cell.isdecimal() for cell in cells)


def slices(values: dict[str, list[str]], taken: set[str | None]) -> list[str]:
    """Up to two columns with few values, such as domains or sources."""
    few = [
        name
        for name, cells in values.items()
        if name
        and "." not in name
        and name not in taken
        and name not in _NO_SLICES
        and 2 <= len(set(cells)) <= 20
        and all(cells)
    ]
    return [name for name in few if len(values[name]) >= 20 * len(set(values[name]))][:2]
