"""Files of records, and of text, to rows: every format, encoding and fault of the input ends here.

``rows`` yields a ``Row`` or a ``Bad`` for every record of a file, in order. What concerns a single record is a ``Bad``
and follows ``on_bad_record``; what leaves the rest of a file in doubt (its encoding, its header, a quote that is never
closed) raises ``DataError``. Nothing here imports Beam or TFX.
"""

import csv
import difflib
import glob
import gzip
import hashlib
import io
import itertools
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, cast

from components.encodings import codec_of, decodes_as, is_utf8, open_bytes, undecodable
from configs.experiment import AnswerData, ConfigError, Corpus, Source, SpanData
from schemas import DataError

# BERT reads 512 tokens. A text past this many characters is a file that lost its line ends or its quotes.
MAX_TEXT = 1_000_000
# Longest line and longest quoted field that are read at all, characters: bounds the memory of a reader.
MAX_LINE = 16 << 20
# Records that ``check`` reads, over all files: a fraction of a second.
_CHECKED_ROWS = 10_000

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
}


@dataclass(frozen=True, slots=True)
class Row:
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


def place(source: Source, key: str) -> str:
    """Where a person says ``key``: ``$.task.data.encoding`` in the YAML, or ``--encoding``."""
    return f"$.{source.section}.{key}" if source.section else f"--{key.replace('_', '-')}"


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
    if "://" in pattern:
        from apache_beam.io.filesystems import FileSystems

        paths = [match.path for match in FileSystems.match([pattern])[0].metadata_list]
    elif os.path.isfile(pattern):  # noqa: PTH113 (a file's name may hold what globs read)
        paths = [pattern]
    else:
        paths = glob.glob(pattern, recursive=True)  # noqa: PTH207 (the pattern may be absolute)
        paths = [path for path in paths if not PurePath(path).name.startswith(".")]
    if not paths:
        raise DataError(f"{place(source, key)}: no file matches {pattern!r}.")
    return sorted(paths)


def digest(source: Source) -> str:
    """SHA-256 (hex) over the names and contents of the source's files: TFX's cache does not see a file that was edited.

    Raises:
      DataError: a pattern that no file matches.
    """
    digest = hashlib.sha256()
    for key, paths in files(source).items():
        for path in paths:
            with open_bytes(path, unpack=False) as stream:
                content = hashlib.sha256()
                while chunk := stream.read(1 << 20):
                    content.update(chunk)
            digest.update(json.dumps([key, path, content.hexdigest()]).encode())
    return digest.hexdigest()


def format_of(path: str, source: Source) -> str:
    """``source.format``, or what the ending says.

    Raises:
      ConfigError: neither says it.
    """
    suffix = PurePath(path.lower().removesuffix(".gz")).suffix
    endings, formats = FORMATS, "csv, tsv, jsonl, parquet or text"
    if isinstance(source, SpanData):
        endings, formats = {".jsonl": "jsonl", ".parquet": "parquet", ".conll": "conll"}, "conll, jsonl or parquet"
    elif isinstance(source, AnswerData):
        endings = {".json": "squad", ".jsonl": "jsonl", ".parquet": "parquet"}
        formats = "squad, jsonl or parquet"
    if found := source.format or endings.get(suffix):
        return found
    raise ConfigError(f"{place(source, 'format')}: the ending of {path} does not tell it; give {formats}.")


def check(source: Source, columns: Sequence[str]) -> None:
    """The faults that the first records of each file show: a missing file, an empty one, its encoding, its columns.

    Raises:
      DataError: the first fault of the data.
      ConfigError: a format that cannot be told, or does not fit.
    """
    paths = [path for found in files(source).values() for path in found]
    rows_each = max(10, _CHECKED_ROWS // len(paths))
    for path in paths:
        kind = format_of(path, source)
        if kind == "text" and isinstance(source, Corpus) and (source.order or source.document not in (None, "file")):
            key, given = ("order", source.order) if source.order else ("document", source.document)
            raise ConfigError(f"$.corpus.{key}: plain text takes document: file, or neither. Received: {given!r}")
        if kind == "text" and not isinstance(source, Corpus):
            raise ConfigError(
                f"{place(source, 'format')}: {path} is plain text; a task reads csv, tsv, jsonl or parquet."
            )
        for _ in itertools.islice(rows(path, source, columns), rows_each):
            pass


def rows(path: str, source: Source, columns: Sequence[str] | None) -> Iterator[Row | Bad]:
    """The records of one file; for plain text its documents, as ``{"sentences": [...]}``.

    Args:
      path: local, or an address that Beam's file systems know.
      source: format and encoding.
      columns: which values are wanted; every record has them, or is ``Bad``. None: all that there are.

    Raises:
      DataError: a fault of the file as a whole.
    """
    kind = format_of(path, source)
    wanted = None if columns is None else tuple(dict.fromkeys(columns))
    at, count = 0, 0
    looked = False
    try:
        refuse_packed(path)
        if source.encoding in ("cp949", "euc-kr") and is_utf8(path):
            raise DataError(
                f"{path} is UTF-8, not {source.encoding.upper()}.\n  Fix {place(source, 'encoding')}: utf-8"
            )
        for row in _READERS[kind](path, source, wanted):
            at, count = row.line, count + 1
            if isinstance(row, Row) and (reason := undecodable(row.values, source.encoding)):
                if reason.startswith("not ") and not looked and (other := decodes_as(path, source.encoding)):
                    raise DataError(_wrong_encoding(path, row.line, reason, other, source))
                looked = True
                yield Bad(path, row.line, reason)
            else:
                yield row
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DataError(f"{path}: the gzip stream is damaged or cut short after line {at}; copy it again.") from None
    except UnicodeError as error:
        cause = getattr(error, "reason", error)
        raise DataError(f"{path}: not {source.encoding.upper()} after line {at} ({cause}); copy it again.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    if not count:
        below = " below its header" if kind in ("csv", "tsv") else ""
        raise DataError(f"{path} holds no record{below}; remove the file, or fill it.")


def refuse_packed(path: str) -> None:
    """Refuses gzip that its name does not tell."""
    with open_bytes(path, unpack=False) as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    if packed and not path.lower().endswith(".gz"):
        raise DataError(f"{path} is gzip; give it the ending .gz, or unpack it.")


def _wrong_encoding(path: str, line: int, reason: str, other: str, source: Source) -> str:
    return f"{path}:{line} is {reason}; it decodes as {other.upper()}.\n  Fix {place(source, 'encoding')}: {other}"


def _lines(path: str, source: Source, *, whole: bool = False) -> Iterator[str]:
    """Decoded lines with their ends; undecodable bytes become lone surrogates, to be reported with their record.

    With ``whole`` of any length.
    """
    errors = "surrogatepass" if source.encoding == "utf-16" else "surrogateescape"
    number, longest = 0, -1 if whole else MAX_LINE
    codec = codec_of(path, source.encoding)
    if codec is None:
        other = decodes_as(path, source.encoding)
        raise DataError(_wrong_encoding(path, 1, "not UTF-16", other, source) if other else f"{path}:1 is not UTF-16.")
    binary = cast("io.BufferedReader", open_bytes(path))
    with io.TextIOWrapper(binary, encoding=codec, errors=errors, newline="") as stream:
        while line := stream.readline(longest):
            number += 1
            if number == 1 and source.encoding != "utf-16" and line.count("\0") * 3 > len(line):
                raise DataError(
                    _wrong_encoding(path, 1, f"not {source.encoding.upper()} (byte 0x00)", "utf-16", source)
                )
            if len(line) == longest and not line.endswith(("\n", "\r")):
                raise DataError(
                    f"{path}:{number} is longer than {MAX_LINE >> 20} M characters; check the file's line ends."
                )
            yield line


def _whole(path: str, source: Source) -> str:
    """The text of a file that is one JSON value, in as many lines as it likes: SQuAD 1.1's has one, of 30 MB."""
    return "".join(_lines(path, source, whole=True))


# --- formats -------------------------------------------------------------------------------------------------------


def _csv(path: str, source: Source, columns: Sequence[str] | None) -> Iterator[Row | Bad]:
    """RFC 4180: quotes doubled inside quotes, line ends inside quotes."""
    return _separated(path, source, columns, csv.reader(_lines(path, source), strict=True))


def _tsv(path: str, source: Source, columns: Sequence[str] | None) -> Iterator[Row | Bad]:
    """IANA text/tab-separated-values, as GLUE and NSMC are: a line is a row, a quote is a letter."""
    return _separated(path, source, columns, csv.reader(_lines(path, source), delimiter="\t", quoting=csv.QUOTE_NONE))


def _separated(path: str, source: Source, columns: Sequence[str] | None, reader: Any) -> Iterator[Row | Bad]:
    csv.field_size_limit(MAX_LINE)
    header = _header(path, source, columns, reader)
    places = [(name, header.index(name)) for name in (header if columns is None else columns)]
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num > start or "unexpected end" in str(error):
                raise DataError(
                    f"{path}:{start}: a quote opens in this record and is never closed, or closes amid a field; "
                    "close it, or double it if it belongs to the text."
                ) from None
            yield Bad(path, start, _csv_reason(error))
            continue
        if not cells:  # a blank line is no record
            continue
        if len(cells) != len(header):
            yield Bad(path, start, f"{len(cells)} columns, header has {len(header)}")
        else:
            yield Row(start, {name: cells[place] for name, place in places})


def _csv_reason(error: csv.Error) -> str:
    if "larger than field limit" in str(error):
        return f"a field of more than {MAX_LINE >> 20} M characters"
    return "a quote inside a quoted field is not doubled"


def _header(path: str, source: Source, columns: Sequence[str] | None, reader: Any) -> list[str]:
    if source.header:
        require(place(source, "header"), source, source.header if columns is None else columns, source.header)
        return source.header
    try:
        header: list[str] = next(reader)
    except StopIteration:
        raise DataError(f"{path} is empty; a header line with the column names is expected.") from None
    except csv.Error as error:
        raise DataError(f"{path}:1: the header cannot be read: {error}.") from None
    if reason := undecodable({"header": header}, source.encoding):
        other = decodes_as(path, source.encoding)
        raise DataError(_wrong_encoding(path, 1, reason, other, source) if other else f"{path}:1 is {reason}.")
    require(f"{path}:1", source, header if columns is None else columns, header)
    return header


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
    keys = ("text", "text_pair", "label", "label_column", "answers", "document", "order")
    found = next((key for key in keys if name == (value := getattr(source, key, None)) or name in _listed(value)), None)
    return place(source, found.removesuffix("_column")) if found else "$.evaluate.slices"


def _listed(value: object) -> list[str]:
    return value if isinstance(value, list) else []


def _jsonl(path: str, source: Source, columns: Sequence[str] | None) -> Iterator[Row | Bad]:
    """An object a line, or an array of objects."""
    if begins_array(path):
        yield from _array(path, source, columns)
        return
    for number, line in enumerate(_lines(path, source), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=_Pairs)
        except json.JSONDecodeError as error:
            yield Bad(path, number, f"not JSON ({error.msg})")
        except (ValueError, RecursionError):
            yield Bad(path, number, "JSON nested too deep, or a number too long")
        else:
            yield _object(path, number, record, columns)


def begins_array(path: str) -> bool:
    """Whether a file's first letter is ``[``, in any encoding."""
    with open_bytes(path) as stream:
        head = stream.read(4096).replace(b"\0", b"")  # UTF-16 has a zero byte beside every ASCII letter
    return head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"[")


def _array(path: str, source: Source, columns: Sequence[str] | None) -> Iterator[Row | Bad]:
    """The objects of one array. Takes the file into memory."""
    text = _whole(path, source)
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno} is not JSON ({error.msg}), and the file begins an array.") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: JSON nested too deep, or a number too long.") from None
    decoder = json.JSONDecoder(object_pairs_hook=_Pairs)
    end = text.index("[") + 1
    line = 1 + text.count("\n", 0, end)
    while True:
        begin = next(at for at in itertools.count(end) if text[at] not in ", \t\r\n")
        if text[begin] == "]":
            return
        line += text.count("\n", end, begin)
        record, end = decoder.raw_decode(text, begin)
        yield _object(path, line, record, columns)
        line += text.count("\n", begin, end)


class _Pairs(dict[str, Any]):
    """A JSON object that remembers whether a key came twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = len(self) < len(pairs)
        self.pairs = pairs if self.repeated else []


def _object(path: str, number: int, record: object, columns: Sequence[str] | None) -> Row | Bad:
    if not isinstance(record, _Pairs):
        return Bad(path, number, f"{json_type(record)}, a JSON object is expected")
    values = {}
    for name in tuple(record) if columns is None else columns:
        within, key = _within(record, name)
        if key not in within:
            return Bad(path, number, f"no key {name!r}")
        if within.repeated and sum(each == key for each, _ in within.pairs) > 1:
            return Bad(path, number, f"key {name!r} twice")
        values[name] = within[key]
    return Row(number, values)


def _within(record: _Pairs, name: str) -> tuple[_Pairs, str]:
    """The object that ``name`` is a key of, and that key: ``labels.score`` is the key ``score`` of ``labels``."""
    first, _, rest = name.partition(".")
    inner = record.get(first)
    return _within(inner, rest) if name not in record and isinstance(inner, _Pairs) else (record, name)


def json_type(value: object) -> str:
    """What JSON calls the type of ``value``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {str: "a string", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, dict) else f"a {type(value).__name__}")


def _parquet(path: str, source: Source, columns: Sequence[str] | None) -> Iterator[Row | Bad]:
    """``line`` is the row's number, from 1. Batches bound the memory."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with open_bytes(path) as stream, pyarrow.parquet.ParquetFile(stream) as table:
            names = table.schema_arrow.names
            require(f"{path}:1", source, names if columns is None else columns, names)
            for batch in table.iter_batches(batch_size=1024, columns=columns and list(columns)):
                for record in batch.to_pylist():
                    number += 1
                    yield Row(number, record)
    except pyarrow.ArrowException as error:
        cause = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path} is not a whole Parquet file ({cause}); copy it again.") from None


def _text(path: str, source: Source, _columns: Sequence[str] | None) -> Iterator[Row | Bad]:
    """Documents are separated by blank lines, or a file is one (``document: file``); a line is a sentence."""
    whole = isinstance(source, Corpus) and source.document == "file"
    start, sentences = 1, list[str]()
    for number, line in enumerate(_lines(path, source), start=1):
        if stripped := line.strip():
            start = start if sentences else number
            sentences.append(stripped)
        elif sentences and not whole:
            yield Row(start, {"sentences": sentences})
            sentences = []
    if sentences:
        yield Row(start, {"sentences": sentences})


def _conll(path: str, source: Source, columns: Sequence[str] | None) -> Iterator[Row | Bad]:
    """A word (or a character) and its tag a line, a blank line after each sentence: lists of both, a row a sentence.

    Lines that begin with ``-DOCSTART-`` (CoNLL 2003), or with ``#`` before the first word (KLUE, UD), are none. A tab
    alone is a blank line too, as KLUE's own reader has it.
    """
    del columns
    assert isinstance(source, SpanData)
    by_tab = source.unit == "character"
    start, words, tags, fault = 1, list[str](), list[str](), ""
    for number, line in enumerate(itertools.chain(_lines(path, source), [""]), start=1):
        line = line.rstrip("\r\n")
        cells = line.split("\t") if by_tab else line.split()
        comment = line.startswith("#") and not words and (len(cells[0]) > 1 if by_tab else len(cells) != 2)
        if comment or line.startswith("-DOCSTART-"):
            continue
        if line.strip() or (by_tab and "\t" in line and line != "\t"):
            start = number if not words and not fault else start
            if len(cells) < 2:
                fault = fault or f"{len(cells)} column, a word and its tag are expected"
            words.append(cells[0])
            tags.append(cells[-1])
            continue
        if fault:
            yield Bad(path, start, fault)
        elif words:
            yield Row(start, {source.text: words, source.label: tags})
        words, tags, fault = [], [], ""


def _squad(path: str, source: Source, columns: Sequence[str] | None) -> Iterator[Row | Bad]:
    """A row a question, its ``line`` the number of the question in the file, from 1. Takes the file into memory."""
    del columns
    assert isinstance(source, AnswerData)
    try:
        document = json.loads(_whole(path, source))
        paragraphs = [paragraph for article in document["data"] for paragraph in article["paragraphs"]]
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno} is not JSON ({error.msg}); a SQuAD file is one JSON object.") from None
    except (KeyError, TypeError):
        raise DataError(f"{path} is not laid out as SQuAD: data[].paragraphs[] is expected.") from None
    number = 0
    for paragraph in paragraphs:
        for question in paragraph.get("qas", []):
            number += 1
            answers = [] if question.get("is_impossible") else question.get("answers", [])
            given = {
                "text": [each.get("text") for each in answers],
                "answer_start": [each.get("answer_start") for each in answers],
            }
            yield Row(
                number,
                {
                    source.text: question.get("question"),
                    source.text_pair: paragraph.get("context"),
                    source.answers: given,
                },
            )


_READERS = {
    "csv": _csv,
    "tsv": _tsv,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "text": _text,
    "conll": _conll,
    "squad": _squad,
}
