"""A resumable file: its first line names what it is made from, each further line is a result."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pipeline.run.result import RunError


@contextlib.contextmanager
def alone(path: Path) -> Iterator[IO[bytes]]:
    """The file, for one process at a time; it goes if nothing was written.

    Raises:
      RunError: another process has it.
    """
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"another process is writing {path}; wait for it, or name another --output") from None
        try:
            yield file
        finally:
            if not os.fstat(file.fileno()).st_size:  # nothing to go on from
                path.unlink(missing_ok=True)


def resumed(file: IO[bytes], path: Path, made_from: dict[str, Any], *, batch: int, total: int) -> int:
    """Cuts the file behind its last whole batch, and gives the number of results that it holds.

    Args:
      file: what ``alone`` gave.
      path: its name, for a person.
      made_from: all that decides the results.
      batch: lines that are written at once; the last batch may be shorter.
      total: lines of a finished file.

    Raises:
      RunError: it was made from something else.
    """
    file.seek(0)
    head = file.readline()
    if not head.endswith(b"\n"):  # a new file, or killed while writing the first line
        file.truncate(0)
        file.write(json.dumps(made_from).encode() + b"\n")
        file.flush()
        return 0
    before = json.loads(head)
    if other := [name for name, value in made_from.items() if before.get(name) != value]:
        raise RunError(
            f"{path} is an unfinished answer with another {' and another '.join(other)}; "
            "remove it to begin again, or name another --output"
        )
    end, done, at, count = len(head), 0, len(head), 0
    for line in file:
        at, count = at + len(line), count + 1
        if line.endswith(b"\n") and (count % batch == 0 or count == total):
            end, done = at, count
    file.truncate(end)
    file.seek(0, os.SEEK_END)
    return done
