"""A text, or a pair of texts, and any number of labels."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from components.records.rows import RowError
from components.records.text_kind import Features, TextKind
from components.records.values import name_of, require_label, written
from configs.sources import LabelsData


class Kind(TextKind[LabelsData]):
    """Any number of labels each, none included."""

    data = LabelsData
    gold = ("labels",)
    labelled = "labels"

    @override
    def answer(self, values: Mapping[str, Any]) -> Features:
        column, value = self.source.label, values[self.source.label]
        if isinstance(value, list):
            labels = [written(each) for each in value]
        else:
            parts = name_of(values, column).split(self.source.separator)
            labels = [label for part in parts if (label := part.strip())]
        for label in labels:
            if not label:
                raise RowError(f"column {column!r} has an empty label")
            require_label(label, self.labels)
        if len(set(labels)) < len(labels):
            raise RowError(f"column {column!r} has a label twice")
        return {"labels": [label.encode() for label in labels]}
