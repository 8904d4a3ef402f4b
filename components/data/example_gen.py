"""ExampleGen: files of records of any kind to tf.Examples in the splits of that kind.

Beam reads file by file, so any Beam runner spreads the files over its workers. Rows are grouped only where their kind
joins several into a record. What workers have to tell (bad records, faults of whole files, counts) travels as data, in
notes that ``Executor`` reads afterwards: an exception in a worker would reach the user without its message.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import apache_beam as beam
import tensorflow as tf
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.dsl.placeholder import placeholder
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, channel_utils, component_spec, standard_artifacts

from components.artifacts import BadRecords
from components.records import bad_records, readers
from components.records.kind import Kind, load
from components.records.record import Counted, LeftOut, Part, Record
from components.records.rows import Bad, RowError
from components.storage.files import fileio
from configs.sources import Source
from models import progress
from schemas import DataError

# Of a source's files: known when the pipeline is made, or what SourceDigest will give.
Digest: TypeAlias = "str | placeholder.Placeholder"
# (split, key, file, line, label, serialized tf.Example)
Element = tuple[str, bytes, str, int, str, bytes]


class _Read(beam.DoFn):
    """(key of the files, path) → elements; parts of groups on ``parts``; notes on ``notes``."""

    def __init__(self, kind: Kind[Any]) -> None:
        self.kind = kind

    def process(self, element: tuple[str, str]) -> Iterator[Any]:
        files, path = element
        counts = Counter[str]()
        try:
            for item in self.kind.records(path):
                counts["rows"] += 1
                if isinstance(item, Record):
                    yield _element(self.kind, item, self.kind.split_of(item.key, files))
                elif isinstance(item, Part):
                    yield beam.pvalue.TaggedOutput("parts", ((files, item.group), item))
                elif isinstance(item, Bad):
                    yield _note("bad", item.file, item.line, item.reason)
                else:
                    counts["left out"] += 1
        except DataError as error:
            yield _note("fault", str(error))
        for name, number in counts.items():
            yield _note("count", name, number)


class _Join(beam.DoFn):
    """The parts of one group → its elements; notes on ``notes``."""

    def __init__(self, kind: Kind[Any]) -> None:
        self.kind = kind

    def setup(self) -> None:
        self.figures = Counter[str]()

    def process(self, element: tuple[tuple[str, str], Iterable[Part]]) -> Iterator[Any]:
        (files, _), group = element
        parts = list(group)
        try:
            for item in self.kind.join(parts):
                if isinstance(item, LeftOut):
                    yield _note("count", "left out", 1)
                elif isinstance(item, Counted):
                    self.figures.update(item.figures)
                else:
                    split, record = item
                    yield _element(self.kind, record, split or self.kind.split_of(record.key, files))
        except RowError as fault:
            first = min(parts, key=lambda part: (part.file, part.line))
            yield _note("bad", first.file, first.line, str(fault))

    def finish_bundle(self) -> Iterator[Any]:
        for name, number in self.figures.items():
            yield _windowed(_note("figure", name, number))
        self.figures.clear()


class _Elements(beam.PTransform):
    """The source's elements, and the notes of its readers."""

    def __init__(self, read: _Read) -> None:
        super().__init__()
        self.read = read

    def expand(self, pipeline: beam.Pipeline) -> tuple[beam.PCollection, beam.PCollection]:
        kind = self.read.kind
        paths = [(key, path) for key, files in readers.files(kind.source).items() for path in files]
        found = (
            pipeline
            | "Files" >> beam.Create(paths)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(self.read).with_outputs("notes", "parts", main="elements")
        )
        if not kind.grouped:
            return found.elements, found.notes
        grouped = found.parts | "Rows" >> beam.GroupByKey()
        joined = grouped | "Join" >> beam.ParDo(_Join(kind)).with_outputs("notes", main="elements")
        elements = (joined.elements, found.elements) | "Both" >> beam.Flatten()  # plain text has no rows to join
        return elements, (found.notes, joined.notes) | "AllNotes" >> beam.Flatten()


class _Route(beam.DoFn):
    """Elements → the outputs named as the splits; a text that a later split has too becomes a bad record."""

    def __init__(self, splits: Sequence[str]) -> None:
        self.splits = splits

    def setup(self) -> None:
        self.counts = Counter[tuple[str, str]]()

    def process(self, element: Element, later: Mapping[bytes, int] = {}) -> Iterator[Any]:
        split, key, file, line, label, example = element
        if (latest := later.get(key)) is not None and self.splits[latest] != split:
            yield _note("bad", file, line, f"also in {self.splits[latest]}")
            return
        self.counts[split, label] += 1
        yield beam.pvalue.TaggedOutput(split, example)

    def finish_bundle(self) -> Iterator[Any]:
        for (split, label), number in self.counts.items():
            yield _windowed(_note("records", split, label, number))
        self.counts.clear()


def _element(kind: Kind[Any], record: Record, split: str) -> Element:
    feature = {name: _feature(values) for name, values in record.features.items()}
    example = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True)
    return split, record.key, record.file, record.line, kind.label(record), example


def _feature(values: Sequence[Any]) -> tf.train.Feature:
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    if values and isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values)) if values else tf.train.Feature()


def _note(*values: str | int) -> beam.pvalue.TaggedOutput:
    return beam.pvalue.TaggedOutput("notes", json.dumps(values))


def _windowed(note: beam.pvalue.TaggedOutput) -> beam.pvalue.TaggedOutput:
    """``note``, as the end of a bundle may give it."""
    window = GlobalWindow()
    return beam.pvalue.TaggedOutput(note.tag, WindowedValue(note.value, window.max_timestamp(), [window]))


def _later(elements: beam.PCollection, splits: Sequence[str]) -> beam.PCollection:
    """(key, index of the latest split that has it) of the texts that a split behind the first one has."""
    return (
        elements
        | "HeldOut" >> beam.Filter(lambda element: element[0] != splits[0])
        | "SplitOfKey" >> beam.Map(lambda element: (element[1], splits.index(element[0])))
        | "LatestSplit" >> beam.CombinePerKey(max)
    )


def _sampled(elements: beam.PCollection, size: int, shares: Mapping[str, float]) -> beam.PCollection:
    """About ``size`` elements, of each split its share: those with the smallest keys."""
    quota = {split: max(1, round(size * share)) for split, share in shares.items()}
    return (
        elements
        | "BySplit" >> beam.Map(lambda element: (element[0], element))
        | "Sample" >> beam.combiners.Top.SmallestPerKey(size)
        | "Sampled" >> beam.FlatMap(lambda item: item[1][: quota[item[0]]])
    )


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
        with self._make_beam_pipeline() as pipeline:
            split = _split(pipeline, kind, exec_properties["sample"])
            for name in splits:
                prefix = f"{artifact_utils.get_split_uri([examples], name)}/data_tfrecord"
                _ = split[name] | f"Write[{name}]" >> beam.io.WriteToTFRecord(prefix, file_name_suffix=".gz")
            _ = split["notes"] | "WriteNotes" >> beam.io.WriteToText(f"{folder}/notes")
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


def _split(pipeline: beam.Pipeline, kind: Kind[Any], sample: int) -> dict[str, beam.PCollection]:
    """Serialized examples by split, and the ``notes``."""
    read, splits = _Read(kind), list(kind.shares)
    elements, notes = pipeline | "Records" >> _Elements(read)
    # Read again for the keys: to keep the elements until the keys are known would need memory for all of them.
    apart = kind.leaks and any(getattr(kind.source, key, None) for key in ("eval", "test"))
    known = pipeline | "Keys" >> _Elements(read) if apart else None
    later = [beam.pvalue.AsDict(_later(known[0], splits))] if known else []
    if sample:
        elements = _sampled(elements, sample, kind.shares)
    routed = elements | "Route" >> beam.ParDo(_Route(splits), *later).with_outputs("notes", *splits)
    return {"notes": (notes, routed.notes) | "Notes" >> beam.Flatten(), **{name: routed[name] for name in splits}}


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
