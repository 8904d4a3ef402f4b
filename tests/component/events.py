"""A record kind outside of our packages: the events of a user, the last for test, the one before it for eval."""

from collections.abc import Iterator, Sequence

from components.records import kind
from components.records.record import LeftOut, Part, Record, key, ordered
from components.records.rows import Row, RowError
from components.records.values import name_of, order_of
from configs.sources import SplitSource


class Events(SplitSource):
    section = "task.data"
    keys = ("user", "item", "time")

    user: str = "user"
    item: str = "item"
    time: str = "time"


class Kind(kind.Kind[Events]):
    data = Events
    texts = ("items",)
    gold = ("next",)
    noun = "users"
    leaks = False

    def read(self, path: str, row: Row) -> Part:
        user, item = name_of(row.values, self.source.user), name_of(row.values, self.source.item)
        if not (user and item):
            raise RowError("an event without a user or an item")
        return Part(user, order_of(row.values, self.source.time), path, row.line, (item,))

    @property
    def grouped(self) -> bool:
        return True

    def join(self, parts: Sequence[Part]) -> Iterator[tuple[str | None, Record] | LeftOut]:
        parts = ordered(parts)
        items = [item.encode() for part in parts for item in part.content]
        if len(items) < 4:
            yield LeftOut()
            return
        if len(set(items)) == 1:
            raise RowError("a user of one item")
        for end, split in ((-2, "train"), (-1, "eval"), (len(items), "test")):
            *earlier, last = items[:end]
            features = {"items": earlier, "next": [last], "origin": [f"{parts[0].file}:{parts[0].line}".encode()]}
            yield split, Record(features, key([parts[0].group]), parts[0].file, parts[0].line)
