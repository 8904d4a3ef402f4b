"""The end of a run, as a person wants to read it."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from components.evaluate.verdict import Check
from configs.experiment import Experiment, FromExperiment
from configs.yaml.document import near
from pipeline.loader import EXPERIMENTS
from pipeline.run.result import RunResult
from pipeline.terminal.numbers import clock, plain


def verdict(console: Console, result: RunResult, experiment: Experiment, root: Path) -> None:
    """Prints what came of the run, why, where it is, and what to type next.

    Args:
      console: where to.
      result: of the run.
      experiment: that ran.
      root: the environment's ``runs`` folder.
    """
    console.print(_headline(result), highlight=False)
    console.print(Text(f"trained: {trained_on(experiment)}", "dim"), soft_wrap=True)
    if not all(check.passed for check in result.checks):
        thresholds(console, result)
    elif result.metrics:
        console.print(figures_line(result), soft_wrap=True, highlight=False)
    beside(console, result)
    if result.error:
        console.print(Text.assemble(("✗ ", "red"), result.error), soft_wrap=True)
    if result.pushed:
        path = result.pushed.path
        console.print(f"model: {path if '://' in path else near(Path(path))}", soft_wrap=True, highlight=False)
    report = near(root / result.name / str(result.number) / "report.html")
    if report.is_file():
        console.print(f"report: {report}", soft_wrap=True, highlight=False)
    for line in result.tried:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    for line in _next(result, experiment):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _headline(result: RunResult) -> Text:
    took = clock(result.seconds)
    match result.verdict:
        case "blessed" if result.pushed:
            return Text.assemble(("BLESSED", "bold green"), f", pushed v{result.pushed.version} in {took}")
        case "blessed" if result.remote:
            return Text.assemble(("BLESSED", "bold green"), f" in {took}")
        case "blessed":
            kept = f"; same as v{result.serving}, nothing pushed" if result.serving else ", not pushed"
            return Text.assemble(("BLESSED", "bold green"), f"{kept} ({took})")
        case "not_blessed":
            failed = sum(not check.passed for check in result.checks)
            kept = f"; v{result.serving} unchanged" if result.serving else ""
            told = f": {failed} of {len(result.checks)} failed" if result.checks else ""
            return Text.assemble(("NOT BLESSED", "bold red"), f"{told}{kept} (exit 4)")
        case "done" if result.sample:
            return Text.assemble(
                ("DONE", "bold green"), f": {result.sample} records went through every node in {took}; nothing pushed"
            )
        case "done":
            return Text.assemble(("DONE", "bold green"), f" in {took}; nothing to bless or push")
        case _:
            return Text.assemble((result.verdict.upper(), "bold red"), f" after {took}")


def thresholds(console: Console, result: RunResult) -> None:
    """A line for each threshold, and one for what the model was compared with."""
    width = max(Text(check.name).cell_len for check in result.checks)
    for check in result.checks:
        pad = " " * (width - Text(check.name).cell_len)
        mark = ("✓ ", "green") if check.passed else ("✗ ", "red")
        line = f"  {comparison(check, result.intervals)}"
        console.print(Text.assemble(mark, check.name, pad, line), highlight=False)
    if result.baselines:
        console.print(Text(" · ".join(_baselines(result)), "dim"), soft_wrap=True)


def beside(console: Console, result: RunResult) -> None:
    """How figures were computed, where it matters, and what a reviewer would say of the model."""
    for computed in result.computed.values():
        console.print(Text(computed, "dim"), soft_wrap=True)
    for warning in result.warnings:
        console.print(Text.assemble(("! ", "yellow"), warning), soft_wrap=True, highlight=False)


def comparison(check: Check, intervals: Mapping[str, tuple[float, float]]) -> str:
    """``.611 ≥ .700 ±.020  n=312``: value, bound, half of the 95 % interval of the value, records behind it."""
    value = "none" if check.value is None else plain(check.value)
    count = f"  n={check.n:,}" if check.n is not None else ""
    name = "change" if check.name.startswith("change from") else check.name
    return f"{value} {check.relation} {plain(check.bound)}{_margin(intervals.get(name))}{count}"


def figures_line(result: RunResult) -> str:
    """``accuracy .881 ≥ .870 ±.020 · majority .505 · tfidf .812 · weakest: 1-8 words .842 (n=191)``."""
    checked = {check.name for check in result.checks}
    parts = [f"{check.name} {comparison(check, result.intervals)}" for check in result.checks]
    # Those of single labels are in tfx-bert show.
    parts += [
        f"{name} {plain(value)}{_margin(result.intervals.get(name))}"
        for name, value in result.metrics.items()
        if name not in checked and "[" not in name
    ]
    parts += _baselines(result)
    if result.weakest:
        parts.append(f"weakest: {result.weakest.name} {plain(result.weakest.value)} (n={result.weakest.n:,})")
    return " · ".join(parts)


def _baselines(result: RunResult) -> list[str]:
    if result.baselines:
        return [f"{each.name} {'none' if each.value is None else plain(each.value)}" for each in result.baselines]
    if result.trivial is None:
        return []
    word = "majority" if next(iter(result.metrics), "") == "accuracy" else "without the text"
    return [f"{word} {plain(result.trivial)}"]


def _margin(interval: tuple[float, float] | None) -> str:
    """`` ±.020``: half of a 95 % interval; nothing where there is none."""
    return f" ±{plain((interval[1] - interval[0]) / 2)}" if interval else ""


def trained_on(experiment: Experiment) -> str:
    """What was trained on what, in one line."""
    if experiment.analyzed_alone:
        return "nothing; the checkpoint was looked into"
    parts = []
    start = experiment.checkpoint
    parts.append(
        f"from {start.experiment}'s latest model"
        if isinstance(start, FromExperiment)
        else f"from {start}"
        if start
        else "from nothing"
    )
    if experiment.corpus and experiment.pretrain:
        budget = experiment.pretrain.steps or experiment.pretrain.tokens or 0
        unit = "steps" if experiment.pretrain.steps else "tokens"
        objectives = " + ".join(experiment.pretrain.objectives).upper()
        parts.append(f"{budget:,} {unit} of {objectives} on {', '.join(experiment.corpus.path)}")
    if experiment.task:
        seeds = f" with each of {len(experiment.train.seeds)} seeds" if experiment.train.seeds else ""
        tune = experiment.tune
        epochs = f"{'at most ' * bool(experiment.train.early_stopping)}{experiment.train.epochs} epochs"
        epochs = "epochs by the search" if tune and "epochs" in tune.space else epochs
        search = f", the best settings of up to {tune.trials} trials" if tune else ""
        parts.append(f"{epochs}{seeds} on {', '.join(experiment.task.data.path)}{search}")
    return " → ".join(parts)


def _next(result: RunResult, experiment: Experiment) -> list[str]:
    if result.remote:
        missed = f"Most missed {result.most_missed[0]} became {result.most_missed[1]}  " if result.most_missed else ""
        return [f"{missed}Next:  tfx-bert show {result.name}/{result.number} | {result.remote.address}"]
    if result.verdict == "not_blessed" and experiment.task:
        missed = (
            f"Most missed {result.most_missed[0]} became {result.most_missed[1]} → "
            if result.most_missed
            else "Next:  "
        )
        return [f"{missed}tfx-bert errors {result.name}/{result.number}"]
    if result.verdict == "blessed" and experiment.task:
        shipped = (EXPERIMENTS / f"{result.name}.yaml").is_file()
        return [
            'Next:  tfx-bert predict "…" | tfx-bert errors | tfx-bert show',
            *(["Yours: tfx-bert init --data reviews.csv"] if shipped else []),
        ]
    if result.verdict == "blessed":
        return [f"Next:  checkpoint: {{experiment: {result.name}}} in another experiment starts from it"]
    if result.verdict == "done" and result.sample:
        return ["Next:  the same without --sample"]
    return [f"Next:  tfx-bert show {result.name}/{result.number}"]
