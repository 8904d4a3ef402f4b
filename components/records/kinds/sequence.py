"""Events to users' histories: what a user did so far, and what came next.

Every record is one question, ``history`` → ``target``. Its split is decided by the place of the target among the user's
events, by its time, or by the user: ``split`` of the section.
"""

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from typing_extensions import override

from components.records import bad_records, event_columns, kind, readers
from components.records.event_kind import EventKind
from components.records.head import Guess, Head
from components.records.kinds import catalogue
from components.records.record import Counted, Part, Record, key
from components.records.rows import place
from components.records.values import seconds
from configs.base import ConfigError
from configs.events import SequenceData
from models import progress
from models.recommendation import order
from schemas import DataError

_MANY_TIES = 0.1  # share of neighbouring events with one time, past which a notice says so


@dataclasses.dataclass(frozen=True)
class Kind(EventKind[SequenceData]):
    """A row is an event of a user.

    Attributes:
      begins: with ``split: {by: time}`` when the windows of eval and test begin, once ``fitted``.
    """

    data = SequenceData
    texts = ("history", "target")
    gold = ("target",)
    leaks = False
    unlabelled = "histories"
    gauged = True

    begins: tuple[float, float] | None = None

    @override
    def join(self, parts: Sequence[Part]) -> Iterator[tuple[str | None, Record] | Counted]:
        events = self.events(parts)
        asked = list(self._asked(events))
        pairs = list(itertools.pairwise(events))
        figures = {
            "users": 1,
            "events": len(events),
            "users left out": int(not asked),
            "users cut": int(len(parts) > len(events) == self.source.max_events),
            "neighbours": len(pairs),
            "of one time": sum(one.order == other.order for one, other in pairs),
            "of two items": sum(one.content[0] != other.content[0] for one, other in pairs),
        }
        yield Counted(figures)
        for split, at in asked:
            yield split, self._record(events[:at], events[at])

    def _asked(self, events: Sequence[Part]) -> Iterator[tuple[str | None, int]]:
        """Splits, each with the place of its target; what stands before it is the history, and is never empty."""
        count, by = len(events), self.source.split.by
        if by == "time":
            assert self.begins is not None, "not fitted"
            first = [
                next((n for n, each in enumerate(events) if float(each.order) >= begin), count) for begin in self.begins
            ]
            yield from ((name, at) for name, at, end in self._windows(first, count) if 0 < at < end)
        elif by == "user" or count < 4:
            yield from [(None if by == "user" else "train", count - 1)] if count > 1 else ()
        else:
            yield from zip(("train", "eval", "test"), range(count - 3, count), strict=True)

    @staticmethod
    def _windows(first: Sequence[int], count: int) -> Iterator[tuple[str, int, int]]:
        """Of a user: each split, the place of its target, and where the split's events end."""
        evaluated, tested = first
        yield "train", evaluated - 1, count
        yield "eval", evaluated, tested
        yield "test", tested, count

    def _record(self, history: Sequence[Part], target: Part) -> Record:
        item, *slices = (value.encode() for value in target.content)
        features = {
            **{name: [value] for name, value in zip(self.slices, slices, strict=True)},
            "history": [part.content[0].encode() for part in history],
            "target": [item],
            "user": [target.group.encode()],
            "event_time": [math.floor(float(target.order)) if isinstance(target.order, float) else int(target.order)],
            "origin": [f"{target.file}:{target.line}".encode()],
        }
        return Record(features, key([target.group]), target.file, target.line)

    # --- splits ---

    @property
    @override
    def shares(self) -> Mapping[str, float]:
        split = self.source.split
        if split.by != "user":
            return dict.fromkeys(("train", "eval", "test"), 1 / 3)  # a user has one record in each
        of_eval, of_test = float(split.eval or 0), float(split.test or 0)
        return {"train": 1 - of_eval - of_test, "eval": of_eval, "test": of_test}

    @override
    def fitted(self) -> Self:
        """With the times at which eval and test begin, where they are shares of the events.

        Raises:
          DataError: none of the events has a time, or test begins with eval.
        """
        split, paths = self.source.split, [path for found in readers.files(self.source).values() for path in found]
        if split.by != "time":
            return self
        wanted = [_begin(value) for value in (split.eval, split.test)]
        if any(share for _, share in wanted):
            orders = [item.order for path in paths for item in self.records(path) if isinstance(item, Part)]
            times = np.sort(np.array(orders, dtype=np.float64))
            if not len(times):
                raise DataError(f"{', '.join(self.source.path)}: not one row is an event.")
            wanted = [(times[int(value * len(times))] if share else value, share) for value, share in wanted]
        begins = float(wanted[0][0]), float(wanted[1][0])
        if begins[0] >= begins[1]:
            raise DataError(
                f"{place(self.source, 'split')}: test begins at {begins[1]:g}, eval not before: {begins[0]:g}"
            )
        return dataclasses.replace(self, begins=begins)

    @override
    def check(self) -> None:
        super().check()
        for name in ("eval", "test") if self.source.split.by == "time" else ():
            value = getattr(self.source.split, name)
            if isinstance(value, str) and seconds(value) is None:
                where = place(self.source, f"split.{name}")
                raise ConfigError(f"{where}: {value!r} is no time; write it as 2024-05-01 or 2024-05-01T12:30:00Z")

    @property
    @override
    def sides(self) -> Mapping[str, kind.Kind[Any]]:
        return {"catalogue": catalogue.Kind(self.source.catalogue)} if self.source.catalogue else {}

    @property
    @override
    def own(self) -> SequenceData:
        return self.source.model_copy(update={"catalogue": None})

    # --- what a person reads ---

    @property
    @override
    def trained(self) -> float:
        return self.shares["train"] if self.source.split.by == "user" else 1.0

    @override
    def add(self, record: Record | Part, head: Head) -> None:
        assert isinstance(record, Part)
        head.groups[record.group] += 1
        head.parts[record.group].append(record)
        head.names[record.content[0]] += 1

    @override
    def summarize(self, head: Head) -> list[str]:
        if not head.groups:
            return []
        lengths = sorted(head.groups.values())
        told = [
            f"{len(lengths):,} users of {lengths[0]:,} to {lengths[-1]:,} events, median {lengths[len(lengths) // 2]:,}"
        ]
        told.append(f"{len(head.names):,} items, {sum(count == 1 for count in head.names.values()):,} of them once")
        alike = Counter("".join(name.casefold().split()) for name in head.names)
        if same := sum(count for count in alike.values() if count > 1):
            told.append(f"{same:,} items differ from another one in case or blanks only")
        return told

    @override
    def lacking(self, head: Head) -> str | None:
        if len(head.groups) < 2:
            return f"all events are of one user; check the column {self.source.user!r}"
        return f"all events are of one item; check the column {self.source.item!r}" if len(head.names) < 2 else None

    @override
    def remark(self, head: Head) -> str | None:
        users = itertools.islice(head.parts.values(), order.LEARNED)
        sequences = [[part.content[0].encode() for part in self.events(parts)] for parts in users]
        asked = [(each[:-1], each[-1]) for each in sequences[: order.ASKED]]
        found = order.measure([history for history, _ in asked if history], asked)
        return str(found) if found and not found.matters else None

    @classmethod
    @override
    def gauge(cls, split: Callable[[str], Iterator[Mapping[str, np.ndarray]]]) -> tuple[str, bool] | None:
        """Whether the order of events matters."""
        train, held_out = itertools.islice(split("train"), order.LEARNED), itertools.islice(split("eval"), order.ASKED)
        found = order.measure(
            [np.concatenate([each["history"], each["target"]]) for each in train],
            [(each["history"], each["target"].item()) for each in held_out],
        )
        return (str(found), found.matters) if found else None

    @classmethod
    @override
    def guess(cls, columns: Mapping[str, Sequence[str]], named: Mapping[str, str]) -> Guess | None:
        return event_columns.guess(columns, named)

    @classmethod
    @override
    def features(cls) -> tuple[str, ...]:
        return (*cls.texts, "user", "event_time", "origin")

    @override
    def line(self, report: bad_records.Report) -> str:
        of = report.figures
        parts = [f"{of['users']:,} users", f"{of['events']:,} events", str(report)]
        if out := of["users left out"]:
            parts.append(f"{out:,} user{'s' * (out > 1)} left out")
        if self.source.time and of["neighbours"]:
            parts.append(f"{of['of one time'] / of['neighbours']:.0%} of neighbours share their time")
        return " · ".join(parts)

    @override
    def judge(self, report: bad_records.Report, path: str) -> None:
        bad_records.judge(report, self.source, path)
        if hopeless := self._hopeless(report):
            raise DataError(f"{', '.join(self.source.path)}: {hopeless}")
        of = report.figures
        if self.source.time and of["of one time"] > _MANY_TIES * of["neighbours"]:
            share = of["of one time"] / of["neighbours"]
            progress.emit(
                progress.Notice(f"{share:.0%} of neighbouring events share their time: their order is that of the file")
            )
        if of["users cut"]:
            have = f"{of['users cut']:,} user{'s have' if of['users cut'] > 1 else ' has'}"
            most = f"{have} more than {self.source.max_events:,} events: the last ones are kept"
            progress.emit(progress.Notice(most))

    def _hopeless(self, report: bad_records.Report) -> str | None:
        """Why nothing can be learned from the events; None where something can."""
        of, source = report.figures, self.source
        if of["users"] < 2:
            return f"all events are of one user; check the column {source.user!r}"
        if of["users left out"] * 2 > of["users"]:
            return (
                f"{of['users left out']:,} of {of['users']:,} users have too few events to be asked for one; check the "
                f"columns {source.user!r} and {source.item!r}, or {place(source, 'split')}"
            )
        if not of["of two items"]:
            return f"no user has two items one after the other; check the column {source.item!r}"
        if source.time and of["of one time"] == of["neighbours"]:
            return f"all events of a user have one time; check the column {source.time!r}, or leave time out"
        if empty := [split for split in self.shares if not report.size(split)]:
            counts = f"{of['users']:,} users, {of['events']:,} events, {report.left_out:,} rows left out"
            need = "; by: last needs users of four events or more" if source.split.by == "last" else ""
            return (
                f"the {empty[0]} split is empty ({counts}){need}; give more events, or change {place(source, 'split')}"
            )
        return None


def _begin(value: float | str | None) -> tuple[float, bool]:
    """When a window begins, and whether that is a share of the events."""
    if isinstance(value, str):
        found = seconds(value)
        assert found is not None, "not checked"
        return found, False
    assert value is not None
    return value, 0 < value < 1
