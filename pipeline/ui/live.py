"""How a run is going, or how it went: from ``result.json`` and ``events.jsonl``. Nothing is written, no lock taken."""

import dataclasses
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from models import progress
from models.training.curve import Curve
from pipeline.run import events
from pipeline.run.report import told
from pipeline.run.result import RunError, RunResult, runs_of

_HOLDER = re.compile(r"process (\d+)")


@dataclasses.dataclass
class NodeState:
    """A node, and how far it is.

    Attributes:
      name: its id.
      state: how it went, or ``pending`` or ``running``.
      seconds: wall time so far.
      summary: what it said it produced; while it works, how far it is.
      share: of its work that is done; None where that is unknown.
    """

    name: str
    state: str = "pending"
    seconds: float = 0.0
    summary: str = ""
    share: float | None = None


@dataclasses.dataclass(frozen=True)
class Run:
    """A run as it stands.

    Attributes:
      folder: ``runs/<experiment>/<number>``.
      result: its ``result.json``.
      going: whether a process is at it.
      nodes: in the order of the DAG.
      curves: of its trainings, as far as they told.
      notices: that did not stop it.
    """

    folder: Path
    result: RunResult
    going: bool
    nodes: list[NodeState]
    curves: Mapping[str, Curve]
    notices: list[str]

    @property
    def name(self) -> str:
        """``reviews/3``."""
        return f"{self.result.name}/{self.result.number}"

    @property
    def verdict(self) -> str:
        """What came of it; ``killed`` where its process ended without a word."""
        if self.result.verdict == "running" and not self.going:
            return "killed"
        return self.result.verdict

    @property
    def seconds(self) -> float:
        """Wall time, so far where it is going on."""
        return self.result.seconds or sum(node.seconds for node in self.nodes)


def experiments(root: Path) -> dict[str, list[Path]]:
    """The folders of every experiment's runs, oldest first; the experiment that was touched last comes first."""
    found = {path.name: runs_of(root, path.name) for path in root.glob("*") if path.is_dir()}
    kept = {name: folders for name, folders in found.items() if folders}
    return dict(sorted(kept.items(), key=lambda each: -each[1][-1].stat().st_mtime))


def results(folders: list[Path]) -> tuple[list[RunResult], list[str]]:
    """Those that can be read, and a sentence for each of the others."""
    read, damaged = [], []
    for folder in folders:
        try:
            read.append(RunResult.read(folder))
        except (RunError, OSError, ValueError) as error:
            damaged.append(str(error))
    return read, damaged


def is_going(folder: Path, result: RunResult) -> bool:
    """Whether a process works on the run; of a run on a cluster, whether it had not ended when it was last asked."""
    if result.verdict != "running":
        return False
    if result.remote:
        return True
    try:
        holder = _HOLDER.match((folder.parent / ".running").read_text("utf-8"))
    except OSError:
        return False
    return holder is not None and _is_alive(int(holder[1]))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def read(folder: Path) -> Run:
    """Reads a run.

    Raises:
      RunError: its result is damaged.
    """
    result = RunResult.read(folder)
    noted = list(events.read(folder))
    going = is_going(folder, result)
    nodes = {name: NodeState(name) for name in _names(noted)}
    began: dict[str, float] = {}
    for each in noted:
        _apply(each, nodes, began)
    for name, node in nodes.items():
        if node.state == "running":
            node.seconds = time.time() - began[name] if going else 0.0
            node.state = "running" if going else "failed"
    kept = [NodeState(each.node, each.state, each.seconds, each.summary or each.reason) for each in result.nodes]
    notices = [each.event.text for each in noted if isinstance(each.event, progress.Notice)]
    return Run(folder, result, going, kept or list(nodes.values()), told(noted), notices)


def _names(noted: list[events.Noted]) -> tuple[str, ...]:
    started = [each.event for each in noted if isinstance(each.event, progress.RunStarted)]
    return started[-1].nodes if started else ()


def _apply(noted: events.Noted, nodes: dict[str, NodeState], began: dict[str, float]) -> None:
    """Moves the node that an event is about to where the event says it is."""
    event, node = noted.event, nodes.get(noted.node)
    if node is None:
        return
    match event:
        case progress.NodeStarted():
            node.state, began[node.name] = "running", noted.at
        case progress.Summary():
            node.summary, node.share = event.text, None
        case progress.NodeFinished():
            node.state, node.seconds, node.share = event.state, event.seconds, None
        case progress.Step():
            node.summary, node.share = str(event), event.step / event.steps
        case progress.Records():
            node.summary, node.share = str(event), event.done / event.total if event.total else None
