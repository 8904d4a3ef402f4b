"""Records that cannot be used: where they are written, how they are told, and when they stop a run."""

import csv
import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.records.formats import encodings
from components.records.rows import place
from configs.sources import Source
from schemas import DataError

FILE = "bad_records.csv"
SPLITS = ("train", "eval", "test")
_SHOWN = 8  # kinds of fault in a message
_KEPT = 10_000  # kinds of fault in memory: a free-text column given as the label would bring millions


@dataclass
class Report:
    """What the workers told.

    Attributes:
      rows: records read.
      left_out: records outside of every label range.
      records: (split, label) → records written.
      reasons: why records are bad → how many.
      first: reason → file and line of its first one.
      faults: what is wrong with whole files.
      splits: those that records are put into, in order.
      figures: what the groups of rows add up to.
    """

    rows: int = 0
    left_out: int = 0
    records: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    first: dict[str, tuple[str, int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    splits: Sequence[str] = SPLITS
    figures: Counter[str] = field(default_factory=Counter)

    @property
    def bad(self) -> int:
        """Bad records."""
        return self.reasons.total()

    def size(self, split: str) -> int:
        """Records in a split."""
        return sum(number for (name, _), number in self.records.items() if name == split)

    def __str__(self) -> str:
        parts = [*(f"{self.size(split):,} {split}" for split in self.splits), f"{self.bad:,} bad"]
        return " · ".join(parts + [f"{self.left_out:,} left out"] * bool(self.left_out))


def gather(notes: Iterable[str], path: str, splits: Sequence[str] = SPLITS) -> Report:
    """Sums up the notes and writes the bad records among them to ``path``, line by line, so that memory stays flat."""
    from components.storage.files import fileio

    report = Report(splits=splits)
    with fileio.open(path, "w") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "line", "reason"])
        for name in sorted(notes):
            with fileio.open(name) as lines:
                for line in lines:
                    kind, *values = json.loads(line)
                    if kind == "bad":
                        writer.writerow(values)
                    count(report, kind, values)
    return report


def count(report: Report, kind: str, values: list[str | int]) -> None:
    """Adds one note to ``report``."""
    match kind, values:
        case "bad", [str(name), int(line), str(reason)]:
            if len(report.reasons) >= _KEPT and reason not in report.reasons:
                reason = "other reasons"
            report.reasons[reason] += 1
            report.first[reason] = min(report.first.get(reason, (name, line)), (name, line))
        case "fault", [str(message)]:
            report.faults.append(message)
        case "count", ["rows", int(number)]:
            report.rows += number
        case "count", ["left out", int(number)]:
            report.left_out += number
        case "figure", [str(name), int(number)]:
            report.figures[name] += number
        case "records", [str(split), str(label), int(number)]:
            report.records[split, label] += number
        case _:
            raise ValueError(f"a note of an unknown kind. Received: {kind}")


def judge(report: Report, source: Source, path: str) -> None:
    """Stops a run whose rows are at fault.

    Args:
      report: what the workers told.
      source: ``on_bad_record`` and ``max_bad_share`` count.
      path: where all bad records stand.

    Raises:
      DataError: a fault of a file, or too many bad records.
    """
    if report.faults:
        raise DataError("\n".join(sorted(set(report.faults))[:_SHOWN]))
    if too_many(report, source):
        raise DataError(refusal(report, source, path))


def too_many(report: Report, source: Source) -> bool:
    """Whether the bad records stop a run."""
    return report.bad > (0 if source.on_bad_record == "fail" else source.max_bad_share * report.rows)


def refusal(report: Report, source: Source, path: str | None, *, head: bool = False) -> str:
    """What is wrong with how many records, where the first ones are, and what can be done.

    Args:
      report: what was found.
      source: whose rules they break.
      path: where all of them stand, if anywhere.
      head: whether more rows follow those that were read.
    """
    share = report.bad / report.rows
    fixes = []
    rule = f"max_bad_share: {source.max_bad_share:g}"
    if source.on_bad_record == "fail":
        rule = "on_bad_record: fail"
        fixes.append(_option(source, "on_bad_record", "quarantine"))
    if source.max_bad_share < share < 1:
        fixes.append(_option(source, "max_bad_share", f"{math.floor(share * 1000 + 1) / 1000:g}"))
    shown = report.reasons.most_common(_SHOWN)
    digits = len(f"{shown[0][1]:,}")
    width = max(_cells(reason) for reason, _ in shown)
    lines = [f"{report.bad:,} of {'the first ' * head}{report.rows:,} rows bad; {rule}"]
    for reason, number in shown:
        name, line = report.first[reason]
        space = " " * (width - _cells(reason))
        lines.append(f"  {number:>{digits},}  {reason}{space}  first {name}:{line}")
    if others := len(report.reasons) - len(shown):
        lines.append(f"  and {others:,} other kinds")
    lines += _encodings(report, source)
    if path:
        lines.append(f"  All: {path.removeprefix(f'{Path.cwd()}/')}")
    if share == 1:
        what = f"columns and labels of $.{source.section}" if getattr(source, "label", None) else "columns"
        return "\n".join([*lines, f"  Not one row can be used: check the {what}"])
    return "\n".join([*lines, f"  Fix them, or {' '.join(fixes)}"])


def _encodings(report: Report, source: Source) -> list[str]:
    """What to try where rows did not decode."""
    found = any(reason.startswith(f"not {source.encoding.upper()} (byte ") for reason in report.reasons)
    return [f"  Is the file in another encoding? {place(source, 'encoding')}: {encodings.EXAMPLES}"] * found


def _option(source: Source, key: str, value: str) -> str:
    return f"--set {source.section}.{key}={value}" if source.section else f"{place(source, key)} {value}"


def _cells(text: str) -> int:
    """Columns on a terminal: Hangul takes two."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def empty(report: Report, source: Source, split: str, share: float) -> str:
    """That a split has no record, why, and what can be done."""
    files = getattr(source, split, None)
    cause = f"no record of {', '.join(files)} is usable" if files else f"share {share:g}"
    counts = f"{report.rows:,} rows, {report.left_out:,} left out, {report.bad:,} bad"
    where = place(source, "split")
    return f"the {split} split is empty ({counts}; {cause}); give more records, or change {where}."
