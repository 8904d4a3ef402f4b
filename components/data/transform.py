"""TFX's Transform with a vocabulary among its inputs: the stock one has no channel for it."""

import itertools
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tfx import types
from tfx.components.transform import executor
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import artifact_utils, standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import json_utils
from typing_extensions import override

from components.artifacts import Vocabulary
from components.data import featurize
from models import families, progress, vocabularies

VOCABULARY = "vocabulary"
# Figures of the summary come from this many rows, so that their cost does not grow with the data.
_SAMPLE = 10_000
_BATCH = 500  # rows parsed at once


class Spec(standard_component_specs.TransformSpec):
    """TFX's, with the vocabulary and the digest of the source that the graph is made by."""

    PARAMETERS = {
        **standard_component_specs.TransformSpec.PARAMETERS,
        "source_digest": ExecutionParameter(type=str),
    }
    INPUTS = {
        **standard_component_specs.TransformSpec.INPUTS,
        VOCABULARY: ChannelParameter(type=Vocabulary),
    }


class Executor(executor.Executor):
    """Tells ``preprocessing_fn`` the vocabulary's folder, and puts a copy beside the graph."""

    @override
    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        inputs = dict(input_dict)
        folder = artifact_utils.get_single_uri(inputs.pop(VOCABULARY))
        config = json.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        properties = {
            **exec_properties,
            standard_component_specs.CUSTOM_CONFIG_KEY: json_utils.dumps({**config, VOCABULARY: folder}),
        }
        super().Do(inputs, output_dict, properties)
        graph = artifact_utils.get_single_uri(output_dict[standard_component_specs.TRANSFORM_GRAPH_KEY])
        shutil.copytree(folder, pathlib.Path(graph) / VOCABULARY)
        examples = output_dict[standard_component_specs.TRANSFORMED_EXAMPLES_KEY]
        train = artifact_utils.get_split_uris(examples, "train")
        featurizer, vocabulary = featurize.featurizer(config), vocabularies.read(folder)
        line = families.load(featurizer.family).summarize(_first_rows(graph, train), vocabulary, config["config"])
        progress.emit(progress.Summary(line))


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
        transformed = types.Channel(type=standard_artifacts.Examples)
        transformed.matching_channel_name = standard_component_specs.EXAMPLES_KEY
        super().__init__(
            spec=Spec(
                examples=examples,
                schema=schema,
                vocabulary=vocabulary,
                preprocessing_fn="components.data.featurize.preprocessing_fn",
                custom_config=json_utils.dumps({"featurizer": featurizer, "config": config}),
                source_digest=source_digest,
                force_tf_compat_v1=0,
                disable_statistics=1,  # nothing reads the statistics, and they take half of the node's time
                transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
                transformed_examples=transformed,
            )
        )
