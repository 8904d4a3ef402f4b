"""What the heads of a source's files show, read as a run would read them."""

import itertools
import statistics
from typing import Any

from components.records import bad_records, readers
from components.records.head import Head
from components.records.kind import Kind
from components.records.record import LeftOut
from components.records.rows import Bad
from pipeline.start import data as demo
from pipeline.start import estimate, lengths
from pipeline.start.lengths import Measure, Sample
from schemas import DataError

HEAD = 50_000  # records looked at in each file: a second of reading
EVENTS = 200_000  # rows of other kinds, in which there is no text to count tokens of: the same


def readable(kind: Kind[Any]) -> None:
    """Raises DataError for the faults that the first megabyte of each file shows."""
    try:
        kind.check()
    except DataError as error:
        raise DataError(f"{error}{demo_hint(*kind.source.path)}") from None


def look(kind: Kind[Any], measure: Measure | None = None) -> Head:
    """Reads the heads of a source's files as a run would.

    Args:
      kind: of the records.
      measure: counts the tokens of some of them; without it they are guessed.

    Raises:
      DataError: a file, or with ``on_bad_record: fail`` a record, that a run would stop at; labels that teach nothing.
    """
    readable(kind)
    head, sample = Head(), Sample()
    total = 0.0
    for path in (path for group in readers.files(kind.source).values() for path in group):
        count, mean = _add(path, kind, head, sample)
        head.records += count
        total += count * mean
    head.tokens = total / max(1.0, head.records)
    if measure and sample.kept:
        # The guess knows all files, the sample how far it is off.
        guessed = statistics.fmean(estimate.tokens(" ".join(texts)) for texts in sample.kept)
        head.tokens *= measure(sample.kept) / guessed
    report = bad_records.Report(head.rows, reasons=head.bad, first=head.first)
    if bad_records.too_many(report, kind.source):
        raise DataError(bad_records.refusal(report, kind.source, None, head=not head.exact))
    if head.exact and (lacking := kind.lacking(head)):
        raise DataError(f"{', '.join(kind.source.path)}: {lacking}")
    return head


def _add(path: str, kind: Kind[Any], head: Head, sample: Sample) -> tuple[float, float]:
    """Adds the head of one file to ``head``; gives the file's number of records and their mean length in tokens."""
    count, tokens, line, taken = 0, 0.0, 1, 0
    most = HEAD if kind.tokenized else EVENTS
    for record in itertools.islice(kind.records(path), most):
        taken += 1
        head.rows += 1
        if isinstance(record, LeftOut):
            head.left_out += 1
            continue
        line = record.line
        if isinstance(record, Bad):
            head.bad[record.reason] += 1
            head.first.setdefault(record.reason, (record.file, record.line))
            continue
        count += 1
        if kind.tokenized:
            texts = lengths.texts_of(record, kind)
            sample.add(texts)
            tokens += estimate.tokens(" ".join(texts))
        else:
            tokens += 1
        kind.add(record, head)
    scale = 1.0
    if taken == most:
        head.exact = False
        scale = max(1.0, estimate.lines(path, readers.format_of(path, kind.source)) / line)
    return count * scale, tokens / max(1, count)


def summary(head: Head, kind: Kind[Any]) -> str:
    """``head`` in one line."""
    about = "" if head.exact else "about "
    parts = [f"{', '.join(kind.source.path)}: {about}{head.records:,.0f} {kind.noun}"]
    if kind.tokenized:
        parts.append(f"about {head.tokens:,.0f} tokens mean")
    if not head.exact:
        parts.append(f"of the first {head.rows:,}:")
    parts += kind.summarize(head)
    if head.left_out:
        parts.append(f"{head.left_out:,} left out")
    if head.bad:
        parts.append(f"{head.bad.total():,} bad, to be quarantined")
    return " · ".join(parts).replace(": · ", ": ")


def demo_hint(*paths: str) -> str:
    """The command that brings the demo data, where ``paths`` are part of it."""
    names = {name for path in paths if (name := demo.name_of(path))}
    more = "".join(f" {name}" for name in sorted(names)) if names - set(demo.DEFAULT) else ""
    return f"\n  The demo data: tfx-bert data fetch{more}" if names else ""
