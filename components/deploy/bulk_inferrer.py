"""TFX's BulkInferrer for models that answer strings, with a summary line.

The stock executor dies on an output of one string a record, such as ``label``: tfx-bsl 1.21 asks an element of the
output for its dtype, and an element of a string array is plain bytes ("'bytes' object has no attribute 'dtype'").
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.bulk_inferrer import executor
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.proto import bulk_inferrer_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx_bsl.public.beam.run_inference import RunInference
from tfx_bsl.public.proto import model_spec_pb2
from typing_extensions import override

from components.records.kinds.score import SPLIT
from models import progress

# Records a batch. Beam would go to thousands, whose attention alone takes gigabytes; 32 keep the cores busy.
_BATCH = 32


class _Session:
    """A TensorFlow 1 session whose strings of shape (B,) come as (B, 1)."""

    def __init__(self, folder: str, tags: Sequence[str]) -> None:
        import tensorflow_text  # noqa: F401 (its ops are in the graph)

        self.session = tf.compat.v1.Session(graph=tf.Graph())
        tf.compat.v1.saved_model.load(self.session, tags, folder)

    def run(self, fetches: Mapping[str, str], feed_dict: Mapping[str, Any]) -> dict[str, Any]:
        found = self.session.run(fetches, feed_dict=feed_dict)
        return {
            name: value[:, None] if value.dtype == object and value.ndim == 1 else value
            for name, value in found.items()
        }


class Executor(executor.Executor):
    """Answers with a blessed model only, in a TensorFlow 1 session, on Beam."""

    @override
    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        super().Do(input_dict, output_dict, exec_properties)
        blessing = artifact_utils.get_single_instance(input_dict[standard_component_specs.MODEL_BLESSING_KEY])
        if not model_utils.is_model_blessed(blessing):
            progress.emit(progress.Summary("nothing scored: the model is not blessed"))
            return
        folder = artifact_utils.get_split_uri(output_dict[standard_component_specs.OUTPUT_EXAMPLES_KEY], SPLIT)
        told = Counter[bytes]()
        count = 0
        for record in tf.data.TFRecordDataset(tf.io.gfile.glob(f"{folder}/*"), "GZIP").as_numpy_iterator():
            count += 1
            told.update(tf.train.Example.FromString(record).features.feature["label"].bytes_list.value)
        labels = [f"{number:,} {label.decode()}" for label, number in told.most_common()]
        progress.emit(progress.Summary(" · ".join([f"{count:,} scored", *labels])))

    def _run_model_inference(
        self,
        data_spec: Any,
        output_example_spec: bulk_inferrer_pb2.OutputExampleSpec,
        examples: list[types.Artifact],
        output_examples: types.Artifact,
        inference_result: None,
        inference_endpoint: model_spec_pb2.InferenceSpecType,
    ) -> None:
        """As the stock one does it, but for the session and the size of a batch."""
        del data_spec, inference_result
        output_examples.split_names = artifact_utils.encode_split_names([SPLIT])
        target = artifact_utils.get_split_uri([output_examples], SPLIT)
        inference_endpoint.batch_parameters.max_batch_size = _BATCH
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Read" >> beam.io.ReadFromTFRecord(f"{artifact_utils.get_split_uri(examples, SPLIT)}/*")
                | "Answer" >> RunInference(inference_endpoint, load_override_fn=_Session)
                | "Write" >> executor._WriteExamples(output_example_spec, target)
            )


class Spec(standard_component_specs.BulkInferrerSpec):
    """TFX's, and the digest of the code."""

    PARAMETERS = {
        **standard_component_specs.BulkInferrerSpec.PARAMETERS,
        "source_digest": component_spec.ExecutionParameter(type=str),
    }


class BulkInferrer(base_beam_component.BaseBeamComponent):
    """Answers unlabelled records: their Examples, and beside their features what the model answers.

    Args:
      examples: raw Examples, in the split ``score``.
      model: whose SavedModel answers.
      model_blessing: of that model.
      answers: outputs of the signature that are kept, under their names.
      source_digest: of the code behind this node.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        answers: Sequence[str],
        source_digest: str,
    ) -> None:
        columns = [bulk_inferrer_pb2.PredictOutputCol(output_key=name, output_column=name) for name in answers]
        output = bulk_inferrer_pb2.PredictOutput(output_columns=columns)
        super().__init__(
            spec=Spec(
                examples=examples,
                model=model,
                model_blessing=model_blessing,
                data_spec=bulk_inferrer_pb2.DataSpec(),
                model_spec=bulk_inferrer_pb2.ModelSpec(model_signature_name=["serving_examples"]),
                output_example_spec=bulk_inferrer_pb2.OutputExampleSpec(
                    output_columns_spec=[bulk_inferrer_pb2.OutputColumnsSpec(predict_output=output)]
                ),
                source_digest=source_digest,
                output_examples=types.Channel(type=standard_artifacts.Examples),
            )
        )
