"""A run's report: its parts in order, on one page. It shows what is known, and leaves out what a run did not reach."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from components.evaluate.report import analysis, card, data, figures, graph, html, training
from components.evaluate.verdict import Verdict
from components.train import fine_tuning, provenance
from models.export import card as model_card
from models.figures import Section
from models.training import curve


@dataclasses.dataclass(frozen=True)
class Node:
    """A node of the run.

    Attributes:
      name: its id.
      state: how it went.
      seconds: wall time.
      summary: what it said it produced.
      share: of its work that is done; None where it does not work, or that is unknown.
    """

    name: str
    state: str
    seconds: float = 0.0
    summary: str = ""
    share: float | None = None


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A record of the test split that was answered wrongly; shown only when a person asks for texts."""

    origin: str
    text: str
    expected: str
    answer: str


@dataclasses.dataclass(frozen=True)
class Report:
    """What a report is made of.

    Attributes:
      title: of the page, such as ``reviews #3``.
      word: what came of it, such as ``Blessed``.
      mood: whether that is good.
      said: a line below it.
      error: the sentence that says why it failed.
      trained_on: what the model learned from, in one sentence.
      verdict: of the Evaluator.
      sections: what the task draws.
      trainings: curves by the name of a training.
      calibration: of a classifier.
      sources: the data, by source.
      boxes: of the lineage.
      edges: likewise.
      nodes: in the order of the DAG.
      analysis: what was found inside the model.
      card: the model card, Markdown.
      again: commands that make this run again, and what they need.
      configuration: the experiment as it ran, YAML.
      mistakes: with ``--texts``.
    """

    title: str
    word: str
    mood: Literal["good", "bad", "wait"]
    said: str = ""
    error: str = ""
    trained_on: str = ""
    verdict: Verdict | None = None
    sections: Sequence[Section] = ()
    trainings: Mapping[str, curve.Curve] = dataclasses.field(default_factory=dict)
    calibration: fine_tuning.Calibration | None = None
    sources: Sequence[data.Source] = ()
    boxes: Sequence[graph.Box] = ()
    edges: Sequence[tuple[str, str]] = ()
    nodes: Sequence[Node] = ()
    analysis: Sequence[Section] = ()
    card: str = ""
    again: Sequence[str] = ()
    configuration: str = ""
    mistakes: Sequence[Mistake] = ()


def of_model(verdict: Verdict, sections: Sequence[Section], folder: pathlib.Path | None) -> Report:
    """What is known where a model is judged, without the run around it.

    Args:
      verdict: on the model.
      sections: what the task draws.
      folder: the model's ``assets.extra``.
    """
    word, mood, said = outcome(verdict)
    made = carried(folder) if folder else Carried()
    return Report(
        title=word,
        word=word,
        mood=mood,
        said=said,
        verdict=verdict,
        sections=sections,
        trainings=made.trainings,
        calibration=made.calibration,
        sources=_sources(made.made_of, verdict),
        **_lineage(made.made_of, word),
        card=made.card,
    )


def _sources(made: provenance.Provenance | None, verdict: Verdict) -> list[data.Source]:
    """The records by split; of the test split those that were judged."""
    if made is None:
        return []
    counts = made.records | ({"test": verdict.n} if verdict.n else {})
    return [data.Source("records", f"transformed, SHA-256 {made.digest[:_DIGITS]}…", counts, rows=made.rows)]


def _lineage(made: provenance.Provenance | None, word: str) -> dict[str, Any]:
    """What the model was made of, as ``boxes`` and ``edges``."""
    if made is None:
        return {}
    files = [graph.Box("records", "records", made.digest[:_DIGITS], "file")]
    files += [graph.Box("base", made.base, made.base_digest[:_DIGITS], "file")] if made.base else []
    steps = [graph.Box("training", "training"), graph.Box("model", "model", word.lower(), "end")]
    return {"boxes": [*files, *steps], "edges": [*((each.id, "training") for each in files), ("training", "model")]}


_DIGITS = 8  # of a digest


@dataclasses.dataclass(frozen=True)
class Carried:
    """What a model carries of how it was made; the attributes are those of ``Report``."""

    trainings: Mapping[str, curve.Curve] = dataclasses.field(default_factory=dict)
    calibration: fine_tuning.Calibration | None = None
    card: str = ""
    made_of: provenance.Provenance | None = None


def carried(folder: pathlib.Path) -> Carried:
    """Reads it.

    Args:
      folder: the model's ``assets.extra``; files that it lacks give nothing.
    """
    tuned, shown = folder / fine_tuning.FILE, folder / model_card.FILE
    return Carried(
        trainings=curve.read(folder),
        calibration=fine_tuning.read(folder).calibration if tuned.is_file() else None,
        card=shown.read_text("utf-8") if shown.is_file() else "",
        made_of=provenance.read(folder),
    )


def outcome(verdict: Verdict) -> tuple[str, Literal["good", "bad"], str]:
    """``Blessed``, and the headline on so many records."""
    name, value = next(iter(verdict.metrics.items()), ("", math.nan))
    passed = sum(check.passed for check in verdict.checks)
    count = f" on {verdict.n:,} records" if verdict.n else ""  # some runs keep the figures only
    parts = [f"{name} {html.figure(value)}{count}"] if name else []
    parts += [f"{passed} of {len(verdict.checks)} checks passed"] if verdict.checks else []
    said = " · ".join(parts)
    return ("Blessed", "good", said) if verdict.blessed else ("Not blessed", "bad", said)


def page(report: Report) -> str:
    """The report as one file: no scripts, nothing from elsewhere."""
    judged = report.verdict
    parts = [
        _header(report),
        f'<p class="lead">{html.text(report.trained_on)}</p>' if report.trained_on else "",
        figures.checks(judged) if judged else "",
        figures.warnings(judged) if judged else "",
        figures.figures(judged) if judged and judged.metrics else "",
        figures.slices(judged) if judged else "",
        training.curves(report.trainings),
        figures.sections(report.sections),
        _mistakes(report.mistakes),
        training.calibration(report.calibration),
        data.sources(report.sources),
        html.section(
            "Lineage",
            graph.draw(report.boxes, report.edges),
            f"<h3>Nodes</h3>\n{nodes_table(report.nodes)}" if report.nodes else "",
        ),
        analysis.part(report.analysis),
        card.card(report.card),
        _again(report),
    ]
    return html.page(f"{report.title} · {report.word}", "\n".join(filter(None, parts)))


def _header(report: Report) -> str:
    title = html.text(report.title) + (f" · {html.text(report.word)}" if report.word != report.title else "")
    said = f"<p>{html.text(report.said)}</p>" if report.said else ""
    error = f'<p class="bad">{html.text(report.error)}</p>' if report.error else ""
    return f'<header class="{report.mood}"><h1>{title}</h1>{said}{error}</header>'


def nodes_table(nodes: Sequence[Node]) -> str:
    """A row for each node; nothing where there are none."""
    if not nodes:
        return ""
    rows = []
    for each in nodes:
        # What went as planned is quiet.
        mood = {"failed": "bad", "running": "wait"}.get(each.state, "note")
        took = f"{each.seconds:,.1f}" if each.seconds else ""
        rows.append(
            [
                html.text(each.name),
                f'<span class="{mood}">{each.state}</span>',
                took,
                html.text(each.summary) + _done(each.share),
            ]
        )
    return html.table(["node", "state", "seconds", "what it made"], rows, "nodes")


def _done(share: float | None) -> str:
    if share is None:
        return ""
    return f'<progress max="1" value="{share:.3f}">{share:.0%}</progress>'


def _mistakes(found: Sequence[Mistake]) -> str:
    rows = [
        [html.text(each.origin), html.text(each.expected), html.text(each.answer), html.text(each.text)]
        for each in found
    ]
    said = "The surest wrong answers to records of the test split. This part is here because texts were asked for."
    head = ["record", "expected", "answer", "text"]
    return html.section("Mistakes", html.note(said), html.table(head, rows, "words")) if rows else ""


def _again(report: Report) -> str:
    commands = "\n".join(report.again)
    return html.section(
        "Run it again",
        f"<pre>{html.text(commands)}</pre>" if commands else "",
        html.details("The experiment as it ran", f"<pre>{html.text(report.configuration)}</pre>")
        if report.configuration
        else "",
    )
