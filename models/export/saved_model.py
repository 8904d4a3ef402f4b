"""The SavedModel: raw text in, answer out, everything inside (docs/one_record.md walks through it).

Signatures:

- ``serving_default``: strings by column, each (B,) -> what a person reads.
- ``serving_examples``: ``examples`` string (B,), serialized tf.Example of raw records -> the same, plus ``all_classes``
  for TFMA.
- ``embed``: strings by column -> ``pooled`` and ``mean`` float32 (B, D).
- ``transform_features``: ``examples`` -> ``token_ids`` int64 (B, S), cut or padded with 0, and features to slice by.

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

from models.bert.encoder import BertEncoder
from models.export import golden, warmup
from models.task import Task, Tensors, dense


def write(
    folder: str,
    *,
    model: Any,
    encoder: BertEncoder,
    the_task: Task | None,
    featurize: Any,
    columns: list[str],
    raw_spec: Mapping[str, Any],
) -> None:
    """Writes the SavedModel into ``folder``.

    Args:
      folder: does not exist yet.
      model: a built Keras layer: batch to outputs; holds ``encoder``.
      encoder: gives ``embed``.
      the_task: gives the answers; without one (a base model) ``serving_default`` is ``embed``.
      featurize: raw columns to features: ``TFTransformOutput.transform_features_layer()``, or a function.
      columns: of text, in order: the arguments of ``serving_default``.
      raw_spec: how a serialized raw record is parsed, without what it is judged by.
    """
    made = signatures(model, encoder, the_task, featurize, columns, raw_spec)
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
    golden.write(assets(folder), columns, tf.function(made["serving_default"][0]), the_task)
    warmup.write(assets(folder), columns)


def signatures(
    model: Any,
    encoder: BertEncoder,
    the_task: Task | None,
    featurize: Any,
    columns: list[str],
    raw_spec: Mapping[str, Any],
) -> dict[str, tuple[Callable[..., dict[str, Any]], list[tf.TensorSpec]]]:
    """Each signature by name, as a function, and what it takes; the arguments are those of ``write``."""

    def features_of(record: Tensors) -> dict[str, Any]:
        features = featurize(dict(record))
        return {name: value for name, value in features.items() if not the_task or name not in the_task.targets}

    def answered(record: Tensors) -> dict[str, Any]:
        if the_task is None:
            return embedded(record)
        features = features_of(record)
        return the_task.answer(model(the_task.inputs(features), training=False), features, record)

    def embedded(record: Tensors) -> dict[str, Any]:
        # A task that reads in windows gives rows of any length.
        features = features_of(record)
        kept = {name: features[name][:, : encoder.max_positions] for name in ("token_ids", "segment_ids")}
        return embed(encoder, dense(kept))

    def parsed(examples: tf.Tensor) -> Tensors:
        record: Tensors = tf.io.parse_example(examples, dict(raw_spec))
        return record

    def serve(*texts: tf.Tensor) -> dict[str, Any]:
        return answered(_batch(columns, texts))

    def serve_examples(examples: tf.Tensor) -> dict[str, Any]:
        out = answered(parsed(examples))
        return {**out, "all_classes": out["labels"]} if "labels" in out else out

    embedded_columns = columns[:1] if the_task and the_task.separate_encoding else columns

    def serve_embedding(*texts: tf.Tensor) -> dict[str, Any]:
        return embedded(_batch(embedded_columns, texts))

    length = the_task.config.max_length if the_task else encoder.max_positions

    def transform_features(examples: tf.Tensor) -> dict[str, Any]:
        return {
            name: value.to_tensor(shape=[None, length]) if isinstance(value, tf.RaggedTensor) else value
            for name, value in features_of(parsed(examples)).items()
        }

    texts = [tf.TensorSpec([None], tf.string, name=column) for column in columns]
    examples = [tf.TensorSpec([None], tf.string, name="examples")]
    return {
        "serving_default": (serve, texts),
        "serving_examples": (serve_examples, examples),
        "embed": (serve_embedding, texts[: len(embedded_columns)]),
        "transform_features": (transform_features, examples),
    }


def _batch(columns: list[str], texts: Sequence[tf.Tensor]) -> Tensors:
    """The columns as given, each (B,).

    TensorFlow Serving feeds whatever shape a request has, and tensorflow-text ends the process on some of them.
    """
    ranked = [tf.ensure_shape(text, [None]) for text in texts]
    for column, text in zip(columns[1:], ranked[1:], strict=True):
        message = f"{column} and {columns[0]} must have as many texts"
        tf.debugging.assert_equal(tf.size(text), tf.size(ranked[0]), message=message)
    return dict(zip(columns, ranked, strict=True))


def embed(encoder: BertEncoder, batch: Tensors) -> dict[str, Any]:
    """``pooled``: tanh-pooled [CLS]; ``mean``: mean of the last layer over the real tokens. float32 (B, D)."""
    out = encoder.padding_free(batch["token_ids"], batch["segment_ids"], batch["padding_mask"], training=False)
    row = tf.cast(tf.where(batch["padding_mask"])[:, 0], tf.int32)
    return {"pooled": out["pooled"], "mean": tf.math.segment_mean(out["sequence"], row)}


def assets(folder: str) -> pathlib.Path:
    """Where a SavedModel carries what TF Serving does not read: the weights for hand-over, the experiment."""
    return pathlib.Path(folder) / "assets.extra"
