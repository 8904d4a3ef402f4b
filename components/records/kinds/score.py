"""A text, or a pair of texts, without the right answer: records that a blessed model answers."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from components.records import bad_records
from components.records.text_kind import Features, TextKind
from configs.sources import Unlabelled
from schemas import DataError

SPLIT = "score"


class Kind(TextKind[Unlabelled]):
    """All records are one split."""

    data = Unlabelled

    @property
    @override
    def shares(self) -> Mapping[str, float]:
        return {SPLIT: 1.0}

    @override
    def answer(self, values: Mapping[str, Any]) -> Features:
        return {}

    @override
    def judge(self, report: bad_records.Report, path: str) -> None:
        bad_records.judge(report, self.source, path)
        if report.bad == report.rows:
            raise DataError(bad_records.refusal(report, self.source, path))
