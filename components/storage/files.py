"""File systems: this machine's, TensorFlow's (``gs://``), and S3.

``fileio`` is TFX's, and what its own executors open files with; S3 is added to it here, so whoever opens an address
imports this module first. TensorFlow 2.21 has no S3.
"""

import contextlib
import os
import pathlib
import posixpath
import shutil
import tempfile
import uuid
from collections.abc import Iterator

import tensorflow as tf
from tfx.dsl.io import fileio, filesystem_registry

from components.storage import s3
from components.storage.s3_place import is_s3

__all__ = [
    "MOUNTS",
    "ROOT",
    "Mirror",
    "below",
    "copy",
    "copy_file",
    "fileio",
    "mirrored",
    "mounted",
    "opened",
    "readable",
    "unfinished",
    "writable",
]

filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(s3.S3, priority=0)

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
        for here, _, names in fileio.walk(folder)
        for name in names
    )
    return iter(sorted(found))


def copy(source: str, target: str, last: str = "") -> int:
    """Copies every file below ``source`` to ``target``, the file named ``last`` after all others; how many."""
    names = sorted(below(source), key=lambda name: (name == last, name))
    for name in names:
        place = posixpath.join(target, name)
        fileio.makedirs(posixpath.dirname(place))
        copy_file(posixpath.join(source, name), place)
    return len(names)


def copy_file(source: str, target: str) -> None:
    """Copies a file from any file system to any; in S3 and ``gs://`` it appears whole."""
    match is_s3(source), is_s3(target):
        case False, False:
            tf.io.gfile.copy(source, target, overwrite=True)
        case True, True:
            s3.S3.copy(source, target, overwrite=True)
        case False, True if "://" not in source:
            s3.upload(source, target)
        case True, False if "://" not in target:
            s3.download(source, target)
        case _:
            with fileio.open(source, "rb") as given, fileio.open(target, "wb") as taken:
                shutil.copyfileobj(given, taken, 1 << 20)


class Mirror:
    """A folder of this machine that stands for one in S3, for libraries that open files themselves.

    Attributes:
      address: of the folder in S3.
      folder: on this machine; it goes with this object.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._place = tempfile.TemporaryDirectory()
        self.folder = self._place.name
        copy(address, self.folder)
        self._pushed = self._states()

    def push(self, last: str = "") -> None:
        """Brings over what changed since then: new files first, ``last`` behind them, and then what is gone goes.

        So the file ``last``, where it names others, names what is there, whenever this is cut short.
        """
        now = self._states()
        changed = [name for name, state in now.items() if self._pushed.get(name) != state]
        for name in sorted(changed, key=lambda name: (name == last, name)):
            copy_file(f"{self.folder}/{name}", f"{self.address}/{name}")
        for name in self._pushed.keys() - now.keys():
            fileio.remove(f"{self.address}/{name}")
        self._pushed = now

    def _states(self) -> dict[str, tuple[int, int, int]]:
        """Files with what changes when they are written."""
        found = {name: pathlib.Path(self.folder, name).stat() for name in below(self.folder)}
        return {name: (each.st_ino, each.st_size, each.st_mtime_ns) for name, each in found.items()}


@contextlib.contextmanager
def opened(folder: str) -> Iterator[str]:
    """The folder where TensorFlow can open its files: a copy of one that is in S3, for as long as the block lasts."""
    mirror = mirrored(folder)
    yield mirror.folder if mirror else folder


@contextlib.contextmanager
def readable(path: str) -> Iterator[str]:
    """Where TensorFlow can read the file: a copy of one that is in S3, for as long as the block lasts."""
    if not is_s3(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/{posixpath.basename(path)}"
        copy_file(path, place)
        yield place


@contextlib.contextmanager
def writable(path: str, parts: str) -> Iterator[str]:
    """Where TensorFlow can write the file. It appears whole when the block ends, and not at all if that raises.

    Args:
      path: of the file; its folder is made where there is none.
      parts: a folder of the same file system, for what is not finished; see ``unfinished``.
    """
    fileio.makedirs(posixpath.dirname(path))
    if is_s3(path):
        with tempfile.TemporaryDirectory() as folder:
            place = f"{folder}/{posixpath.basename(path)}"
            yield place
            copy_file(place, path)
    elif "://" in path:  # an object of a store appears when it is closed
        yield path
    else:
        fileio.makedirs(parts)
        part = f"{parts}/{uuid.uuid4().hex}"
        yield part
        fileio.rename(part, path, overwrite=True)


@contextlib.contextmanager
def unfinished(folder: str) -> Iterator[str]:
    """A folder for ``writable``, inside of ``folder``; it goes when the block ends without an error."""
    parts = f"{folder}/.parts"
    yield parts
    if fileio.exists(parts):
        fileio.rmtree(parts)


def mirrored(address: str) -> Mirror | None:
    """What stands for a folder in S3; None for a folder that TensorFlow opens itself."""
    return Mirror(address) if is_s3(address) else None
