"""Keeps the terminal ours: what libraries write, by whatever way, goes to the run's log file."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


def hush() -> None:
    """Tells TensorFlow's C++ side to be brief. Takes effect before its first import only."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextlib.contextmanager
def captured(log: Path) -> Iterator[TextIO]:
    """Sends file descriptors 1 and 2, warnings and every logger to ``log``; gives back a stream to the terminal.

    Descriptors, not ``sys.stdout``: TensorFlow writes from C++.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with log.open("ab") as file, open(kept[0], "w", encoding="utf-8", closefd=False) as terminal:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        with _logged(file.fileno()):
            try:
                yield terminal
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                for descriptor, original in enumerate(kept, start=1):
                    os.dup2(original, descriptor)
    for original in kept:
        os.close(original)


@contextlib.contextmanager
def _logged(descriptor: int) -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    with open(descriptor, "w", encoding="utf-8", closefd=False) as stream:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(name)s: %(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)
        try:
            yield
        finally:
            logging.captureWarnings(False)
            root.setLevel(level)
            root.removeHandler(handler)
