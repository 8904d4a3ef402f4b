"""A text, or a pair of texts, and one label; ``label`` may be cut from a number."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from components.records import bad_records
from components.records.head import Head
from components.records.record import Record
from components.records.rows import RowError, place
from components.records.text_kind import Features, TextKind
from components.records.values import inside, name_of, number_of, require_label
from configs.sources import LabelRanges, TaskData
from models import progress
from schemas import DataError


class Kind(TextKind[TaskData]):
    """One label each."""

    data = TaskData
    gold = ("label",)
    labelled = "label"

    @override
    def answer(self, values: Mapping[str, Any]) -> Features | None:
        column = self.source.label
        if isinstance(column, LabelRanges):
            label = _cut(values, column)
            return None if label is None else {"label": [label.encode()]}
        label = name_of(values, column)
        if not label:
            raise RowError(f"column {column!r} is empty")
        require_label(label, self.labels)
        return {"label": [label.encode()]}

    @override
    def label(self, record: Record) -> str:
        (label,) = self.labels_of(record)
        return label

    @override
    def judge(self, report: bad_records.Report, path: str) -> None:
        super().judge(report, path)
        trained = {label for (split, label), number in report.records.items() if split == "train" and number}
        if self.labels and len(trained) == 1:
            raise DataError(
                f"{place(self.source, 'label')}: all {report.size('train'):,} records of train are {trained.pop()!r}; "
                "a classifier needs two labels at least. Check the column."
            )
        if missing := [label for label in self.labels if label not in trained]:
            progress.emit(progress.Notice(f"no record of train has the label {' or '.join(map(repr, missing))}"))

    @override
    def lacking(self, head: Head) -> str | None:
        only = next(iter(head.labels), "none")
        return f"every record has the label {only}; it takes two to learn from" if len(head.labels) < 2 else None


def _cut(values: Mapping[str, Any], label: LabelRanges) -> str | None:
    number = number_of(values[label.column])
    if number is None:
        raise RowError(f"column {label.column!r} is not a number")
    fits = [name for name, text in label.ranges.items() if inside(number, text)]
    if len(fits) > 1:
        raise RowError(f"a number in the ranges of {' and '.join(fits)} at once")
    return fits[0] if fits else None
