"""``tfx-bert predict`` with a remote ``--input`` or ``--output``: downloads, predicts on this machine, uploads."""

import os
import posixpath
import shutil
from pathlib import Path
from typing import Any

from components import digest
from pipeline.inference.bulk import bulk


def answer(root: Path, model: str | None, input_file: str, output: str, **options: Any) -> None:
    """See ``bulk``. The same command goes on where one was killed, as there.

    Args:
      root: the environment's ``runs`` folder.
      model: as ``bulk`` takes it.
      input_file: a file of this machine, or an address.
      output: the same.
      options: as ``bulk`` takes them.

    Raises:
      StoreError: an address cannot be read or written.
    """
    if "://" not in f"{input_file}{output}":
        bulk(root, model, Path(input_file), Path(output), **options)
        return
    from components.storage import files

    place = root / ".predict" / digest.of_text(f"{input_file}\n{output}")
    (place / "out").mkdir(parents=True, exist_ok=True)
    source, target = Path(input_file), Path(output)
    if "://" in input_file:
        source, there = place / posixpath.basename(input_file), files.fileio.stat(input_file)
        if not source.exists() or (source.stat().st_size, source.stat().st_mtime_ns) != (
            there.length,
            int(there.mtime_nsec),
        ):
            files.copy_file(input_file, str(source))
            os.utime(source, ns=(int(there.mtime_nsec), int(there.mtime_nsec)))
    if "://" in output:
        target = place / "out" / posixpath.basename(output)
    bulk(root, model, source, target, **options)
    if "://" in output:
        for path in (place / "out").iterdir():  # the bad records' file is beside the answers
            files.copy_file(str(path), f"{posixpath.dirname(output)}/{path.name}")
    shutil.rmtree(place)
