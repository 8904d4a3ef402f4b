"""``tfx-bert run --dry-run``: a quiet terminal around ``pipeline.cluster.dry_run``."""

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from components.records import readers
from configs.base import ConfigError
from configs.clusters.vertex import Vertex
from configs.environment import Environment, Local
from configs.experiment import Experiment
from configs.yaml.document import near
from models.progress import Notice, RunStarted, emit
from pipeline.run.result import Pushed, RunResult, judged
from pipeline.start.check import access, every_node
from pipeline.terminal import noise, numbers, summary, view

if TYPE_CHECKING:
    from pipeline.cluster import dry_run, handover


def rehearse(
    experiment: Experiment,
    environment: Environment,
    *,
    from_nodes: Sequence[str],
    to_nodes: Sequence[str],
    cache: bool,
    sample: int | None,
) -> int:
    """Runs the experiment as the environment's cluster would, on this machine, and prints what came of it.

    What a run on the cluster would keep stays for the next one: what was pushed, checkpoints, imported files.

    Args:
      experiment: what is trained on what.
      environment: of the cluster.
      from_nodes: must be empty, because a cluster runs every node.
      to_nodes: likewise.
      cache: reuse unchanged nodes.
      sample: records of each source to send through every node; pushes nothing.

    Returns:
      The exit code.

    Raises:
      ConfigError: the environment is this machine, or not every node is to run.
      RunError: another run of the experiment is under way, or a node failed.
      DataError: a node found the data at fault.
    """
    if isinstance(environment, Local):
        raise ConfigError("--dry-run: this machine needs none; give --env kubeflow, vertex, or a file of theirs")
    every_node(from_nodes, to_nodes)
    left_out = []
    if isinstance(environment, Vertex) and environment.endpoint:
        environment = environment.model_copy(update={"endpoint": None})
        left_out.append("endpoint is left out: nothing on this machine can stand for Vertex's registry")
    access(experiment, environment)
    if sample:
        experiment = experiment.shortened(sample)
    folder = environment.folder(experiment.name) / "dry-run"
    folder.mkdir(parents=True, exist_ok=True)
    noise.hush()
    began = time.monotonic()
    with noise.captured(folder / "run.log") as terminal:
        console = Console(file=terminal, highlight=False, markup=False, soft_wrap=True)
        screen = view.attach(console)
        try:
            from pipeline.cluster import dry_run
            from pipeline.cluster.compile import compiled
            from pipeline.cluster.linter import lint
            from pipeline.run import runner

            with runner.alone(environment.folder(experiment.name), experiment.name):
                for name in ("logs", "pods"):
                    shutil.rmtree(folder / name, ignore_errors=True)
                made = compiled(experiment, environment, cache=cache, sample=sample)
                notices = lint.check(made, environment.kind)
                (folder / "pipeline.yaml").write_text(made.text, "utf-8")
                root = f"{environment.pipeline_root}/{made.name}/dry-run/{time.time_ns()}"
                cluster = dry_run.Cluster(folder, environment.kind, root)
                where = f"dry run for {environment.kind}, nothing is submitted"
                emit(RunStarted(experiment.name, 0, str(folder), made.nodes, where))
                for notice in (*left_out, *notices):
                    emit(Notice(notice))
                _fetch(experiment, cluster)
                outputs = dry_run.execute(made, cluster)
                _forget(outputs, cluster)
                fields = _fields(outputs, cluster)
        except BaseException as error:
            logging.getLogger("tfx_bert").exception("the dry run stopped")
            error.log, error.node = folder / "run.log", screen.failed  # type: ignore[attr-defined]
            raise
        finally:
            view.detach(screen)
        result = RunResult(name=experiment.name, number=0, started="", seconds=time.monotonic() - began, **fields)
        return _told(console, result, len(made.nodes), environment.kind)


def _fetch(experiment: Experiment, cluster: "dry_run.Cluster") -> None:
    """Brings data that has an address to the folder that stands for its bucket."""
    from components.storage import files

    task = experiment.task
    for source in (experiment.corpus, task.data if task else None, experiment.scored, experiment.taught_on):
        for key, patterns in (readers.patterns(source) if source else {}).items():
            for pattern in patterns:
                for path in readers.match(pattern, source, key) if source and "://" in pattern else ():
                    target = Path(cluster.path(path))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    files.copy_file(path, str(target))


def _forget(outputs: Mapping[str, "handover.Outputs"], cluster: "dry_run.Cluster") -> None:
    """Drops artifacts of earlier runs that this one did not reuse, and what the cache knew of them."""
    runs = Path(cluster.path(cluster.root)).parent
    used = [Path(cluster.path(artifact["uri"])) for each in outputs.values() for artifact in each.artifacts.values()]
    kept = {runs / path.relative_to(runs).parts[0] for path in used if path.is_relative_to(runs)}
    for folder in runs.iterdir():
        if folder not in kept:
            shutil.rmtree(folder)
    for entry in (cluster.folder / "cache").glob("*.json"):
        uris = [each["uri"] for each in json.loads(entry.read_text("utf-8"))["artifacts"].values()]
        if not all(Path(cluster.path(uri)).exists() for uri in uris):
            entry.unlink()


def _fields(outputs: Mapping[str, "handover.Outputs"], cluster: "dry_run.Cluster") -> dict[str, Any]:
    """What the run decided, from what its nodes wrote."""
    from components.evaluate import verdict

    def place(node: str, key: str) -> str:
        return cluster.path(outputs[node].artifacts[key]["uri"])

    fields = judged(verdict.read(place("Evaluator", "evaluation")))
    if "Pusher" not in outputs:
        return {**fields, "verdict": "done"}
    told = outputs["Pusher"].artifacts["pushed_model"]["metadata"]
    if told.get("is_new"):
        fields["pushed"] = Pushed(version=int(told["pushed_version"]), path=cluster.path(told["pushed_destination"]))
    return {**fields, "serving": int(told["pushed_version"]) if told.get("pushed") else None}


def _told(console: Console, result: RunResult, nodes: int, kind: str) -> int:
    """Prints what came of it; the exit code."""
    blessed = result.verdict != "not_blessed"
    verdict = {"blessed": "BLESSED", "not_blessed": "NOT BLESSED"}.get(result.verdict, "nothing to bless")
    console.print(f"DRY RUN for {kind}: {nodes} nodes in {numbers.clock(result.seconds)} · {verdict}")
    if blessed:
        console.print(summary.figures_line(result))
    else:
        summary.thresholds(console, result)
    if result.pushed:
        console.print(f"model: {near(Path(result.pushed.path))}")
    elif result.serving:
        console.print(f"nothing new to push: same as v{result.serving}")
    console.print("Next:  the same without --dry-run submits it; what a dry run cannot show: docs/deploy.md")
    return 0 if blessed else 4
