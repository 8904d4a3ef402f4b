"""The files of a split. Nodes work on them one by one, and on their records in batches."""

from collections.abc import Iterator, Sequence

import tensorflow as tf
from tfx import types
from tfx.types import artifact_utils

from components.storage import files
from components.storage.s3_place import is_s3

BATCH = 1000  # records: with fewer, TensorFlow's own time a call shows; with more, batches leave the processor's caches


def of_split(examples: Sequence[types.Artifact], split: str) -> list[str]:
    """The files of a split, in the order of its records.

    Raises:
      ValueError: there are none.
    """
    folders = artifact_utils.get_split_uris(list(examples), split)
    found = [path for folder in folders for path in sorted(files.fileio.glob(f"{folder}/*"))]
    if not found:
        raise ValueError(f"{' and '.join(folders)} hold no files of records: run ExampleGen again")
    return found


def batches(path: str, size: int = BATCH) -> Iterator[tf.Tensor]:
    """The serialized records of a file: string tensors (N,), N ≤ ``size``."""
    with files.readable(path) as place:
        yield from tf.data.TFRecordDataset(place, "GZIP").batch(size)


def shares(paths: Sequence[str]) -> dict[str, float]:
    """Of the bytes of all files, the share of each; in S3, where sizes are not at hand, all the same."""
    sizes = {path: 1 if is_s3(path) else tf.io.gfile.stat(path).length for path in paths}
    return {path: size / sum(sizes.values()) for path, size in sizes.items()}
