"""Transform: TFX's graph of ``preprocessing_fn``, applied to the files of every split, a batch at a time.

TFX's own component has no channel for a vocabulary, hands Beam one record after another, and reads the data for
analyzers, of which there are none: the vocabulary is an artifact.
"""

import functools
import itertools
import json
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
from apache_beam.utils import shared
from tensorflow_transform import impl_helper
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils
from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import io_utils
from tfx_bsl.coders import example_coder
from typing_extensions import override

from components import parallel
from components.artifacts import Vocabulary
from components.data import featurize, shards
from components.storage import files
from models import families, progress, vocabularies
from models.training import lengths

VOCABULARY = "vocabulary"
# Figures of the summary come from this many rows, so that their cost does not grow with the data.
_SAMPLE = 10_000
_BATCH = 500  # rows parsed at once
# Level 6, the default, costs four times as much and saves a seventh.
_GZIP = tf.io.TFRecordOptions("GZIP", compression_level=1)


class Spec(component_spec.ComponentSpec):
    """What decides the graph, and what it is applied to."""

    PARAMETERS = {
        "custom_config": component_spec.ExecutionParameter(type=str),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        VOCABULARY: component_spec.ChannelParameter(type=Vocabulary),
    }
    OUTPUTS = {
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "transformed_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }


class Executor(base_beam_executor.BaseBeamExecutor):
    """Makes the graph, puts a copy of the vocabulary beside it, and applies it to every split."""

    @override
    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        self._log_startup(input_dict, output_dict, exec_properties)
        folder, schema = (artifact_utils.get_single_uri(input_dict[name]) for name in (VOCABULARY, "schema"))
        config = json.loads(exec_properties["custom_config"])
        graph = artifact_utils.get_single_uri(output_dict["transform_graph"])
        _make_graph(graph, schema, {**config, VOCABULARY: folder})
        files.copy(folder, f"{graph}/{VOCABULARY}")
        transformed = output_dict["transformed_examples"]
        self._apply(graph, input_dict["examples"], transformed)
        train = artifact_utils.get_split_uris(transformed, "train")
        featurizer, vocabulary = featurize.featurizer(config), vocabularies.read(folder)
        counted = lengths.Counted()
        rows = counted.passed(_first_rows(graph, train))
        line = families.load(featurizer.family).summarize(rows, vocabulary, config["config"])
        counted.write(graph)
        progress.emit(progress.Summary(line))

    def _apply(self, graph: str, examples: list[types.Artifact], transformed: list[types.Artifact]) -> None:
        """Writes a file for each file of ``examples``."""
        made = artifact_utils.get_single_instance(transformed)
        made.split_names = artifact_utils.get_single_instance(examples).split_names
        pairs = list[tuple[str, str]]()
        for split in artifact_utils.decode_split_names(made.split_names):
            sources, folder = shards.of_split(examples, split), artifact_utils.get_split_uri(transformed, split)
            name = f"{folder}/transformed_examples-{{:05}}-of-{len(sources):05}.gz"
            pairs += [(source, name.format(number)) for number, source in enumerate(sources)]
        shares = shards.shares([source for source, _ in pairs])
        with files.unfinished(made.uri) as parts, self._make_beam_pipeline() as pipeline:
            work = parallel.InParallel(
                _Apply(graph, parts),
                parallel.cores(pipeline.options),
                "threads",
                counted=lambda pair, records: (records, shares[pair[0]]),
            )
            _ = pipeline | "Files" >> beam.Create(pairs) | "Spread" >> beam.Reshuffle() | "Apply" >> beam.ParDo(work)


def _make_graph(folder: str, schema_folder: str, config: dict[str, Any]) -> None:
    """Writes the graph of ``preprocessing_fn``, and the schemas of what goes in and comes out, as TFX's executor does.

    TFX reads all data for it where the graph holds an assertion (``tft.get_analyze_input_columns``). There is nothing
    to learn from the data, so this goes the way that TFX goes without one (``TransformProcessor._RunInPlaceImpl``).
    """
    schema = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema_folder))
    raw = f"{folder}/{tft.TFTransformOutput.RAW_METADATA_DIR}"
    metadata_io.write_metadata(dataset_metadata.DatasetMetadata(schema), raw)
    columns = schema_utils.schema_as_feature_spec(schema).feature_spec
    function = functools.partial(featurize.preprocessing_fn, custom_config=config)
    specs = impl_helper.get_type_specs_from_feature_specs(columns)
    impl_helper.analyze_in_place(function, False, columns, specs, folder)


class _Apply:
    """(file of raw tf.Examples, file to write) → how many: the graph's tf.Examples, a record for a record."""

    def __init__(self, graph: str, parts: str) -> None:
        self.graph, self.parts = graph, parts
        self.loaded = shared.Shared()  # one a process

    def __call__(self, pair: tuple[str, str]) -> int:
        source, target = pair
        count = 0
        transform = self.loaded.acquire(lambda: _Graph(self.graph))
        with files.writable(target, self.parts) as place, tf.io.TFRecordWriter(place, _GZIP) as writer:
            for records in shards.batches(source):
                for record in transform(records):
                    writer.write(record)
                    count += 1
        return count


class _Graph:
    """Serialized raw tf.Examples, a string tensor (N,), to N serialized tf.Examples, as TFX's own executor has them."""

    def __init__(self, graph: str) -> None:
        import tensorflow_text  # noqa: F401 (its ops are in the graph, and a worker elsewhere has not made it)

        output = tft.TFTransformOutput(graph)
        layer, raw = output.transform_features_layer(), output.raw_feature_spec()

        def apply(records: tf.Tensor) -> dict[str, Any]:
            features: dict[str, Any] = layer(tf.io.parse_example(records, raw))
            return features

        self.apply = tf.function(apply, [tf.TensorSpec([None], tf.string)], autograph=False)
        self.to_arrow = impl_helper.make_tensor_to_arrow_converter(output.transformed_metadata.schema)
        self.encoder = example_coder.RecordBatchToExamplesEncoder(output.transformed_metadata.schema)

    def __call__(self, records: tf.Tensor) -> list[bytes]:
        encoded: list[bytes] = self.encoder.encode(self.to_arrow.convert(self.apply(records)))
        return encoded


def _first_rows(graph: str, folders: list[str]) -> Iterator[Any]:
    """Batches of transformed features."""
    spec = tft.TFTransformOutput(graph).transformed_feature_spec()
    files = sorted(itertools.chain.from_iterable(tf.io.gfile.glob(f"{folder}/*") for folder in folders))
    for records in tf.data.TFRecordDataset(files, compression_type="GZIP").take(_SAMPLE).batch(_BATCH):
        yield tf.io.parse_example(records, spec)


class Transform(base_beam_component.BaseBeamComponent):
    """Tokenizes every split, and keeps the graph that does it for serving.

    Args:
      examples: Examples of tf.Example.
      schema: their Schema.
      vocabulary: a Vocabulary; its rules come with it.
      featurizer: dotted path of a callable; see ``components.data.featurize.preprocessing_fn``.
      config: what the callable is called with; ``max_length``, if it is there, is the longest row in tokens.
      source_digest: of the code behind ``featurizer``; another one runs the node again.

    Outputs: ``transform_graph``, with the vocabulary in its folder ``vocabulary``, and ``transformed_examples``.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        schema: types.BaseChannel,
        vocabulary: types.BaseChannel,
        featurizer: str,
        config: dict[str, Any],
        source_digest: str,
    ):
        super().__init__(
            spec=Spec(
                examples=examples,
                schema=schema,
                vocabulary=vocabulary,
                custom_config=json.dumps({"featurizer": featurizer, "config": config}, sort_keys=True),
                source_digest=source_digest,
                transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
                transformed_examples=types.Channel(type=standard_artifacts.Examples),
            )
        )
