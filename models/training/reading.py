"""Records as they were written: transformed ones as datasets, raw ones as arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf


def rows(files: list[str], spec: Mapping[str, Any]) -> tf.data.Dataset:
    """Transformed records, one an element, in the files' order.

    Args:
      files: gzip TFRecords.
      spec: ``transformed_feature_spec()``.
    """
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").with_options(untuned())
    return records.map(lambda record: tf.io.parse_single_example(record, spec), num_parallel_calls=tf.data.AUTOTUNE)


def untuned() -> tf.data.Options:
    """Switches off tf.data's thread tuning for a dataset and everything derived from it.

    The tuner sleeps twice as long each time, up to a minute, and the end of an iteration may wait until it wakes. That
    made every third epoch of 3 s one of 5.1 s (TensorFlow 2.21).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def raw(serialized: bytes) -> dict[str, np.ndarray]:
    """A serialized tf.Example: an array of values by feature, bytes where they are text."""
    features = tf.train.Example.FromString(serialized).features.feature
    return {name: _values(feature) for name, feature in features.items()}


def _values(feature: tf.train.Feature) -> np.ndarray:
    kind = feature.WhichOneof("kind")
    return np.array(getattr(feature, kind).value if kind else [], object if kind == "bytes_list" else None)
