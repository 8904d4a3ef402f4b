"""Files of records, and of text, to rows: every format, encoding and fault of the input ends here.

``rows`` yields a ``Row`` or a ``Bad`` for every record of a file, in order. What concerns a single record is a ``Bad``
and follows ``on_bad_record``; what leaves the rest of a file in doubt (its encoding, its header, a quote that is never
closed) raises ``DataError``. Nothing here imports Beam or TFX.
"""

import concurrent.futures
import contextlib
import glob
import gzip
import hashlib
import itertools
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

from components.records.formats import aligned_rows, json_rows, line_rows, parquet_rows, tables
from components.records.formats.encodings import decodes_as, is_utf8, open_bytes, undecodable
from components.records.rows import WHOLE, Bad, Range, Row, place, wrong_encoding
from components.storage.s3_errors import StoreError
from components.storage.s3_place import is_s3
from configs.base import ConfigError
from configs.encoding import Encoding
from configs.sources import Source
from schemas import DataError

_AT_ONCE = 16  # files whose content is asked for
# Records that ``check`` reads, over all files: a fraction of a second.
_CHECKED_ROWS = 10_000

# What other files begin with, and what is to be done with them.
_FOREIGN = {
    b"PK\x03\x04": "a ZIP archive, as Excel's workbooks are; unpack it, or save its table as CSV",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a workbook of Excel; save its table as CSV",
    b"%PDF-": "a PDF; a file of records is expected",
    b"BZh91AY&SY": "packed with bzip2; unpack it",
    b"\xfd7zXZ\0": "packed with xz; unpack it",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard; unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive; unpack it",
    b"ARROW1\0\0": "Arrow; write it as Parquet",
    b"PAR1": "Parquet; give it the ending .parquet, or say format: parquet",
    b"SQLite format 3\0": "a database of SQLite; write its table as CSV",
    b"version https://git-lfs": "a pointer of Git LFS; git lfs pull brings the file itself",
}


def files(source: Source) -> dict[str, list[str]]:
    """The files of ``path``, ``eval`` and ``test`` (where given), globs resolved, in name order.

    Raises:
      DataError: a pattern that no file matches.
      ConfigError: one file under two of the keys.
    """
    found = {
        key: list(dict.fromkeys(path for pattern in given for path in match(pattern, source, key)))
        for key, given in patterns(source).items()
    }
    seen: dict[str, str] = {}
    for key, paths in found.items():
        for path in paths:
            if not path.isprintable():  # surrogates too: they stand for bytes that are not UTF-8
                raise DataError(f"the name of the file {path!r} is not printable text; rename it.")
            if (other := seen.setdefault(path, key)) != key:
                raise ConfigError(f"{place(source, key)}: {path} is among the files of {other} too; name it once.")
    return found


def patterns(source: Source) -> dict[str, list[str]]:
    """What ``path``, ``eval`` and ``test`` say, where they are given."""
    return {key: given for key in ("path", "eval", "test") if (given := getattr(source, key, None)) is not None}


def match(pattern: str, source: Source, key: str) -> list[str]:
    """The files behind one pattern of ``key``, in name order.

    Raises:
      DataError: there are none.
    """
    if is_s3(pattern):
        from components.storage.s3 import S3

        try:
            paths = S3.glob(pattern)
        except StoreError as error:
            raise DataError(f"{place(source, key)}: {pattern} cannot be read: {error.strerror}.") from error
        paths = [path for path in paths if not PurePath(path).name.startswith(".")]
    elif "://" in pattern:
        from apache_beam.io.filesystems import FileSystems

        try:
            paths = [match.path for match in FileSystems.match([pattern])[0].metadata_list]
        except (OSError, ValueError) as error:  # there is no such file system, or it does not answer
            raise DataError(f"{place(source, key)}: {pattern!r} cannot be read: {error}.") from None
    elif os.path.isfile(pattern):  # noqa: PTH113 (a file's name may hold what globs read)
        paths = [pattern]
    else:
        paths = glob.glob(pattern, recursive=True)  # noqa: PTH207 (the pattern may be absolute)
        paths = [path for path in paths if not PurePath(path).name.startswith(".")]
    if not paths:
        raise DataError(f"{place(source, key)}: no file matches {pattern!r}.")
    return sorted(paths)


def digest(source: Source) -> str:
    """SHA-256 (hex) over the names and contents of the source's files: no cache sees a file that was edited.

    Raises:
      DataError: a pattern that no file matches.
    """
    found = [(key, path) for key, paths in files(source).items() for path in paths]
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        contents = pool.map(_content, (path for _, path in found))
    digest = hashlib.sha256()
    for (key, path), content in zip(found, contents, strict=True):
        digest.update(json.dumps([key, path, content]).encode())
    return digest.hexdigest()


def _content(path: str) -> str:
    """What differs where the bytes do: an object store's checksum (CRC-32C, S3's ETag), or SHA-256 (hex)."""
    if is_s3(path):
        from components.storage.s3 import S3

        return S3.stat(path).etag
    if path.startswith("gs://"):
        from apache_beam.io.filesystems import FileSystems

        return str(FileSystems.checksum(path))
    content = hashlib.sha256()
    with open_bytes(path, unpack=False) as stream:
        while chunk := stream.read(1 << 20):
            content.update(chunk)
    return content.hexdigest()


def format_of(path: str, source: Source) -> str:
    """``source.format``, or what the ending says.

    Raises:
      ConfigError: neither says it.
    """
    suffix = PurePath(path.lower().removesuffix(".gz")).suffix
    if found := source.format or source.endings.get(suffix):
        return found
    *formats, last = dict.fromkeys(source.endings.values())
    raise ConfigError(
        f"{place(source, 'format')}: the ending of {path} does not tell it; give {', '.join(formats)} or {last}."
    )


def check(source: Source, columns: Sequence[str]) -> None:
    """The faults that the first records of each file show: a missing file, an empty one, its encoding, its columns.

    Raises:
      DataError: the first fault of the data.
      ConfigError: a format that cannot be told, or does not fit.
    """
    paths = [path for found in files(source).values() for path in found]
    rows_each = max(10, _CHECKED_ROWS // len(paths))
    for path in paths:
        if misfit := source.misfit(path, format_of(path, source)):
            raise ConfigError(f"{place(source, misfit[0])}: {misfit[1]}")
        for _ in itertools.islice(rows(path, source, columns), rows_each):
            pass


def rows(path: str, source: Source, columns: Sequence[str] | None, within: Range = WHOLE) -> Iterator[Row | Bad]:
    """The records of one file; for plain text its documents, as ``{"sentences": [...]}``.

    Args:
      path: local, or an address that Beam's file systems know.
      source: format and encoding.
      columns: which values are wanted; every record has them, or is ``Bad``. None: all that there are.
      within: the part of the file that is read.

    Raises:
      DataError: a fault of the file as a whole.
    """
    kind = format_of(path, source)
    wanted = None if columns is None else tuple(dict.fromkeys(columns))
    at, count = 0, 0
    looked = kind == "parquet" or within.end is not None
    with faults(path, source.encoding, lambda: at):
        if not within.begin:
            _refuse(path, source, kind)
        for row in _READERS[kind](path, source, wanted, within):
            at, count = row.line, count + 1
            if isinstance(row, Row) and (reason := undecodable(row.values, source.encoding)):
                if reason.startswith("not ") and not looked and (other := decodes_as(path, source.encoding)):
                    raise wrong_encoding(path, row.line, reason, other, source)
                looked = True
                yield Bad(path, row.line, reason)
            else:
                yield row
    if not count and within == WHOLE:
        below = " below its header" if kind in ("csv", "tsv") else ""
        raise DataError(f"{path} holds no record{below}; remove the file, or fill it.")


def names(path: str, source: Source) -> list[str]:
    """The columns of a file, in its order; ``answers.text`` is a key of an object, or a field of a struct.

    Raises:
      DataError: a fault of the file as a whole.
    """
    kind = format_of(path, source)
    with faults(path, source.encoding):
        refuse_foreign(path, kind)
        if kind == "jsonl":
            first = list(itertools.islice(json_rows.objects(path, source), 100))
            return json_rows.columns_of([each for _, each in first if not isinstance(each, str)])
        return parquet_rows.column_names(path) if kind == "parquet" else tables.header(path, source, kind)


@contextlib.contextmanager
def faults(path: str, encoding: Encoding, line: Callable[[], int] = lambda: 0) -> Iterator[None]:
    """Turns what a damaged file raises into DataError.

    Args:
      path: of the file that is read.
      encoding: what it is read as.
      line: the last one that was read whole.
    """
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DataError(
            f"{path}: the gzip stream is damaged or cut short after line {line()}; copy it again."
        ) from None
    except UnicodeError as error:
        cause = getattr(error, "reason", error)
        raise DataError(f"{path}: not {encoding.upper()} after line {line()} ({cause}); copy it again.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None


def _refuse(path: str, source: Source, kind: str) -> None:
    """Raises DataError for a file whose beginning is of another format or encoding."""
    refuse_foreign(path, kind)
    if kind != "parquet" and source.encoding not in ("utf-8", "utf-16") and is_utf8(path, instead_of=source.encoding):
        raise DataError(f"{path} is UTF-8, not {source.encoding.upper()}.\n  Fix {place(source, 'encoding')}: utf-8")


def refuse_foreign(path: str, kind: str | None = None) -> None:
    """Raises DataError for a file that holds something else than its name tells."""
    with open_bytes(path, unpack=False) as stream:
        head = stream.read(64)
    packed, told = head.startswith(b"\x1f\x8b"), path.lower().endswith(".gz")
    if packed and not told:
        raise DataError(f"{path} is gzip; give it the ending .gz, or unpack it.")
    if packed:
        with open_bytes(path) as stream:
            head = stream.read(512)
        if head[257:262] == b"ustar":
            raise DataError(f"{path} is a tar archive; unpack it.")
    for magic, what in _FOREIGN.items():
        if head.startswith(magic) and not (magic == b"PAR1" and kind == "parquet"):
            raise DataError(f"{path} is {what}.")
    if kind != "text" and head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataError(f"{path} is a page of HTML or XML, not a file of records; download the file itself.")
    if head and told and not packed:
        raise DataError(f"{path} is not gzip, though its name says so; take the ending .gz away.")


_READERS: dict[str, Callable[[str, Any, Sequence[str] | None, Range], Iterator[Row | Bad]]] = {
    "csv": tables.read_csv,
    "tsv": tables.read_tsv,
    "jsonl": json_rows.read_jsonl,
    "parquet": parquet_rows.read_parquet,
    "text": line_rows.read_text,
    "aligned": aligned_rows.read_aligned,
    "conll": line_rows.read_conll,
    "squad": json_rows.read_squad,
}
