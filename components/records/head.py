"""What the heads of a source's files show, and what a file may be."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from components.records.record import Part


@dataclass(frozen=True)
class Guess:
    """How a file would be read as records of a kind.

    Attributes:
      columns: keys of ``task.data`` that name columns, each with its column.
      assumed: what that rests on, a sentence each.
    """

    columns: Mapping[str, str]
    assumed: tuple[str, ...]


@dataclass
class Head:
    """What the first rows of a source's files hold.

    Attributes:
      records: of the whole source, an estimate unless ``exact``.
      tokens: mean of a record, special ones included, an estimate.
      labels: how often each came.
      groups: rows of each group, such as the events of a user.
      parts: the rows of each group, where a kind keeps them.
      names: what the vocabulary will hold, where records say it themselves: how often each item came.
      left_out: sound rows that are not used.
      bad: how often each reason came.
      first: reason → file and line of its first row.
      exact: whether the files were read to their end.
      rows: that were read.
    """

    records: float = 0.0
    tokens: float = 0.0
    labels: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    parts: defaultdict[str, list[Part]] = field(default_factory=lambda: defaultdict(list))
    names: Counter[str] = field(default_factory=Counter)
    left_out: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    first: dict[str, tuple[str, int]] = field(default_factory=dict)
    exact: bool = True
    rows: int = 0
