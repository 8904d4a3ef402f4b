"""``report.html`` of a run: gathered from what the run left, as far as it got, and written whole or not at all."""

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from components.evaluate import verdict
from components.evaluate.report import report
from components.evaluate.report.report import Mistake, Node, Report
from configs.yaml.document import read as read_yaml
from models import progress
from models.figures import Section
from models.training.curve import Curve
from pipeline.run import events, lineage, report_data
from pipeline.run.result import RunError, RunResult, runs_of

FILE = "report.html"
RESOLVED = "experiment.resolved.yaml"
_WORDS: dict[str, tuple[str, Literal["good", "bad", "wait"]]] = {
    "blessed": ("Blessed", "good"),
    "done": ("Done", "good"),
    "not_blessed": ("Not blessed", "bad"),
    "failed": ("Failed", "bad"),
    "interrupted": ("Interrupted", "wait"),
    "running": ("Running", "wait"),
}


def write(folder: Path, result: RunResult, mistakes: Sequence[Mistake] = ()) -> Path:
    """Writes the report of a run into its folder.

    Args:
      folder: ``runs/<experiment>/<number>``.
      result: of that run.
      mistakes: records to show with their text; none unless a person asked for them.

    Returns:
      The file. Another process that writes it too replaces it as a whole.
    """
    page = report.page(gathered(folder, result, mistakes))
    part = folder / f".{FILE}-{os.getpid()}-{threading.get_ident()}"
    try:
        part.write_text(page, "utf-8")
        return part.replace(folder / FILE)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def gathered(folder: Path, result: RunResult, mistakes: Sequence[Mistake] = ()) -> Report:
    """What is known of a run; a file that is missing takes its part of the report with it."""
    values = read_yaml(folder / RESOLVED).values if (folder / RESOLVED).is_file() else {}
    known = lineage.executions(folder.parent, result.pipeline_run) if result.pipeline_run else []
    judged, sections = _judged(known, result)
    word, mood = _WORDS[result.verdict]
    if mood == "good" and judged and not judged.blessed:  # a rehearsal
        mood = "wait"
    models = [report.carried(folder) for folder in _models(known)]
    last = models[-1] if models else report.Carried()
    trainings = {name: curve for model in models for name, curve in model.trainings.items()}
    ran = {each.node for each in result.nodes if each.state in ("ran", "cached")}
    trainings |= {name: curve for name, curve in told(events.read(folder)).items() if name.partition(" ")[0] not in ran}
    nodes = _nodes(folder, result, known)
    boxes, edges = report_data.drawing(known, result, values)
    sources = report_data.sources(known, result, values, {each.name: each.summary for each in nodes})
    records = {source.name: source.counts.get("train", 0) for source in sources}
    return Report(
        title=f"{result.name} #{result.number}",
        word=word,
        mood=mood,
        said=_said(result, judged),
        error=why(result),
        trained_on=trained_on(result, values, records),
        verdict=judged,
        sections=sections,
        trainings=trainings,
        calibration=last.calibration,
        sources=sources,
        boxes=boxes,
        edges=edges,
        nodes=nodes,
        analysis=_analysis(known),
        card=last.card,
        again=_again(folder, result),
        configuration=(folder / RESOLVED).read_text("utf-8") if values else "",
        mistakes=mistakes,
    )


def why(result: RunResult) -> str:
    """Why a run failed; empty where it did not."""
    if result.verdict == "interrupted":
        return "Interrupted. The next run goes on from here."
    return result.error or ""


def _said(result: RunResult, judged: verdict.Verdict | None) -> str:
    """When, how long, and what came of it."""
    parts = [report.outcome(judged)[2]] if judged else []
    if result.pushed:
        parts.append(f"pushed v{result.pushed.version}")
    elif result.sample:
        parts.append(f"a rehearsal on {result.sample:,} records, which pushes nothing")
    elif judged:
        parts.append("not pushed" + (f", v{result.serving} is served" if result.serving else ""))
    minutes, seconds = divmod(round(result.seconds), 60)
    parts.append(f"{result.started[:16].replace('T', ' ')}, {minutes}:{seconds:02d} minutes")
    if result.remote:
        parts.append(f"on {result.remote.kind}: {result.remote.address or 'not submitted'}")
    return " · ".join(parts)


def _judged(known: list[lineage.Execution], result: RunResult) -> tuple[verdict.Verdict | None, list[Any]]:
    """What the Evaluator found; where its files are elsewhere or gone, what the result kept of it."""
    folder = Path(*lineage.outputs(known, "Evaluator", "evaluation")[-1:])
    sections = []
    if (folder / verdict.SECTIONS).is_file():
        sections = verdict.sections_of((folder / verdict.SECTIONS).read_text("utf-8"))
    if (folder / verdict.FILE).is_file():
        found = verdict.Verdict.model_validate_json((folder / verdict.FILE).read_text("utf-8"))
    elif result.metrics or result.checks:
        found = verdict.Verdict(
            blessed=result.verdict == "blessed",
            checks=result.checks,
            metrics=result.metrics,
            n=0,
            trivial=result.trivial,
            slices=[result.weakest] if result.weakest else [],
            baselines=result.baselines,
            intervals=result.intervals,
            warnings=result.warnings,
        )
    else:
        return None, sections
    before = f"version {result.baseline}, the latest blessed one" if result.baseline else found.baseline
    return found.model_copy(update={"checks": result.checks or found.checks, "baseline": before}), sections


def _analysis(known: list[lineage.Execution]) -> list[Section]:
    """What the Analyzer found."""
    paths = [Path(uri) / verdict.SECTIONS for uri in lineage.outputs(known, "Analyzer", "analysis")[-1:]]
    return [each for path in paths if path.is_file() for each in verdict.sections_of(path.read_text("utf-8"))]


def _models(known: list[lineage.Execution]) -> list[Path]:
    """The ``assets.extra`` of the models that the run made, in the order of their making."""
    uris = [made.uri for each in known if each.node != "Resolver" for made in each.outputs.get("model", []) if made.uri]
    folders = (Path(uri) / "Format-Serving" / "assets.extra" for uri in uris)
    return [folder for folder in folders if folder.is_dir()]


def told(noted: Any) -> dict[str, Curve]:
    """The curve of each training by what it told so far: by its node, and a number where one node trains again.

    Args:
      noted: ``events.Noted``, in order.
    """
    curves: dict[str, Curve] = {}
    latest: dict[str, str] = {}
    for each in noted:
        event = each.event
        if not isinstance(event, progress.Step):
            continue
        name = latest.get(each.node, each.node)
        if name in curves and event.step <= curves[name].points[-1].step:
            name = f"{each.node} {2 + sum(other.startswith(f'{each.node} ') for other in curves)}"
        latest[each.node] = name
        curves.setdefault(name, Curve()).add(event.step, event.loss, event.learning_rate)
    return curves


def _nodes(folder: Path, result: RunResult, known: list[lineage.Execution]) -> list[Node]:
    """How each node went. A cached one says what it said in the run that made its outputs."""
    made_in = {each.node: each.made_in for each in known if each.cached}
    earlier: dict[str, RunResult] = {}
    for path in runs_of(folder.parent.parent, result.name):
        if path != folder and made_in:
            try:
                other = RunResult.read(path)
            except RunError:
                continue  # tfx-bert runs names the damaged ones
            earlier[other.pipeline_run or ""] = other
    nodes = []
    for each in result.nodes:
        summary, state = each.summary or each.reason, str(each.state)
        if each.state == "cached" and (maker := earlier.get(made_in.get(each.node, ""))):
            summary = next((node.summary for node in maker.nodes if node.node == each.node), "")
            state = f"cached from #{maker.number}"
        nodes.append(Node(each.node, state, each.seconds, summary))
    return nodes


def trained_on(result: RunResult, values: Mapping[str, Any], records: Mapping[str, int] = MappingProxyType({})) -> str:
    """What the model learns from, in one sentence.

    Args:
      result: of the run.
      values: its resolved experiment.
      records: of the train split, by the name of a source, where they are known.
    """
    steps = []
    corpus, pretrain, task = values.get("corpus"), values.get("pretrain"), values.get("task")
    if corpus and pretrain:
        amount = (
            f"{pretrain['steps']:,} steps" if pretrain.get("steps") else f"{pretrain.get('tokens') or 0:,.0f} tokens"
        )
        objectives = " + ".join(pretrain.get("objectives", [])).upper()
        steps.append(f"pretrained on {_files(corpus, records.get('corpus'))} for {amount} ({objectives})")
    if task:
        epochs = values.get("train", {}).get("epochs", 1)
        searched = ", with settings that a search chose" if values.get("tune") else ""
        seeds = values.get("train", {}).get("seeds")
        repeated = f" with each of {len(seeds)} seeds" if seeds else ""
        verb = "fine-tuned" if result.checkpoint or steps else "trained"
        files = _files(task.get("data", {}), records.get("task"))
        most = "at most " * bool(values.get("train", {}).get("early_stopping"))
        steps.append(f"{verb} on {files} for {most}{epochs} epoch{'s' * (epochs != 1)}{repeated}{searched}")
        if prune := values.get("train", {}).get("prune"):
            more = f" and {prune['recover']} more epoch{'s' * (prune['recover'] != 1)}" if prune["recover"] else ""
            steps.append(f"pruned of {prune['heads']:.0%} of its heads{more}".replace("%", " %"))
    if not steps:
        return ""
    start = f"From the checkpoint {result.checkpoint}" if result.checkpoint else "From random weights"
    return f"{start}: {', then '.join(steps)}."


def _files(section: Mapping[str, Any], records: int | None) -> str:
    paths = section.get("path") or []
    named = ", ".join(map(str, paths)) if isinstance(paths, list) else str(paths)
    return f"{named} ({records:,} records)" if records else named


def _again(folder: Path, result: RunResult) -> list[str]:
    if result.remote:
        return [f"tfx-bert run {folder / RESOLVED} --env {result.remote.kind}"]
    lines = []
    if result.git:
        edited = "   # and the edits that were not committed" if result.git.endswith("+") else ""
        lines.append(f"git checkout {result.git.removesuffix('+')}{edited}")
    name = result.name.removesuffix("-sample") if result.sample else result.name
    sample = f" --sample {result.sample} --set name={name}" if result.sample else ""
    lines.append(f"tfx-bert run {_near(folder)}/{RESOLVED}{sample}")
    lines += [f"# {node}: SHA-256 {digest}" for node, digest in result.data.items()]
    return lines


def _near(folder: Path) -> str:
    """Relative to the working folder, where it lies below."""
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)
