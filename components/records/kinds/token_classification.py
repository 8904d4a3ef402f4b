"""A text, and labels on parts of it: spans of characters, or tags of words."""

import itertools
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from components.records import tags
from components.records.head import Head
from components.records.rows import RowError, json_type
from components.records.text_kind import Features, TextKind
from components.records.values import require_label
from configs.sources import SpanData


class Kind(TextKind[SpanData]):
    """Any number of spans each, which do not overlap."""

    data = SpanData
    gold = ("span_start", "span_end", "span_label")
    labelled = "span_label"

    @property
    def _between(self) -> str:
        return "" if self.source.unit == "character" else " "

    @override
    def joined(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        text = values[self.source.text]
        return {**values, self.source.text: self._between.join(text)} if isinstance(text, list) else values

    @override
    def answer(self, values: Mapping[str, Any]) -> Features:
        column, given = self.source.label, values[self.source.label]
        if not isinstance(given, list):
            raise RowError(f"column {column!r} is {json_type(given)}, a list is expected")
        words = values[self.source.text]
        if isinstance(words, list):
            spans = tags.spans(words, given, self._between, self.source.scheme)
            text = self._between.join(words)
        else:
            text = words
            spans = [_span(each, text) for each in given]
        spans = sorted(tags.trimmed(span, text) for span in spans)
        for *_, label in spans:
            require_label(label, self.labels)
        for (_, end, _), (start, _, _) in itertools.pairwise(spans):
            if start < end:
                raise RowError(f"column {column!r} has spans that overlap")
        return {
            "span_start": [start for start, _, _ in spans],
            "span_end": [end for _, end, _ in spans],
            "span_label": [label.encode() for _, _, label in spans],
        }

    @override
    def lacking(self, head: Head) -> str | None:
        return None if head.labels else "no record has a span, so there is nothing to learn"


def _span(value: Any, text: Any) -> tags.Span:
    if isinstance(value, list) and len(value) == 3:  # as doccano and spaCy write them
        value = dict(zip(("start", "end", "label"), value, strict=True))
    if isinstance(value, dict):  # doccano's other layout
        value = {name.removesuffix("_offset"): each for name, each in value.items()}
    if not isinstance(value, dict) or not {"start", "end", "label"} <= value.keys():
        raise RowError("a span is no object with start, end and label")
    start, end, label = value["start"], value["end"], value["label"]
    if not (type(start) is type(end) is int and isinstance(label, str) and label and isinstance(text, str)):
        raise RowError("a span's start and end are whole numbers, its label is text")
    if not 0 <= start < end <= len(text):
        raise RowError("a span that lies outside of its text")
    return start, end, label
