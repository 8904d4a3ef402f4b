"""Files of this machine, put where the nodes of a cluster look for them."""

import posixpath
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from components import files
from models import progress
from pipeline.figures import size
from pipeline.result import RunError


def stage(imports: Mapping[str, Path], home: str, local: Path) -> None:
    """Copies what is not there yet. A file's address holds the digest of its content, so what is there is right.

    Args:
      imports: files by the address that the nodes read them at.
      home: the experiment's folder in the workspace, which all addresses lie below.
      local: the experiment's folder on this machine.

    Raises:
      RunError: an address cannot be written.
    """
    volume = "://" not in home
    if volume and not Path(home).parent.is_dir():
        progress.emit(
            progress.Notice(
                f"{home} is on a volume of the cluster that this machine does not have: copy {local}/imports/ to "
                f"{home}/imports/ there, if that was not done before, while the run waits for its first machine"
            )
        )
        return
    try:
        places = {files.mounted(address): path for address, path in imports.items()}
        missing = {place: path for place, path in places.items() if not tf.io.gfile.exists(place)}
        if not missing:
            return
        total = size(sum(path.stat().st_size for path in missing.values()))
        where = f"{home}/imports/" + (", which must be the cluster's volume" if volume else "")
        progress.emit(progress.Notice(f"copying {len(missing)} files, {total}, to {where}"))
        for address, path in missing.items():
            _copy(str(path), address)
    except tf.errors.OpError as error:
        raise RunError(
            f"{home}/imports cannot be read and written from here ({error.message.splitlines()[0]}); log in with "
            "gcloud auth application-default login, or give workspace: in the environment another place"
        ) from error


def _copy(source: str, address: str) -> None:
    """Whole or not at all: an object of gs:// appears when its upload is done, other file systems can rename."""
    if address.startswith("gs://"):
        tf.io.gfile.copy(source, address, overwrite=True)
        return
    folder, name = posixpath.split(address)
    part = f"{folder}/.{name}.part"
    tf.io.gfile.makedirs(folder)
    tf.io.gfile.copy(source, part, overwrite=True)
    tf.io.gfile.rename(part, address, overwrite=True)
