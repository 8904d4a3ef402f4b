"""A text, or a pair of texts, and a number."""

import operator
from collections.abc import Mapping
from typing import Any, TypeVar

from typing_extensions import override

from components.records.rows import RowError
from components.records.text_kind import Features, TextKind
from components.records.values import number_of
from configs.sources import NumberData

N = TypeVar("N", bound=NumberData)


class NumberKind(TextKind[N]):
    """One number each, between the bounds of the section."""

    gold = ("label",)

    @override
    def answer(self, values: Mapping[str, Any]) -> Features:
        source = self.source
        number = number_of(values[source.label])
        if number is None:
            raise RowError(f"column {source.label!r} is not a number")
        for bound, beyond in ((source.min, operator.lt), (source.max, operator.gt)):
            if bound is not None and beyond(number, bound):
                word = "less" if beyond is operator.lt else "more"
                raise RowError(f"column {source.label!r} is {word} than {bound:g}")
        return {"label": [float(number)]}


class Kind(NumberKind[NumberData]):
    """Of one text, or of two."""

    data = NumberData
