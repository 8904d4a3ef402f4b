"""Progress events: log records that carry numbers, so that nodes know nothing about the terminal.

A handler on the logger ``tfx_bert`` draws them (a terminal), prints them (a pipe) or writes them as JSON (a container).
Each record has an attribute ``event``: one of the dataclasses below. Record text is never logged.
"""

import dataclasses
import json
import logging
from typing import Literal, get_args

logger = logging.getLogger("tfx_bert")


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
      tokens_per_second: real (non-pad) tokens since the last event.
      seconds_left: estimate.
      phase: what the loop is in, such as ``epoch 1/2`` or ``MLM``.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    seconds_left: float
    phase: str

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds_left), 60)
        return (
            f"{self.phase} · step {self.step:,}/{self.steps:,} · loss {self.loss:.3g} · lr {self.learning_rate:.1e} · "
            f"{self.tokens_per_second:,.0f} tokens/s · {minutes}:{seconds:02d} left"
        )


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


Event = Summary | Step | Notice | Checkpoints | RunStarted | NodeStarted | NodeFinished
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
    """The event of a line that ``Json`` wrote; None where it is another program's line."""
    try:
        told = json.loads(line)
        return _EVENTS[told.pop("event")](**{name: told[name] for name in told if name not in ("severity", "message")})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def emit(event: Event) -> None:
    """Logs ``event``: its text as the message, itself as the record's ``event``."""
    level = logging.WARNING if isinstance(event, Notice) else logging.INFO
    logger.log(level, "%s", event, extra={"event": event})
