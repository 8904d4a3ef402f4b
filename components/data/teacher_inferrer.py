"""What a teacher answers, once, beside the features that a student is trained on.

The teacher is a pushed SavedModel, which takes raw text: its vocabulary and its encoder need not be the student's.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils
from typing_extensions import override

from components.data import augmentation, shards
from components.storage import files
from models import distillation, progress, task
from models.export import golden, saved_model
from models.training import reading

_INPUTS = ("text", "text_pair")
# Rows that the teacher answers at once: with 32 the cores are busy, and attention's memory is small.
_BATCH = 32
_GZIP = tf.io.TFRecordOptions("GZIP", compression_level=1)
Texts = tuple[bytes, ...]


class Spec(component_spec.ComponentSpec):
    """See ``TeacherInferrer``."""

    PARAMETERS = {
        "task": component_spec.ExecutionParameter(type=str),
        "name": component_spec.ExecutionParameter(type=str),
        "most": component_spec.ExecutionParameter(type=int),
        "augment": component_spec.ExecutionParameter(type=int),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transformed_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "teacher": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "texts": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {"taught_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}


class Executor(base_executor.BaseExecutor):
    """Asks the teacher, a batch at a time."""

    @override
    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        self._log_startup(input_dict, output_dict, exec_properties)
        student, meter = json.loads(exec_properties["task"]), progress.Meter()
        the_task = task.load(student["type"])(student["config"])
        teacher = Teacher(artifact_utils.get_single_uri(input_dict["teacher"]), the_task)
        made = artifact_utils.get_single_instance(output_dict["taught_examples"])
        made.split_names = artifact_utils.get_single_instance(input_dict["examples"]).split_names
        known, trained, count, unlabelled = set[Texts](), list[Texts](), 0, 0
        with files.unfinished(made.uri) as parts:
            for split in artifact_utils.decode_split_names(made.split_names):
                pairs = [shards.of_split(input_dict[name], split) for name in ("examples", "transformed_examples")]
                folder, asked = artifact_utils.get_split_uri([made], split), list[Texts]()
                for raw, transformed in zip(*pairs, strict=True):
                    rows = _answered(teacher, raw, transformed, asked)
                    count += _write(f"{folder}/{transformed.rpartition('/')[2]}", parts, rows, meter)
                known.update(asked)
                trained += asked if split == "train" else []
            if exec_properties["augment"] or input_dict.get("texts"):
                others: Iterator[Texts] = augmentation.variants(trained, exec_properties["augment"])
                if input_dict.get("texts"):
                    given = _spread(input_dict["texts"], teacher.inputs, exec_properties["most"])
                    others = itertools.chain(others, given)
                graph = artifact_utils.get_single_uri(input_dict["transform_graph"])
                target = f"{artifact_utils.get_split_uri([made], 'train')}/{distillation.UNLABELLED}"
                unlabelled = _write(target, parts, _unlabelled(teacher, graph, _new(others, known)), meter)
        more = f" and {unlabelled:,} texts without a label" if unlabelled else ""
        progress.emit(progress.Summary(f"{exec_properties['name']} answered {count:,} records{more}"))


class Teacher:
    """A pushed model, asked for what its student learns.

    Args:
      uri: of a Model.
      the_task: of the student.

    Attributes:
      inputs: what the model takes.
    """

    def __init__(self, uri: str, the_task: task.Task) -> None:
        import tensorflow_text  # noqa: F401 (its ops are in the graph)

        folder = path_utils.serving_model_path(uri)
        kept = golden.read(saved_model.assets(folder))
        self.inputs: list[str] = [name for name in _INPUTS if name in kept["inputs"]]
        self._output = the_task.taught
        labels = the_task.label_names
        # A label's score goes to the place that the student has for it.
        self._order = [kept["outputs"]["labels"][0].index(label) for label in labels] if labels else [0]
        self._module = tf.saved_model.load(folder)  # the signature holds its variables through it

    def __call__(self, texts: Sequence[Texts]) -> np.ndarray:
        """Answers, float32 (N, C), to N texts or pairs."""
        columns = dict(zip(self.inputs, map(tf.constant, zip(*texts, strict=True)), strict=True))
        found = self._module.signatures["serving_default"](**columns)[self._output].numpy()
        answers: np.ndarray = found.reshape(len(texts), -1)[:, self._order]
        return answers


def _write(path: str, parts: str, batches: Iterator[list[bytes]], meter: progress.Meter) -> int:
    """Writes a file of rows; how many."""
    count = 0
    with files.writable(path, parts) as place, tf.io.TFRecordWriter(place, _GZIP) as writer:
        for rows in batches:
            for row in rows:
                writer.write(row)
            count += len(rows)
            meter.add(len(rows), None)
    return count


def _answered(teacher: Teacher, raw: str, transformed: str, asked: list[Texts]) -> Iterator[list[bytes]]:
    """Rows of a file of transformed records with the answers, batch by batch; ``asked`` grows by their texts."""
    batches = (shards.batches(path, _BATCH) for path in (raw, transformed))
    for records, rows in zip(*batches, strict=True):
        texts = [_texts(reading.raw(record), teacher.inputs) for record in records.numpy()]
        taught = []
        for row, answer in zip(rows.numpy(), teacher(texts), strict=True):
            example = tf.train.Example.FromString(row)
            _add(example, answer, labelled=True)
            taught.append(example.SerializeToString())
        asked += texts
        yield taught


def _add(example: Any, answer: np.ndarray, *, labelled: bool) -> None:
    for name, values in zip(task.TAUGHT, (answer.tolist(), [float(labelled)]), strict=True):
        example.features.feature[name].float_list.value.extend(values)


def _texts(record: Mapping[str, np.ndarray], inputs: Sequence[str]) -> Texts:
    return tuple(record[name].item() for name in inputs)


def _spread(examples: list[types.Artifact], inputs: Sequence[str], most: int) -> Iterator[Texts]:
    """At most ``most`` of the texts, spread evenly over all of them: no draw decides which."""

    def found() -> Iterator[Texts]:
        splits = artifact_utils.decode_split_names(artifact_utils.get_single_instance(examples).split_names)
        for path in shards.of_split(examples, splits[0]):  # of a corpus: train
            for batch in shards.batches(path):
                for record in map(reading.raw, batch.numpy()):
                    sentences = record.get("sentences")
                    yield from [_texts(record, inputs)] if sentences is None else ((each,) for each in sentences)

    total = sum(1 for _ in found())
    kept = min(most, total)
    return (text for i, text in enumerate(found()) if (i + 1) * kept // total > i * kept // total)


def _new(texts: Iterator[Texts], known: set[Texts]) -> Iterator[Texts]:
    """Each text once that is not among the known ones, and has a word; ``known`` grows by them."""
    for text in texts:
        if text not in known and all(map(bytes.strip, text)):
            known.add(text)
            yield text


def _unlabelled(teacher: Teacher, graph: str, texts: Iterator[Texts]) -> Iterator[list[bytes]]:
    """Rows of texts without a label, batch by batch: what is made of the label is 0 or empty."""
    output = tft.TFTransformOutput(graph)
    layer, specs = output.transform_features_layer(), output.transformed_feature_spec()
    while batch := list(itertools.islice(texts, _BATCH)):
        columns = zip(teacher.inputs, map(tf.constant, zip(*batch, strict=True)), strict=True)
        values = {_key(name, specs[name]): _by_row(value) for name, value in layer(dict(columns)).items()}
        blank = {key: _blank(each) for name, each in specs.items() if (key := _key(name, each)) not in values}
        rows = []
        for i, answer in enumerate(teacher(batch)):
            example = tf.train.Example()
            for name, value in (blank | {name: found[i] for name, found in values.items()}).items():
                _put(example.features.feature[name], value)
            _add(example, answer, labelled=False)
            rows.append(example.SerializeToString())
        yield rows


def _key(name: str, spec: Any) -> str:
    """What a tf.Example calls the feature: the values of a ragged one have a name of their own."""
    return getattr(spec, "value_key", None) or name


def _by_row(value: Any) -> list[np.ndarray]:
    if isinstance(value, tf.SparseTensor):
        value = tf.RaggedTensor.from_sparse(value)
    if isinstance(value, tf.RaggedTensor):
        return np.split(value.values.numpy(), value.row_splits.numpy()[1:-1])
    array = value.numpy()
    return list(array.reshape(len(array), -1))


def _blank(spec: Any) -> np.ndarray:
    size = int(np.prod(spec.shape)) if isinstance(spec, tf.io.FixedLenFeature) else 0
    return np.full(size, b"", object) if spec.dtype == tf.string else np.zeros(size, spec.dtype.as_numpy_dtype)


def _put(feature: Any, value: np.ndarray) -> None:
    kind = {"i": feature.int64_list, "f": feature.float_list}.get(value.dtype.kind, feature.bytes_list)
    kind.value.extend(value.tolist())
    feature.SetInParent()


class TeacherInferrer(base_component.BaseComponent):
    """Transformed records with what a teacher answers to their texts, and texts without labels that it answers too.

    Args:
      examples: raw Examples.
      transformed_examples: of Transform, of the same records in the same files.
      transform_graph: that made them.
      teacher: a Model that a Pusher wrote.
      texts: raw Examples of texts without labels, or of documents; None where there are none.
      the_task: its ``type`` and its ``config``.
      name: what a person calls the teacher.
      most: of ``texts``.
      augment: variants of each train text.
      source_digest: of the code behind this node.

    Output ``taught_examples``: the splits of ``examples``, in whose rows are the features ``models.task.TAUGHT`` too;
    the rows without a label are in the train split.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transformed_examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        teacher: types.BaseChannel,
        texts: types.BaseChannel | None,
        *,
        the_task: Mapping[str, Any],
        name: str,
        most: int,
        augment: int,
        source_digest: str,
    ) -> None:
        super().__init__(
            spec=Spec(
                examples=examples,
                transformed_examples=transformed_examples,
                transform_graph=transform_graph,
                teacher=teacher,
                **({"texts": texts} if texts else {}),
                task=json.dumps(the_task),
                name=name,
                most=most,
                augment=augment,
                source_digest=source_digest,
                taught_examples=types.Channel(type=standard_artifacts.Examples),
            )
        )
