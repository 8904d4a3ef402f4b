"""Sections ``task.data`` and ``score`` of recommendation: events of users, and titles of items."""

from typing import Annotated, Any, Literal, Self, TypeGuard

from pydantic import Field, model_validator
from typing_extensions import override

from configs.base import Columns, Count, Section
from configs.sources import Comparison, Source


class SequenceSplit(Section):
    """What eval and test ask for.

    Attributes:
      by: ``last``: the last event of each user is asked for by test, the one before it by eval. ``time``: train holds
        what happened before a time, eval and test ask for each user's first event behind it. ``user``: each user
        belongs to one split, by the hash of the user, and is asked for the last event.
      eval, test: by ``time``: where its events begin, as a share of all events, oldest first (.8, .9), or as a time
        such as ``2024-05-01``. By ``user``: its share of the users (.1, .1).
    """

    by: Literal["last", "time", "user"] = "last"
    eval: float | str | None = None
    test: float | str | None = None

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, section: Any) -> Any:
        given = {"time": {"eval": 0.8, "test": 0.9}, "user": {"eval": 0.1, "test": 0.1}}
        by = section.get("by") if isinstance(section, dict) else None
        return {**given[by], **section} if by in given else section

    @model_validator(mode="after")
    def _fits(self) -> Self:
        received = f"Received: eval={self.eval}, test={self.test}"
        if self.by == "last" and (self.eval, self.test) != (None, None):
            raise ValueError(f"by: last takes neither eval nor test; by: time and by: user do. {received}")
        if self.by == "user" and not (_share(self.eval) and _share(self.test) and self.eval + self.test < 1):
            raise ValueError(f"by: user takes shares of the users that are less than 1 together. {received}")
        if self.by == "time" and _share(self.eval) and _share(self.test) and not self.eval < self.test:
            raise ValueError(f"by: time needs eval to begin before test. {received}")
        return self


def _share(value: Any) -> TypeGuard[float]:
    """Whether a number is a share; others are times."""
    return isinstance(value, int | float) and 0 < value < 1


class Kept(Section):
    """Which rows are events: ``{column: rating, range: '>= 4'}``, or ``{column: event, values: [purchase]}``.

    The others are left out, and counted as left out.
    """

    column: str
    range: Comparison | None = None
    values: Columns | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.range is None) == (self.values is None):
            raise ValueError("give either range (of a number) or values (those that are events)")
        return self


class CatalogueData(Source):
    """What the items are called.

    Attributes:
      item: the column of the item.
      title: the column of its title.
      about: more columns, such as a category or a description: the text model of ``task.titles`` reads them behind the
        title. Answers do not show them.
    """

    section = "task.data.catalogue"
    keys = ("item", "title")

    item: str = "item"
    title: str = "title"
    about: Columns | None = None

    @property
    @override
    def columns(self) -> list[tuple[str, str]]:
        return super().columns + [("about", column) for column in self.about or ()]


class Events(Source):
    """Events: who did what, and when. A row is an event.

    Attributes:
      user: the column that says who.
      item: the column that says what: ids without ``|``, which stands between the items of a request.
      time: the column that says when: a number, or ISO 8601 (without a zone: UTC). Not given: the order of the rows.
        Events of one time keep the order of the rows.
      keep: which rows are events; not given: all of them.
      repeats: ``keep``: every row is an event; ``last``: of a user's events with one item only the last one is.
      max_events: of a user with more events the last ones are kept.
    """

    keys = ("user", "item", "time")

    user: str = "user"
    item: str = "item"
    time: str | None = None
    keep: Kept | None = None
    repeats: Literal["keep", "last"] = "keep"
    max_events: Annotated[Count, Field(ge=4)] = 10_000

    @property
    @override
    def columns(self) -> list[tuple[str, str]]:
        return super().columns + ([("keep.column", self.keep.column)] if self.keep else [])


class SequenceData(Events):
    """Events to learn from.

    Attributes:
      catalogue: titles of the items, from files of their own.
      split: what train, eval and test are asked for.
    """

    section = "task.data"

    catalogue: CatalogueData | None = None
    split: SequenceSplit = SequenceSplit()

    @model_validator(mode="after")
    def _time_decides(self) -> Self:
        if self.split.by == "time" and self.time is None:
            raise ValueError("split: {by: time} needs the column that says when: time")
        return self


class UnlabelledEvents(Events):
    """Events of users who are each answered what comes next.

    Under ``score`` only ``path`` must be given: the rest is as ``task.data`` has it.
    """

    section = "score"
