"""``tfx-bert analyze``: looks into the model of a finished run, with its own records or with other texts."""

from pathlib import Path
from typing import Any

from rich.console import Console

from configs.analyze import Analyze
from configs.evaluation import Bless
from configs.yaml.document import near
from configs.yaml.document import read as read_yaml
from pipeline.run import lineage
from pipeline.run.report import RESOLVED
from pipeline.run.result import RunError, RunResult, find
from pipeline.terminal import noise

_CHECKPOINT = "Format-Serving/assets.extra/checkpoint"


def analyze(root: Path, run: str | None, texts: str | Path | None) -> None:
    """Writes ``analysis.html`` into the run's folder, and prints the figures in a line.

    Args:
      root: the environment's ``runs`` folder.
      run: as ``result.find`` takes it.
      texts: a file of texts, one a line; None: the run's test split and eval split.

    Raises:
      RunError: there is no such run, it has no model here, or the file has no texts.
    """
    folder = find(root, run)
    result = RunResult.read(folder)
    if result.remote:
        raise RunError(
            f"{result.name}/{result.number} ran on {result.remote.kind}, where its model and its records are: "
            f"{result.remote.address}; give its experiment analyze: {{}} instead"
        )
    values = read_yaml(folder / RESOLVED).values
    settings = {**Analyze().looked, **(values.get("analyze") or {})}  # an older run may lack some
    given = _lines(Path(texts)) if texts else []
    with noise.captured(folder / "analysis.log") as terminal:
        console = Console(file=terminal, highlight=False, markup=False)
        with console.status("looking into the model"):
            path, told, left_out = _looked(folder, result, values, settings, given)
        for sentence in left_out:
            console.print(f"not looked at: {sentence}", soft_wrap=True)
        console.print(told, soft_wrap=True)
        console.print(f"analysis: {near(path)}", soft_wrap=True)


def _lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8, a text a line") from None
    if not any(lines):
        raise RunError(f"{path} holds no texts: it should have one a line")
    return [line for line in lines if line]


def _looked(
    folder: Path, result: RunResult, values: dict[str, Any], settings: dict[str, Any], texts: list[str]
) -> tuple[Path, str, list[str]]:
    """The page, the figures in a line, and what could not be looked at."""
    noise.hush()
    from components.evaluate import analysis, analyzer
    from components.evaluate.report import analysis as pages
    from models import families, task
    from models.export import golden

    known = lineage.executions(folder.parent, result.pipeline_run) if result.pipeline_run else []
    models = [*lineage.outputs(known, "Pretrainer", "model"), *lineage.outputs(known, "Trainer", "model")]
    made = {
        key: lineage.outputs(known, node, key)
        for node, key in (
            ("ExampleGen", "examples"),
            ("Transform", "transformed_examples"),
            ("Transform", "transform_graph"),
        )
    }
    tagged = lineage.outputs(known, "ProbeExampleGen", "examples")
    if not models or not all(made.values()):
        raise RunError(f"{result.name}/{result.number} made no model that could be looked into; see tfx-bert show")
    given = golden.read(Path(models[-1]) / "Format-Serving/assets.extra")["task"] or {}
    if given and not families.load(task.load(given["type"]).family).analyzed:
        raise RunError(f"analyze looks into BERT encoders, and a model of {given['type']} has none")
    if texts and given and task.load(given["type"]).family == "translation":
        raise RunError("a translator is looked into with pairs of its test split: leave out --texts")
    starts = [*lineage.outputs(known, "Checkpoint", "result"), *models][: -1 if len(models) > 1 else None]
    same = given and families.load(task.load(given["type"]).family).vocabulary == "wordpiece"
    before = next((uri for uri in reversed(starts) if uri != models[-1]), None) if same else None
    at = analyzer.Looked(
        model=Path(models[-1]) / _CHECKPOINT,
        before=Path(before) / _CHECKPOINT if before else None,
        raw=_splits(made["examples"][-1]),
        transformed=_splits(made["transformed_examples"][-1]),
        graph=made["transform_graph"][-1],
        tagged=_splits(tagged[-1]) if tagged else {},
    )
    bound = values.get("evaluate", {}).get("bless", {}).get("max_regression", Bless().max_regression)
    fixed = {"seed": values.get("seed", 1), "deterministic": values.get("deterministic", False)}
    found = analyzer.look(at, given, settings, max_regression=bound, **fixed, texts=texts)
    path = folder / analysis.PAGE
    path.write_text(pages.page(f"{result.name} #{result.number}", found.sections, found.examples), "utf-8")
    return path, analysis.summary(found), found.left_out


def _splits(folder: str) -> dict[str, list[str]]:
    return {split: sorted(map(str, Path(folder).glob(f"Split-{split}/*"))) for split in ("train", "eval", "test")}
