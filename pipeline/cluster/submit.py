"""``tfx-bert run --env`` on a cluster: submits, follows, and records on this machine; what looks at such runs later."""

import contextlib
import datetime
import functools
import itertools
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs import environment as environments
from configs.clusters.cluster import Cluster
from configs.clusters.kubeflow import Kubeflow
from configs.clusters.vertex import Vertex
from configs.experiment import Experiment
from configs.yaml.document import write
from models import progress
from pipeline import loader
from pipeline.cluster.follow import Outputs, RunState, Service, Task, follow
from pipeline.run import imports
from pipeline.run.result import Node, Remote, RunError, RunResult, compared, find, judged, runs_of
from pipeline.start.check import every_node
from pipeline.terminal import noise

if TYPE_CHECKING:  # a run is looked at without TFX
    from pipeline.cluster.compile import Compiled

# Beside experiment.resolved.yaml: whom to ask about the run. It names secrets, and holds none.
ENVIRONMENT = "environment.resolved.yaml"


def run(
    experiment: Experiment,
    environment: Cluster,
    *,
    from_nodes: Sequence[str] = (),
    to_nodes: Sequence[str] = (),
    cache: bool = True,
    sample: int | None = None,
) -> RunResult:
    """Runs the experiment's pipeline on a cluster.

    Args:
      experiment: what is trained on what.
      environment: where; with a ``schedule`` the pipeline also recurs from now on.
      from_nodes: must be empty, because a cluster runs every node.
      to_nodes: likewise.
      cache: reuse unchanged nodes.
      sample: records of each source to send through every node; pushes nothing.

    Returns:
      What it came to; also written to ``result.json``.

    Raises:
      ConfigError: the cluster does not know who asks, or the environment lacks what a submission needs.
      RunError: it could not be submitted, or a node failed.
      KeyboardInterrupt: nobody follows it any more; it goes on.
    """
    every_node(from_nodes, to_nodes)
    from pipeline.cluster import staging
    from pipeline.cluster.compile import compiled
    from pipeline.cluster.linter import lint

    if sample:
        experiment = experiment.shortened(sample)
    service = connect(environment)
    made = compiled(experiment, environment, cache=cache, sample=sample)
    for notice in lint.check(made, environment.kind):
        progress.emit(progress.Notice(notice))
    local = environment.folder(experiment.name)
    name = f"run-{made.name}-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    with explained(service):
        service.find(name)  # check access before anything is copied
        for notice in service.check(made):
            progress.emit(progress.Notice(notice))
        staging.stage(made.imports, environment.home(experiment.name), local)
    folder = _folder(environment, experiment)
    start = imports.start(experiment, environment)
    result = RunResult(
        name=experiment.name,
        number=int(folder.name),
        verdict="running",
        started=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        nodes=[Node(node=node, state="pending") for node in made.nodes],
        sample=sample,
        checkpoint=start.name if start else None,
        data=_digests(made),
        remote=Remote(kind=environment.kind, name=name),
    )
    root = f"{environment.pipeline_root}/{experiment.name}"
    again = functools.partial(_submitted, service, folder=folder, made=made, root=root)
    result = again(result)
    progress.emit(progress.RunStarted(result.name, result.number, str(folder), made.nodes, _address(result)))
    if environment.schedule and not sample:
        with explained(service, f"; the run itself began: {_address(result)}"):
            place = service.recur(made, root, environment.schedule)
        progress.emit(progress.Notice(f"recurs at {environment.schedule}: {place}"))
    return _followed(service, result, folder, environment, again)


def connect(environment: environments.Environment) -> Service:
    """The API behind an environment.

    Raises:
      ConfigError: the environment lacks what a submission needs.
    """
    if isinstance(environment, Kubeflow):
        from pipeline.cluster.services import kubeflow

        return kubeflow.Service(environment)
    assert isinstance(environment, Vertex)
    from pipeline.cluster.services import vertex

    return vertex.Service(environment)


@contextlib.contextmanager
def explained(service: Service, more: str = "") -> Iterator[None]:
    """Turns the API's errors into sentences; ``more`` ends them."""
    try:
        yield
    except Exception as error:
        sentence = service.explain(error)
        if sentence is None:
            raise
        raise type(sentence)(f"{sentence}{more}") from error


def refresh(folder: Path, result: RunResult) -> RunResult:
    """Asks the cluster for the state of a run and records it.

    Raises:
      ConfigError, RunError: the cluster cannot be asked.
    """
    if result.remote is None or result.verdict != "running":
        return result
    service = connect(environments.load(str(folder / ENVIRONMENT)))
    with explained(service):
        run = result.remote.id or service.find(result.remote.name)
        if run is None:
            update: dict[str, Any] = {"verdict": "failed", "error": "it was never started: the submission was cut off"}
        else:
            remote = result.remote.model_copy(update={"id": run, "address": service.address(run)})
            update = {**_came_to(service, result, service.look(run), run), "remote": remote}
    result = result.model_copy(update=update)
    if result.verdict != "running":  # otherwise the recorded state stays, and the next call asks again
        result.write(folder)
    return result


def log(folder: Path, result: RunResult, node: str | None) -> Iterator[str]:
    """The lines of a node's log on the cluster; of every node that began where none is named.

    Raises:
      ConfigError, RunError: the cluster cannot be asked, or has no such log.
    """
    service, run = _there(folder, result)
    with explained(service):
        if node:
            yield from service.log(run, node)
            return
        tasks = service.look(run).tasks
        for each in (node.node for node in result.nodes):
            if tasks.get(each, Task()).state in ("running", "ran", "failed"):
                yield f"==> {each} <=="
                try:
                    yield from service.log(run, each)
                except RunError as error:  # only this node's log is missing
                    yield str(error)


def stop(root: Path, name: str | None) -> str:
    """Cancels a run on a cluster.

    Args:
      root: the environment's ``runs`` folder.
      name: as in ``pipeline.run.result.find``.

    Returns:
      What was done.

    Raises:
      ConfigError, RunError: there is no such run, it runs here, or the cluster refuses.
    """
    folder = find(root, name)
    result = RunResult.read(folder)
    with noise.captured(folder / "stop.log"):
        service, run = _there(folder, result)
        with explained(service):
            service.stop(run)
    return f"{result.name} #{result.number} is being stopped: {service.address(run)}"


def _there(folder: Path, result: RunResult) -> tuple[Service, str]:
    if result.remote is None:
        raise RunError(f"{result.name} #{result.number} is a run of this machine; Ctrl-C where it runs stops it")
    service = connect(environments.load(str(folder / ENVIRONMENT)))
    with explained(service):
        run = result.remote.id or service.find(result.remote.name)
    if run is None:
        raise RunError(f"{result.name} #{result.number} was never started: the submission was cut off")
    return service, run


def _folder(environment: Cluster, experiment: Experiment) -> Path:
    """A new ``runs/<experiment>/<number>`` with what is to run, and where."""
    before = [int(path.name) for path in runs_of(Path(environment.runs), experiment.name)]
    for number in itertools.count(max(before, default=0) + 1):
        folder = environment.folder(experiment.name) / str(number)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    loader.save_resolved(experiment, folder / "experiment.resolved.yaml")
    (folder / ENVIRONMENT).write_text(write(environment.model_dump(mode="json", exclude_defaults=True)), "utf-8")
    return folder


def _digests(made: "Compiled") -> dict[str, str]:
    """SHA-256 of each source's files, by the node that reads them; empty where another node finds it."""
    tasks: Mapping[str, Any] = made.pipeline["root"]["dag"]["tasks"]
    readers = [node for node in made.nodes if node.endswith("ExampleGen")]
    given = {node: tasks[node]["inputs"]["parameters"]["input_digest"] for node in readers}
    return {node: value.get("runtimeValue", {"constant": ""})["constant"] for node, value in given.items()}


def _submitted(service: Service, result: RunResult, folder: Path, made: "Compiled", root: str) -> RunResult:
    """Submits the run under the name in ``result``; records its id and address."""
    assert result.remote is not None
    result.write(folder)
    try:
        with explained(service):
            run = service.submit(made, result.remote.name, root)
    except KeyboardInterrupt:
        again = f"tfx-bert show {result.name}/{result.number}"
        raise KeyboardInterrupt(
            f"interrupted while submitting; whether the run began is to be seen with {again}"
        ) from None
    except Exception as error:
        # Without an answer the run may have started: `show` looks for its name.
        cause = getattr(error.__cause__, "cause", error.__cause__)  # of a RetryError: the last attempt's
        if not (isinstance(cause, Exception) and service.transient(cause)):
            result.model_copy(update={"verdict": "failed", "error": str(error)}).write(folder)
        raise
    remote = result.remote.model_copy(update={"id": run, "address": service.address(run)})
    result = result.model_copy(update={"remote": remote})
    result.write(folder)
    return result


def _followed(
    service: Service, result: RunResult, folder: Path, environment: Cluster, again: Callable[[RunResult], RunResult]
) -> RunResult:
    assert result.remote
    first, nodes = result.remote.name, [node.node for node in result.nodes]
    pending = environment.pending_seconds if isinstance(environment, Kubeflow) else math.inf
    for attempt in itertools.count(1):
        assert result.remote and result.remote.id
        run, name = result.remote.id, f"{result.name}/{result.number}"
        goes_on = f"the run goes on: {_address(result)}\n  stop it: tfx-bert stop {name} · look: tfx-bert show {name}"
        try:
            with explained(service, f"; {goes_on}"):
                seen = follow(service, run, nodes, pending)
                update = _came_to(service, result, seen, run)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"nobody follows it any more; {goes_on}") from None
        if not seen.deleted or attempt > environment.retries.count:
            break
        # Kubeflow does not try such a node again, however many attempts it has left.
        result = again(
            result.model_copy(update={"remote": Remote(kind=environment.kind, name=f"{first}-{attempt + 1}")})
        )
        reused = "what is done is reused" if environment.caching else "caching is off, so every node runs again"
        told = f"the pod of {' and '.join(seen.deleted)} was deleted, which Kubeflow does not retry"
        count = f"submission {attempt + 1} of {environment.retries.count + 1}"
        progress.emit(progress.Notice(f"{told}; {count}, {reused}: {_address(result)}"))
    result = result.model_copy(update=update)
    result.write(folder)
    if result.error and result.verdict != "interrupted":
        raise RunError(result.error)
    return result


def _address(result: RunResult) -> str:
    return (result.remote and result.remote.address) or ""


def _came_to(service: Service, result: RunResult, seen: RunState, run: str) -> dict[str, Any]:
    """The fields of ``RunResult`` that a run decided, as far as it came."""
    over = seen.state != "running"
    tasks = {node.node: seen.tasks.get(node.node, Task()) for node in result.nodes}
    fields: dict[str, Any] = {
        "seconds": seen.seconds,
        "nodes": [
            Node(
                node=node,
                state="skipped" if over and task.state in ("pending", "running") else task.state,
                seconds=round(task.seconds, 2),
                reason=task.error or task.reason,
            )
            for node, task in tasks.items()
        ],
    }
    if seen.state == "running":
        return {**fields, "verdict": "running"}
    if seen.state == "stopped":
        told = seen.gave_up or f"it was stopped: {service.address(run)}"
        return {**fields, "verdict": "failed" if seen.gave_up else "interrupted", "error": told}
    if seen.state == "failed":
        return {**fields, "verdict": "failed", "error": _failure(service, result, seen, run)}
    if "Pusher" not in tasks:
        return {**fields, "verdict": "done"}
    return {**fields, **_verdict(service, service.outputs(run), run)}


def _verdict(service: Service, outputs: Outputs, run: str) -> dict[str, Any]:
    if outputs.verdict:
        fields = judged(outputs.verdict)
        if outputs.baseline:
            fields = compared(fields, outputs.baseline)
    elif outputs.blessed is None:
        return {
            "verdict": "done",
            "error": "every node is done, but whether the model is blessed cannot be read from here: this machine has "
            f"no access to {outputs.evaluation or 'the evaluation'}, and the cluster does not say; see "
            f"{service.address(run)}",
        }
    else:
        fields = {"verdict": "blessed" if outputs.blessed else "not_blessed"}
    return {**fields, "pushed": outputs.pushed}


def _failure(service: Service, result: RunResult, seen: RunState, run: str) -> str:
    """The sentence for a failed run: node, reason, log, and what to do."""
    node = next((node.node for node in result.nodes if seen.tasks.get(node.node, Task()).state == "failed"), None)
    again = "what is done is reused: mend it, and run the same again"
    if node is None:
        return f"the run failed: {seen.error or 'the cluster does not say why'}\n  {service.address(run)} · {again}"
    task = seen.tasks[node]
    return (
        f"{node} failed: {task.error or seen.error or 'its log says why'}\n"
        f"  its log: tfx-bert logs {result.name}/{result.number} --node {node} · {task.log or service.address(run)}\n"
        f"  {again}"
    )
