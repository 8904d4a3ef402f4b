"""Records that are made of a user's events."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from typing_extensions import override

from components.records.kind import Kind
from components.records.record import LeftOut, Part, ordered
from components.records.rows import Row, RowError
from components.records.values import id_of, inside, name_of, number_of, time_of
from configs.events import Events, Kept
from models.vocabularies.items import SEPARATOR

E = TypeVar("E", bound=Events)


class EventKind(Kind[E], abc.ABC, Generic[E]):
    """A kind whose rows are events; ``join`` gets those of one user."""

    noun = "events"
    tokenized = False

    @override
    def read(self, path: str, row: Row) -> Part | LeftOut:
        source = self.source
        user, item = id_of(row.values, source.user), id_of(row.values, source.item)
        if SEPARATOR in item:
            raise RowError(f"column {source.item!r} holds {SEPARATOR}, which separates the items of a request")
        time = 0 if source.time is None else time_of(row.values, source.time)
        if source.keep and not _kept(row.values, source.keep):
            return LeftOut()
        return Part(user, time, path, row.line, (item, *(name_of(row.values, name) for name in self.slices)))

    @property
    @override
    def grouped(self) -> bool:
        return True

    def events(self, parts: Sequence[Part]) -> list[Part]:
        """The events that count, oldest first."""
        events = ordered(parts)
        if self.source.repeats == "last":
            last = {part.content[0]: at for at, part in enumerate(events)}
            events = [part for at, part in enumerate(events) if last[part.content[0]] == at]
        return events[-self.source.max_events :]


def _kept(values: Mapping[str, Any], keep: Kept) -> bool:
    """Whether a row is an event."""
    if keep.values is not None:
        return name_of(values, keep.column) in keep.values
    number = number_of(values[keep.column])
    if number is None:
        raise RowError(f"column {keep.column!r} is not a number")
    assert keep.range is not None
    return inside(number, keep.range)
