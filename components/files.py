"""Folders on any file system that TensorFlow knows: this machine's, ``gs://``."""

import posixpath
from collections.abc import Iterator

import tensorflow as tf


def below(folder: str) -> Iterator[str]:
    """Relative names of the files below ``folder``, in order; none where there is no such folder."""
    found = (
        posixpath.relpath(posixpath.join(here, name), folder)
        for here, _, names in tf.io.gfile.walk(folder)
        for name in names
    )
    return iter(sorted(found))


def copy(source: str, target: str, last: str = "") -> None:
    """Copies every file below ``source`` to ``target``, the file named ``last`` after all others."""
    for name in sorted(below(source), key=lambda name: (name == last, name)):
        place = posixpath.join(target, name)
        tf.io.gfile.makedirs(posixpath.dirname(place))
        tf.io.gfile.copy(posixpath.join(source, name), place, overwrite=True)
