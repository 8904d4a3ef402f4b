"""Progress events: log records that carry numbers, so that nodes know nothing about the terminal.

A handler on the logger ``tfx_bert`` draws them (a terminal), prints them (a pipe) or writes them as JSON (a container).
Each record has an attribute ``event``: one of the dataclasses below. Record text is never logged.
"""

import dataclasses
import json
import logging
import time
from typing import Literal, get_args

logger = logging.getLogger("tfx_bert")
# Of ``Meter``, seconds: work that is done sooner is not told, and what is told is not told more often.
_QUIET, _APART = 3.0, 1.0


@dataclasses.dataclass(frozen=True)
class Summary:
    """One line that says what a finished node produced, such as ``8,034 train · 1,004 eval · 1,005 test · 0 bad``.

    Attributes:
      text: the line.
      node: that it is about; the one that runs in this thread where left out.
    """

    text: str
    node: str | None = None

    def __str__(self) -> str:
        return self.text


@dataclasses.dataclass(frozen=True)
class Step:
    """The state of a training loop.

    Attributes:
      step: optimizer steps done.
      steps: optimizer steps in all.
      loss: training loss, mean since the last event, nats.
      learning_rate: of the last step.
      units_per_second: real (non-pad) tokens, or what else ``units`` says, since the last event.
      seconds_left: estimate.
      phase: what the loop is in, such as ``epoch 1/2`` or ``MLM``.
      units: what rows are made of.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    units_per_second: float
    seconds_left: float
    phase: str
    units: str = "tokens"

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds_left), 60)
        return (
            f"{self.phase} · step {self.step:,}/{self.steps:,} · loss {self.loss:.3g} · lr {self.learning_rate:.1e} · "
            f"{self.units_per_second:,.0f} {self.units}/s · {minutes}:{seconds:02d} left"
        )


@dataclasses.dataclass(frozen=True)
class Records:
    """How far a node is that works on many records.

    Attributes:
      done: records so far.
      total: estimate; None where nothing tells it.
      per_second: records, mean since the node began with them.
      seconds_left: estimate; None likewise.
    """

    done: int
    total: int | None
    per_second: float
    seconds_left: float | None

    def __str__(self) -> str:
        of = "" if self.total is None else f" of about {self.total:,}"
        told = f"{self.done:,}{of} records · {self.per_second:,.0f} records/s"
        if self.seconds_left is None:
            return told
        minutes, seconds = divmod(round(self.seconds_left), 60)
        return f"{told} · {minutes}:{seconds:02d} left"


@dataclasses.dataclass(frozen=True)
class Notice:
    """A notice that does not stop the run, such as an unreadable checkpoint."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The folder of a training's checkpoints. It is not needed once the node's outputs are published."""

    folder: str

    def __str__(self) -> str:
        return f"checkpoints in {self.folder}"


@dataclasses.dataclass(frozen=True)
class RunStarted:
    """A run started: its folder exists and its nodes are known.

    Attributes:
      name: of the experiment.
      number: of the run, from 1.
      folder: ``runs/<name>/<number>``.
      nodes: ids of the nodes, in the order in which they will run.
      where: what runs them, where that is not this machine's own runner: an address.
    """

    name: str
    number: int
    folder: str
    nodes: tuple[str, ...]
    where: str = ""

    def __str__(self) -> str:
        return f"{self.name} #{self.number} started in {self.folder}" + (f": {self.where}" if self.where else "")


@dataclasses.dataclass(frozen=True)
class NodeStarted:
    """A node begins."""

    node: str

    def __str__(self) -> str:
        return f"{self.node} started"


@dataclasses.dataclass(frozen=True)
class NodeFinished:
    """A node finished.

    Attributes:
      node: its id.
      state: how it went.
      seconds: wall time.
    """

    node: str
    state: Literal["ran", "cached", "skipped", "failed"]
    seconds: float

    def __str__(self) -> str:
        return f"{self.node} {self.state} · {self.seconds:.1f} s"


Event = Summary | Step | Records | Notice | Checkpoints | RunStarted | NodeStarted | NodeFinished
_EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


class Json(logging.Formatter):
    """Formats each record as one line of JSON, for a container's log. ``read`` parses it."""

    def format(self, record: logging.LogRecord) -> str:
        """``{"severity": …, "message": …, "event": "Step", …}``; the first two are what log collectors look for."""
        event: Event | None = getattr(record, "event", None)
        told = {"severity": record.levelname, "message": record.getMessage()}
        more = {"event": type(event).__name__, **dataclasses.asdict(event)} if event else {}
        return json.dumps(told | more, ensure_ascii=False)


def read(line: str) -> Event | None:
    """The event of a line that ``Json`` wrote, whatever else the line says; None where it is another program's line."""
    try:
        told = json.loads(line)
        kind = _EVENTS[told["event"]]
        return kind(**{field.name: told[field.name] for field in dataclasses.fields(kind) if field.name in told})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def emit(event: Event) -> None:
    """Logs ``event``: its text as the message, itself as the record's ``event``."""
    level = logging.WARNING if isinstance(event, Notice) else logging.INFO
    logger.log(level, "%s", event, extra={"event": event})


class Meter:
    """Emits ``Records`` for work that takes longer than three seconds, once a second at most. The work begins now."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._next = self._began + _QUIET
        self._records, self._share = 0, 0.0

    def add(self, records: int, share: float | None) -> None:
        """Some of the work is done.

        Args:
          records: in it.
          share: of the whole work, such as bytes of bytes; None where the whole is not known.
        """
        self._records += records
        self._share += share or 0.0
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _APART
        seconds = now - self._began
        left = total = None
        if self._share:
            share = min(self._share, 1.0)
            left, total = seconds * (1 - share) / share, round(self._records / share)
        emit(Records(self._records, total, self._records / seconds, left))
