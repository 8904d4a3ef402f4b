"""What a reader takes and gives, and what every reader of text needs: decoded lines, the place of a fault, columns."""

import difflib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from components.records.formats.encodings import codec_of, decodes_as, open_bytes
from configs.sources import Source
from schemas import DataError

# BERT reads 512 tokens. A text past this many characters is a file that lost its line ends or its quotes.
MAX_TEXT = 1_000_000
# Longest line and longest quoted field that are read at all, characters: bounds the memory of a reader.
MAX_LINE = 16 << 20


class Range(NamedTuple):
    """A part of a file, from one record to another.

    Where it has an ``end``, ``components.records.ranges`` has looked at its bytes: they decode, or the file decodes as
    nothing else; every line ends with a line feed; and none is longer than ``MAX_LINE``.

    Attributes:
      begin: byte, or row group of Parquet, from 0.
      end: behind the last one; None: the end of the file.
      line: the number of its first line, or of its first row in Parquet, from 1.
    """

    begin: int = 0
    end: int | None = None
    line: int = 1


WHOLE = Range()


class Row(NamedTuple):
    """A record as its file has it.

    Attributes:
      line: where it starts, from 1.
      values: the columns that were asked for.
    """

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that cannot be used, and why. The reason reads well after ``12 ×`` and holds no text of the record."""

    file: str
    line: int
    reason: str


class RowError(ValueError):
    """Why a row is no record; reads well after ``12 ×``."""


def place(source: Source, key: str) -> str:
    """Where a person says ``key``: ``$.task.data.encoding`` in the YAML, or ``--encoding``."""
    return f"$.{source.section}.{key}" if source.section else f"--{key.replace('_', '-')}"


def wrong_encoding(path: str, line: int, reason: str, other: str | None, source: Source) -> DataError:
    """A file that is in another encoding than ``source`` says: ``other``, where it can be told."""
    if other is None:
        return DataError(f"{path}:{line} is {reason}.")
    return DataError(
        f"{path}:{line} is {reason}; it decodes as {other.upper()}.\n  Fix {place(source, 'encoding')}: {other}"
    )


def lines(path: str, source: Source, within: Range = WHOLE, *, whole: bool = False) -> Iterator[str]:
    """Decoded lines with their ends; undecodable bytes become lone surrogates, to be reported with their record.

    With ``whole`` of any length.
    """
    errors = "surrogatepass" if source.encoding == "utf-16" else "surrogateescape"
    number, longest = within.line - 1, -1 if whole else MAX_LINE
    codec = source.encoding if within.begin else codec_of(path, source.encoding)
    if codec is None:
        raise wrong_encoding(path, 1, "not UTF-16", decodes_as(path, source.encoding), source)
    binary = cast("io.BufferedReader", open_bytes(path))
    if within.begin:
        binary.seek(within.begin)
    if within.end is not None:
        with binary:
            text = binary.read(within.end - within.begin).decode(codec, errors)
        yield from io.StringIO(text, newline="")
        return
    with io.TextIOWrapper(binary, encoding=codec, errors=errors, newline="") as stream:
        while line := stream.readline(longest):
            number += 1
            if number == 1 and source.encoding != "utf-16" and line.count("\0") * 3 > len(line):
                raise wrong_encoding(path, 1, f"not {source.encoding.upper()} (byte 0x00)", "utf-16", source)
            if len(line) == longest and not line.endswith(("\n", "\r")):
                raise DataError(
                    f"{path}:{number} is longer than {MAX_LINE >> 20} M characters; check the file's line ends."
                )
            yield line


def text(path: str, source: Source) -> str:
    """The text of a file that is one JSON value, in as many lines as it likes: SQuAD 1.1's has one, of 30 MB."""
    return "".join(lines(path, source, whole=True))


def require(where: str, source: Source, columns: Iterable[str], header: Sequence[str]) -> None:
    """Raises DataError unless ``header``, which stands at ``where``, has each of ``columns``, once."""
    if not any(header):
        raise DataError(f"{where} is blank; a header line with the column names is expected.")
    for name in columns:
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(repr, header[:20]))}."
            raise DataError(f"{where} has no column {name!r}, which {_asked_by(source, name)} names; {hint}")
        if header.count(name) > 1:
            raise DataError(f"{where} has {header.count(name)} columns {name!r}; rename all but one.")


def _asked_by(source: Source, name: str) -> str:
    key = next((key for key, column in source.columns if column == name), None)
    return place(source, key) if key else "$.evaluate.slices"


def within(record: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], str]:
    """The object that ``name`` is a key of, and that key: ``labels.score`` is the key ``score`` of ``labels``."""
    first, _, rest = name.partition(".")
    inner = record.get(first)
    return within(inner, rest) if name not in record and isinstance(inner, dict) else (record, name)


def json_type(value: object) -> str:
    """What JSON calls the type of ``value``; NaN is how floating point writes null."""
    if value is None or value != value:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, bytes):
        return "bytes that are no UTF-8"
    names = {str: "a string", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, dict) else f"a {type(value).__name__}")
