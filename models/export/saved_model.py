"""The SavedModel: raw strings in, answer out, everything inside (docs/one_record.md walks through it).

Signatures:

- ``serving_default``: strings by input of the family, each (B,) -> what a person reads.
- ``serving_examples``: ``examples`` string (B,), serialized tf.Example of raw records -> the same, plus ``all_classes``
  for TFMA.
- ``transform_features``: ``examples`` -> the features that the model reads, ragged ones cut or padded with 0 to one
  width, and features to slice by.
- ``explain``, where asked for: the arguments of ``serving_default`` -> its answer, and what of the record decided it.
- those of the family, such as ``embed``: strings by input -> ``pooled`` and ``mean`` float32 (B, D).

A row of an output has the same shape in every batch: TensorFlow Serving's batching splits and joins requests of each
signature, and looks at the number of rows only (tensorflow/serving, batching/batching_session.cc, SplitInputTask).

``ExportArchive``, not ``tf.saved_model.save``: the latter's result does not load in a TF1 session, which the C++ loader
and BulkInferrer use.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from models import families
from models.export import golden, warmup
from models.families import Family, Input
from models.task import Task, Tensors

Signature = tuple[Callable[..., dict[str, Any]], list[tf.TensorSpec]]


def write(
    folder: str,
    *,
    family: str,
    model: Any,
    the_task: Task | None,
    featurize: Any,
    raw_spec: Mapping[str, Any],
    gold_spec: Mapping[str, tf.io.RaggedFeature] | None = None,
    explained_by: Any = None,
) -> None:
    """Writes the SavedModel into ``folder``.

    Args:
      folder: does not exist yet.
      family: the name of a module in ``models/families/``, or its dotted path.
      model: a built Keras layer: batch to outputs. Its family settles it: it is not trained any more.
      the_task: gives the answers; without one (a base model) ``serving_default`` answers as ``embed``.
      featurize: raw record to features: ``TFTransformOutput.transform_features_layer()``, or a function.
      raw_spec: how a serialized raw record is parsed, without what it is judged by; of its features ``serving_default``
        takes those that are inputs of the family.
      gold_spec: how that is parsed, for ``Task.examined`` and ``Task.sliced``; no other function gets it.
      explained_by: the vocabulary that made the ids; given, there is a signature ``explain``.
    """
    its = families.load(family)
    inputs = inputs_of(its, raw_spec)
    its.settle(model)
    made = signatures(its, model, the_task, featurize, raw_spec, gold_spec, explained_by)
    archive = keras.export.ExportArchive()
    archive.track(model)
    # ExportArchive lists the weights again under these names, and the file would hold each of them twice.
    for name in ("variables", "trainable_variables", "non_trainable_variables"):
        setattr(archive._tf_trackable, name, [])
    if isinstance(featurize, tf.Module):
        archive._tf_trackable.featurize = featurize  # its tables and files travel along
    for name, (function, takes) in made.items():
        archive.add_endpoint(name, function, takes)
    archive.write_out(folder, verbose=False)
    golden.write(assets(folder), family, inputs, tf.function(made["serving_default"][0]), the_task, sorted(made))
    warmup.write(assets(folder), inputs)


def inputs_of(family: Family, raw_spec: Mapping[str, Any]) -> tuple[Input, ...]:
    """The arguments of ``serving_default``, in the family's order."""
    return tuple(each for each in family.inputs if each.name in raw_spec)


def signatures(
    family: Family,
    model: Any,
    the_task: Task | None,
    featurize: Any,
    raw_spec: Mapping[str, Any],
    gold_spec: Mapping[str, tf.io.RaggedFeature] | None = None,
    explained_by: Any = None,
) -> dict[str, Signature]:
    """Each signature by name, as a function, and what it takes; the arguments are those of ``write``."""

    def features_of(record: Tensors) -> dict[str, Any]:
        features = featurize({name: _as_parsed(value, raw_spec.get(name)) for name, value in record.items()})
        hidden = (*the_task.targets, *the_task.kept_columns) if the_task else ()
        return {name: value for name, value in features.items() if name not in hidden}

    inputs = inputs_of(family, raw_spec)
    endpoints = family.endpoints(model, the_task, features_of, inputs)
    if the_task and explained_by is not None:
        endpoints["explain"] = family.explanation(model, the_task, features_of, explained_by, inputs)

    def answered(record: Tensors, gold: Tensors | None = None) -> dict[str, Any]:
        if the_task is None:
            return endpoints["embed"].answer(record)
        features = features_of(record)  # of the record alone: what it is judged by cannot reach the answer
        outputs = model(the_task.inputs(features), training=False)
        answer = the_task.answer(outputs, features, record)
        return answer if gold is None else {**the_task.examined(outputs, features, {**record, **gold}), **answer}

    def parsed(examples: tf.Tensor) -> Tensors:
        record: Tensors = tf.io.parse_example(examples, dict(raw_spec))
        return record

    def gold_of(examples: tf.Tensor) -> Tensors:
        gold: Tensors = tf.io.parse_example(examples, dict(gold_spec)) if gold_spec else {}
        return gold

    def serve_examples(examples: tf.Tensor) -> dict[str, Any]:
        out = answered(parsed(examples), gold_of(examples))
        return {**out, "all_classes": out["labels"]} if "labels" in out else out

    length = family.longest_row(model, the_task)

    def transform_features(examples: tf.Tensor) -> dict[str, Any]:
        record = parsed(examples)
        features = features_of(record)
        sliced = the_task.sliced(features, {**record, **gold_of(examples)}) if the_task else {}
        return sliced | {
            name: value.to_tensor(shape=[None, length]) if isinstance(value, tf.RaggedTensor) else value
            for name, value in features.items()
        }

    examples = [tf.TensorSpec([None], tf.string, name="examples")]
    return {
        "serving_default": _of_strings(family, inputs, answered),
        "serving_examples": (serve_examples, examples),
        **{name: _of_strings(family, each.inputs, each.answer) for name, each in endpoints.items()},
        "transform_features": (transform_features, examples),
    }


def _as_parsed(value: Any, spec: Any) -> Any:
    """A feature as ``tf.io.parse_example`` gives it, which is what Transform's graph takes."""
    sparse = isinstance(spec, tf.io.VarLenFeature) and isinstance(value, tf.RaggedTensor)
    return value.to_sparse() if sparse else value


def _of_strings(family: Family, inputs: Sequence[Input], answer: Callable[[Tensors], dict[str, Any]]) -> Signature:
    """The signature that takes ``inputs`` and answers the record that they stand for."""

    def serve(*values: tf.Tensor) -> dict[str, Any]:
        return answer(family.record(_batch([each.name for each in inputs], values)))

    return serve, [tf.TensorSpec([None], tf.string, name=each.name) for each in inputs]


def _batch(names: list[str], values: Sequence[tf.Tensor]) -> Tensors:
    """The arguments as given, each (B,).

    TensorFlow Serving feeds whatever shape a request has, and tensorflow-text ends the process on some of them.
    """
    ranked = [tf.ensure_shape(value, [None]) for value in values]
    for name, value in zip(names[1:], ranked[1:], strict=True):
        message = f"{name} and {names[0]} must have as many texts"
        tf.debugging.assert_equal(tf.size(value), tf.size(ranked[0]), message=message)
    return dict(zip(names, ranked, strict=True))


def assets(folder: str) -> pathlib.Path:
    """Where a SavedModel carries what TF Serving does not read: the weights for hand-over, the experiment."""
    return pathlib.Path(folder) / "assets.extra"
