"""What the items of sequences are called."""

from collections.abc import Iterator, Mapping, Sequence

from typing_extensions import override

from components.records import bad_records, kind
from components.records.record import LeftOut, Part, Record, key, ordered
from components.records.rows import Row, RowError
from components.records.values import id_of, name_of, refuse
from configs.events import CatalogueData
from schemas import DataError

SPLIT = "catalogue"


class Kind(kind.Kind[CatalogueData]):
    """A row is an item and its title; rows that say the same are one. An item without a title is left out."""

    data = CatalogueData
    texts = ("item", "title")
    noun = "items"
    tokenized = False

    @property
    @override
    def shares(self) -> Mapping[str, float]:
        return {SPLIT: 1.0}

    @override
    def read(self, path: str, row: Row) -> Part | LeftOut:
        item, title = id_of(row.values, self.source.item), name_of(row.values, self.source.title)
        refuse(title, f"column {self.source.title!r}")
        return Part(item, 0, path, row.line, (" ".join(title.split()),)) if title else LeftOut()

    @property
    @override
    def grouped(self) -> bool:
        return True

    @override
    def join(self, parts: Sequence[Part]) -> Iterator[tuple[str, Record]]:
        first, *others = ordered(parts)
        if any(part.content != first.content for part in others):
            raise RowError(f"an item with several titles in column {self.source.title!r}")
        (title,), origin = first.content, f"{first.file}:{first.line}"
        features = {"item": [first.group.encode()], "title": [title.encode()], "origin": [origin.encode()]}
        yield SPLIT, Record(features, key([first.group]), first.file, first.line)

    @override
    def line(self, report: bad_records.Report) -> str:
        return str(report).replace(SPLIT, self.noun)

    @override
    def judge(self, report: bad_records.Report, path: str) -> None:
        bad_records.judge(report, self.source, path)
        if not report.size(SPLIT):
            raise DataError(f"{', '.join(self.source.path)}: not one of {report.rows:,} rows has an item and a title.")
