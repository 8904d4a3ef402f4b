"""Values of a row as texts, names, numbers and labels, or the reason why they are none.

Each reason reads well after ``12 ×``, and holds no text of the record.
"""

import datetime
import functools
import json
import math
import operator
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from components.records.rows import MAX_TEXT, RowError, json_type
from configs.base import RANGE

_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def text_of(values: Mapping[str, Any], name: str) -> str:
    """A text as it stands: answers count its characters, white space included.

    Raises:
      RowError: it is no text, empty, longer than ``MAX_TEXT``, or has a NUL byte.
    """
    if name not in values:  # objects of JSON Lines that were read whole
        raise RowError(f"no key {name!r}")
    text = values[name]
    if not isinstance(text, str):
        raise RowError(f"column {name!r} is {json_type(text)}, a string is expected")
    if not text.strip():
        raise RowError(f"column {name!r} is empty")
    refuse(text, f"column {name!r}")
    return text


def refuse(text: str, where: str) -> None:
    """Raises RowError for a text that no record may hold; ``where`` says which one it is."""
    if "\0" in text:
        raise RowError(f"NUL byte in {where}")
    if len(text) > MAX_TEXT:
        raise RowError(f"more than {MAX_TEXT:,} characters in {where}")


def name_of(values: Mapping[str, Any], name: str) -> str:
    """A value that names something: a label, a slice, a document."""
    value = values[name]
    if isinstance(value, (list, dict, bytes)):
        raise RowError(f"column {name!r} is {json_type(value)}, one value is expected")
    return written(value)


def written(value: object) -> str:
    """A value as a label or a slice spells it: JSON's ``true``, numbers as they stand, nothing for null and NaN."""
    text = json.dumps(value) if isinstance(value, bool) else "" if value is None else str(value).strip()
    return "" if text.lower() == "nan" else text


def id_of(values: Mapping[str, Any], name: str) -> str:
    """A value that identifies something; whole numbers that a table keeps as fractions are whole again.

    Raises:
      RowError: it is empty, or holds what no list of ids can be written with.
    """
    value = values[name]
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else name_of(values, name)
    if not text:
        raise RowError(f"column {name!r} is empty")
    refuse(text, f"column {name!r}")
    if len(text.splitlines()) > 1:
        raise RowError(f"column {name!r} holds a line end")
    return text


def order_of(values: Mapping[str, Any], name: str | None) -> str | float:
    """What sorts a row: a number where it is one, else its text (ISO times sort rightly)."""
    if name is None:
        return 0
    text = name_of(values, name)
    if not text:
        raise RowError(f"column {name!r} is empty")
    number = number_of(text)
    return text if number is None else number


def number_of(value: object) -> float | None:
    """The number that a value is or spells; an int stays one, so that nanoseconds keep their order."""
    return _number(str(value).strip()) if isinstance(value, (str, int, float, Decimal)) else None


@functools.lru_cache(1 << 12)
def _number(text: str) -> float | None:
    if re.fullmatch(r"[+-]?\d{1,30}", text, re.ASCII):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def time_of(values: Mapping[str, Any], name: str) -> int | float:
    """The number that a value is, or the seconds since 1970 that it means in ISO 8601; without a zone it is UTC.

    Raises:
      RowError: it is neither.
    """
    text = name_of(values, name)
    if not text:
        raise RowError(f"column {name!r} is empty")
    if (time := seconds(text)) is None:
        raise RowError(f"column {name!r} is neither a number nor a time such as 2024-05-01 or 2024-05-01T12:30:00Z")
    return time


def seconds(text: str) -> int | float | None:
    """See ``time_of``; None where it is neither, or more than an int64 holds."""
    if (number := number_of(text)) is not None:
        return number if abs(number) < 2**63 else None
    try:
        moment = datetime.datetime.fromisoformat(text.removesuffix(" UTC"))  # BigQuery writes UTC behind it
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def inside(number: float, comparison: str) -> bool:
    """Whether ``comparison``, such as ``>= 4``, is true of a number."""
    match = RANGE.match(comparison)
    assert match is not None  # pydantic checked the pattern
    return bool(_COMPARE[match[1]](number, float(match[2])))


def require_label(label: str, labels: Sequence[str]) -> None:
    """Raises RowError unless ``label`` is one of ``labels``; none there: any is taken."""
    if labels and label not in labels:
        shown = label if len(label) <= 30 else f"{label[:30]}…"
        raise RowError(f"label {shown!r}, allowed {'|'.join(labels[:10])}{'|…' if len(labels) > 10 else ''}")
