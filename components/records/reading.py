"""Chunks of files, and buckets of groups, to blocks of serialized records: what a process of ExampleGen does.

It imports neither TensorFlow nor Beam, so a process starts in a fraction of a second. What it has to tell (bad records,
faults of whole files, counts) travels as data, in notes: an exception in a Beam worker would lose its message.
"""

import math
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from components.records.blocks import Block, Draft, Entry, Groups, Keys
from components.records.kind import Kind
from components.records.ranges import SIZE, Chunk
from components.records.record import Counted, LeftOut, Part, Record
from components.records.rows import Bad, RowError
from schemas import DataError


@dataclass(frozen=True)
class Bucket:
    """The rows of some groups.

    Attributes:
      number: behind those of all chunks.
      parts: by the number of the block that they come from: pickled parts, by key of the files and group.
    """

    number: int
    parts: tuple[tuple[tuple[int, int], bytes], ...]
    streamed = False


@dataclass(frozen=True)
class Sample:
    """The records of one split that were drawn.

    Attributes:
      number: behind those of all chunks and buckets.
    """

    number: int
    split: str
    entries: list[Entry]
    streamed = False


Given = Chunk | Bucket | Sample
# What is to be read; and the keys of the splits behind the first one, where a record must not be in two splits.
Task = tuple[Given, Keys]


@dataclass(frozen=True)
class Work:
    """How tasks become blocks: the arguments of ``blocks.Draft``."""

    kind: Kind[Any]
    wanted: Literal["examples", "keys", "sample"] = "examples"
    buckets: int = 0
    quota: Mapping[str, int] = field(default_factory=dict)

    def block(self, task: Task) -> Block:
        """The one block of a task."""
        (block,) = self.blocks(task, math.inf)
        return block

    def blocks(self, task: Task, size: float = SIZE) -> Iterator[Block]:
        """The blocks of a task, each of about ``size`` bytes before they are packed."""
        given, later = task
        draft, number = Draft(self.kind, self.wanted, self.buckets, self.quota, later), 0
        for _ in self._fill(draft, given):
            if draft.size > size:
                yield draft.block((given.number, number))
                number += 1
        yield draft.block((given.number, number))

    def _fill(self, draft: Draft, given: Given) -> Iterator[None]:
        """Puts everything into the draft. Stops where a block may end."""
        if isinstance(given, Chunk):
            return self._read(draft, given)
        return self._join(draft, given) if isinstance(given, Bucket) else self._draw(draft, given)

    def _read(self, draft: Draft, chunk: Chunk) -> Iterator[None]:
        kind, files = self.kind, chunk.files
        for path, within, _ in chunk.pieces:
            try:
                for item in kind.records(path, within):
                    draft.counts["rows"] += 1
                    if isinstance(item, Record):
                        draft.record(kind.split_of(item.key, files), item)
                    elif isinstance(item, Part):
                        draft.part(files, item)
                    elif isinstance(item, Bad):
                        draft.note("bad", item.file, item.line, item.reason)
                    else:
                        draft.counts["left out"] += 1
                    yield
            except DataError as error:
                draft.note("fault", str(error))

    def _join(self, draft: Draft, bucket: Bucket) -> Iterator[None]:
        groups: Groups = {}
        for _, pickled in sorted(bucket.parts):
            for group, parts in pickle.loads(pickled).items():
                groups.setdefault(group, []).extend(parts)
        for (files, name), rows in groups.items():
            parts = [Part(name, *row) for row in rows]
            try:
                for item in self.kind.join(parts):
                    if isinstance(item, LeftOut):
                        draft.counts["left out"] += 1
                    elif isinstance(item, Counted):
                        draft.figures.update(item.figures)
                    else:
                        split, record = item
                        draft.record(split or self.kind.split_of(record.key, files), record)
            except RowError as fault:
                first = min(parts, key=lambda part: (part.file, part.line))
                draft.note("bad", first.file, first.line, str(fault))
            yield

    def _draw(self, draft: Draft, sample: Sample) -> Iterator[None]:
        for entry in sample.entries:
            draft.entry(sample.split, *entry)
            yield
