"""Inspects a data file: encoding, columns, the text and label columns, lengths, language."""

import math
import random
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from components.records import bad_records, readers
from components.records.formats import encodings, json_rows
from components.records.kind import Kind
from components.records.kinds import classification, regression
from components.records.record import Record
from components.records.rows import Bad, Row, lines, require
from components.records.values import written
from configs.base import ConfigError
from configs.encoding import Encoding
from configs.sources import ENDINGS, NumberData, TaskData, TextData
from pipeline.start import columns, estimate
from pipeline.terminal.numbers import share, size
from schemas import DataError

ROWS = 20_000  # that columns are chosen and lengths measured by
# The first line of CoNLL's files.
TAGGED = re.compile(rb"(\S+[ \t]+)+(O|[BI][-_]\w+)")
_VALUES = 1_000  # more of them are neither labels nor a slice
_ENGLISH = frozenset("the a an and of to in is it that this for was with on as but are not be have you".split())  # noqa: SIM905


@dataclass
class DataFile:
    """What ``look`` found; ``bounds`` only where the label is a number, and then there are no labels."""

    path: str
    format: str
    format_needed: bool
    encoding: Encoding
    bytes: int
    records: int
    text: str
    text_pair: str | None
    label: str
    bounds: tuple[float, float] | None
    labels: list[str]
    counts: Counter[str]
    slices: dict[str, list[str]]
    tokens: float
    max_length: int
    fitting: float
    language: str
    bad: Counter[str]
    assumed: list[str]

    def lines(self) -> list[str]:
        """What was seen, for a person."""
        total = self.counts.total()
        shares = ", ".join(f"{share(count / total)} {label}" for label, count in self.counts.most_common(8))
        if self.bounds:
            shares = "a number from {:.15g} to {:.15g}".format(*self.bounds)
        pair = f" and {self.text_pair}" if self.text_pair else ""
        how = f"{size(self.bytes)} · {self.format} · {self.encoding.upper()} · {self.language}"
        lines = [
            f"{self.path}: {self.records:,} records · {how}",
            f"  text   {self.text}{pair} · about {self.tokens:,.0f} tokens mean",
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


class Given(TaskData):
    """The file of ``--data``; the options of the command line say the rest."""

    section = ""


def look(path: str, text: str | None, label: str | None, encoding: Encoding | None = None) -> DataFile:
    """Reads a file twice: to choose its columns, then to count what they hold.

    Args:
      path: of the file.
      text: the text column, if the person named it.
      label: the label column, likewise.
      encoding: likewise.

    Raises:
      ConfigError: a column that was named is not there, or is the text already.
      DataError: the file cannot be read, or no column looks like a text or a label.
    """
    source, needed, assumed = opened(path, encoding)
    kind, known = str(source.format), source.encoding
    rows, values = sampled(path, source)
    text, pair, label, parts = _choose(path, source, rows, values, (text, label), assumed)
    source = source.model_copy(update={"text": text, "text_pair": pair, "label": label})
    whole = _read(path, source, parts)
    if absent := [name for name in parts if f"no key {name!r}" in whole.bad]:  # do not drop a record for its slice
        parts = [name for name in parts if name not in absent]
        whole = _read(path, source, parts)
    counts = Counter({cell: count for cell, count in (whole.values[label] or Counter(values[label])).items() if cell})
    labels: list[str] = []
    if (bounds := columns.bounds(counts)) is None:
        labels = columns.labels(counts, path, label, assumed)
    else:
        assumed.append(columns.a_number(label, counts))
        given = NumberData.model_validate(source.model_dump(include=set(NumberData.model_fields)))
        whole = _read(path, given, parts)  # a value that is no number is found by it
        bounds = _rounded(whole.least, whole.most)
    shown = [" ".join(cells) for cells in zip(*(values[name] for name in (text, pair) if name), strict=True)]
    lengths = [estimate.tokens(each) for each in shown]
    limit = max_length(lengths)
    return DataFile(
        path=path,
        format=kind,
        format_needed=needed,
        encoding=known,
        bytes=Path(path).stat().st_size,
        records=whole.records,
        text=text,
        text_pair=pair,
        label=label,
        bounds=bounds,
        labels=labels,
        counts=counts,
        slices={name: sorted(found) for name in parts if (found := whole.values[name])},
        tokens=statistics.fmean(lengths),
        max_length=limit,
        fitting=sum(length <= limit for length in lengths) / len(lengths),
        language=language(values[text]),
        bad=whole.bad,
        assumed=assumed,
    )


def said(source: Given, path: str) -> dict[str, Any]:
    """What the YAML has to say of a file: its format where its name says another, its encoding."""
    known = ENDINGS.get(Path(path.lower().removesuffix(".gz")).suffix)
    form = {} if known == source.format else {"format": source.format}
    return form | ({} if source.encoding == "utf-8" else {"encoding": source.encoding})


def opened(path: str, encoding: Encoding | None) -> tuple[Given, bool, list[str]]:
    """The file with its format and its encoding, whether the YAML must say the format, and what was assumed.

    Raises:
      DataError: the file cannot be read.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file")
    with readers.faults(path, encoding or "utf-8"):
        readers.refuse_foreign(path, ENDINGS.get(Path(path.lower().removesuffix(".gz")).suffix))
        kind, needed = _format(path)
        known = encoding or ("utf-8" if kind == "parquet" else _encoding(path))
    source = Given(path=[path], format=kind, encoding=known)
    readers.files(source)
    if known == "cp1252" and not encoding:
        return (
            source,
            needed,
            ["the encoding is CP1252: it is no UTF-8, and nearly all ASCII; --encoding names another"],
        )
    return source, needed, []


def sampled(path: str, source: Given) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """A sample of the rows, and their cells by column; a name that several columns have is that of none.

    Raises:
      DataError: there is no row that can be used.
    """
    header, report = readers.names(path, source), bad_records.Report()
    names = [name for name in header if header.count(name) == 1]
    rows = _sample(readers.rows(path, source, names), report)
    if not rows or not names:
        raise DataError(_useless(path, report))
    return rows, {name: [written(row[name]) for row in rows] for name in names}


def _choose(
    path: str,
    source: Given,
    rows: list[dict[str, Any]],
    values: dict[str, list[str]],
    named: tuple[str | None, str | None],
    assumed: list[str],
) -> tuple[str, str | None, str, list[str]]:
    """Columns of the text, of its pair, of the label, and of slices.

    Raises:
      ConfigError: a column that was named is not there, or is the text already.
      DataError: none looks like a text or a label.
    """
    plain = {name: cells for name, cells in values.items() if all(_one(row[name]) for row in rows)}
    header = readers.names(path, source)
    repeated = [name for name, count in Counter(header).items() if name and count > 1]
    require(f"{path}:1", source, [name for name in repeated if name in named], header)
    try:
        text = columns.named(named[0], list(values), "--text") or columns.text_column(plain, path, assumed)
        text, pair = columns.pair_columns(text, plain, assumed)
        taken = {text, pair}
        label = columns.named(named[1], list(values), "--label") or columns.label_column(plain, taken, path, assumed)
    except DataError:
        require(f"{path}:1", source, repeated[:1], header)  # which may be the one
        if len(rows) == 1:
            raise DataError(f"{path} has one record only; nothing can be learned from one") from None
        raise
    if label in taken:
        raise ConfigError(f"--label: column {label!r} is the text already")
    return text, pair, label, columns.slices(plain, {*taken, label})


def _sample(rows: Iterator[Row | Bad], report: bad_records.Report) -> list[dict[str, Any]]:
    """Up to ``ROWS`` rows from all over the file, each as likely as another: files are often sorted by label."""
    kept: list[dict[str, Any]] = []
    chance = random.Random(0)
    seen = 0
    for row in rows:  # reservoir sampling (Vitter 1985, algorithm R)
        if isinstance(row, Bad):
            bad_records.count(report, "bad", [row.file, row.line, row.reason])
            continue
        seen += 1
        if len(kept) < ROWS:
            kept.append(dict(row.values))
        elif (place := chance.randrange(seen)) < ROWS:
            kept[place] = dict(row.values)
    return kept


def _useless(path: str, report: bad_records.Report) -> str:
    if not report.reasons:
        return f"{path}: its records have no columns that can be named"
    reason, count = report.reasons.most_common(1)[0]
    file, line = report.first[reason]
    hint = "; name other columns with --text and --label" if reason.startswith("column ") else ""
    return f"{path}: not one row can be used: {count:,} × {reason}, first {file}:{line}{hint}"


def _one(value: object) -> bool:
    """Whether a value is a scalar, so that it can be a text or a label."""
    return not isinstance(value, (list, dict, bytes))


@dataclass
class _Whole:
    """What only the whole file tells: records, values of columns by their number, rows that cannot be used.

    ``least`` and ``most`` are those of a label that is a number.
    """

    records: int
    values: dict[str, Counter[str]]
    bad: Counter[str]
    least: float = math.inf
    most: float = -math.inf


def _read(path: str, source: TextData, parts: list[str]) -> _Whole:
    """Reads every row as a run would. Columns with more than ``_VALUES`` distinct values are not counted.

    Raises:
      DataError: there is no row that can be used.
    """
    number = isinstance(source, NumberData)
    kind: Kind[Any] = (regression if number else classification).Kind(source, slices=parts)
    label = source.label if isinstance(source, TaskData) else None
    features = ({label: "label"} if isinstance(label, str) else {}) | {name: name for name in parts}
    found, report = _Whole(0, {name: Counter() for name in features}, Counter()), bad_records.Report()
    counted = set(features)
    for record in kind.records(path):
        if isinstance(record, Bad):
            bad_records.count(report, "bad", [record.file, record.line, record.reason])
        elif isinstance(record, Record):
            found.records += 1
            if number:
                value = cast("float", record.features["label"][0])
                found.least, found.most = min(found.least, value), max(found.most, value)
            for name in list(counted):
                found.values[name][cast("bytes", record.features[features[name]][0]).decode()] += 1
                if len(found.values[name]) > _VALUES:
                    counted.remove(name)
                    found.values[name].clear()
    if not found.records:
        raise DataError(_useless(path, report))
    found.bad = report.reasons
    return found


def _rounded(least: float, most: float) -> tuple[float, float]:
    """Bounds that hold all numbers: whole ones, as scales have them."""
    return float(math.floor(least)), float(math.ceil(most))


def _format(path: str) -> tuple[Any, bool]:
    """The format, and whether the YAML must say it."""
    known = ENDINGS.get(Path(path.lower().removesuffix(".gz")).suffix)
    if known == "parquet":
        return known, False
    with encodings.open_bytes(path) as stream:
        head = stream.read(4096)
    # UTF-16 has a zero byte beside every ASCII letter.
    first = (head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe").splitlines() or [b""])[0]
    if known == "text" and b"\t" not in first:  # Excel's "Unicode text" has tabs
        raise DataError(f"{path} is plain text, without labels; give a CSV, TSV, JSONL or Parquet file")
    if path.lower().endswith(".conll") or TAGGED.fullmatch(first.rstrip()):
        raise DataError(f"{path} is words with their tags; leave --text and --label out")
    if first.lstrip().startswith(b"{") or (known in (None, "jsonl") and json_rows.begins_array(path)):
        return "jsonl", known != "jsonl"
    if first.count(b"\t") > first.count(b","):
        return "tsv", known != "tsv"
    if first.count(b"::") > first.count(b","):
        raise DataError(f"{path} separates its columns by '::'; write them with tabs: sed 's/::/\\t/g'")
    if first.count(b";") > first.count(b","):
        raise DataError(f"{path} separates its columns by semicolons; save it with commas or tabs")
    return "csv", known != "csv"


def _encoding(path: str) -> Encoding:
    if found := encodings.recognised(path):
        return found
    for number, line in enumerate(lines(path, Given(path=[path])), start=1):
        if reason := encodings.undecodable({"line": line}, "utf-8"):
            raise DataError(
                f"{path}:{number} is {reason}, and nothing else shows the encoding; name it with --encoding: "
                f"{encodings.EXAMPLES}"
            )
    return "utf-8"


def max_length(lengths: list[float]) -> int:
    """Tokens that 99 % of the texts fit in, a multiple of 16 from 32 to 256."""
    high = statistics.quantiles(lengths, n=100)[98] if len(lengths) > 1 else lengths[0]
    # The estimate is a mean; rare words take more pieces.
    return min(256, max(32, -(-int(high * 1.2) // 16) * 16))


def language(texts: list[str]) -> str:
    """``English``, ``not English``, ``Korean`` or ``no letters``: what most of the texts are."""
    sample = " ".join(texts[:2000])
    letters = sum(letter.isalpha() for letter in sample)
    if not letters:
        return "no letters"
    if sum("가" <= letter <= "힣" for letter in sample) / letters > 0.3:
        return "Korean"
    words = re.findall(r"[a-z']+", sample.lower())
    english = sum(word in _ENGLISH for word in words) / max(1, len(words))
    ascii_letters = sum(letter.isascii() for letter in sample if letter.isalpha()) / letters
    return "English" if (english > 0.12 and ascii_letters > 0.99) or english > 0.2 else "not English"
