"""``tfx-bert glue`` and ``tfx-bert klue``: the tasks of a benchmark, fine-tuned from one checkpoint, and their table.

Every task and seed is an experiment of its own, such as ``glue-cola-seed1``: trained and chosen on the official train
files, judged on the official dev files. What is finished is not trained again.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from components.evaluate import verdict
from configs import environment
from configs.base import ConfigError
from configs.environment import Local
from configs.experiment import Experiment
from configs.yaml.document import Document
from pipeline import loader
from pipeline.run import lineage
from pipeline.run.result import RunResult, runs_of
from pipeline.start.check import access
from schemas import DataError

# A twentieth of the train files chooses the epoch; the rest is trained on.
_SPLIT = {"train": 0.95, "eval": 0.05, "test": 0.0}


@dataclass(frozen=True)
class Figure:
    """A figure that a benchmark reports.

    Attributes:
      name: in the table.
      metric: of the task's ``figures``.
      published: of ``Suite.models``, percent; None for a model that has none.
      slices: the slices of the dev files that count, of the task's headline figure; all records where empty.
    """

    name: str
    metric: str
    published: tuple[float | None, ...]
    slices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A task of a benchmark.

    Attributes:
      name: in the table, and in the names of its experiments.
      task: the section ``task`` of its experiment; files are relative to the benchmark's folder.
      figures: the official ones.
      more: other sections of its experiment.
    """

    name: str
    task: Mapping[str, Any]
    figures: tuple[Figure, ...]
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where its files are."""
        return str(self.task["data"]["path"]).partition("/")[0]


@dataclass(frozen=True)
class Suite:
    """A benchmark.

    Attributes:
      name: of the command.
      entries: its tasks.
      models: whose published figures stand beside ours.
      averages: of these models, percent; None where the benchmark has no average.
      notes: where the published figures are from, and what else a reader of the table must know.
    """

    name: str
    entries: tuple[Entry, ...]
    models: tuple[str, ...]
    averages: tuple[float | None, ...] | None
    notes: str


# By task, seed and figure, percent; None where a figure could not be computed.
Scores = Mapping[str, Mapping[int, Mapping[str, float | None]]]


def run(suite: Suite, data: Path, checkpoint: str, seeds: Sequence[int], env: str, overrides: Sequence[str]) -> int:
    """Fine-tunes every task that ``data`` holds; prints the table, and keeps it in ``runs/<suite>/``.

    Args:
      suite: the benchmark.
      data: its folder, in the official layout.
      checkpoint: what to start from.
      seeds: an experiment each, for each task.
      env: an environment's name or file; this machine.
      overrides: ``a.b=c``, for every experiment.

    Returns:
      The exit code: 0, or that of the run that failed.

    Raises:
      ConfigError: the environment is a cluster.
      DataError: no task is there, or the files of one cannot be read.
    """
    local = environment.load(env)
    if not isinstance(local, Local):
        raise ConfigError(f"--env: {suite.name} runs on this machine. Received: {env}, of kind {local.kind}")
    entries = [entry for entry in suite.entries if (data / entry.folder).is_dir()]
    if not entries:
        raise DataError(f"--data: {data} holds none of the folders {', '.join(each.folder for each in suite.entries)}.")
    asked = {
        (entry.name, seed): experiment(suite, entry, data, checkpoint, seed, overrides)
        for seed in seeds
        for entry in entries
    }
    for entry in entries:  # report faults of every file before the first training
        access(asked[entry.name, seeds[0]], local)
    found: dict[str, dict[int, dict[str, float | None]]] = {entry.name: {} for entry in entries}
    settings = {"checkpoint": checkpoint, "seeds": list(seeds), "set": list(overrides)}
    target = Path(local.runs) / suite.name
    target.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for entry in entries:
            given = asked[entry.name, seed]
            file = target / f"{given.name}.yaml"
            loader.save_resolved(given, file)
            if code := _run(file, env):
                return code
            judged = _verdict(local, given.name)
            found[entry.name][seed] = {figure.name: _value(figure, judged) for figure in entry.figures}
            _write(target, suite, settings, found)
    Console(highlight=False).print((target / "results.txt").read_text("utf-8"), soft_wrap=True, markup=False, end="")
    return 0


def experiment(
    suite: Suite, entry: Entry, data: Path, checkpoint: str, seed: int, overrides: Sequence[str] = ()
) -> Experiment:
    """The experiment of a task and a seed.

    Raises:
      ConfigError: what ``overrides`` say does not fit.
    """
    given = entry.task["data"]
    files = {
        "path": str(data / given["path"]),
        "test": [str(data / file) for file in given["test"]],
    }
    values: dict[str, Any] = {
        "name": f"{suite.name}-{entry.name.lower()}-seed{seed}",
        "checkpoint": checkpoint,
        # Official files hold rows that are cut short, and texts of the dev files among those to train on.
        "task": {**entry.task, "data": {**given, **files, "split": dict(_SPLIT), "on_bad_record": "quarantine"}},
        "seed": seed,
        **entry.more,
    }
    return loader.resolve(Document(Path(suite.name), values, {}), overrides)


def _run(file: Path, env: str) -> int:
    """``tfx-bert run``, up to the figures: in a process of its own, because TensorFlow keeps what a training took."""
    call = [sys.executable, "-P", "-c", "from pipeline.cli import main; main()"]
    with subprocess.Popen([*call, "run", str(file), "--env", env, "--to", "Evaluator"]) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the run got the signal too, and stops by itself
                continue


def _verdict(local: Local, name: str) -> verdict.Verdict:
    """Of the experiment's newest run."""
    folder = runs_of(Path(local.runs), name)[-1]
    known = lineage.executions(folder.parent, str(RunResult.read(folder).pipeline_run))
    evaluation = Path(lineage.outputs(known, "Evaluator", "evaluation")[-1])
    # Without TFX's file systems, whose import says much and takes seconds.
    return verdict.Verdict.model_validate_json((evaluation / verdict.FILE).read_text("utf-8"))


def _value(figure: Figure, judged: verdict.Verdict) -> float | None:
    """Percent."""
    if not figure.slices:
        value = judged.metrics.get(figure.metric)
        return None if value is None else 100 * value
    parts = [part for part in judged.slices if part.name in figure.slices]
    n = sum(part.n for part in parts)
    return 100 * sum(part.value * part.n for part in parts) / n if n else None


def averages(scores: Scores) -> dict[int, float | None]:
    """GLUE's average by seed: of each task the mean of its figures, then the mean of the tasks (Wang et al. 2018)."""
    seeds = set.intersection(*(set(by_seed) for by_seed in scores.values()))
    return {seed: _mean([_mean(list(by_seed[seed].values())) for by_seed in scores.values()]) for seed in sorted(seeds)}


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there and len(there) == len(values) else None


def _sd(values: Sequence[float | None]) -> float | None:
    """Of a sample; one alone has none."""
    there = [value for value in values if value is not None]
    return statistics.stdev(there) if len(there) == len(values) > 1 else None


def summary(suite: Suite, scores: Scores) -> dict[str, Any]:
    """The table as JSON: by task and figure the value of each seed, their mean and standard deviation, and others'."""
    tasks = {
        entry.name: {
            figure.name: _summed(
                {seed: values[figure.name] for seed, values in scores[entry.name].items()},
                dict(zip(suite.models, figure.published, strict=True)),
            )
            for figure in entry.figures
        }
        for entry in suite.entries
        if scores.get(entry.name)
    }
    made: dict[str, Any] = {"tasks": tasks}
    if suite.averages:
        there = {name: scores[name] for name in tasks}
        made["average"] = {
            "tasks": len(tasks),
            **_summed(averages(there), dict(zip(suite.models, suite.averages, strict=True))),
        }
    return made


def _summed(by_seed: Mapping[int, float | None], published: Mapping[str, float | None]) -> dict[str, Any]:
    values = list(by_seed.values())
    return {"seeds": dict(by_seed), "mean": _mean(values), "sd": _sd(values), "published": dict(published)}


def table(suite: Suite, made: Mapping[str, Any]) -> Table:
    """``summary`` as a person reads it."""
    shown = Table(box=None, pad_edge=False)
    for number, name in enumerate(("task", "figure", "dev", *suite.models)):
        shown.add_column(name, justify="right" if number > 1 else "left")
    for task, figures in made["tasks"].items():
        for number, (name, values) in enumerate(figures.items()):
            shown.add_row("" if number else task, name, *_cells(suite, values))
    if "average" in made:
        whole = made["average"]
        shown.add_row("average", f"{whole['tasks']} of {len(suite.entries)} tasks", *_cells(suite, whole))
    return shown


def _cells(suite: Suite, values: Mapping[str, Any]) -> list[str]:
    mean, sd = values["mean"], values["sd"]
    ours = "none" if mean is None else f"{mean:.1f}" if sd is None else f"{mean:.1f} ± {sd:.1f}"
    published = [values["published"][model] for model in suite.models]
    return [ours, *("" if each is None else f"{each:g}" for each in published)]


def _write(folder: Path, suite: Suite, settings: Mapping[str, Any], found: Scores) -> None:
    """``results.json`` and ``results.txt``, as far as the runs came."""
    made = summary(suite, found)
    text = json.dumps({"suite": suite.name, **settings, **made}, ensure_ascii=False, indent=1)
    (folder / "results.json").write_text(f"{text}\n", "utf-8")
    with (folder / "results.txt").open("w", encoding="utf-8") as file:
        console = Console(file=file, width=100, highlight=False, markup=False)
        told = ", ".join(map(str, settings["seeds"]))
        console.print(f"{suite.name} from {settings['checkpoint']} · seeds {told} · percent, mean ± sd over the seeds")
        console.print(table(suite, made))
        console.print(suite.notes)
