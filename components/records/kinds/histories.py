"""Events to users' histories without a target: what comes next is what a blessed model answers."""

from collections.abc import Iterator, Mapping, Sequence

from typing_extensions import override

from components.records import bad_records
from components.records.event_kind import EventKind
from components.records.kinds.score import SPLIT
from components.records.record import Part, Record, key
from configs.events import UnlabelledEvents
from schemas import DataError


class Kind(EventKind[UnlabelledEvents]):
    """A record for each user; all records are one split."""

    data = UnlabelledEvents
    texts = ("history",)

    @property
    @override
    def shares(self) -> Mapping[str, float]:
        return {SPLIT: 1.0}

    @classmethod
    @override
    def features(cls) -> tuple[str, ...]:
        return (*cls.texts, "user", "origin")

    @override
    def join(self, parts: Sequence[Part]) -> Iterator[tuple[str, Record]]:
        events = self.events(parts)
        last = events[-1]
        features = {
            "history": [part.content[0].encode() for part in events],
            "user": [last.group.encode()],
            "origin": [f"{last.file}:{last.line}".encode()],
        }
        yield SPLIT, Record(features, key([last.group]), last.file, last.line)

    @override
    def judge(self, report: bad_records.Report, path: str) -> None:
        bad_records.judge(report, self.source, path)
        if not report.size(SPLIT):
            raise DataError(f"{', '.join(self.source.path)}: not one of {report.rows:,} rows is an event.")
