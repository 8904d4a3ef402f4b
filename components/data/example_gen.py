"""ExampleGen: files of records of any kind to tf.Examples in the splits of that kind.

A Beam element is a chunk of the files, not a record, so any Beam runner spreads the chunks over its workers, and has
little else to do. On this machine light processes read them, one a core. Rows are grouped only where their kind joins
several into a record. A block of records is written as a file whose name says its place in the input: written again,
after a worker failed, it is the same file.
"""

import functools
import heapq
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import apache_beam as beam
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.dsl.placeholder import placeholder
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, channel_utils, component_spec, standard_artifacts
from typing_extensions import override

from components.artifacts import BadRecords
from components.parallel import InParallel, cores
from components.records import bad_records, ranges
from components.records.blocks import Block, Entry, Keys
from components.records.kind import Kind, load
from components.records.ranges import Chunk
from components.records.reading import Bucket, Given, Sample, Task, Work
from components.storage.files import fileio, unfinished, writable
from configs.sources import Source
from models import progress

# Of a source's files: known when the pipeline is made, or what SourceDigest will give.
Digest: TypeAlias = "str | placeholder.Placeholder"


class _Blocks(InParallel):
    """Tasks → blocks. What is too large to be one block, or in an object store, is read here and gives several."""

    def __init__(self, work: Work, cores: int, size: int) -> None:
        super().__init__(work.block, cores, "processes", counted=functools.partial(_counted, size))
        self.several = work.blocks

    @override
    def process(self, element: Task) -> Iterator[Block]:
        if not element[0].streamed:
            yield from super().process(element)
            return
        for block in self.several(element):
            yield self._told(element, block)


def _counted(size: int, task: Task, block: Block) -> tuple[int, float | None]:
    """The rows of a block, and their share of all bytes; None for a part of a chunk, and for rows that were counted."""
    chunk, _ = task
    if not isinstance(chunk, Chunk) or chunk.streamed or not size:
        return block.records, None
    return block.records, ranges.size([chunk]) / size


class _Write(beam.DoFn):
    """Blocks → a file of notes each, and one of each split that it has records of.

    Args:
      folders: of the splits.
      notes: folder of the notes.
      parts: folder of files that are not whole yet.
    """

    def __init__(self, folders: Mapping[str, str], notes: str, parts: str) -> None:
        self.folders, self.notes, self.parts = folders, notes, parts

    @override
    def process(self, element: Block) -> None:
        name = "{:05}-{:05}".format(*element.number)
        for split, content in element.examples.items():
            self._write(f"{self.folders[split]}/data_tfrecord-{name}.gz", content)
        self._write(f"{self.notes}/notes-{name}", element.notes.encode())

    def _write(self, path: str, content: bytes) -> None:
        with writable(path, self.parts) as place, fileio.open(place, "wb") as file:
            file.write(content)


class _Records:
    """The records of a source, in blocks.

    Args:
      kind: of the records.
      sample: how many; 0: all.
      cores: that may be used at once.
    """

    def __init__(self, kind: Kind[Any], sample: int, cores: int) -> None:
        self.kind = kind
        self.chunks = ranges.chunks(kind)
        number = max(1, ranges.size(self.chunks) // ranges.SIZE)
        self.cores = min(cores, number)  # what is small does not need a process
        self.buckets = number if kind.grouped else 0
        self.quota = {split: max(1, round(sample * share)) for split, share in kind.shares.items()} if sample else {}

    def blocks(self, pipeline: beam.Pipeline) -> list[beam.PCollection]:
        """Collections of blocks; together they are the source."""
        kind, groups, later = self.kind, None, []
        blocks = functools.partial(_blocks, cores=self.cores, size=ranges.size(self.chunks))
        if kind.leaks and any(getattr(kind.source, key, None) for key in ("eval", "test")):
            # Read apart: to keep the records until the keys are known would need memory for all of them.
            known = [blocks("Keys", _given(pipeline, "Known", self._known()), Work(kind, "keys", self.buckets))]
            if kind.grouped:
                groups = self._groups(known[0])
                known.append(blocks("JoinKeys", groups, Work(kind, "keys")))
            later = [beam.pvalue.AsList(known | "KeysOfAll" >> beam.Flatten() | beam.FlatMap(_keys))]
        work = Work(kind, "sample" if self.quota else "examples", 0 if groups else self.buckets, self.quota)
        checked = [] if self.quota else later
        found = [blocks("Read", _given(pipeline, "Chunks", self.chunks), work, checked)]
        if kind.grouped:
            found.append(blocks("Join", groups or self._groups(found[0]), work, checked))
        if self.quota:
            found.append(blocks("Sample", self._drawn(found), Work(kind), later))
        return found

    def _known(self) -> list[Chunk]:
        """The chunks that may hold a record of a split behind another's: of ``path`` only if test is drawn from it."""
        drawn = self.kind.grouped or getattr(self.kind.source, "test", None) is None
        return [chunk for chunk in self.chunks if drawn or chunk.files != "path"]

    def _groups(self, blocks: beam.PCollection) -> beam.PCollection:
        """Rows that their kind joins, groups by groups: each group is in one of the buckets."""
        return (
            blocks
            | "Parts" >> beam.FlatMap(_parts).with_output_types(tuple[int, Any])
            | "Rows" >> beam.GroupByKey()
            | "Buckets" >> beam.MapTuple(functools.partial(_bucket, len(self.chunks))).with_output_types(Any)
        )

    def _drawn(self, found: Sequence[beam.PCollection]) -> beam.PCollection:
        """About ``sample`` records, of each split its share: those with the smallest keys."""
        place = len(self.chunks) + self.buckets
        return (
            found
            | "OfAll" >> beam.Flatten()
            | "BySplit" >> beam.FlatMap(lambda block: block.sample.items()).with_output_types(tuple[str, Any])
            | "Smallest" >> beam.CombinePerKey(functools.partial(_smallest, max(self.quota.values())))
            | "Drawn" >> beam.MapTuple(functools.partial(_sampled, place, self.quota)).with_output_types(Any)
        )


def _given(pipeline: beam.Pipeline, name: str, chunks: Sequence[Chunk]) -> beam.PCollection:
    return pipeline | name >> beam.Create(chunks).with_output_types(Any) | f"Spread{name}" >> beam.Reshuffle()


def _blocks(
    name: str, given: beam.PCollection, work: Work, later: Sequence[Any] = (), *, cores: int, size: int
) -> beam.PCollection:
    tasks = given | f"{name}Tasks" >> beam.Map(_task, *later).with_output_types(Any)
    return tasks | name >> beam.ParDo(_Blocks(work, cores, size)).with_output_types(Any)


def _task(given: Given, later: Iterable[tuple[int, bytes]] = ()) -> Task:
    return given, tuple(later)


def _keys(block: Block) -> Keys:
    return tuple(block.keys.items())


def _parts(block: Block) -> Iterator[tuple[int, Any]]:
    return ((bucket, (block.number, parts)) for bucket, parts in block.parts.items())


def _bucket(chunks: int, number: int, parts: Iterable[tuple[tuple[int, int], bytes]]) -> Bucket:
    return Bucket(chunks + number, tuple(sorted(parts)))


def _smallest(size: int, samples: Iterable[Sequence[Entry]]) -> list[Entry]:
    return heapq.nsmallest(size, itertools.chain.from_iterable(samples))


def _sampled(place: int, quota: Mapping[str, int], split: str, entries: list[Entry]) -> Sample:
    return Sample(place + list(quota).index(split), split, entries[: quota[split]])


class Executor(base_beam_executor.BaseBeamExecutor):
    """Runs the Beam pipeline, then judges what it reported."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Writes the splits and ``bad_records.csv``.

        Raises:
          DataError: a fault of a file, too many bad records, an empty split, one label only.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        folder = artifact_utils.get_single_uri(output_dict["bad_records"])
        kind = kind_of(exec_properties)
        kind.check()
        kind = kind.fitted()
        splits = list(kind.shares)
        examples.split_names = artifact_utils.encode_split_names(splits)
        examples.span = examples.version = 0
        examples_utils.set_payload_format(examples, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(examples, "tfrecords_gzip")
        folders = {split: artifact_utils.get_split_uri([examples], split) for split in splits}
        for each in folders.values():
            if fileio.exists(each):
                fileio.rmtree(each)  # of an attempt that failed
        with unfinished(examples.uri) as parts, self._make_beam_pipeline() as pipeline:
            records = _Records(kind, exec_properties["sample"], cores(pipeline.options))
            for number, blocks in enumerate(records.blocks(pipeline)):
                _ = blocks | f"Write{number}" >> beam.ParDo(_Write(folders, folder, parts))
        report = bad_records.gather(fileio.glob(f"{folder}/notes*"), f"{folder}/{bad_records.FILE}", splits)
        for path in fileio.glob(f"{folder}/notes*"):
            fileio.remove(path)
        kept = exec_properties["bad_records_path"]
        if not report.bad and fileio.exists(kept):
            fileio.remove(kept)  # an earlier run's; they are mended
        if report.bad:
            fileio.makedirs(kept.rpartition("/")[0] or ".")
            fileio.copy(f"{folder}/{bad_records.FILE}", kept, overwrite=True)
        kind.judge(report, kept)
        progress.emit(progress.Summary(kind.line(report)))


def kind_of(exec_properties: Mapping[str, Any]) -> Kind[Any]:
    """The record kind that ``kind``, ``source``, ``labels`` and ``slices`` describe."""
    kind = load(exec_properties["kind"])
    source = kind.data.model_validate_json(exec_properties["source"])
    return kind(source, json.loads(exec_properties["labels"]), json.loads(exec_properties["slices"]))


class Spec(component_spec.ComponentSpec):
    """What decides the output; every parameter is part of the cache key."""

    PARAMETERS = {
        "kind": component_spec.ExecutionParameter(type=str),
        "source": component_spec.ExecutionParameter(type=str),
        "labels": component_spec.ExecutionParameter(type=str),
        "slices": component_spec.ExecutionParameter(type=str),
        "sample": component_spec.ExecutionParameter(type=int),
        "input_digest": component_spec.ExecutionParameter(type=str),
        "source_digest": component_spec.ExecutionParameter(type=str),
        "bad_records_path": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "bad_records": component_spec.ChannelParameter(type=BadRecords),
    }


class RecordExampleGen(base_beam_component.BaseBeamComponent):
    """The records of a source as tf.Examples, in the splits of their kind.

    Args:
      kind: name of a record kind, as ``components.records.kind.load`` takes it. Its schema says what a record holds.
      source: a section of the experiment: ``corpus``, ``task.data``, ``scored``.
      labels: every label there is; none where there are no labels, or any is taken.
      slices: columns of ``evaluate.slices``: each becomes a feature.
      input_digest: of the source's files; TFX's cache does not see a file that was edited.
      source_digest: of the code behind this node.
      bad_records_path: where ``bad_records.csv`` stays when the run fails; the same in every run, or nothing is cached.
      sample: take so many records; 0 takes all.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        kind: str,
        source: Source,
        *,
        labels: Sequence[str] = (),
        slices: Sequence[str] = (),
        input_digest: Digest,
        source_digest: str,
        bad_records_path: str,
        sample: int = 0,
    ) -> None:
        super().__init__(
            spec=Spec(
                kind=kind,
                source=source.model_dump_json(),
                labels=json.dumps(list(labels)),
                slices=json.dumps(list(slices)),
                sample=sample,
                input_digest=input_digest,
                source_digest=source_digest,
                bad_records_path=bad_records_path,
                examples=channel_utils.as_channel([standard_artifacts.Examples()]),
                bad_records=channel_utils.as_channel([BadRecords()]),
            )
        )
