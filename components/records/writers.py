"""Rows to files: the counterpart of ``readers``. What a format cannot hold is refused, never changed in silence.

A row is refused with ``ValueError``, whose message reads well after ``12 ×`` and holds no text of the record.
"""

import contextlib
import csv
import datetime
import decimal
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow

Values = Mapping[str, Any]
# Rows of a Parquet row group: bounds the memory of a writer.
_GROUP = 4096
# Kinds of JSON values as Arrow has them; a column that mixes others is text, a value of it that is none is JSON.
_ARROW = {
    frozenset[str](): pyarrow.string(),
    frozenset({"str"}): pyarrow.string(),
    frozenset({"bool"}): pyarrow.bool_(),
    frozenset({"int"}): pyarrow.int64(),
    frozenset({"float"}): pyarrow.float64(),
    frozenset({"int", "float"}): pyarrow.float64(),
}


def line(values: Values, kind: str) -> str:
    """A row as a line, with its end.

    Args:
      values: by column, in order.
      kind: ``csv`` (RFC 4180), ``tsv`` (a quote is a letter) or ``jsonl``.

    Raises:
      ValueError: the format cannot hold a value.
    """
    if kind == "jsonl":
        return f"{_json(values)}\n"
    cells = [cell(value) for value in values.values()]
    if kind == "csv":
        buffer = io.StringIO()
        csv.writer(buffer).writerow(cells)
        return f"{buffer.getvalue()[:-2]}\n"
    for name, text in zip(values, cells, strict=True):
        if any(letter in text for letter in "\t\r\n"):
            raise ValueError(f"a tab or a line end in column {name!r}, which TSV cannot hold")
    return "\t".join(cells) + "\n"


def cell(value: object) -> str:
    """A value as one cell: text as it is, nothing for null, lists and objects as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return _json(value) if isinstance(value, (bool, list, dict, bytes)) else str(value)


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except TypeError as error:
        raise ValueError(str(error)) from None
    except ValueError:
        raise ValueError("NaN or an infinite number, which JSON cannot hold") from None


def _plain(value: object) -> str:
    """What Parquet has and JSON has not."""
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (datetime.timedelta, decimal.Decimal)):
        return str(value)
    raise TypeError(f"{type(value).__name__}, which only Parquet can hold")


def kind_of(value: object) -> str | None:
    """What decides the Arrow type of a JSON value's column; null decides nothing."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return "integer beyond 64 bits"
    return type(value).__name__


def schema_of(kinds: Mapping[str, set[str]]) -> pyarrow.Schema:
    """Arrow's schema for columns of JSON values of these kinds."""
    return pyarrow.schema([(name, _ARROW.get(frozenset(found), pyarrow.string())) for name, found in kinds.items()])


@contextlib.contextmanager
def lines(path: Path, kind: str, columns: Sequence[str], *, pack: bool) -> Iterator[Callable[[Values], None]]:
    """Writes rows as lines of UTF-8; the same rows are the same bytes, packed too.

    Args:
      path: to write.
      kind: see ``line``.
      columns: of the header; unused for ``jsonl``.
      pack: with gzip.
    """
    with contextlib.ExitStack() as stack:
        binary: Any = stack.enter_context(path.open("wb"))
        if pack:
            binary = stack.enter_context(gzip.GzipFile("", "wb", fileobj=binary, mtime=0))
        file = stack.enter_context(io.TextIOWrapper(cast("io.BufferedWriter", binary), encoding="utf-8", newline=""))
        if kind != "jsonl":
            file.write(line(dict(zip(columns, columns, strict=True)), kind))
        yield lambda values: cast("None", file.write(line(values, kind)))


@contextlib.contextmanager
def parquet(path: Path, schema: pyarrow.Schema) -> Iterator[Callable[[Values], None]]:
    """Writes rows as Parquet, a row group at a time."""
    from pyarrow.parquet import ParquetWriter

    casts: dict[Any, Callable[[Any], Any]] = {pyarrow.string(): cell, pyarrow.float64(): float}
    cast_of = {field.name: casts[field.type] for field in schema if field.type in casts}
    rows: list[dict[str, Any]] = []
    with ParquetWriter(path, schema) as writer:

        def flush() -> None:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            rows.clear()

        def write(values: Values) -> None:
            rows.append(
                {
                    name: cast_of[name](value) if name in cast_of and value is not None else value
                    for name, value in values.items()
                }
            )
            if len(rows) == _GROUP:
                flush()

        yield write
        if rows:
            flush()
