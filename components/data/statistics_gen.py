"""StatisticsGen: what ExampleValidator reads, computed by TFDV's own generators over the files of the splits.

TFX's own component hands Beam the values of every column one by one, to count how often each occurs. Here each file
gives a partial result, over Arrow batches, and partial results are merged.
"""

import operator
from collections.abc import Iterable
from typing import Any, TypeAlias

import apache_beam as beam
from tensorflow_data_validation.statistics.generators.basic_stats_generator import BasicStatsGenerator
from tensorflow_data_validation.statistics.generators.top_k_uniques_sketch_stats_generator import (
    TopKUniquesSketchStatsGenerator,
)
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx import types
from tfx.components.statistics_gen.executor import DEFAULT_FILE_NAME
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder
from tfx_bsl.statistics.merge_util import merge_dataset_feature_statistics
from typing_extensions import override

from components import parallel
from components.data import shards
from components.storage import files
from components.storage.files import fileio

# As long as a column has no more different values than this, they are counted exactly. Otherwise their number is an
# estimate, and so are the counts of the frequent ones: the rank histogram keeps those for ExampleValidator, and there
# are no top values.
EXACT = 16_384
_UNIQUE = ("origin",)  # columns without two equal values: only their presence is looked at
# A partial result: the accumulators of the basic statistics and of the values.
_Partial: TypeAlias = "tuple[Any, Any]"


def _generators() -> tuple[BasicStatsGenerator, TopKUniquesSketchStatsGenerator]:
    """TFDV's, with the sizes of ``tfdv.StatsOptions`` but for ``EXACT``."""
    values = TopKUniquesSketchStatsGenerator(
        num_top_values=20,
        num_rank_histogram_buckets=1000,
        num_misragries_buckets=EXACT * 9 // 8,  # the other sketch may be some percent too low
        num_kmv_buckets=EXACT,
    )
    return BasicStatsGenerator(), values


def _partial(element: tuple[str, str]) -> tuple[tuple[str, _Partial], int]:
    """(split, file) → (split, the statistics of the file); its records."""
    split, path = element
    count = 0
    basic, values = _generators()
    decoder = ExamplesToRecordBatchDecoder()
    of_all, of_values = basic.create_accumulator(), values.create_accumulator()
    for records in shards.batches(path):
        batch = decoder.DecodeBatch(records.numpy().tolist())
        count += batch.num_rows
        of_all = basic.add_input(of_all, batch)
        repeating = [name for name in batch.schema.names if name not in _UNIQUE]
        of_values = values.add_input(of_values, batch.select(repeating))
    return (split, (of_all, of_values)), count


class _Merge(beam.CombineFn):
    """Partial results → the statistics of a split."""

    def __init__(self) -> None:
        self.generators = _generators()

    @override
    def create_accumulator(self) -> _Partial:
        basic, values = self.generators
        return basic.create_accumulator(), values.create_accumulator()

    @override
    def add_input(self, accumulator: _Partial, partial: _Partial) -> _Partial:
        return self.merge_accumulators([accumulator, partial])

    @override
    def merge_accumulators(self, accumulators: Iterable[_Partial]) -> _Partial:
        (basic, values), (of_all, of_values) = self.generators, zip(*accumulators, strict=True)
        return basic.merge_accumulators(of_all), values.merge_accumulators(of_values)

    @override
    def extract_output(self, accumulator: _Partial) -> statistics_pb2.DatasetFeatureStatisticsList:
        parts = [each.extract_output(each.compact(of)) for each, of in zip(self.generators, accumulator, strict=True)]
        merged: statistics_pb2.DatasetFeatureStatisticsList = merge_dataset_feature_statistics(parts)
        for feature in merged.datasets[0].features:
            if feature.string_stats.unique > EXACT:
                del feature.string_stats.top_values[:]
        return merged


class _Write(beam.DoFn):
    """(split, its statistics) → the split's ``FeatureStats.pb``."""

    def __init__(self, folders: dict[str, str], parts: str) -> None:
        self.folders, self.parts = folders, parts

    @override
    def process(self, element: tuple[str, statistics_pb2.DatasetFeatureStatisticsList]) -> None:
        split, found = element
        path = f"{self.folders[split]}/{DEFAULT_FILE_NAME}"
        with files.writable(path, self.parts) as place, fileio.open(place, "wb") as file:
            file.write(found.SerializeToString(deterministic=True))


class Executor(base_beam_executor.BaseBeamExecutor):
    """One Beam pipeline for all splits; its elements are files."""

    @override
    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes ``FeatureStats.pb`` of every split."""
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        made = artifact_utils.get_single_instance(output_dict["statistics"])
        made.split_names, made.span = examples.split_names, examples.span
        splits = artifact_utils.decode_split_names(examples.split_names)
        paths = [(split, path) for split in splits for path in shards.of_split([examples], split)]
        folders = {split: artifact_utils.get_split_uri([made], split) for split in splits}
        shares = shards.shares([path for _, path in paths])
        with files.unfinished(made.uri) as parts, self._make_beam_pipeline() as pipeline:
            work = parallel.InParallel(
                _partial,
                parallel.cores(pipeline.options),
                "threads",
                counted=lambda element, result: (result[1], shares[element[1]]),
            )
            _ = (
                pipeline
                | "Files" >> beam.Create(paths)
                | "Spread" >> beam.Reshuffle()
                | "Count" >> beam.ParDo(work)
                | "Partial" >> beam.Map(operator.itemgetter(0))
                | "Merge" >> beam.CombinePerKey(_Merge())
                | "Write" >> beam.ParDo(_Write(folders, parts))
            )


class Spec(component_spec.ComponentSpec):
    """What is counted, by which code."""

    PARAMETERS = {"source_digest": component_spec.ExecutionParameter(type=str)}
    INPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics)}


class StatisticsGen(base_beam_component.BaseBeamComponent):
    """The statistics of every split, as TFDV computes them, but for what nobody looks at; see ``EXACT`` too.

    Args:
      examples: Examples of tf.Example.
      source_digest: of the code behind this node; another one runs it again.

    Outputs: ``statistics``.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, examples: types.BaseChannel, source_digest: str) -> None:
        statistics = types.Channel(type=standard_artifacts.ExampleStatistics)
        super().__init__(spec=Spec(examples=examples, source_digest=source_digest, statistics=statistics))
