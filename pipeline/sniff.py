"""What a data file shows: encoding, columns, which of them is the text and which the label, lengths, language."""

import codecs
import csv
import io
import itertools
import random
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from components import encodings, readers, records
from configs.experiment import ConfigError, Encoding, TaskData
from pipeline import columns, estimate
from pipeline.figures import share, size
from schemas import DataError

ROWS = 20_000  # that columns are chosen and lengths measured by
_VALUES = 1_000  # more of them are neither labels nor a slice
_ENGLISH = frozenset("the a an and of to in is it that this for was with on as but are not be have you".split())  # noqa: SIM905


@dataclass
class Seen:
    """What ``look`` found; ``ranges`` only where the label is a number."""

    path: str
    format: str
    format_needed: bool
    encoding: Encoding
    bytes: int
    records: int
    text: str
    text_pair: str | None
    label: str
    ranges: dict[str, str]
    labels: list[str]
    counts: Counter[str]
    slices: dict[str, list[str]]
    tokens: float
    max_length: int
    fitting: float
    language: str
    bad: Counter[str]
    assumed: list[str]

    def told(self) -> list[str]:
        """What was seen, for a person."""
        total = self.counts.total()
        shares = ", ".join(f"{share(count / total)} {label}" for label, count in self.counts.most_common(8))
        pair = f" and {self.text_pair}" if self.text_pair else ""
        how = f"{size(self.bytes)} · {self.format} · {self.encoding.upper()} · {self.language}"
        lines = [
            f"{self.path}: {self.records:,} records · {how}",
            f"  text   {self.text}{pair} · about {self.tokens:.0f} tokens mean",
            f"  label  {self.label} · {shares}",
        ]
        if self.slices:
            lines.append(f"  slices {', '.join(self.slices)}")
        if self.bad:
            reason, count = self.bad.most_common(1)[0]
            lines.append(f"  bad    {self.bad.total():,} rows, such as {count:,} × {reason}: set aside (quarantine)")
        return lines

    @property
    def bad_share(self) -> float:
        """Of all rows."""
        return self.bad.total() / max(1, self.records + self.bad.total())


def look(path: str, text: str | None, label: str | None) -> Seen:
    """Reads a file twice: to choose its columns, then to count what they hold.

    Args:
      path: of the file.
      text: the text column, if the person named it.
      label: the label column, likewise.

    Raises:
      ConfigError: a column that was named is not there, or is the text already.
      DataError: the file cannot be read, or no column looks like a text or a label.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file")
    kind, needed = _format(path)
    encoding = _encoding(path) if kind != "parquet" else "utf-8"
    names = _columns(path, kind, encoding)
    source = TaskData(path=[path], format=kind, encoding=encoding)
    assumed: list[str] = []
    rows = _sample(readers.rows(path, source, names))
    values = {name: [records.written(row[name]) for row in rows] for name in names}
    text = columns.named(text, names, "--text") or columns.text_column(values, path, assumed)
    pair = columns.pair_column(text, values, assumed)
    label = columns.named(label, names, "--label") or columns.label_column(values, {text, pair}, path, assumed)
    if label in (text, pair):
        raise ConfigError(f"--label: column {label!r} is the text already")
    parts = columns.slices(values, {text, pair, label})
    whole = _read(path, source, [text, *([pair] if pair else [])], [label, *parts])
    if not whole.records:
        reason = whole.bad.most_common(1)[0][0]
        raise DataError(f"{path}: not one row can be used: {reason}; name other columns with --text and --label")
    labels, ranges, counts = columns.labels(whole.values[label] or Counter(values[label]), path, label, assumed)
    shown = [" ".join(cells) for cells in zip(*(values[name] for name in (text, pair) if name), strict=True)]
    lengths = [estimate.tokens(each) for each in shown]
    limit = _max_length(lengths)
    return Seen(
        path=path,
        format=kind,
        format_needed=needed,
        encoding=encoding,
        bytes=Path(path).stat().st_size,
        records=whole.records,
        text=text,
        text_pair=pair,
        label=label,
        ranges=ranges,
        labels=labels,
        counts=counts,
        slices={name: sorted(found) for name in parts if (found := whole.values[name])},
        tokens=statistics.fmean(lengths),
        max_length=limit,
        fitting=sum(length <= limit for length in lengths) / len(lengths),
        language=_language(values[text]),
        bad=whole.bad,
        assumed=assumed,
    )


def _sample(rows: Iterator[readers.Row | readers.Bad]) -> list[dict[str, Any]]:
    """Up to ``ROWS`` rows from all over the file, each as likely as another: files are often sorted by label."""
    kept: list[dict[str, Any]] = []
    chance = random.Random(0)
    good = (dict(row.values) for row in rows if isinstance(row, readers.Row))
    for seen, row in enumerate(good, start=1):  # reservoir sampling (Vitter 1985, algorithm R)
        if len(kept) < ROWS:
            kept.append(row)
        elif (place := chance.randrange(seen)) < ROWS:
            kept[place] = row
    return kept


@dataclass
class _Whole:
    """What only the whole file tells: records, values of columns by their number, rows that cannot be used."""

    records: int
    values: dict[str, Counter[str]]
    bad: Counter[str]


def _read(path: str, source: TaskData, texts: list[str], few: list[str]) -> _Whole:
    """Reads the chosen columns of every row; a column of ``few`` with more than ``_VALUES`` values is not counted."""
    found = _Whole(0, {name: Counter() for name in few}, Counter())
    counted = set(few)
    for row in readers.rows(path, source, [*texts, *few]):
        if isinstance(row, readers.Bad):
            found.bad[row.reason] += 1
            continue
        cells = {name: records.written(row.values[name]) for name in (*texts, *few)}
        if empty := next((name for name in (*texts, few[0]) if not cells[name]), None):
            found.bad[f"column {empty!r} is empty"] += 1
            continue
        found.records += 1
        for name in list(counted):
            found.values[name][cells[name]] += 1
            if len(found.values[name]) > _VALUES:
                counted.remove(name)
                found.values[name].clear()
    return found


def _format(path: str) -> tuple[Any, bool]:
    """The format, and whether the YAML must say it."""
    known = readers.FORMATS.get(Path(path.lower().removesuffix(".gz")).suffix)
    if known == "parquet":
        return known, False
    readers.refuse_packed(path)
    with encodings.open_bytes(path) as stream:
        head = stream.read(4096)
    # UTF-16 has a zero byte beside every ASCII letter.
    first = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe").split(b"\n")[0]
    if known == "text":
        raise DataError(f"{path} is plain text, without labels; give a CSV, TSV, JSONL or Parquet file")
    if first.lstrip().startswith(b"{") or (known in (None, "jsonl") and readers.begins_array(path)):
        return "jsonl", known != "jsonl"
    if first.count(b"\t") > first.count(b","):
        return "tsv", known != "tsv"
    if first.count(b";") > first.count(b","):
        raise DataError(f"{path} separates its columns by semicolons; save it with commas or tabs")
    return "csv", known != "csv"


def _encoding(path: str) -> Encoding:
    with encodings.open_bytes(path) as stream:
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := stream.read(1 << 20):
                if b"\0" in chunk:
                    break
                decoder.decode(chunk)
            else:
                return "utf-8"
        except UnicodeDecodeError:
            pass
    found = encodings.decodes_as(path, "utf-8")
    if found is None:
        raise DataError(f"{path} is neither UTF-8 nor UTF-16 nor CP949; save it as UTF-8")
    return found


def _columns(path: str, kind: str, encoding: Encoding) -> list[str]:
    if kind == "parquet":
        import pyarrow.parquet

        return list(pyarrow.parquet.read_schema(path).names)
    if kind == "jsonl":
        return _keys(path, readers.rows(path, TaskData(path=[path], format="jsonl", encoding=encoding), None))
    binary = cast("io.BufferedReader", encodings.open_bytes(path))
    with io.TextIOWrapper(binary, encodings.codec_of(str(path), encoding), errors="replace", newline="") as text:
        reader = csv.reader(text, delimiter="\t" if kind == "tsv" else ",")
        names = next(reader, [])
    if not names:
        raise DataError(f"{path} is empty; a header line with the column names is expected")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"{path}:1 has {names.count(repeated[0])} columns {repeated[0]!r}; rename all but one")
    return names


def _keys(path: str, rows: Iterator[readers.Row | readers.Bad]) -> list[str]:
    """The keys that every one of the first objects has."""
    first = [row.values for row in itertools.islice(rows, 100) if isinstance(row, readers.Row)]
    common = [key for key in first[0] if all(key in values for values in first)] if first else []
    if not common:
        raise DataError(f"{path}: it holds no JSON objects with the same keys")
    return common


def _max_length(lengths: list[float]) -> int:
    """Tokens that 99 % of the texts fit in, a multiple of 16 from 32 to 256."""
    high = statistics.quantiles(lengths, n=100)[98] if len(lengths) > 1 else lengths[0]
    # The estimate is a mean; rare words take more pieces.
    return min(256, max(32, -(-int(high * 1.2) // 16) * 16))


def _language(texts: list[str]) -> str:
    sample = " ".join(texts[:2000])
    letters = sum(letter.isalpha() for letter in sample)
    if not letters:
        return "no letters"
    if sum("가" <= letter <= "힣" for letter in sample) / letters > 0.3:
        return "Korean"
    words = re.findall(r"[a-z']+", sample.lower())
    english = sum(word in _ENGLISH for word in words) / max(1, len(words))
    return "English" if (english > 0.12 and sample.isascii()) or english > 0.2 else "not English"
