"""Some thousand records as one: what ExampleGen's processes give back."""

import functools
import heapq
import json
import pickle
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from components.records import serialized
from components.records.kind import Kind
from components.records.record import Part, Record

# zlib's fastest level: a third of the usual one's time, for about a tenth more bytes.
_LEVEL = 1
# Of each block: the keys of a split, 16 bytes each and joined, and the split's place among all.
Keys = tuple[tuple[int, bytes], ...]
Groups = dict[tuple[str, str], list[tuple[Any, ...]]]


class Entry(NamedTuple):
    """A record of a sample; sorts by key, file and line."""

    key: bytes
    file: str
    line: int
    label: str
    example: bytes


@dataclass
class Block:
    """What some thousand rows gave.

    Attributes:
      number: of the chunk or bucket, and within it: so blocks sort as the files' lines do.
      records: rows that were read for it.
      examples: by split: TFRecords, packed with gzip.
      notes: JSON, a line each; see ``bad_records.count``.
      keys: by the split's place among all: keys, joined.
      parts: by bucket: pickled parts, by key of the files and group.
      sample: by split: the records with the smallest keys.
    """

    number: tuple[int, int]
    records: int = 0
    examples: dict[str, bytes] = field(default_factory=dict)
    notes: str = ""
    keys: dict[int, bytes] = field(default_factory=dict)
    parts: dict[int, bytes] = field(default_factory=dict)
    sample: dict[str, list[Entry]] = field(default_factory=dict)


class Draft:
    """A block that is being filled.

    Args:
      kind: of the records.
      wanted: of a record: its example; its key, if it is not in the first split; or a place in the sample.
      buckets: how many the parts are put into; 0: they are not wanted.
      quota: by split: records of a sample.
      later: keys; a record whose key a later split has too is bad.

    Attributes:
      size: of what it holds, bytes, about.
    """

    def __init__(
        self,
        kind: Kind[Any],
        wanted: Literal["examples", "keys", "sample"],
        buckets: int,
        quota: Mapping[str, int],
        later: Keys,
    ) -> None:
        self.kind, self.wanted, self.buckets, self.quota = kind, wanted, buckets, quota
        self.splits = {split: place for place, split in enumerate(kind.shares)}
        self.names = list(self.splits)
        self.later = _latest(later)
        self._clear()

    def _clear(self) -> None:
        self.size = 0
        self.notes = list[str]()
        self.counts = Counter[str]()
        self.figures = Counter[str]()
        self.labels = Counter[tuple[str, str]]()
        self.examples = defaultdict[str, list[bytes]](list)
        self.keys = defaultdict[int, list[bytes]](list)
        self.sample = defaultdict[str, list[Entry]](list)
        self.parts = defaultdict[int, Groups](dict)

    def record(self, split: str, record: Record) -> None:
        """Takes a record of a split."""
        if self.wanted == "keys":
            if place := self.splits[split]:
                self.keys[place].append(record.key)
                self.size += len(record.key)
            return
        entry = (record.key, record.file, record.line, self.kind.label(record), serialized.example(record.features))
        if self.wanted == "examples":
            self.entry(split, *entry)
            return
        found, quota = self.sample[split], self.quota[split]
        found.append(Entry(*entry))
        if len(found) > 2 * quota:
            self.sample[split] = heapq.nsmallest(quota, found)

    def entry(self, split: str, key: bytes, file: str, line: int, label: str, example: bytes) -> None:
        """Takes a record of a split, unless a later split has its key."""
        if (latest := self.later.get(key)) is not None and self.names[latest] != split:
            self.note("bad", file, line, f"also in {self.names[latest]}")
            return
        self.labels[split, label] += 1
        self.examples[split].append(serialized.record(example))
        self.size += len(example)

    def part(self, files: str, part: Part) -> None:
        """Takes a row of a group of the files of ``path``, ``eval`` or ``test``."""
        if self.buckets:
            group, *rest = part
            bucket = zlib.crc32(f"{files}\0{group}".encode()) % self.buckets
            self.parts[bucket].setdefault((files, group), []).append(tuple(rest))
            self.size += 100

    def note(self, *values: str | int) -> None:
        """Takes what ``bad_records.count`` is to be told."""
        self.notes.append(json.dumps(values))
        self.size += len(self.notes[-1])

    def block(self, number: tuple[int, int]) -> Block:
        """What was taken since the last block."""
        if self.wanted != "keys":
            for name, count in self.counts.items():
                self.note("count", name, count)
            for name, count in self.figures.items():
                self.note("figure", name, count)
            for (split, label), count in self.labels.items():
                self.note("records", split, label, count)
        done = Block(
            number,
            self.counts["rows"],
            {split: _packed(found) for split, found in self.examples.items()},
            "".join(f"{note}\n" for note in self.notes) if self.wanted != "keys" else "",
            {place: b"".join(found) for place, found in self.keys.items()},
            {bucket: pickle.dumps(groups) for bucket, groups in self.parts.items()},
            {split: heapq.nsmallest(self.quota[split], found) for split, found in self.sample.items()},
        )
        self._clear()
        return done


def _packed(records: list[bytes]) -> bytes:
    """As gzip, which several may be joined to (RFC 1952, 2.2)."""
    pack = zlib.compressobj(_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return pack.compress(b"".join(records)) + pack.flush()


@functools.lru_cache(1)
def _latest(keys: Keys) -> Mapping[bytes, int]:
    """By key: the place of the latest split that has it."""
    return {joined[at : at + 16]: place for place, joined in sorted(keys) for at in range(0, len(joined), 16)}
