"""Folders on any file system that TensorFlow knows: this machine's, ``gs://``."""

import os
import pathlib
import posixpath
from collections.abc import Iterator

import tensorflow as tf

# Where buckets are mounted: by Kubeflow's launcher, by Vertex, by gcsfuse; and a variable that says where these folders
# are, for the dry run has them elsewhere.
MOUNTS = {"gs://": "gcs/", "s3://": "s3/", "minio://": "minio/"}
ROOT = "TFX_BERT_MOUNTS"


def mounted(address: str) -> str:
    """Where a bucket's file is on this machine; the address itself where the bucket is not mounted."""
    root = os.environ.get(ROOT, "/")
    for scheme, mount in MOUNTS.items():
        if address.startswith(scheme):
            bucket = address.removeprefix(scheme).partition("/")[0]
            if pathlib.Path(root, mount, bucket).is_dir():
                return f"{root}{mount}{address.removeprefix(scheme)}"
    return address


def below(folder: str) -> Iterator[str]:
    """Relative names of the files below ``folder``, in order; none where there is no such folder."""
    found = (
        posixpath.relpath(posixpath.join(here, name), folder)
        for here, _, names in tf.io.gfile.walk(folder)
        for name in names
    )
    return iter(sorted(found))


def copy(source: str, target: str, last: str = "") -> int:
    """Copies every file below ``source`` to ``target``, the file named ``last`` after all others; how many."""
    names = sorted(below(source), key=lambda name: (name == last, name))
    for name in names:
        place = posixpath.join(target, name)
        tf.io.gfile.makedirs(posixpath.dirname(place))
        tf.io.gfile.copy(posixpath.join(source, name), place, overwrite=True)
    return len(names)
