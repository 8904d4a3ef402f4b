"""What the rows of a source become: the contract of a record kind.

``components/records/kinds/<name>.py`` defines ``Kind``; ``load(name)`` finds it by that name. A kind may live
elsewhere. Then its name is the path of its module, such as ``family.kind``, and its schema lies beside it:
``family/kind.pbtxt``.
"""

import abc
import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast

import schemas
from components.records import bad_records, readers
from components.records.head import Guess, Head
from components.records.record import Counted, LeftOut, Part, Record
from components.records.rows import WHOLE, Bad, Range, Row, RowError
from configs.sources import Source, SplitSource
from schemas import DataError

if TYPE_CHECKING:
    import numpy as np
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

S = TypeVar("S", bound=Source)
_FOLDER = "components.records.kinds"


@dataclasses.dataclass(frozen=True)
class Kind(abc.ABC, Generic[S]):
    """A source whose rows are records of one kind.

    Attributes:
      data: the section of the YAML that names files and columns.
      texts: features of a record that hold text.
      gold: features that hold the right answer: absent from a record that is served.
      labelled: the feature that holds labels, if any.
      noun: what several records, or rows of a group, are called.
      tokenized: whether texts become tokens; else a row counts as one unit of what the network reads.
      leaks: whether two splits must not share a key. False where a group has records in several splits.
      featurizer: path of the class whose ``featurize`` Transform calls; None: the task's own.
      gauged: whether the gate looks at the records themselves, by ``gauge``.
      unlabelled: the kind of the records without the right answer that its models answer, the section ``score``.
      source: files and columns.
      labels: every label there is; empty where any is taken.
      slices: columns that a record keeps under their own names.
    """

    data: ClassVar[type[Source]]
    texts: ClassVar[tuple[str, ...]]
    gold: ClassVar[tuple[str, ...]] = ()
    labelled: ClassVar[str | None] = None
    noun: ClassVar[str] = "records"
    tokenized: ClassVar[bool] = True
    leaks: ClassVar[bool] = True
    featurizer: ClassVar[str | None] = None
    gauged: ClassVar[bool] = False
    unlabelled: ClassVar[str] = "score"

    source: S
    labels: Sequence[str] = ()
    slices: Sequence[str] = ()

    @abc.abstractmethod
    def read(self, path: str, row: Row) -> Record | Part | LeftOut:
        """What one row of a file is.

        Args:
          path: of the file.
          row: with the values of ``columns``.

        Raises:
          RowError: it is no record. The sentence becomes a line of bad_records.csv and holds no text of the row.
        """

    @property
    def grouped(self) -> bool:
        """Whether ``read`` gives parts: then ``join`` gets those of one group."""
        return False

    def join(self, parts: Sequence[Part]) -> Iterator[tuple[str | None, Record] | LeftOut | Counted]:
        """The records of one group, each with its split; None: the split that its key is hashed to.

        Beside them what the group adds to the figures of the source.

        Args:
          parts: all rows of the group, in any order.

        Raises:
          RowError: they make no record. The group counts as one bad record, at its first row.
        """
        raise NotImplementedError(f"{self.name} has no groups")

    def records(self, path: str, within: Range = WHOLE) -> Iterator[Record | Part | LeftOut | Bad]:
        """What the rows of one file, or of a part of it, are, in order.

        Raises:
          DataError: a fault of the file as a whole.
        """
        for row in readers.rows(path, self.source, self.columns, within):
            if isinstance(row, Bad):
                yield row
                continue
            try:
                yield self.read(path, row)
            except RowError as fault:
                yield Bad(path, row.line, str(fault))

    def check(self) -> None:
        """The faults that the first records of each file show.

        Raises:
          DataError: the first fault of the data.
          ConfigError: a format that cannot be told, or does not fit.
        """
        readers.check(self.source, self.columns)

    def fitted(self) -> Self:
        """The kind with what ``join`` has to know of all rows: here nothing."""
        return self

    @property
    def sides(self) -> Mapping[str, "Kind[Any]"]:
        """Other sources that tell of what the records hold, such as titles; the vocabulary reads them. Here none."""
        return {}

    @property
    def own(self) -> S:
        """The source without what ``sides`` read: what its ExampleGen is told."""
        return self.source

    @classmethod
    def guess(cls, columns: Mapping[str, Sequence[str]], named: Mapping[str, str]) -> Guess | None:
        """How a file would be read, for ``tfx-bert init``; None where it does not look like records of this kind.

        Args:
          columns: their cells in a sample of the rows, by name.
          named: keys of ``data`` that the person gave, with their columns.
        """
        del columns, named
        return None

    @classmethod
    def features(cls) -> tuple[str, ...]:
        """What a record holds under names of its own, whatever its columns are called."""
        return (*cls.texts, *cls.gold, "origin")

    @property
    def name(self) -> str:
        """What ``load`` finds it by."""
        return type(self).__module__.removeprefix(f"{_FOLDER}.")

    @property
    def columns(self) -> list[str]:
        """The columns that records are made of."""
        return [*(name for _, name in self.source.columns), *self.slices]

    def schema(self, path: str | None = None) -> "Schema":
        """The TFMD schema that the records must satisfy.

        Args:
          path: of the user's own one.

        Raises:
          DataError: the user's own schema lacks a feature that every record has.
        """
        slices: dict[str, Sequence[str]] = dict.fromkeys(self.slices, ())
        pair = getattr(self.source, "text_pair", None) is not None
        return schemas.resolve(self.name, labels=self.labels, slices=slices, pair=pair, path=path)

    # --- splits ---

    @property
    def shares(self) -> Mapping[str, float]:
        """The splits, in order, each with its share of the records."""
        return cast("SplitSource", self.source).split.model_dump()

    def split_of(self, key: bytes, files: str) -> str:
        """The split of a record.

        Args:
          key: of the record: 16 bytes, equal for equal texts.
          files: which ones it came from: ``path``, ``eval`` or ``test``. A split with files of its own takes no
            records of ``path``.
        """
        if files in self._splits:
            return files
        shares, total = self._shared
        point = int.from_bytes(key[:8], "big") / 2**64 * total
        for name, share in shares:
            if point < share:
                return name
            point -= share
        return shares[0][0]  # rounding

    @functools.cached_property
    def _splits(self) -> frozenset[str]:
        return frozenset(self.shares)

    @functools.cached_property
    def _shared(self) -> tuple[list[tuple[str, float]], float]:
        """The splits without files of their own, each with its share; and the sum of these."""
        shares = [(name, share) for name, share in self.shares.items() if getattr(self.source, name, None) is None]
        return shares, sum(share for _, share in shares)

    # --- what a person reads ---

    def label(self, record: Record) -> str:
        """What the records of a split are counted by; the same for all where it does not matter."""
        del record
        return ""

    @property
    def trained(self) -> float:
        """The share of what is read that is trained on, for an estimate."""
        return self.shares["train"]

    def records_of(self, head: Head) -> float:
        """How many records the rows of the whole source become, for an estimate: here as many as there are rows."""
        return head.records

    def add(self, record: Record | Part, head: Head) -> None:
        """Adds to ``head`` what ``summarize`` says of the records: here their labels."""
        if isinstance(record, Record):
            head.labels.update(self.labels_of(record))

    def labels_of(self, record: Record) -> list[str]:
        """The labels of a record."""
        values = record.features[self.labelled] if self.labelled else ()
        return [value.decode() for value in values if isinstance(value, bytes)]

    def line(self, report: bad_records.Report) -> str:
        """What was read, in one line."""
        return str(report)

    def judge(self, report: bad_records.Report, path: str) -> None:
        """Stops a run whose data is at fault.

        Args:
          report: of all rows.
          path: where the bad records stand.

        Raises:
          DataError: a fault of a file, too many bad records, an empty split.
        """
        bad_records.judge(report, self.source, path)
        for split, share in self.shares.items():
            if not report.size(split):
                raise DataError(bad_records.empty(report, self.source, split, share))

    def lacking(self, head: Head) -> str | None:
        """Why nothing can be learned from records that show this, whole; None where something can."""
        del head
        return None

    def remark(self, head: Head) -> str | None:
        """What a person should know of the records before training: a sentence of ``tfx-bert check``; here none."""
        del head
        return None

    @classmethod
    def gauge(cls, split: Callable[[str], Iterator[Mapping[str, "np.ndarray"]]]) -> tuple[str, bool] | None:
        """What the records show beside their statistics, and whether that is as it should be; here nothing.

        Args:
          split: gives the records of a split, an array of values by feature.
        """
        del split
        return None

    def summarize(self, head: Head) -> list[str]:
        """What ``tfx-bert check`` says of the records beside their number."""
        total = head.labels.total()
        parts = [f"{100 * (count / total):.0f} % {label}" for label, count in head.labels.most_common(6)]
        missing = [label for label in self.labels if label not in head.labels]
        if missing and head.exact:
            parts.append(f"label not seen: {', '.join(missing)}")
        return parts


def load(name: str) -> type[Kind[Any]]:
    """The class of a record kind, by the name of its module or, for one that lives elsewhere, by the module's path."""
    kind: type[Kind[Any]] = importlib.import_module(module(name)).Kind
    return kind


def module(name: str) -> str:
    """The path of the module that ``load`` imports."""
    return name if "." in name else f"{_FOLDER}.{name}"
