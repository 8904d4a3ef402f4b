"""A question, the context that it is asked of, and its answers."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from components.records import tags
from components.records.rows import RowError, json_type
from components.records.text_kind import Features, TextKind
from configs.sources import AnswerData


class Kind(TextKind[AnswerData]):
    """Any number of answers each, which stand in the context; none where the context holds none."""

    data = AnswerData
    gold = ("answers", "answer_start")

    @override
    def answer(self, values: Mapping[str, Any]) -> Features:
        column, pair = self.source.answers, self.source.text_pair
        given, context = values[column], values[pair]
        if not isinstance(given, dict) or not all(isinstance(given.get(key), list) for key in ("text", "answer_start")):
            raise RowError(f"column {column!r} is no object with the lists text and answer_start")
        if not isinstance(context, str):
            raise RowError(f"column {pair!r} is {json_type(context)}, a string is expected")
        texts, starts = given["text"], given["answer_start"]
        if len(texts) != len(starts):
            raise RowError(f"{len(texts)} answers and {len(starts)} places of them")
        spans = [_span(text, start, context) for text, start in zip(texts, starts, strict=True)]
        return {
            "answers": [context[start:end].encode() for start, end, _ in spans],
            "answer_start": [start for start, _, _ in spans],
        }


def _span(text: Any, start: Any, context: str) -> tags.Span:
    if not isinstance(text, str) or type(start) is not int or not text:
        raise RowError("an answer that is no text, or that has no place")
    if start < 0 or context[start : start + len(text)] != text:
        raise RowError("an answer that does not stand at its place in the context")
    return tags.trimmed((start, start + len(text), ""), context)
