"""Which task a file of texts shows: words with tags, spans, questions, several labels a text.

What a label or a number in a column of its own shows is ``sniff``'s to say.
"""

import dataclasses
import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.records import readers
from components.records.formats import encodings
from components.records.kind import load
from components.records.record import Record
from components.records.rows import Bad
from configs.encoding import Encoding
from pipeline.start import columns, sniff
from pipeline.start.sniff import Given
from schemas import DataError

_LINES = 2_000  # that words with tags are recognised by
_ROWS = 2_000
_SQUAD = re.compile(r'\s*\{.*"data"\s*:\s*\[', re.DOTALL)
_ASKED = re.compile(r'"(qas|question)"\s*:')
_SEVERAL = re.compile(r"label|tag|genre|categor|topic|keyword|emotion|라벨|태그|장르", re.I)
_MOST = 1_000  # labels


@dataclasses.dataclass(frozen=True)
class Shape:
    """A task that a file shows.

    Attributes:
      task: its type.
      data: keys of ``task.data``, but ``path``.
      keys: the task's own ones.
      assumed: what that rests on, a sentence each.
      format: of the file, for a person.
    """

    task: str
    data: Mapping[str, Any]
    keys: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    format: str = ""


def of_file(path: str, encoding: Encoding | None) -> Shape | None:
    """What a file is that has no columns to choose: words with tags, or SQuAD's layout; None: neither.

    Raises:
      DataError: the file cannot be read.
    """
    if not Path(path).is_file() or path.lower().removesuffix(".gz").endswith(".parquet"):
        return None
    with readers.faults(path, encoding or "utf-8"):
        readers.refuse_foreign(path)
        with encodings.open_bytes(path) as stream:
            head = stream.read(1 << 16)
    known = encoding or encodings.recognised(path) or "utf-8"
    plain = head.decode(known, "replace").lstrip("\ufeff")
    data: dict[str, Any] = {} if known == "utf-8" else {"encoding": known}
    if _SQUAD.match(plain) and _ASKED.search(plain) and not _is_line(plain):
        return _questions(path, data)
    return _words(path, plain, data)


def of_columns(path: str, encoding: Encoding | None, text: str | None, label: str | None) -> Shape | None:
    """What a table, or a file of JSON objects, shows beside one label a text; None: nothing else.

    Args:
      path: of the file.
      encoding: of the file, if the person named it.
      text: the column of text, if the person named it.
      label: that of labels, likewise.

    Raises:
      DataError: there is no row that can be used.
    """
    opened, _, assumed = sniff.opened(path, encoding)
    shape = _of_columns(path, opened, text, label)
    if shape is None:
        return None
    return dataclasses.replace(shape, format=str(opened.format), assumed=(*assumed, *shape.assumed))


def _of_columns(path: str, opened: Given, text: str | None, label: str | None) -> Shape | None:
    rows, values = sniff.sampled(path, opened)
    rows, values = rows[:_ROWS], {name: cells[:_ROWS] for name, cells in values.items()}
    if asked := _asked(list(values)):
        data = asked[0] | _needed(opened, path)
        return Shape("question_answering", data, _none_answered(path, data), (asked[1],))
    lists = {name: [row[name] for row in rows] for name in values if any(isinstance(row[name], list) for row in rows)}
    words = next((name for name, cells in lists.items() if _are(cells, str) and _varied(cells)), None)
    for name, cells in lists.items():
        if label not in (None, name):
            continue
        if _are(cells, dict) or (_are(cells, list) and all(len(each) == 3 for cell in cells for each in cell)):
            column = text or columns.text_column(_texts(rows, values), path, [])
            told = f"{name!r} holds the spans of {column!r}, each with its label"
            data = {"text": column, "label": name} | _needed(opened, path)
            return Shape("token_classification", data, {}, (told,))
        if words and name != words and _aligned(lists[words], cells):
            told = f"{words!r} are words and {name!r} their tags"
            return _tags(path, {"text": words, "label": name} | _needed(opened, path), told)
    for name, cells in lists.items():
        if label in (None, name) and _are(cells, (str, int)) and name != words:
            found: list[str] = []
            column = text or columns.text_column(_texts(rows, values), path, found)
            assumed = (*found, f"{name!r} is a list: any number of labels a text")
            return Shape("multi_label", {"text": column, "label": name} | sniff.said(opened, path), {}, assumed)
    return _separated(path, opened, rows, values, text, label)


def _is_line(head: str) -> bool:
    """Whether a file's first line is an object, and others follow: JSON Lines, whatever keys they have."""
    first, _, rest = head.strip().partition("\n")
    try:
        return bool(rest.strip()) and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


# --- questions -----------------------------------------------------------------------------------------------------


def _questions(path: str, data: dict[str, Any]) -> Shape:
    if not path.lower().removesuffix(".gz").endswith(".json"):
        data["format"] = "squad"
    told = "questions with a context, laid out as SQuAD"
    return Shape("question_answering", data, _none_answered(path, data), (told,), "SQuAD")


def _asked(header: list[str]) -> tuple[dict[str, Any], str] | None:
    """The columns of a question a row, as Hugging Face writes SQuAD."""
    if not {"question", "context"} <= set(header):
        return None
    answers = next((name.removesuffix(".text") for name in header if name.endswith(".text")), None)
    if answers is None or f"{answers}.answer_start" not in header:
        return None
    own = {} if answers == "answers" else {"answers": answers}
    return own, f"'question' is asked of 'context', and {answers!r} stand in it"


def _none_answered(path: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """``no_answer`` where a question has none."""
    kind = load("question_answering")
    of = kind(kind.data.model_validate({"path": path, **data}))
    found = (record for record in of.records(path) if isinstance(record, Record))
    return {"no_answer": True} if any(not record.features["answers"] for record in found) else {}


def _needed(opened: Given, path: str) -> dict[str, Any]:
    """What the YAML has to say of the file, where its name alone says something else of words and of questions."""
    said: dict[str, Any] = (
        {} if path.lower().removesuffix(".gz").endswith(f".{opened.format}") else {"format": opened.format}
    )
    return said | ({"encoding": opened.encoding} if opened.encoding != "utf-8" else {})


# --- words with tags, spans ----------------------------------------------------------------------------------------


def _words(path: str, head: str, data: dict[str, Any]) -> Shape | None:
    """CoNLL: a word and its tag a line, a blank line after each sentence."""
    lines = head.split("\n")[:_LINES]
    named = path.lower().removesuffix(".gz").endswith(".conll")
    first = next((line for line in lines if line.strip() and not line.startswith(("-DOCSTART-", "#"))), "")
    if not named and not sniff.TAGGED.fullmatch(first.rstrip().encode()) and not _blocks(lines):
        return None
    by_letter = all(len(line.split("\t")[0]) <= 1 for line in lines[:-1] if "\t" in line and not line.startswith("#"))
    if not named:
        data["format"] = "conll"
    if by_letter and "\t" in first:
        data["unit"] = "character"
    told = "a character and its tag a line" if "unit" in data else "a word and its tag a line"
    if shape := _tags(path, data, told):
        return dataclasses.replace(shape, format="CoNLL")
    raise DataError(f"{path} is words with tags of no scheme that is known (docs/tasks.md)")


def _blocks(lines: list[str]) -> bool:
    """Whether lines of equally many columns, at least two, stand in blocks with blank lines between them."""
    filled = [line for line in lines if line.strip() and not line.startswith(("-DOCSTART-", "#"))]
    # The last line may be cut off.
    widths = Counter(len(line.rstrip().split("\t" if "\t" in line else None)) for line in filled[:-1])
    (width, often) = widths.most_common(1)[0] if widths else (0, 0)
    blank = sum(not line.strip() for line in lines)
    tags = {line.split()[-1] for line in filled[:-1]}
    return blank >= 2 and 2 <= width <= 14 and often >= 0.95 * sum(widths.values()) and len(tags) <= len(filled) / 4


def _tags(path: str, data: dict[str, Any], told: str) -> Shape | None:
    """The scheme that most sentences can be read by; None where they can by none."""
    kind = load("token_classification")
    for scheme, meaning in (("BIO", "tags say where a span begins"), ("word", "each tag is the label of its word")):
        source = kind.data.model_validate({"path": path, "scheme": scheme, **data})
        found = list(itertools.islice(kind(source).records(path), _ROWS))
        bad = sum(isinstance(each, Bad) for each in found)
        spans = any(isinstance(each, Record) and each.features["span_label"] for each in found)
        if spans and bad <= len(found) / 2:
            keys = {} if scheme == "BIO" else {"scheme": scheme}
            return Shape("token_classification", data, keys, (f"{told}; {meaning}",))
    return None


# --- several labels ------------------------------------------------------------------------------------------------


def _separated(
    path: str,
    opened: Given,
    rows: list[dict[str, Any]],
    values: Mapping[str, list[str]],
    text: str | None,
    label: str | None,
) -> Shape | None:
    """A column of cells such as ``drama|war``."""
    names = [label] if label is not None and label in values else [name for name in values if _SEVERAL.search(name)]
    for name in names:
        cells = [cell for cell in values[name] if cell]
        for separator in "|;,":
            parts = Counter(part.strip() for cell in cells for part in cell.split(separator))
            several = sum(separator in cell for cell in cells)
            # Sentences have commas too, but each its own parts.
            if (
                several >= len(cells) / 10
                and 2 <= len(parts) <= min(_MOST, len(cells) / 4)
                and len(parts) < len(set(cells))
            ):
                found: list[str] = []
                plain = {other: cells for other, cells in _texts(rows, values).items() if other != name}
                column = text or columns.text_column(plain, path, found)
                data = {"text": column, "label": name} | ({} if separator == "," else {"separator": separator})
                told = f"{name!r} holds several labels with {separator!r} between them"
                return Shape("multi_label", data | sniff.said(opened, path), {}, (*found, told))
    return None


# --- columns -------------------------------------------------------------------------------------------------------


def _texts(rows: list[dict[str, Any]], values: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The columns that can be a text."""
    return {name: cells for name, cells in values.items() if not any(isinstance(row[name], list) for row in rows)}


def _are(cells: list[Any], kind: type | tuple[type, ...]) -> bool:
    """Whether all cells are lists of such things, and some are not empty."""
    parts = [part for cell in cells if isinstance(cell, list) for part in cell]
    return bool(parts) and all(isinstance(cell, list) for cell in cells) and all(isinstance(p, kind) for p in parts)


def _varied(cells: list[list[str]]) -> bool:
    """Whether lists hold words, rather than labels: many different ones."""
    parts = [part for cell in cells for part in cell]
    return len(parts) >= 3 * len(cells) and len(set(parts)) > min(_MOST, len(parts) / 20)


def _aligned(words: list[Any], cells: list[Any]) -> bool:
    """Whether every list has as many entries as that of the words."""
    return _are(cells, str) and all(len(one) == len(other) for one, other in zip(words, cells, strict=True))
