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
    """A row is an item, its title and what a text model reads of it: the title and the columns ``about`` behind it.

    Rows that say the same are one. An item without a title is left out.
    """

    data = CatalogueData
    texts = ("item", "title", "about")
    noun = "items"
    tokenized = False

    @property
    @override
    def shares(self) -> Mapping[str, float]:
        return {SPLIT: 1.0}

    @override
    def read(self, path: str, row: Row) -> Part | LeftOut:
        item, title = id_of(row.values, self.source.item), self._of(row, self.source.title)
        about = [told for column in self.source.about or () if (told := self._of(row, column))]
        return Part(item, 0, path, row.line, (title, ", ".join([title, *about]))) if title else LeftOut()

    @staticmethod
    def _of(row: Row, column: str) -> str:
        told = name_of(row.values, column)
        refuse(told, f"column {column!r}")
        return " ".join(told.split())

    @property
    @override
    def grouped(self) -> bool:
        return True

    @override
    def join(self, parts: Sequence[Part]) -> Iterator[tuple[str, Record]]:
        first, *others = ordered(parts)
        if any(part.content != first.content for part in others):
            columns = ", ".join(repr(column) for column in (self.source.title, *(self.source.about or ())))
            raise RowError(f"an item with several texts in {columns}")
        title, about = (each.encode() for each in first.content)
        origin = f"{first.file}:{first.line}".encode()
        features = {"item": [first.group.encode()], "title": [title], "about": [about], "origin": [origin]}
        yield SPLIT, Record(features, key([first.group]), first.file, first.line)

    @override
    def line(self, report: bad_records.Report) -> str:
        return str(report).replace(SPLIT, self.noun)

    @override
    def judge(self, report: bad_records.Report, path: str) -> None:
        bad_records.judge(report, self.source, path)
        if not report.size(SPLIT):
            raise DataError(f"{', '.join(self.source.path)}: not one of {report.rows:,} rows has an item and a title.")
