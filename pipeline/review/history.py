"""``tfx-bert runs``, ``show`` and ``logs``: what was run, and what came of it."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
from rich.console import Console
from rich.table import Table
from rich.text import Text

from configs.base import ConfigError
from configs.yaml.document import inline, read
from pipeline.run import lineage
from pipeline.run.result import RunError, RunResult, find, runs_of
from pipeline.terminal import noise, summary
from pipeline.terminal.numbers import clock, plain

RESOLVED = "experiment.resolved.yaml"
_STYLES = {
    "blessed": "green",
    "done": "green",
    "not_blessed": "red",
    "failed": "red",
    "interrupted": "yellow",
    "running": "cyan",
}


def runs(root: Path, experiment: str | None) -> None:
    """Prints a line for each run.

    Raises:
      RunError: there are none.
    """
    names = [experiment] if experiment else sorted(path.name for path in root.glob("*") if path.is_dir())
    results, damaged = [], []
    for folder in (folder for name in names for folder in runs_of(root, name)):
        try:
            results.append(RunResult.read(folder))
        except RunError as error:
            damaged.append(str(error))
    if not results and not damaged:
        raise RunError(
            f"no runs{f' of {experiment}' if experiment else ''} in {root}/ yet: start one with tfx-bert run"
        )
    table = Table.grid(padding=(0, 2))
    for result in sorted(results, key=lambda each: each.started):
        headline = next(iter(result.metrics.items()), None)
        table.add_row(
            f"{result.name}/{result.number}",
            _when(result),
            Text(clock(result.seconds), justify="right"),
            Text(_verdict(result, root), _STYLES[result.verdict]),
            f"{headline[0]} {plain(headline[1])}" if headline else "",
            f"v{result.pushed.version}" if result.pushed else "",
        )
    console = Console(highlight=False, markup=False)
    console.print(table)
    for sentence in damaged:
        console.print(Text.assemble(("! ", "yellow"), sentence), soft_wrap=True)


def show(root: Path, run: str | None) -> None:
    """Prints one run; one that is under way on a cluster as it stands now.

    Raises:
      RunError: there is no such run.
    """
    folder = find(root, run)
    result = RunResult.read(folder)
    console = Console(highlight=False, markup=False)
    if result.remote and result.verdict == "running":
        result = _refreshed(folder, result, console)
    head = Text.assemble(f"{result.name} #{result.number} ", (_verdict(result, root), _STYLES[result.verdict]))
    head.append(f" · {clock(result.seconds)} · {_when(result)}" + (f" · git {result.git}" if result.git else ""))
    console.print(head, soft_wrap=True)
    before = [path for path in runs_of(root, result.name) if int(path.name) < result.number]
    if before:
        changes = changed(before[-1] / RESOLVED, folder / RESOLVED)
        console.print(
            f"changed since #{before[-1].name}: {', '.join(changes) or 'nothing'}", soft_wrap=True, markup=False
        )
    known = lineage.executions(folder.parent, result.pipeline_run) if result.pipeline_run else []
    numbers = {}
    for path in runs_of(root, result.name):
        with contextlib.suppress(RunError):  # tfx-bert runs names the damaged ones
            numbers[RunResult.read(path).pipeline_run] = path.name
    made_in = {each.node: numbers.get(each.made_in) for each in known}
    console.print(_nodes(result, made_in), soft_wrap=True)
    if result.checks:
        summary.thresholds(console, result)
    if result.metrics:
        console.print(" · ".join(f"{name} {plain(value)}" for name, value in result.metrics.items()), soft_wrap=True)
    summary.beside(console, result)
    if result.fine_tuned:
        console.print(f"fine-tuned: {result.fine_tuned}", soft_wrap=True)
    if result.error:
        console.print(Text.assemble(("✗ ", "red"), result.error), soft_wrap=True)
    values = read(folder / RESOLVED).values if (folder / RESOLVED).is_file() else {}
    if result.remote:
        console.print(f"{result.remote.kind}: {result.remote.address or 'not submitted'}", soft_wrap=True)
    else:
        console.print(f"lineage: {_lineage(result, known, values)}", soft_wrap=True, markup=False)
    made = [
        artifact.uri for each in known if each.node != "Resolver" for key in each.outputs.values() for artifact in key
    ]
    if made:
        places = " · ".join(uri.removeprefix(f"{folder.parent.absolute()}/").removeprefix("artifacts/") for uri in made)
        console.print(Text(f"artifacts in {folder.parent}/artifacts/: {places}", "dim"), soft_wrap=True)
    console.print(Text(f"log: {folder}/run.log · configuration: {folder}/{RESOLVED}", "dim"), soft_wrap=True)


def logs(root: Path, run: str | None, node: str | None) -> None:
    """Prints the log of a run, or of one of its nodes.

    Raises:
      RunError: there is no such run, node, or log.
    """
    folder = find(root, run)
    result = RunResult.read(folder)
    names = [each.node for each in result.nodes]
    if node and node not in names:
        raise RunError(f"{result.name} #{result.number} has no node {node!r}; there are {', '.join(names)}")
    console = Console(highlight=False, markup=False)
    for line in _remote_log(folder, result, node) if result.remote else _log(folder, node):
        console.print(line, soft_wrap=True)


def _log(folder: Path, node: str | None) -> Iterator[str]:
    """The lines of ``run.log``; of one node those between its start and its end."""
    path = folder / "run.log"
    if not path.is_file():
        raise RunError(f"{path} is not there; the run ended before it wrote a log, or somebody removed it")
    begin, end = (
        re.compile(rf" tfx_bert: {re.escape(node or '')} {word}") for word in ("started$", "(ran|cached|failed) · ")
    )
    inside = node is None
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in map(str.rstrip, file):
            inside |= begin.search(line) is not None
            if inside:
                yield line
            if node and end.search(line):
                inside = False


def _remote_log(folder: Path, result: RunResult, node: str | None) -> Iterator[str]:
    from pipeline.cluster import submit

    with noise.captured(folder / "logs.log"):
        lines = list(submit.log(folder, result, node))
    return iter(lines)


def _refreshed(folder: Path, result: RunResult, console: Console) -> RunResult:
    """The result with the cluster's current state; the last known state if the cluster does not answer."""
    from pipeline.cluster import submit

    try:
        with noise.captured(folder / "show.log") as terminal, Console(file=terminal).status("asking the cluster"):
            return submit.refresh(folder, result)
    except (ConfigError, RunError) as error:
        console.print(Text.assemble(("! ", "yellow"), f"as last known: {error}"), soft_wrap=True)
        return result


def changed(before: Path, after: Path) -> list[str]:
    """``train.learning_rate 3e-5→1e-4`` for each value that differs between two resolved experiments."""
    a, b = (_flat(read(path).values) if path.exists() else {} for path in (before, after))

    def told(values: dict[str, Any], key: str) -> str:
        value = values.get(key)
        if isinstance(value, float) and 0 < value < 0.01:  # YAML writes 3.0e-05 and 0.0001
            digits, _, exponent = f"{value:.10e}".partition("e")
            return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
        return inline(value) if key in values else "(none)"

    return [f"{key} {told(a, key)}→{told(b, key)}" for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _when(result: RunResult) -> str:
    return result.started[:16].replace("T", " ")


def _verdict(result: RunResult, root: Path) -> str:
    verdict = result.verdict.replace("_", " ").upper()
    if result.verdict == "running" and not result.remote and not _under_way(root / result.name):
        verdict = "KILLED"  # the process was killed before it wrote its result
    return verdict + (f" (sample {result.sample})" if result.sample else "")


def _under_way(folder: Path) -> bool:
    """Whether a run of the experiment is in progress: a process holds its lock."""
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            return False
    except filelock.Timeout:
        return True


def _nodes(result: RunResult, made_in: dict[str, str | None]) -> Text:
    """``ExampleGen cached(#1) · Trainer 4:01 · Pusher skipped``."""
    parts = []
    for node in result.nodes:
        if node.state == "cached":
            number = node.cached_from or made_in.get(node.node)
            parts.append(Text.assemble(f"{node.node} ", (f"cached(#{number})" if number else "cached", "dim")))
        elif node.state == "pending" and node.reason:
            parts.append(Text.assemble(f"{node.node} ", (f"pending ({node.reason})", "yellow")))
        elif node.state in ("skipped", "pending"):
            parts.append(Text.assemble(f"{node.node} ", (node.state, "dim")))
        else:
            mark = {"failed": (" ✗", "red"), "running": (" …", "cyan")}.get(node.state, "")
            parts.append(Text.assemble(f"{node.node} ", (clock(node.seconds), "bold"), mark))
    return Text(" · ").join(parts)


def _lineage(result: RunResult, known: list[lineage.Execution], values: dict[str, Any]) -> str:
    """From the data to the model: ``reviews.csv@9e1b → vocabulary → chat-bert v4@77c0 → model (not pushed)``."""
    start = f"{result.checkpoint or 'checkpoint'}@{result.data.get('Checkpoint', '')[:4]}".removesuffix("@")
    names = {"VocabularyGen": "vocabulary", "Checkpoint": start, "Pretrainer": "pretrained"}
    last = next((node for node in ("Trainer", "Pretrainer") if any(each.node == node for each in known)), None)
    steps = [each.node for each in lineage.ancestors(known, last)] + [last] if last else []
    made = [names[node] for node in steps if node in names]
    same = f"same as v{result.serving}" if result.verdict == "blessed" and result.serving else "model (not pushed)"
    pushed = f"v{result.pushed.version}" if result.pushed else same
    return " → ".join([_sources(result, values), *made, pushed])


def _sources(result: RunResult, values: dict[str, Any]) -> str:
    """``reviews.csv@9e1b``: the files, and the first digits of their SHA-256."""
    parts = []
    for node, digest in sorted(result.data.items(), reverse=True):
        if node in ("Checkpoint", "ScoreExampleGen"):  # no records that the model was made from
            continue
        of_task = "task" in values and not node.startswith("Corpus")
        source = values["task"]["data"] if of_task else values.get("corpus", {})
        source = source.get(node.removesuffix("ExampleGen").lower()) or source  # a side of the task's source
        names = ", ".join(Path(path).name for path in source.get("path", [node]))
        parts.append(f"{names}@{digest[:4]}")
    return " + ".join(parts) or "data"
