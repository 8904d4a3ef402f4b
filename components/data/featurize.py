"""What Transform calls."""

import importlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models import vocabularies


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, Any]) -> dict[str, Any]:
    """Raw columns to model inputs, in the graph that every serving signature runs as well.

    Args:
      inputs: string tensors (N,) or (N, 1) for columns with one value, sparse or ragged ones for the others.
      custom_config: ``vocabulary``, a folder; ``featurizer``, the dotted path of a callable that, called with
        ``config``, gives an object with ``featurize(record, vocabulary)`` and ``kept_columns``.

    Returns:
      What ``featurize`` gives, int64, float32 or string tensors, and those of ``kept_columns`` that are there; a row
      in, a row out.
    """
    record = {name: _column(value) for name, value in inputs.items()}
    vocabulary, asked = vocabularies.read(custom_config["vocabulary"]), featurizer(custom_config)
    features: dict[str, Any] = asked.featurize(record, vocabulary)
    return {name: record[name] for name in asked.kept_columns if name in record} | features


def featurizer(custom_config: Mapping[str, Any]) -> Any:
    """The object that ``preprocessing_fn`` asks: ``featurize``, and the name of its ``family``."""
    module, name = custom_config["featurizer"].rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(custom_config["config"])


def _column(value: Any) -> Any:
    if isinstance(value, tf.SparseTensor):
        return tf.RaggedTensor.from_sparse(value)
    return tf.reshape(value, [-1]) if isinstance(value, tf.Tensor) else value
