"""Tables of text to rows: CSV and TSV."""

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from components.records import rows
from components.records.formats.encodings import decodes_as, undecodable
from components.records.rows import WHOLE, Bad, Range, Row, lines, require
from configs.sources import Source
from schemas import DataError


def read_csv(path: str, source: Source, columns: Sequence[str] | None, within: Range = WHOLE) -> Iterator[Row | Bad]:
    """RFC 4180: quotes doubled inside quotes, line ends inside quotes."""
    return _separated(path, source, columns, _csv, within)


def read_tsv(path: str, source: Source, columns: Sequence[str] | None, within: Range = WHOLE) -> Iterator[Row | Bad]:
    """IANA text/tab-separated-values, as GLUE and NSMC are: a line is a row, a quote is a letter."""
    return _separated(path, source, columns, _tsv, within)


def header(path: str, source: Source, kind: str) -> list[str]:
    """The column names of a CSV or TSV file.

    Raises:
      DataError: it has none.
    """
    return _header(path, source, (_csv if kind == "csv" else _tsv)(path, source))


def _csv(path: str, source: Source, within: Range = WHOLE) -> Any:
    csv.field_size_limit(rows.MAX_LINE)
    return csv.reader(lines(path, source, within), strict=True)


def _tsv(path: str, source: Source, within: Range = WHOLE) -> Any:
    csv.field_size_limit(rows.MAX_LINE)
    return csv.reader(lines(path, source, within), delimiter="\t", quoting=csv.QUOTE_NONE)


def _separated(
    path: str, source: Source, columns: Sequence[str] | None, table: Callable[..., Any], within: Range
) -> Iterator[Row | Bad]:
    reader = table(path, source, within)
    names = _header(path, source, table(path, source) if within.begin else reader)
    where = rows.place(source, "header") if source.header else f"{path}:{reader.line_num}"
    require(where, source, names if columns is None else columns, names)
    places = [(name, names.index(name)) for name in (names if columns is None else columns)]
    before = within.line
    while True:
        start = reader.line_num + before
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num + before > start + 1 or "unexpected end" in str(error):
                raise DataError(
                    f"{path}:{start}: a quote opens in this record and is never closed, or closes amid a field; "
                    "close it, or double it if it belongs to the text."
                ) from None
            yield Bad(path, start, _csv_reason(error))
            continue
        if not cells or (start == 1 and _names_separator(path, cells)):  # skip blank lines
            continue
        if len(cells) != len(names):
            yield Bad(path, start, f"{len(cells)} columns, header has {len(names)}")
        elif cells[-1] == names[-1] and _repeats(cells, names) and not source.header:
            yield Bad(path, start, "the header again")
        else:
            yield Row(start, {name: cells[place] for name, place in places})


def _repeats(cells: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a row repeats the header, as in concatenated files."""
    return [cells[0].removeprefix("\ufeff"), *cells[1:]] == names


def _csv_reason(error: csv.Error) -> str:
    if "larger than field limit" in str(error):
        return f"a field of more than {rows.MAX_LINE >> 20} M characters"
    return "a quote inside a quoted field is not doubled"


def _header(path: str, source: Source, reader: Any) -> list[str]:
    if source.header:
        return source.header
    try:
        names: list[str] = next(reader)
        if _names_separator(path, names):
            names = next(reader)
    except StopIteration:
        raise DataError(f"{path} is empty; a header line with the column names is expected.") from None
    except csv.Error as error:
        raise DataError(f"{path}:1: the header cannot be read: {error}.") from None
    if reason := undecodable({"header": names}, source.encoding):
        raise rows.wrong_encoding(path, 1, reason, decodes_as(path, source.encoding), source)
    require(f"{path}:{reader.line_num}", source, (), names)
    return names


def _names_separator(path: str, cells: Sequence[str]) -> bool:
    """Whether the first line is Excel's ``sep=,``, which says what stands between the columns and is none of them.

    Raises:
      DataError: it says something else than what the file was split by.
    """
    if not cells or not cells[0].lower().startswith("sep=") or len(cells) > 2 or any(cells[1:]):
        return False
    given = cells[0][len("sep=") :]
    if len(cells) == 2 or given in (",", "\t"):  # split by it, or in quotes
        return True
    raise DataError(f"{path}:1 says that its columns are separated by {given!r}; save it with commas or tabs.")
