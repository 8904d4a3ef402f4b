"""Parquet to rows."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from components.records import rows
from components.records.formats.encodings import open_bytes
from components.records.rows import WHOLE, Bad, Range, Row, require
from configs.sources import Source
from schemas import DataError


def read_parquet(
    path: str, source: Source, columns: Sequence[str] | None, within: Range = WHOLE
) -> Iterator[Row | Bad]:
    """``line`` is the row's number, from 1. Batches bound the memory."""
    import pyarrow.parquet

    number = within.line - 1
    with _whole(path), open_bytes(path) as stream, pyarrow.parquet.ParquetFile(stream) as table:
        names = table.schema_arrow.names
        wanted = names if columns is None else [_column(name, names) for name in columns]
        require(f"{path}:1", source, wanted, names)
        groups = range(within.begin, table.num_row_groups if within.end is None else within.end)
        for batch in table.iter_batches(batch_size=1024, row_groups=groups, columns=list(dict.fromkeys(wanted))):
            found = {name: _values(batch.column(name)) for name in dict.fromkeys(wanted)}
            for cells in zip(*found.values(), strict=True):
                number += 1
                yield _chosen(path, number, dict(zip(found, cells, strict=True)), columns)


def column_names(path: str) -> list[str]:
    """The column names of a Parquet file; ``answers.text`` is the field ``text`` of the struct ``answers``.

    Raises:
      DataError: it is none.
    """
    import pyarrow
    import pyarrow.parquet

    def below(field: Any, prefix: str) -> list[str]:
        name = prefix + field.name
        inner = field.type.fields if pyarrow.types.is_struct(field.type) else []
        return [each for part in inner for each in below(part, f"{name}.")] or [name]

    with _whole(path), open_bytes(path) as stream:
        return [name for field in pyarrow.parquet.read_schema(stream) for name in below(field, "")]


def row_groups(path: str) -> list[tuple[int, int]]:
    """Rows and bytes, unpacked, of each row group of a Parquet file.

    Raises:
      DataError: it is none.
    """
    import pyarrow.parquet

    with _whole(path), open_bytes(path) as stream, pyarrow.parquet.ParquetFile(stream) as table:
        found = [table.metadata.row_group(number) for number in range(table.num_row_groups)]
        return [(each.num_rows, each.total_byte_size) for each in found]


@contextlib.contextmanager
def _whole(path: str) -> Iterator[None]:
    """Turns Arrow's errors for damaged files into DataError: its own exceptions, and OSError without errno."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        cause = "".join(filter(str.isprintable, str(error).splitlines()[0])).rstrip(".")
        raise DataError(f"{path} is not a whole Parquet file ({cause}); copy it again.") from None


def _column(name: str, names: Sequence[str]) -> str:
    """The column that holds ``name``, which may be a field of a struct."""
    first = name.partition(".")[0]
    return first if name not in names and first in names else name


def _chosen(path: str, number: int, record: dict[str, Any], columns: Sequence[str] | None) -> Row | Bad:
    values = {}
    for name in record if columns is None else columns:
        inner, key = rows.within(record, name)
        if key not in inner:
            return Bad(path, number, f"no key {name!r}")
        values[name] = inner[key]
    return Row(number, values)


def _values(column: Any) -> list[Any]:
    """What Python has for the values of a column. Bytes that are UTF-8 are text: Hive and Impala write so."""
    import pyarrow

    kind = str(column.type)
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        kind, values = "binary", column.cast(pyarrow.binary()).to_pylist()
    except (ValueError, OverflowError, LookupError):  # a time outside of Python's range
        values = column.cast(pyarrow.string()).to_pylist()
    return [_decoded(value) for value in values] if "binary" in kind else values


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    return {key: _decoded(each) for key, each in value.items()} if isinstance(value, dict) else value
