"""Rows to records: what is a text, which label it has, and which split it belongs to."""

import functools
import hashlib
import itertools
import json
import math
import operator
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from components.records import sentences, tags
from components.records.readers import format_of, rows
from components.records.rows import MAX_TEXT, Bad, RowError, json_type
from configs.base import RANGE
from configs.sources import (
    AnswerData,
    Corpus,
    LabelRanges,
    LabelsData,
    NumberData,
    Source,
    SpanData,
    SplitSource,
    TaskData,
    TextData,
    Unlabelled,
)

SPLITS = ("train", "eval", "test")
# The one split of records without labels.
SCORE = "score"
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Record:
    """A record, ready to be an Example.

    Attributes:
      features: by name: UTF-8, whole numbers or fractions.
      key: 16 bytes of SHA-256 over the normalised text: equal texts, equal keys.
      file: of its first row.
      line: of its first row, from 1.
    """

    features: Mapping[str, Sequence[bytes] | Sequence[int] | Sequence[float]]
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
    elif isinstance(source, TextData):
        wanted = [*source.columns, *slices]
    elif isinstance(source, Unlabelled):
        wanted = [source.text, source.text_pair]
    else:
        raise TypeError(f"a source is a Corpus, TextData or Unlabelled. Received: {type(source).__name__}")
    return [name for name in wanted if name is not None]


def task_records(
    path: str, source: TextData | Unlabelled, labels: Sequence[str] = (), slices: Sequence[str] = ()
) -> Iterator[Record | Bad | LeftOut]:
    """The records of one file, with what they are judged by where the source has such.

    Args:
      path: the file.
      source: its columns.
      labels: every label there is; none where any is taken.
      slices: columns to keep under their own names.

    Raises:
      DataError: a fault of the file as a whole.
    """
    for row in rows(path, source, columns(source, slices)):
        if isinstance(row, Bad):
            yield row
            continue
        try:
            values, gold = (row.values, {}) if isinstance(source, Unlabelled) else _judged(source, row.values, labels)
            if gold is None:
                yield LeftOut()
                continue
            texts = texts_of(values, source)
            features: dict[str, Any] = dict(
                zip(("text", "text_pair"), ([text.encode()] for text in texts), strict=False)
            )
            features |= gold
            for name in slices:
                features.setdefault(name, [_plain(row.values, name).encode()])
            features["origin"] = [f"{path}:{row.line}".encode()]
            yield Record(features, key(texts), path, row.line)
        except RowError as fault:
            yield Bad(path, row.line, str(fault))


def texts_of(values: Mapping[str, Any], source: TextData | Unlabelled) -> list[str]:
    """The text of a row, or the two of a pair, as given: answers count its characters, white space included.

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
            texts = (
                _lines(row.values["sentences"]) if plain else [_text(row.values, name).strip() for name in source.text]
            )
            if source.sentences == "split":
                running = [" ".join(texts)] if plain else texts
                texts = [sentence for text in running for sentence in sentences.split(text)]
            if plain or source.document is None:
                yield document(texts, path, row.line)
            else:
                name = _plain(row.values, source.document)
                if not name:
                    raise RowError(f"column {source.document!r} is empty")
                yield Part(name, _order(row.values, source.order), path, row.line, tuple(texts))
        except RowError as fault:
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
        raise RowError(f"column {name!r} is empty")
    number = _number(text)
    return text if number is None else number


def _text(values: Mapping[str, Any], name: str) -> str:
    if name not in values:  # objects of JSON Lines that were read whole
        raise RowError(f"no key {name!r}")
    text = values[name]
    if not isinstance(text, str):
        raise RowError(f"column {name!r} is {json_type(text)}, a string is expected")
    if not text.strip():
        raise RowError(f"column {name!r} is empty")
    _refuse(text, f"column {name!r}")
    return text


def _refuse(text: str, where: str) -> None:
    if "\0" in text:
        raise RowError(f"NUL byte in {where}")
    if len(text) > MAX_TEXT:
        raise RowError(f"more than {MAX_TEXT:,} characters in {where}")


def _plain(values: Mapping[str, Any], name: str) -> str:
    """A value that names something: a label, a slice, a document."""
    value = values[name]
    if isinstance(value, (list, dict, bytes)):
        raise RowError(f"column {name!r} is {json_type(value)}, one value is expected")
    return written(value)


def written(value: object) -> str:
    """A value as a label or a slice spells it: JSON's ``true``, numbers as they stand, nothing for null and NaN."""
    text = json.dumps(value) if isinstance(value, bool) else "" if value is None else str(value).strip()
    return "" if text.lower() == "nan" else text


# --- what a record is judged by ------------------------------------------------------------------------------------


@functools.singledispatch
def _judged(source: Source, values: Mapping[str, Any], labels: Sequence[str]) -> tuple[Mapping[str, Any], Any]:
    """The values, with the text as one string, and the features that hold the right answer; None: it is left out."""
    del values, labels
    raise TypeError(f"records of {type(source).__name__} are judged by nothing")


@_judged.register
def _(source: TaskData, values: Mapping[str, Any], labels: Sequence[str]) -> tuple[Mapping[str, Any], Any]:
    if isinstance(source.label, LabelRanges):
        label = _cut(values, source.label)
    else:
        label = _plain(values, source.label)
        if not label:
            raise RowError(f"column {source.label!r} is empty")
        _known(label, labels)
    return values, {"label": [label.encode()]} if label is not None else None


@_judged.register
def _(source: LabelsData, values: Mapping[str, Any], labels: Sequence[str]) -> tuple[Mapping[str, Any], Any]:
    given = values[source.label]
    if isinstance(given, list):
        found = [written(each) for each in given]
    else:
        found = [part for each in _plain(values, source.label).split(source.separator) if (part := each.strip())]
    for label in found:
        if not label:
            raise RowError(f"column {source.label!r} has an empty label")
        _known(label, labels)
    if len(set(found)) < len(found):
        raise RowError(f"column {source.label!r} has a label twice")
    return values, {"labels": [label.encode() for label in found]}


@_judged.register
def _(source: NumberData, values: Mapping[str, Any], labels: Sequence[str]) -> tuple[Mapping[str, Any], Any]:
    del labels
    number = _number(values[source.label])
    if number is None:
        raise RowError(f"column {source.label!r} is not a number")
    for bound, beyond in ((source.min, operator.lt), (source.max, operator.gt)):
        if bound is not None and beyond(number, bound):
            raise RowError(f"column {source.label!r} is {'less' if beyond is operator.lt else 'more'} than {bound:g}")
    return values, {"label": [float(number)]}


@_judged.register
def _(source: SpanData, values: Mapping[str, Any], labels: Sequence[str]) -> tuple[Mapping[str, Any], Any]:
    given, text = values[source.label], values[source.text]
    if not isinstance(given, list):
        raise RowError(f"column {source.label!r} is {json_type(given)}, a list is expected")
    if isinstance(text, list):
        between = "" if source.unit == "character" else " "
        spans = tags.spans(text, given, between, source.scheme)
        text = between.join(text)
    else:
        spans = [_span(each, text) for each in given]
    spans = sorted(tags.trimmed(span, text) for span in spans)
    for *_, label in spans:
        _known(label, labels)
    for (_, end, _), (start, _, _) in itertools.pairwise(spans):
        if start < end:
            raise RowError(f"column {source.label!r} has spans that overlap")
    gold = {
        "span_start": [start for start, _, _ in spans],
        "span_end": [end for _, end, _ in spans],
        "span_label": [label.encode() for _, _, label in spans],
    }
    return {**values, source.text: text}, gold


def _span(given: Any, text: Any) -> tags.Span:
    if isinstance(given, list) and len(given) == 3:  # as doccano and spaCy write them
        given = dict(zip(("start", "end", "label"), given, strict=True))
    if isinstance(given, dict):  # doccano's other layout
        given = {name.removesuffix("_offset"): value for name, value in given.items()}
    if not isinstance(given, dict) or not {"start", "end", "label"} <= given.keys():
        raise RowError("a span is no object with start, end and label")
    start, end, label = given["start"], given["end"], given["label"]
    if not (type(start) is type(end) is int and isinstance(label, str) and label and isinstance(text, str)):
        raise RowError("a span's start and end are whole numbers, its label is text")
    if not 0 <= start < end <= len(text):
        raise RowError("a span that lies outside of its text")
    return start, end, label


@_judged.register
def _(source: AnswerData, values: Mapping[str, Any], labels: Sequence[str]) -> tuple[Mapping[str, Any], Any]:
    del labels
    given, context = values[source.answers], values[source.text_pair]
    if not isinstance(given, dict) or not all(isinstance(given.get(key), list) for key in ("text", "answer_start")):
        raise RowError(f"column {source.answers!r} is no object with the lists text and answer_start")
    if not isinstance(context, str):
        raise RowError(f"column {source.text_pair!r} is {json_type(context)}, a string is expected")
    texts, starts = given["text"], given["answer_start"]
    if len(texts) != len(starts):
        raise RowError(f"{len(texts)} answers and {len(starts)} places of them")
    spans = []
    for text, start in zip(texts, starts, strict=True):
        if not isinstance(text, str) or type(start) is not int or not text:
            raise RowError("an answer that is no text, or that has no place")
        if start < 0 or context[start : start + len(text)] != text:
            raise RowError("an answer that does not stand at its place in the context")
        spans.append(tags.trimmed((start, start + len(text), ""), context))
    return values, {
        "answers": [context[start:end].encode() for start, end, _ in spans],
        "answer_start": [start for start, _, _ in spans],
    }


def _known(label: str, labels: Sequence[str]) -> None:
    if labels and label not in labels:
        shown = label if len(label) <= 30 else f"{label[:30]}…"
        raise RowError(f"label {shown!r}, allowed {'|'.join(labels[:10])}{'|…' if len(labels) > 10 else ''}")


def _cut(values: Mapping[str, Any], label: LabelRanges) -> str | None:
    number = _number(values[label.column])
    if number is None:
        raise RowError(f"column {label.column!r} is not a number")
    fits = [name for name, text in label.ranges.items() if _inside(number, text)]
    if len(fits) > 1:
        raise RowError(f"a number in the ranges of {' and '.join(fits)} at once")
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
