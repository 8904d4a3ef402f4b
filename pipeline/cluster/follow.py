"""A run on a cluster, followed: its states become the events that a run on this machine emits."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from google.api_core import retry

from components import verdict
from components.verdict import Verdict
from models import progress
from pipeline.result import Pushed

if TYPE_CHECKING:  # a run is looked at without TFX
    from pipeline.cluster.compile import Compiled

# Kubeflow writes the states down every few seconds, and a node takes seconds to start at least.
POLL_SECONDS = 10.0
# A gateway that is restarted is back by then.
SUBMIT_SECONDS = 300.0


@dataclasses.dataclass(frozen=True)
class Task:
    """How a node stands.

    Attributes:
      state: as in ``pipeline.result.Node``.
      seconds: since it began, or that it took.
      error: what the cluster says of a failure.
      log: address of its log.
    """

    state: Literal["pending", "running", "ran", "cached", "skipped", "failed"] = "pending"
    seconds: float = 0.0
    error: str = ""
    log: str = ""


@dataclasses.dataclass(frozen=True)
class Seen:
    """How a run stands.

    Attributes:
      state: ``stopped`` where somebody cancelled it.
      seconds: since it began, or that it took.
      tasks: by node; nodes that are missing have not begun.
      error: what the cluster says of a failure.
    """

    state: Literal["running", "succeeded", "failed", "stopped"]
    seconds: float
    tasks: Mapping[str, Task]
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What a run made, as far as the cluster's API says.

    Attributes:
      evaluation: folder of ``verdict.json``.
      blessed: what the ModelBlessing says.
      baseline: version that the candidate was compared with.
      pushed: the new version.
    """

    evaluation: str | None = None
    blessed: bool | None = None
    baseline: int | None = None
    pushed: Pushed | None = None


class Service(Protocol):
    """What a run needs of Kubeflow's or Vertex' API. Each method may raise what ``explain`` puts into a sentence."""

    def submit(self, made: "Compiled", name: str, root: str) -> str:
        """Starts a run under a name that no other run has, once however often the answer is lost; its id."""

    def find(self, name: str) -> str | None:
        """The id of the run of that name."""

    def address(self, run: str) -> str:
        """Where a person looks at a run."""

    def look(self, run: str) -> Seen:
        """How a run stands."""

    def outputs(self, run: str) -> Outputs:
        """What a run made."""

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
    service: Service, seconds: float | None, told: Callable[[Exception], None] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Calls again what failed for a reason that passes, at growing distances.

    Args:
      service: that knows these reasons.
      seconds: until it gives up; None for never.
      told: hears of every failure.
    """
    return retry.Retry(
        predicate=service.transient, initial=2.0, maximum=60.0, multiplier=2.0, timeout=seconds, on_error=told
    )


def follow(service: Service, run: str, nodes: Sequence[str]) -> Seen:
    """Emits the events of a run until it ends. A network that fails is waited for; the run goes on meanwhile.

    Args:
      service: that runs it.
      run: its id.
      nodes: whose states are told.
    """
    begun, ended, lost = set[str](), set[str](), False

    def told(error: Exception) -> None:
        nonlocal lost
        if not lost:
            progress.emit(progress.Notice(f"{service.explain(error) or error} · the run goes on, asking again"))
        lost = True

    look = patience(service, None, told)(service.look)
    while True:
        seen: Seen = look(run)
        lost = False
        for node in nodes:
            task = seen.tasks.get(node, Task())
            if task.state == "pending" or task.state == "skipped":  # without events on this machine too
                continue
            if node not in begun:
                begun.add(node)
                progress.emit(progress.NodeStarted(node))
            if task.state != "running" and node not in ended:
                ended.add(node)
                if node == "Evaluator" and task.state != "failed":
                    _summarize(service, run)
                progress.emit(progress.NodeFinished(node, task.state, task.seconds))
        if seen.state != "running":
            return seen
        time.sleep(POLL_SECONDS)


def _summarize(service: Service, run: str) -> None:
    """The Evaluator's line; what cannot be read now is tried again at the end of the run, and told then."""
    try:
        found = evaluation(service.outputs(run))
    except Exception as error:
        if service.explain(error) is None:
            raise
        return
    if found:
        progress.emit(progress.Summary(str(found), "Evaluator"))


def evaluation(outputs: Outputs) -> Verdict | None:
    """What the Evaluator came to; None where its folder cannot be read from here."""
    import tensorflow as tf

    from components import files

    if outputs.evaluation is None:
        return None
    try:
        return verdict.read(files.mounted(outputs.evaluation))
    except (tf.errors.OpError, OSError):
        return None
