"""What a person sees while a run goes on: handlers for the events of ``models.progress``."""

import logging
import os
import threading
import time
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from configs.yaml.document import near
from models.progress import Event, NodeFinished, NodeStarted, Notice, Records, RunStarted, Step, Summary
from pipeline.terminal import numbers

MARKS = {"ran": ("✓", "green"), "cached": ("✓", "green"), "skipped": ("·", "dim"), "failed": ("✗", "red")}
# Without a terminal, a node reports this often (seconds): a log stays short.
_QUIET_SECONDS = 15.0
_BAR = 12  # columns


class View(logging.Handler):
    """Prints a line for every node that is done; subclasses say what is shown meanwhile.

    Args:
      console: where to.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console
        self.started: RunStarted | None = None
        self.failed = ""  # the node that did
        self.width = 12
        self.pending: list[str] = []
        self.running: dict[str, float] = {}  # node: time.monotonic() of its start
        self.summaries: dict[str, str] = {}
        self._threads: dict[int | None, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Shows one event; records that carry none are for the log file only."""
        event: Event | None = getattr(record, "event", None)
        if event is None:
            return
        try:
            self.show(event, self._threads.get(record.thread) or next(reversed(self.running), ""))
        except Exception:  # a broken screen must not end a training run
            self.handleError(record)

    def show(self, event: Event, node: str) -> None:
        """Shows ``event`` of ``node``."""
        match event:
            case RunStarted():
                self.started = event
                self.pending = list(event.nodes)
                self.width = max([len(name) for name in event.nodes] + [self.width])
                where = event.where or f"CPU {len(os.sched_getaffinity(0))} cores"
                log = f"log {near(Path(event.folder))}/run.log"
                number = f" #{event.number}" if event.number else ""
                head = Text.assemble((f"{event.name}{number}", "bold"), (f" · {where} · {log}", "dim"))
                self.console.print(head, soft_wrap=True)
            case NodeStarted():
                self.running[event.node] = time.monotonic()
                self._threads[threading.get_ident()] = event.node
            case Summary():
                self.summaries[event.node or node] = event.text
            case Notice():
                self.console.print(Text.assemble(("! ", "yellow"), event.text))
            case NodeFinished():
                self.running.pop(event.node, None)
                if event.state == "failed":
                    self.failed = event.node
                self.finished(event)
            case Step() | Records():
                self.under_way(event, node)
        if isinstance(event, NodeStarted | NodeFinished) and event.node in self.pending:
            self.pending.remove(event.node)

    def finished(self, event: NodeFinished) -> None:
        """A line for a node that is through."""
        mark, style = MARKS[event.state]
        summary = self.summaries.pop(event.node, "")
        told = numbers.clock(event.seconds) if event.state in ("ran", "failed") else event.state
        line = Text.assemble((mark, style), f" {event.node:<{self.width}} ", (f"{told:>6}", "dim"), f"  {summary}")
        line.rstrip()
        self.console.print(line, soft_wrap=True)

    def under_way(self, event: Step | Records, node: str) -> None:
        """Shows how far a node is."""

    def close(self) -> None:
        """Leaves the screen as it is."""
        super().close()


class Lines(View):
    """Without a terminal: one line an event."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._told: tuple[str, float] = ("", 0.0)

    @override
    def under_way(self, event: Step | Records, node: str) -> None:
        """A line when a phase begins, then every ``_QUIET_SECONDS``; a training's last step."""
        phase, told = self._told
        now = f"{node} {event.phase}" if isinstance(event, Step) else node
        last = isinstance(event, Step) and event.step == event.steps
        if now == phase and time.monotonic() - told < _QUIET_SECONDS and not last:
            return
        self._told = (now, time.monotonic())
        self.console.print(Text.assemble(("▶ ", "cyan"), f"{node:<{self.width}}         {event}"), soft_wrap=True)


class Screen(View):
    """On a terminal: what runs now, with its clock, bar and figures, below what is done."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._last: tuple[str, Step | Records] | None = None
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)
        self._live.start()

    @override
    def under_way(self, event: Step | Records, node: str) -> None:
        """Remembers it; the next refresh draws it."""
        self._last = (node, event)

    @override
    def finished(self, event: NodeFinished) -> None:
        self._last = None
        self._live.refresh()  # so that the line below replaces this node's
        super().finished(event)

    def close(self) -> None:
        """Takes the live part off the screen."""
        self._live.stop()
        super().close()

    def _render(self) -> RenderableType:
        rows = Table.grid(padding=(0, 1))
        for node, began in list(self.running.items()):
            rows.add_row(
                Text("▶", "cyan"),
                f"{node:<{self.width}}",
                Text(f"{numbers.clock(time.monotonic() - began):>6}", "dim"),
                self._figures(self._last[1]) if self._last and self._last[0] == node else Text("…", "dim"),
            )
        later = (
            [Text("… " + " · ".join(self.pending), "dim", overflow="ellipsis", no_wrap=True)] if self.pending else []
        )
        return Group(rows, *later)

    def _figures(self, event: Step | Records) -> Text:
        """``epoch 1/2 ━━━━━──── 61 %  loss .38  lr 2.1e-5  3,100 tokens/s  2:05 left``; the bar and lr need room."""
        wide = self.console.width >= 60 + self.width + _BAR
        if isinstance(event, Records):
            done = event.done / event.total if event.total else None
            told = f"{event.done:,} records  {event.per_second:,.0f} records/s"
        else:
            done = event.step / event.steps
            rate = f"lr {numbers.scientific(event.learning_rate)}  " if wide else ""
            told = f"loss {numbers.plain(event.loss)}  {rate}{event.units_per_second:,.0f} {event.units}/s"
        return Text.assemble(
            f"{event.phase} " if isinstance(event, Step) else "",
            Text() if done is None else self._bar(done) if wide else f"{numbers.share(done)}  ",
            told,
            "" if event.seconds_left is None else f"  {numbers.clock(event.seconds_left)} left",
            no_wrap=True,
        )

    def _bar(self, done: float) -> Text:
        """``━━━━━──── 61 %  ``."""
        filled = round(done * _BAR)
        return Text.assemble(("━" * filled, "cyan"), ("─" * (_BAR - filled), "dim"), f" {numbers.share(done)}  ")


def attach(console: Console) -> View:
    """Shows the events of this process on ``console`` until ``detach``."""
    view = Screen(console) if console.is_terminal else Lines(console)
    logger = logging.getLogger("tfx_bert")
    logger.setLevel(logging.INFO)
    logger.addHandler(view)
    return view


def detach(view: View) -> None:
    """Ends ``attach``."""
    logging.getLogger("tfx_bert").removeHandler(view)
    view.close()
