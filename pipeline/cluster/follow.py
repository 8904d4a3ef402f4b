"""A run on a cluster, followed: its states become the events that a run on this machine emits."""

import dataclasses
import datetime
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from google.api_core import retry

from components.evaluate import verdict
from components.evaluate.verdict import Verdict
from models import progress
from pipeline.run.result import Pushed
from pipeline.terminal.numbers import clock

if TYPE_CHECKING:  # a run is looked at without TFX
    from pipeline.cluster.compile import Compiled

# Kubeflow writes the states down every few seconds, and a node takes seconds to start at least.
POLL_SECONDS = 10.0
# A gateway that is restarted is back by then.
SUBMIT_SECONDS = 300.0
# An image takes about so long to be fetched; whoever waits longer is told why.
_TELL_SECONDS = 60.0
# What the kubelet says of a container that cannot begin on any machine. An image may be pushed meanwhile.
_MISTAKES = (
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
    "CreateContainerConfigError", "CreateContainerError",
)  # fmt: skip
_MISTAKE_SECONDS = 900.0


@dataclasses.dataclass(frozen=True)
class Task:
    """The state of a node.

    Attributes:
      state: as in ``pipeline.run.result.Node``.
      seconds: since it began, or that it took.
      error: what the cluster says of a failure.
      log: address of its log.
      reason: why its pod waits, as Kubernetes says it.
      waits: seconds since its pod was asked for, while that has not begun.
      deleted: whether it failed because its pod was deleted, with the machine or alone.
    """

    state: Literal["pending", "running", "ran", "cached", "skipped", "failed"] = "pending"
    seconds: float = 0.0
    error: str = ""
    log: str = ""
    reason: str = ""
    waits: float = 0.0
    deleted: bool = False


@dataclasses.dataclass(frozen=True)
class RunState:
    """The state of a run.

    Attributes:
      state: ``stopped`` where somebody cancelled it.
      seconds: since it began, or that it took.
      tasks: by node; nodes that are missing have not begun.
      error: what the cluster says of a failure.
      gave_up: why ``follow`` stopped it.
      notice: what a person should know although the run goes on.
    """

    state: Literal["running", "succeeded", "failed", "stopped"]
    seconds: float
    tasks: Mapping[str, Task]
    error: str = ""
    gave_up: str = ""
    notice: str = ""

    @property
    def deleted(self) -> list[str]:
        """The nodes that failed, where all of them did so because their pods were deleted."""
        failed = [node for node, task in self.tasks.items() if task.state == "failed"]
        return failed if self.state == "failed" and all(self.tasks[node].deleted for node in failed) else []


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What a run produced, as far as the cluster's API says.

    Attributes:
      evaluation: folder of ``verdict.json``.
      verdict: what is in it; None where it cannot be read from here.
      blessed: what the ModelBlessing says.
      baseline: version that the candidate was compared with.
      pushed: the new version.
    """

    evaluation: str | None = None
    verdict: Verdict | None = None
    blessed: bool | None = None
    baseline: int | None = None
    pushed: Pushed | None = None


class Service(Protocol):
    """What a run needs of Kubeflow's or Vertex' API. Each method may raise what ``explain`` puts into a sentence."""

    def check(self, made: "Compiled") -> list[str]:
        """What a person should know before it is submitted; raises ConfigError for what would be dropped in silence."""

    def submit(self, made: "Compiled", name: str, root: str) -> str:
        """Starts a run under a name that no other run has, once however often the answer is lost; its id."""

    def find(self, name: str) -> str | None:
        """The id of the run of that name."""

    def address(self, run: str) -> str:
        """Where a person looks at a run."""

    def look(self, run: str) -> RunState:
        """The state of a run."""

    def outputs(self, run: str) -> Outputs:
        """What a run produced."""

    def last_line(self, run: str, node: str) -> str:
        """The last line of a node's summary, such as ``v3``; empty if unknown."""

    def log(self, run: str, node: str) -> Iterator[str]:
        """The lines of a node's log."""

    def stop(self, run: str) -> None:
        """Cancels a run."""

    def recur(self, made: "Compiled", root: str, schedule: str) -> str:
        """Replaces the recurring run of a pipeline; its address."""

    def transient(self, error: Exception) -> bool:
        """Whether the same call may succeed later."""

    def explain(self, error: Exception) -> Exception | None:
        """The error as one sentence; None for those that are not the API's."""


def patience(
    service: Service, seconds: float | None, on_failure: Callable[[Exception], None] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Retries transient failures with growing pauses.

    Args:
      service: that knows these reasons.
      seconds: until it gives up; None for never.
      on_failure: hears of every failure.
    """
    return retry.Retry(
        predicate=service.transient, initial=2.0, maximum=60.0, multiplier=2.0, timeout=seconds, on_error=on_failure
    )


def follow(service: Service, run: str, nodes: Sequence[str], pending_seconds: float = math.inf) -> RunState:
    """Emits the events of a run until it ends. Network failures are retried; the run goes on meanwhile.

    Args:
      service: that runs it.
      run: its id.
      nodes: whose states are told.
      pending_seconds: how long a node's pod may wait for a machine before the run is stopped.
    """
    begun, ended, told_of, lost, gave_up = set[str](), set[str](), set[tuple[str, str]](), False, ""

    def told(error: Exception) -> None:
        nonlocal lost
        if not lost:
            progress.emit(progress.Notice(f"{service.explain(error) or error} · the run goes on, asking again"))
        lost = True

    look, stop = patience(service, None, told)(service.look), patience(service, None, told)(service.stop)
    while True:
        seen: RunState = look(run)
        lost = False
        if seen.notice:
            progress.emit(progress.Notice(seen.notice))
        for node in nodes:
            task = seen.tasks.get(node, Task())
            _waits(node, task, told_of)
            if not gave_up and seen.state == "running" and (gave_up := _too_long(node, task, pending_seconds)):
                stop(run)
            if task.state == "pending" or task.state == "skipped":  # without events on this machine too
                continue
            if node not in begun:
                begun.add(node)
                progress.emit(progress.NodeStarted(node))
            if task.state != "running" and node not in ended:
                ended.add(node)
                if task.state == "ran" or (node == "Evaluator" and task.state == "cached"):
                    _summarize(service, run, node)
                progress.emit(progress.NodeFinished(node, task.state, task.seconds))
        if seen.state != "running":
            return dataclasses.replace(seen, gave_up=gave_up if seen.state == "stopped" else "")
        time.sleep(POLL_SECONDS)


def _waits(node: str, task: Task, told: set[tuple[str, str]]) -> None:
    """Reports why a pod waits and for how long; repeats only when the reason changes."""
    kind = task.reason.partition(":")[0]
    if task.waits > _TELL_SECONDS and (node, kind) not in told:
        told.add((node, kind))
        since = datetime.datetime.now() - datetime.timedelta(seconds=task.waits)
        progress.emit(progress.Notice(f"{node} waits since {since:%H:%M} for its pod to begin: {_why(task)}"))


def _too_long(node: str, task: Task, bound: float) -> str:
    """The reason to give up on a pending pod; empty while there is none."""
    if task.reason.partition(":")[0] in _MISTAKES:
        bound = min(bound, _MISTAKE_SECONDS)
    if task.waits <= bound:
        return ""
    return (
        f"{node}'s pod did not begin within {clock(bound)} ({_why(task)}), so the run was stopped; mend that, and run "
        "the same again: what is done is reused"
    )


def _why(task: Task) -> str:
    return task.reason or "Kubernetes does not say why"


def _summarize(service: Service, run: str, node: str) -> None:
    """The summary line of a node. An unreadable verdict is tried again when the run has ended."""
    try:
        found = service.outputs(run).verdict if node == "Evaluator" else None
        text = str(found) if found else service.last_line(run, node)
    except Exception as error:
        if service.explain(error) is None:
            raise
        return
    if text:
        progress.emit(progress.Summary(text, node))


def read_verdict(folder: str) -> Verdict | None:
    """The verdict of an evaluation; None if its folder cannot be read from this machine."""
    import tensorflow as tf

    from components.storage import files

    try:
        return verdict.read(files.mounted(folder))
    except (tf.errors.OpError, OSError):
        return None
