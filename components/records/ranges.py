"""Cuts files into ranges that are read apart, and packs ranges into chunks of about one size.

The cuts depend on the bytes alone, never on how many cores there are. What cannot be cut safely stays in one piece:
gzip, JSON arrays, SQuAD, two files whose lines belong together, encodings that write a letter as several bytes other
than UTF-8, files in object stores; and the rest of a file behind a carriage return without a line feed, or behind a
quote inside an unquoted field.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.records import readers
from components.records.formats import parquet_rows
from components.records.formats.encodings import decodes_as
from components.records.formats.json_rows import begins_array
from components.records.kind import Kind
from components.records.rows import MAX_LINE, WHOLE, Bad, Range
from configs.sources import Source
from schemas import DataError

SIZE = 4 << 20  # bytes of a range, and of the smallest chunk
_MOST = 4  # times SIZE: the largest chunk that is one block
_CHUNKS = 64  # of one source, as long as none is larger than that
_GZIP = 4  # bytes of text for each byte of gzip, about
# From bytes that begin with a record to the end of the last one that ends in them; 0: none does; None: cut no further.
_LastEnd = Callable[[bytes], int | None]


class Piece(NamedTuple):
    """A part of a file.

    Attributes:
      path: of the file.
      within: which part of it.
      size: of the part, unpacked, bytes, an estimate.
    """

    path: str
    within: Range
    size: int


class Chunk(NamedTuple):
    """What is read as one: pieces of neighbouring files.

    Attributes:
      number: from 0, in the order of the files and their lines.
      files: the key of the source that names the files: ``path``, ``eval`` or ``test``.
      pieces: in order, at least one.
      streamed: whether it is too large to be one block, or lies in an object store.
    """

    number: int
    files: str
    pieces: tuple[Piece, ...]
    streamed: bool


def chunks(kind: Kind[Any], size: int = SIZE) -> list[Chunk]:
    """Every file of a kind's source.

    Args:
      kind: whose source it is.
      size: of a range, bytes.

    Raises:
      DataError: a pattern that no file matches.
      ConfigError: one file under two keys, or a format that cannot be told.
    """
    cuts = {
        key: [Piece(path, *part) for path in paths for part in cut(path, kind, size)]
        for key, paths in readers.files(kind.source).items()
    }
    limit = min(max(size, sum(map(_size, cuts.values())) // _CHUNKS), size * _MOST)
    groups = [(key, group) for key, pieces in cuts.items() for group in _packed(pieces, limit)]
    return [
        Chunk(number, key, group, _size(group) > size * _MOST or any("://" in piece.path for piece in group))
        for number, (key, group) in enumerate(groups)
    ]


def size(chunks: Sequence[Chunk]) -> int:
    """Bytes of all pieces, unpacked, an estimate."""
    return sum(_size(chunk.pieces) for chunk in chunks)


def _packed(pieces: Sequence[Piece], limit: int) -> Iterator[tuple[Piece, ...]]:
    """Neighbours that come to at most ``limit`` bytes together; what is larger stays alone."""
    group: list[Piece] = []
    total = 0
    for piece in pieces:
        if group and total + piece.size > limit:
            yield tuple(group)
            group, total = [], 0
        group.append(piece)
        total += piece.size
    if group:
        yield tuple(group)


def _size(pieces: Sequence[Piece]) -> int:
    return sum(piece.size for piece in pieces)


def cut(path: str, kind: Kind[Any], size: int) -> list[tuple[Range, int]]:
    """The ranges of one file, in order, each with its bytes when unpacked.

    Args:
      path: of the file.
      kind: that reads it.
      size: of a range, bytes.

    Raises:
      ConfigError: a format that cannot be told.
    """
    if "://" in path:
        return [(WHOLE, size)]  # what it has is known when it is read
    total = 0
    with contextlib.suppress(OSError, DataError):  # the reader says what is wrong
        total = Path(path).stat().st_size
        form = readers.format_of(path, kind.source)
        found = _row_groups(path, size) if form == "parquet" else _ranges(path, form, kind.source, size)
        first = next(readers.rows(path, kind.source, kind.columns), None) if len(found) > 1 else None
        # What the first record decides, such as whether the file is JSON at all, one range must see.
        if first and first.line < found[1][0].line and not (isinstance(first, Bad) and form == "jsonl"):
            return found
        total = sum(length for _, length in found)
    return [(WHOLE, total)]


def _row_groups(path: str, size: int) -> list[tuple[Range, int]]:
    """Neighbours among a Parquet file's row groups that come to at most ``size`` bytes together."""
    found: list[tuple[Range, int]] = []
    begin, line, rows, total = 0, 1, 0, 0
    groups = parquet_rows.row_groups(path)
    for number, (count, length) in enumerate(groups):
        if number > begin and total + length > size:
            found.append((Range(begin, number, line), total))
            begin, line, rows, total = number, line + rows, 0, 0
        rows, total = rows + count, total + length
    return [*found, (Range(begin, len(groups), line), total)]


def _end_of_line(data: bytes) -> int:
    return data.rfind(b"\n") + 1


def _end_of_paragraph(data: bytes) -> int:
    """Behind the last empty line: a document of plain text and a sentence of CoNLL end there."""
    return max(at + len(end) if (at := data.rfind(end)) >= 0 else 0 for end in (b"\n\n", b"\n\r\n"))


def _end_of_csv(data: bytes) -> int | None:
    """Behind the last line feed outside of quotes. None where a quote neither begins a field, ends one, nor is doubled.

    As long as each does, what an even number of quotes is before is outside of quotes, to ``csv.reader`` too.
    """
    parts = data.split(b'"')
    for place in range(0, len(parts), 2):
        part = parts[place]
        if part and ((place and part[0] not in b",\r\n") or (place + 1 < len(parts) and part[-1] not in b",\n")):
            return None
    end = len(data)
    for place in reversed(range(len(parts))):
        begin = end - len(parts[place])
        if place % 2 == 0 and (at := parts[place].rfind(b"\n")) >= 0:
            return begin + at + 1
        end = begin - 1
    return 0


def _ranges(path: str, form: str, source: Source, size: int) -> list[tuple[Range, int]]:
    """Cuts a file of text for as long as that is safe; the rest is one range."""
    total, last_end = Path(path).stat().st_size, _last_end(path, form, source)
    whole = [(WHOLE, total * (_GZIP if path.lower().endswith(".gz") else 1))]
    if last_end is None or total <= size:
        return whole
    found: list[tuple[Range, int]] = []
    begin, line, data, decodes = 0, 1, b"", True
    with Path(path).open("rb") as file:
        while True:
            more = file.read(size)
            data += more
            end = last_end(data)
            if end is not None and not more:
                end = len(data)
            if end == 0 and more and len(data) <= MAX_LINE:
                continue
            if end is None or end > MAX_LINE or not (end and _plain(data[:end])):
                return [*found, (Range(begin, None, line), total - begin)] if data else found
            if decodes and not _decodes(data[:end], source):
                decodes = False
                if decodes_as(path, source.encoding):
                    return whole
            found.append((Range(begin, begin + end, line), end))
            begin, line, data = begin + end, line + data.count(b"\n", 0, end), data[end:]


def _last_end(path: str, form: str, source: Source) -> _LastEnd | None:
    """What finds the end of a record in a file; None: its bytes do not show it."""
    if path.lower().endswith(".gz") or (form == "text" and getattr(source, "document", None) == "file"):
        return None
    if source.encoding != "utf-8" and len(bytes(range(256)).decode(source.encoding, "replace")) != 256:
        return None
    if form in ("squad", "aligned") or (form == "jsonl" and begins_array(path)):
        return None
    return {"csv": _end_of_csv, "text": _end_of_paragraph, "conll": _end_of_paragraph}.get(form, _end_of_line)


def _plain(data: bytes) -> bool:
    """Whether every carriage return has a line feed behind it."""
    return data.count(b"\r") == data.count(b"\r\n")


def _decodes(data: bytes, source: Source) -> bool:
    try:
        data.decode(source.encoding)
    except UnicodeDecodeError:
        return False
    return True
