"""Rows to records: what is a text, which label it has, and which split it belongs to."""

import hashlib
import json
import math
import operator
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from components import sentences
from components.readers import MAX_TEXT, Bad, format_of, json_type, rows
from configs.experiment import RANGE, Corpus, LabelRanges, Source, SplitSource, TaskData, Unlabelled

SPLITS = ("train", "eval", "test")
# The one split of records without labels.
SCORE = "score"
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Record:
    """A record, ready to be an Example.

    Attributes:
      features: by name, UTF-8.
      key: 16 bytes of SHA-256 over the normalised text: equal texts, equal keys.
      file: of its first row.
      line: of its first row, from 1.
    """

    features: dict[str, list[bytes]]
    key: bytes
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Part:
    """A row of a document that its ``document`` column joins."""

    document: str
    order: str | float
    file: str
    line: int
    sentences: tuple[str, ...]


class LeftOut:
    """A record whose number lies in none of the label ranges."""


class _RowError(ValueError):
    """Why a row is no record."""


def normalize(text: str) -> str:
    """Texts that a reader would call the same become equal: NFKC, case folded, white space folded."""
    if text.isascii():
        return " ".join(text.lower().split())
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def key(texts: Sequence[str]) -> bytes:
    """16 bytes that identify the normalised texts, in order."""
    return hashlib.sha256("\x1e".join(map(normalize, texts)).encode()).digest()[:16]


def splits(source: Source) -> tuple[str, ...]:
    """The splits that records of ``source`` are put into."""
    return SPLITS if isinstance(source, SplitSource) else (SCORE,)


def split_of(record_key: bytes, source: Source, given: str) -> str:
    """The split of a record.

    Args:
      record_key: what ``key`` returned.
      source: whose shares count. A split with files of its own takes none of ``path``.
      given: which files the record came from: ``path``, ``eval`` or ``test``.
    """
    if not isinstance(source, SplitSource):
        return SCORE
    if given != "path":
        return given
    shares = {name: getattr(source.split, name) for name in SPLITS if name == "train" or getattr(source, name) is None}
    point = int.from_bytes(record_key[:8], "big") / 2**64 * sum(shares.values())
    for name, share in shares.items():
        if point < share:
            return name
        point -= share
    return "train"  # rounding


def columns(source: Source, slices: Sequence[str] = ()) -> list[str]:
    """The columns that records of ``source`` are made of."""
    if isinstance(source, Corpus):
        wanted = [*source.text, source.document, source.order]
    elif isinstance(source, TaskData):
        wanted = [source.text, source.text_pair, source.label_column, *slices]
    elif isinstance(source, Unlabelled):
        wanted = [source.text, source.text_pair]
    else:
        raise TypeError(f"a source is a Corpus, TaskData or Unlabelled. Received: {type(source).__name__}")
    return [name for name in wanted if name is not None]


def task_records(
    path: str, source: TaskData | Unlabelled, labels: Sequence[str] = (), slices: Sequence[str] = ()
) -> Iterator[Record | Bad | LeftOut]:
    """The records of one file, with their labels where the source has such.

    Args:
      path: the file.
      source: its columns.
      labels: every label there is.
      slices: columns to keep under their own names.

    Raises:
      DataError: a fault of the file as a whole.
    """
    allowed = frozenset(labels)
    for row in rows(path, source, columns(source, slices)):
        if isinstance(row, Bad):
            yield row
            continue
        try:
            texts = texts_of(row.values, source)
            features = dict(zip(("text", "text_pair"), ([text.encode()] for text in texts), strict=False))
            if isinstance(source, TaskData):
                label = _label(row.values, source, labels, allowed)
                if label is None:
                    yield LeftOut()
                    continue
                features["label"] = [label.encode()]
            for name in slices:
                features.setdefault(name, [_plain(row.values, name).encode()])
            features["origin"] = [f"{path}:{row.line}".encode()]
            yield Record(features, key(texts), path, row.line)
        except _RowError as fault:
            yield Bad(path, row.line, str(fault))


def texts_of(values: Mapping[str, Any], source: TaskData | Unlabelled) -> list[str]:
    """The text of a row, or the two of a pair.

    Raises:
      ValueError: why the row has none; reads well after ``12 ×``.
    """
    return [_text(values, name) for name in (source.text, source.text_pair) if name is not None]


def corpus_records(path: str, source: Corpus) -> Iterator[Record | Part | Bad]:
    """The documents of one file, or their parts where a column joins them.

    Raises:
      DataError: a fault of the file as a whole.
    """
    plain = format_of(path, source) == "text"
    for row in rows(path, source, columns(source)):
        if isinstance(row, Bad):
            yield row
            continue
        try:
            texts = _lines(row.values["sentences"]) if plain else [_text(row.values, name) for name in source.text]
            if source.sentences == "split":
                running = [" ".join(texts)] if plain else texts
                texts = [sentence for text in running for sentence in sentences.split(text)]
            if plain or source.document is None:
                yield document(texts, path, row.line)
            else:
                name = _plain(row.values, source.document)
                if not name:
                    raise _RowError(f"column {source.document!r} is empty")
                yield Part(name, _order(row.values, source.order), path, row.line, tuple(texts))
        except _RowError as fault:
            yield Bad(path, row.line, str(fault))


def document(texts: Sequence[str], path: str, line: int) -> Record:
    """A document of a corpus."""
    features = {"sentences": [text.encode() for text in texts], "origin": [f"{path}:{line}".encode()]}
    return Record(features, key(texts), path, line)


def join(parts: Sequence[Part]) -> Record:
    """The document that ``parts`` make: by ``order`` (as numbers if all are numbers), then by file and line."""
    numbers = all(not isinstance(part.order, str) for part in parts)
    parts = sorted(parts, key=lambda part: (part.order if numbers else str(part.order), part.file, part.line))
    return document([sentence for part in parts for sentence in part.sentences], parts[0].file, parts[0].line)


def _lines(lines: list[str]) -> list[str]:
    for line in lines:
        _refuse(line, "the document")
    return lines


def _order(values: Mapping[str, Any], name: str | None) -> str | float:
    """What sorts a row: a number where it is one, else its text (ISO times sort rightly)."""
    if name is None:
        return 0
    text = _plain(values, name)
    if not text:
        raise _RowError(f"column {name!r} is empty")
    number = _number(text)
    return text if number is None else number


def _text(values: Mapping[str, Any], name: str) -> str:
    if name not in values:  # objects of JSON Lines that were read whole
        raise _RowError(f"no key {name!r}")
    text = values[name]
    if not isinstance(text, str):
        raise _RowError(f"column {name!r} is {json_type(text)}, a string is expected")
    text = text.strip()
    if not text:
        raise _RowError(f"column {name!r} is empty")
    _refuse(text, f"column {name!r}")
    return text


def _refuse(text: str, where: str) -> None:
    if "\0" in text:
        raise _RowError(f"NUL byte in {where}")
    if len(text) > MAX_TEXT:
        raise _RowError(f"more than {MAX_TEXT:,} characters in {where}")


def _plain(values: Mapping[str, Any], name: str) -> str:
    """A value that names something: a label, a slice, a document."""
    value = values[name]
    if isinstance(value, (list, dict)):
        raise _RowError(f"column {name!r} is {json_type(value)}, one value is expected")
    return written(value)


def written(value: object) -> str:
    """A value as a label or a slice spells it: JSON's ``true``, numbers as they stand, nothing for null."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, bool) else str(value).strip()


def _label(values: Mapping[str, Any], source: TaskData, labels: Sequence[str], allowed: frozenset[str]) -> str | None:
    """The label; ``None``: the record is left out."""
    if isinstance(source.label, LabelRanges):
        return _cut(values, source.label)
    label = _plain(values, source.label)
    if not label:
        raise _RowError(f"column {source.label!r} is empty")
    if label not in allowed:
        shown = label if len(label) <= 30 else f"{label[:30]}…"
        raise _RowError(f"label {shown!r}, allowed {'|'.join(labels[:10])}{'|…' if len(labels) > 10 else ''}")
    return label


def _cut(values: Mapping[str, Any], label: LabelRanges) -> str | None:
    number = _number(values[label.column])
    if number is None:
        raise _RowError(f"column {label.column!r} is not a number")
    fits = [name for name, text in label.ranges.items() if _inside(number, text)]
    if len(fits) > 1:
        raise _RowError(f"a number in the ranges of {' and '.join(fits)} at once")
    return fits[0] if fits else None


def _inside(number: float, text: str) -> bool:
    found = RANGE.match(text)
    assert found is not None  # pydantic checked the pattern
    return bool(_COMPARE[found[1]](number, float(found[2])))


def _number(value: object) -> float | None:
    """The number that a value is or spells; an int stays one, so that nanoseconds keep their order."""
    if not isinstance(value, (str, int, float, Decimal)):
        return None
    text = str(value).strip()
    if re.fullmatch(r"[+-]?\d{1,30}", text, re.ASCII):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None
