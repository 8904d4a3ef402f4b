"""``events.jsonl`` of a run: what its nodes told, for whoever looks on and for the report of a run that failed."""

import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from models import progress

FILE = "events.jsonl"
# A training tells its state every second. Of that is kept what a curve can show, and what a person waits for.
_SHARE, _SECONDS = 1 / 400, 20.0


@dataclass(frozen=True)
class Noted:
    """An event, when it was, and the node that it is about.

    Attributes:
      at: Unix seconds.
      node: its id; empty for what is about the run.
      event: as it was emitted.
    """

    at: float
    node: str
    event: progress.Event


class Recorder(logging.Handler):
    """Appends the events of the logger ``tfx_bert`` to ``events.jsonl``, a line each, at once.

    Args:
      folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.INFO)
        self._file = (folder / FILE).open("a", encoding="utf-8")
        self._running: dict[int | None, str] = {}  # by thread: Beam may run nodes side by side
        self._kept: dict[str, tuple[float, float]] = {}  # node: seconds and share of the last state that was written

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record's event, if it carries one."""
        event: progress.Event | None = getattr(record, "event", None)
        if event is None or isinstance(event, progress.Checkpoints):
            return
        if isinstance(event, progress.NodeStarted):
            self._running[record.thread] = event.node
        node = getattr(event, "node", None) or self._running.get(record.thread, "")
        if self._is_new(event, node, record.created):
            told = json.loads(progress.Json().format(record))
            line = {**told, "at": round(record.created, 3), "node": node}
            self._file.write(f"{json.dumps(line, ensure_ascii=False)}\n")
            self._file.flush()

    def _is_new(self, event: progress.Event, node: str, at: float) -> bool:
        """Whether it says more than what was written last."""
        match event:
            case progress.Step():
                share = event.step / event.steps
            case progress.Records():
                share = event.done / event.total if event.total else 0.0
            case _:
                return True
        before, written = self._kept.get(node, (0.0, -1.0))
        if share - written < _SHARE and share < 1 and at - before < _SECONDS and share >= written:
            return False
        self._kept[node] = at, share
        return True

    @override
    def close(self) -> None:
        self._file.close()
        super().close()


@contextlib.contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """Writes what the nodes of a run tell within the block into its folder."""
    recorder, logger = Recorder(folder), logging.getLogger("tfx_bert")
    logger.setLevel(logging.INFO)
    logger.addHandler(recorder)
    try:
        yield
    finally:
        logger.removeHandler(recorder)
        recorder.close()


def read(folder: Path) -> Iterator[Noted]:
    """The events of a run so far, in order; none of a run that was made before there were any.

    A line that another process is writing at this moment, or that a killed one left half, is left out.
    """
    try:
        lines = (folder / FILE).read_text("utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return
    for line in lines:
        event = progress.read(line)
        if event is not None:
            told = json.loads(line)
            yield Noted(float(told.get("at", 0.0)), str(told.get("node") or ""), event)
