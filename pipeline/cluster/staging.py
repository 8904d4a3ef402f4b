"""Uploads files of this machine to the addresses where a cluster's nodes read them."""

import posixpath
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from components.storage import files
from components.storage.files import fileio
from components.storage.s3_client import SCHEMES
from components.storage.s3_errors import StoreError
from models import progress
from pipeline.run.result import RunError
from pipeline.terminal.numbers import size

# The user of our images (deploy/Dockerfile).
_USER = 1000


def stage(imports: Mapping[str, Path], home: str, local: Path) -> None:
    """Copies missing files. A file's address holds its digest, so an existing file is up to date.

    Args:
      imports: files by the address that the nodes read them at.
      home: the experiment's folder in the workspace, which all addresses lie below.
      local: the experiment's folder on this machine.

    Raises:
      RunError: an address cannot be written, or the nodes may not write where they keep what outlives a run.
    """
    volume = "://" not in home
    if volume and not Path(home).parent.is_dir():
        progress.emit(
            progress.Notice(
                f"{home} is on a volume of the cluster that this machine does not have: copy {local}/imports/ to "
                f"{home}/imports/ there, if that was not done before, while the run waits for its first machine; the "
                f"nodes are user {_USER}, who must be able to write to {home}"
            )
        )
        return
    if volume:
        _share(Path(home))
    try:
        places = {files.mounted(address): path for address, path in imports.items()}
        missing = {place: path for place, path in places.items() if not fileio.exists(place)}
        if not missing:
            return
        total = size(sum(path.stat().st_size for path in missing.values()))
        where = f"{home}/imports/" + (", which must be the cluster's volume" if volume else "")
        progress.emit(progress.Notice(f"copying {len(missing)} files, {total}, to {where}"))
        for address, path in missing.items():
            _copy(str(path), address)
        for path in map(Path, missing if volume else ()):
            _allow(path, 0o444)
            for folder in path.parents[: len(path.relative_to(home).parts) - 2]:
                _allow(folder, 0o555)
    except StoreError as error:
        raise RunError(
            f"{home}/imports cannot be read and written from here: {error}; or give workspace: in the environment "
            "another place"
        ) from error
    except tf.errors.OpError as error:
        cure = "let this user write there" if volume else "log in with gcloud auth application-default login"
        raise RunError(
            f"{home}/imports cannot be read and written from here ({error.message.splitlines()[0]}); {cure}, or give "
            "workspace: in the environment another place"
        ) from error


def _share(home: Path) -> None:
    """Lets the nodes write below ``home``. The folder belongs to the user who submitted first, not to theirs."""
    try:
        home.mkdir(exist_ok=True)
        (home / "imports").mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"{error.filename} cannot be made ({error.strerror}); let this user write there") from None
    _allow(home / "imports", 0o555)
    _allow(home, 0o1777)  # sticky, as /tmp: only the owner of a file may remove it
    kept = [path for path in home.iterdir() if path.name != "imports" and path.is_dir()]
    for folder in (*kept, *(path for each in kept for path in each.iterdir() if path.is_dir())):
        _allow(folder, 0o777)


def _allow(path: Path, mode: int) -> None:
    """Gives everybody the rights of ``mode``, unless the nodes have them already."""
    there = path.stat()
    shift = 6 if there.st_uid == _USER else 3 if there.st_gid == _USER else 0
    wanted = mode & 0o7
    if there.st_mode >> shift & wanted == wanted:
        return
    try:
        path.chmod(there.st_mode | mode)
    except OSError:
        right = "write" if wanted & 2 else "read"
        raise RunError(
            f"the nodes, which are user {_USER}, may not {right} in {path}, which is user {there.st_uid}'s (mode "
            f"{there.st_mode & 0o7777:o}): call chmod a+{'rwx' if wanted & 2 else 'rX'} {path} as that user, or as root"
        ) from None


def _copy(source: str, address: str) -> None:
    """Copies atomically: an object appears when its upload is complete; other file systems rename."""
    if address.startswith(("gs://", *SCHEMES)):
        files.copy_file(source, address)
        return
    folder, name = posixpath.split(address)
    part = f"{folder}/.{name}.part"
    tf.io.gfile.makedirs(folder)
    tf.io.gfile.copy(source, part, overwrite=True)
    tf.io.gfile.rename(part, address, overwrite=True)
