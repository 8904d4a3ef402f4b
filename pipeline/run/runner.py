"""One run of an experiment on this machine: locked, recorded, and never half-published."""

import contextlib
import datetime
import functools
import gc
import logging
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import filelock
import tensorflow as tf
from apache_beam.runners.portability.job_server import StopOnExitJobServer
from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline, RunOptions

from components import beam_package
from components.storage.files import fileio
from components.train import training
from configs.environment import Local
from configs.experiment import Experiment
from models import progress
from pipeline import loader
from pipeline.dag import create_pipeline
from pipeline.run import events, imports, launcher, lineage, outcome, report
from pipeline.run.result import Node, RunError, RunResult, runs_of


def run(
    experiment: Experiment,
    environment: Local,
    *,
    from_nodes: Sequence[str] = (),
    to_nodes: Sequence[str] = (),
    cache: bool = True,
    sample: int | None = None,
) -> RunResult:
    """Runs the experiment's pipeline.

    Args:
      experiment: what is trained on what.
      environment: where.
      from_nodes: run these and what follows; earlier ones are taken from the run before.
      to_nodes: stop behind these.
      cache: reuse unchanged nodes, and resume training from its last checkpoint.
      sample: records of each source to send through every node; pushes nothing.

    Returns:
      What it came to; also written to ``result.json``.

    Raises:
      RunError: another run of the experiment is under way, or a node to start from is unknown.
      Exception: what a node raised; ``result.json`` keeps its sentence.
    """
    if sample:
        experiment = experiment.shortened(sample)
    root = environment.folder(experiment.name)
    root.mkdir(parents=True, exist_ok=True)
    with (
        alone(root, experiment.name),
        _temporary(root),
        training.checkpointing(environment.checkpoints(experiment.name), environment.checkpoint_seconds, resume=cache),
        launcher.interruptible() as interrupted,
    ):
        # Once: the experiment that it names may push another version meanwhile.
        start = imports.start(experiment, environment)
        pinned = experiment.model_copy(update={"checkpoint": str(start.folder)}) if start else experiment
        pipeline = create_pipeline(pinned, environment, cache=cache, sample=sample)
        nodes = [component.id for component in pipeline.components]
        _known(nodes, [*from_nodes, *to_nodes])
        number = (
            max((int(path.name) for path in runs_of(pathlib.Path(environment.runs), experiment.name)), default=0) + 1
        )
        folder = root / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        loader.save_resolved(experiment, folder / report.RESOLVED)
        result = RunResult(
            name=experiment.name,
            number=number,
            verdict="running",
            started=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            sample=sample,
            git=_revision(),
            checkpoint=start.name if start else None,
            data=outcome.digests(pipeline),
        )
        result.write(folder)
        go = functools.partial(_run, pipeline, environment, from_nodes, to_nodes, interrupted)
        whole = not to_nodes or "Pusher" in to_nodes
        with events.recorded(folder):
            progress.emit(progress.RunStarted(experiment.name, number, str(folder), tuple(nodes)))
            return _recorded(result, folder, pipeline, experiment, environment, go, whole=whole)


def _recorded(
    result: RunResult,
    folder: pathlib.Path,
    pipeline: Pipeline,
    experiment: Experiment,
    environment: Local,
    go: Callable[[], None],
    *,
    whole: bool,
) -> RunResult:
    """Runs the DAG; ``result.json`` says how it ended, however it ends."""
    began, clock = time.monotonic(), time.time()
    notes = _Notes([component.id for component in pipeline.components])
    logger = logging.getLogger("tfx_bert")
    logger.setLevel(logging.INFO)
    logger.addHandler(notes)
    try:
        go()
        if whole:
            update = outcome.read(pipeline, experiment, environment, str(lineage.newest_run(folder.parent, clock)))
        else:
            update = {"verdict": "done"}
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        # TensorFlow's errors say "in user code:" first and the fault last.
        words = str(error).strip()
        sentence = words if isinstance(error, ValueError | RunError) else words.rpartition("\n")[2]
        update = {"verdict": "interrupted" if interrupted else "failed", "error": sentence or type(error).__name__}
        raise
    finally:
        logger.removeHandler(notes)
        update |= {"nodes": notes.nodes(), "seconds": time.monotonic() - began}
        update["pipeline_run"] = lineage.newest_run(folder.parent, clock)
        result = result.model_copy(update=update)
        result.write(folder)
        _report(folder, result)
    return result


def _report(folder: pathlib.Path, result: RunResult) -> None:
    """Writes the report. What the run came to is kept already, and holds without it."""
    try:
        report.write(folder, result)
    except Exception as error:
        progress.emit(progress.Notice(f"{report.FILE} could not be written: {error}"))


def _run(
    pipeline: Pipeline,
    environment: Local,
    from_nodes: Sequence[str],
    to_nodes: Sequence[str],
    interrupted: threading.Event,
) -> None:
    beam_package.build_where_needed()
    runner = BeamDagRunner() if environment.orchestrator == "beam" else LocalDagRunner()
    options = RunOptions(from_nodes=list(from_nodes), to_nodes=list(to_nodes)) if from_nodes or to_nodes else None
    with launcher.watched(interrupted) as failures:
        try:
            runner.run(pipeline, run_options=options)
        except LookupError as error:
            if options is None:  # of a node, not of what an earlier run left
                raise
            raise RunError(f"the run before this one did not come so far; run it whole once ({error})") from None
        except Exception as error:
            if interrupted.is_set():  # Beam wraps it: RuntimeError("KeyboardInterrupt [while running …]")
                raise KeyboardInterrupt from error
            # The node's own exception: Beam's names its internals.
            raise (failures[0] if failures else error) from None
    if failures:
        raise failures[0]


class _Notes(logging.Handler):
    """Collects the nodes' summaries for ``result.json``; removes a training's checkpoints after its node."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self._nodes = {name: Node(node=name, state="skipped") for name in names}
        # By thread: Beam may run nodes side by side.
        self._running: dict[int | None, str] = {}
        self._checkpoints: dict[int | None, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        event, thread = getattr(record, "event", None), record.thread
        if isinstance(event, progress.NodeStarted):
            self._running[thread] = event.node
        elif isinstance(event, progress.Summary) and thread in self._running:
            self._update(self._running[thread], summary=event.text)
        elif isinstance(event, progress.Checkpoints):
            self._checkpoints.setdefault(thread, []).append(event.folder)
        elif isinstance(event, progress.NodeFinished):
            self._update(event.node, state=event.state, seconds=round(event.seconds, 2))
            folders = self._checkpoints.pop(thread, [])
            ended = folders if event.state == "ran" else []  # published: nothing will resume from these
            for folder in ended:
                try:
                    if fileio.exists(folder):
                        fileio.rmtree(folder)
                except (tf.errors.OpError, OSError) as error:  # the model exists in any case
                    progress.emit(progress.Notice(f"{folder} could not be removed: {error}"))

    def _update(self, node: str, **values: object) -> None:
        self._nodes[node] = self._nodes[node].model_copy(update=values)

    def nodes(self) -> list[Node]:
        return list(self._nodes.values())


@contextlib.contextmanager
def alone(root: pathlib.Path, name: str) -> Iterator[None]:
    """One run of an experiment at a time: they share MLMD, the checkpoints and the next version's number."""
    lock = filelock.FileLock(root / ".lock", timeout=0)
    holder = root / ".running"
    try:
        lock.acquire()
    except filelock.Timeout:
        who = holder.read_text() if holder.is_file() else "another process"
        raise RunError(
            f"another run of {name} is under way ({who}); wait for it, or give this one its own name: "
            f"--set name={name}-2"
        ) from None
    try:
        holder.write_text(f"process {os.getpid()}, since {datetime.datetime.now():%H:%M}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def _temporary(root: pathlib.Path) -> Iterator[None]:
    """A temporary folder that is removed with the run. Beam and TFX leave theirs behind."""
    folder = root / "tmp"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir()
    before, variables = tempfile.tempdir, dict(os.environ)
    tempfile.tempdir = str(folder)
    # Beam starts its workers with python -m, which would import a random.py of the working folder.
    os.environ.update(TMPDIR=str(folder), PYTHONSAFEPATH="1")
    try:
        yield
    finally:
        _stop_job_servers()
        tempfile.tempdir = before
        for name in ("TMPDIR", "PYTHONSAFEPATH"):
            del os.environ[name]
            if name in variables:
                os.environ[name] = variables[name]
        shutil.rmtree(folder, ignore_errors=True)


def _stop_job_servers() -> None:
    """Ends Prism and its like. Beam means to at exit, but fails once their folder is gone; it keeps no list of them."""
    for each in gc.get_objects():
        if type(each) is StopOnExitJobServer:
            each.stop()


def _known(nodes: list[str], given: Sequence[str]) -> None:
    for node in given:
        if node not in nodes:
            raise RunError(f"there is no node {node!r}; this experiment's are {', '.join(nodes)}")


def _revision() -> str | None:
    """The source's git revision, with ``+`` where it was edited; None outside a checkout."""
    top = pathlib.Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "-C", str(top), "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
