"""A verdict as the pages of Kubeflow and Vertex show it: numbers, confusion matrix, ROC curve, and a page of HTML."""

import html
import math
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tfx import types
from tfx.types.component_spec import ChannelParameter

from components.artifacts import HTML, ClassificationMetrics, Metrics
from components.evaluate.verdict import Reference, Verdict
from models.figures import CONFUSION, ROC, Section

# What an evaluator may put out beside its evaluation and its blessing, where there are such pages.
OUTPUTS = {
    "metrics": ChannelParameter(type=Metrics, optional=True),
    "classification": ChannelParameter(type=ClassificationMetrics, optional=True),
    "report": ChannelParameter(type=HTML, optional=True),
}
# A matrix of more is not read, and nears the 200 kB that Vertex takes of an artifact's metadata.
_MATRIX_LABELS = 100


def channels(*names: str) -> dict[str, types.Channel]:
    """The outputs of these names."""
    return {name: types.Channel(type=OUTPUTS[name].type) for name in names}


def write(outputs: dict[str, list[Any]], verdict: Verdict, sections: Sequence[Section] = ()) -> None:
    """Fills those of ``OUTPUTS`` that the node has.

    Args:
      outputs: of the node.
      verdict: what the evaluation came to.
      sections: what the task draws beside it.
    """
    from kfp import dsl
    from tfx.types import artifact_utils

    from components.storage.files import fileio

    metrics = artifact_utils.get_single_instance(outputs["metrics"])
    for name, value in _numbers(verdict):
        metrics.set_float_custom_property(name, value)
    shown = [each for each in sections if each.drawn != "heat" or len(each.rows) <= _MATRIX_LABELS]
    if "classification" in outputs:
        given = dsl.ClassificationMetrics()  # it knows the form that the pages take
        for each in shown:
            if each.title == CONFUSION:
                given.log_confusion_matrix(list(each.head[1:]), [list(row[1:]) for row in each.rows])
            elif each.title == ROC:
                rates, recalls, thresholds = (list(column) for column in zip(*each.rows, strict=True))
                given.log_roc_curve(rates, recalls, thresholds)
        classification = artifact_utils.get_single_instance(outputs["classification"])
        for name, value in given.metadata.items():
            classification.set_json_value_custom_property(name, value)
    uri = artifact_utils.get_single_uri(outputs["report"])
    fileio.makedirs(posixpath.dirname(uri))
    with fileio.open(uri, "w") as file:
        file.write(page(verdict, shown))


def _numbers(found: Verdict) -> Iterator[tuple[str, float]]:
    """Newer pages show numbers only. Those of single labels stand in the HTML."""
    yield "blessed", float(found.blessed)
    yield "failed_checks", float(sum(not check.passed for check in found.checks))
    yield "records", float(found.n)
    for name, value in found.metrics.items():
        if "[" not in name and math.isfinite(value):
            yield name, value


def page(verdict: Verdict, sections: Sequence[Section] = ()) -> str:
    """The verdict as one file: no scripts, nothing from elsewhere, for light and dark."""
    failed = sum(not check.passed for check in verdict.checks)
    word = "Blessed" if verdict.blessed else "Not blessed"
    name, value = next(iter(verdict.metrics.items()))
    passed = f"{len(verdict.checks) - failed} of {len(verdict.checks)} checks passed"
    said = f"{name} {_figure(value)} on {verdict.n:,} records · {passed}"
    parts = [
        f'<header class="{"good" if verdict.blessed else "bad"}"><h1>{word}</h1><p>{_text(said)}</p></header>',
        _table("Checks", ["check", "value", "bound", "records", ""], _checks(verdict)),
    ]
    if verdict.baseline:
        parts.append(f"<p>Compared with {_text(verdict.baseline)}</p>")
    parts.append(_table("Figures", ["figure", "value", "95 %"], _figures(verdict)))
    if verdict.slices:
        rows = ([_text(part.name), _figure(part.value), f"{part.n:,}"] for part in verdict.slices)
        parts.append(_table("Slices", ["slice", name, "records"], rows))
    if verdict.baselines:
        rows = (_baseline(each) for each in verdict.baselines)
        parts.append(_table("Baselines", ["baseline", name, "less than the model", "95 %"], rows))
    parts += map(_section, sections)
    body = "\n".join(parts)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{word}</title>
<style>{_STYLE}</style>
{body}
</html>
"""


def _checks(found: Verdict) -> Iterator[list[str]]:
    for check in found.checks:
        mark = '<b class="good">passed</b>' if check.passed else '<b class="bad">failed</b>'
        value = "none" if check.value is None else _figure(check.value)
        count = "" if check.n is None else f"{check.n:,}"
        yield [_text(check.name), value, f"{check.relation} {_figure(check.bound)}", count, mark]


def _figures(found: Verdict) -> Iterator[list[str]]:
    for name, value in found.metrics.items():
        yield [_text(name), _figure(value), _interval(found.intervals.get(name))]
    if found.trivial is not None:
        yield [
            _text(f"{next(iter(found.metrics), '')} of the best answer that does not look at the text"),
            _figure(found.trivial),
            "",
        ]


def _baseline(each: Reference) -> list[str]:
    value, difference = ("none" if number is None else _figure(number) for number in (each.value, each.difference))
    known = None if each.low is None or each.high is None else (each.low, each.high)
    return [_text(each.name), value, difference, _interval(known)]


def _interval(bounds: tuple[float, float] | None) -> str:
    return " … ".join(map(_figure, bounds)) if bounds else ""


def _section(section: Section) -> str:
    """A table, shaded or not; lines as a drawing."""
    if section.drawn == "lines":
        return f"<h2>{section.title}</h2>\n{_lines(section)}"
    cells = _heat if section.drawn == "heat" else _cells
    return _table(section.title, [_text(name) for name in section.head], map(cells, section.rows), section.drawn)


def _cells(row: Sequence[str | float]) -> list[str]:
    return [_text(cell) if isinstance(cell, str) else _figure(cell) for cell in row]


def _heat(row: Sequence[str | float]) -> list[str]:
    first, *numbers = row
    counts = [float(number) for number in numbers]
    whole = sum(counts) or 1
    return [_text(str(first)), *(f'<span style="--share:{each / whole:.2f}">{each:,.0f}</span>' for each in counts)]


def _lines(section: Section) -> str:
    """The second column over the first one, both from 0 to 1."""
    points = " ".join(f"{100 * float(row[0]):.1f},{100 - 100 * float(row[1]):.1f}" for row in section.rows)
    label = html.escape(f"{section.head[1]} over {section.head[0]}", quote=True)
    return f'<svg viewBox="0 0 100 100" role="img" aria-label="{label}"><polyline points="{points}"/></svg>'


def _table(title: str, head: Sequence[str], rows: Iterable[list[str]], style: str = "") -> str:
    """Cells are HTML already; the first of a row is its heading."""
    lines = "\n".join(f'<tr><th scope="row">{first}{"".join(f"<td>{cell}" for cell in rest)}' for first, *rest in rows)
    columns = "".join(f'<th scope="col">{name}' for name in head)
    return f'<h2>{title}</h2>\n<div class="{style}"><table><thead><tr>{columns}<tbody>\n{lines}\n</table></div>'


def _figure(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def _text(text: str) -> str:
    """Escapes untrusted text such as labels, and isolates its direction."""
    return f"<bdi>{html.escape(text)}</bdi>"


_STYLE = """
:root { color-scheme: light dark; --ground: #fafaf8; --ink: #1f2326; --quiet: #5e676d; --line: #dcdfe0; --heat: #22637f;
  --good: #1d6b3a; --bad: #9c2b1f }
@media (prefers-color-scheme: dark) { :root { --ground: #15181a; --ink: #e6e9ea; --quiet: #9aa4a9; --line: #30373b;
  --heat: #7fbdd6; --good: #7fcb9b; --bad: #f0948a } }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1.25rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
header { padding-left: 1rem; border-left: .25rem solid }
header p { margin: 0; color: var(--ink) }
h1 { margin: 0; font-size: 1.5rem }
h2 { margin: 2rem 0 .5rem; font-size: .875rem; font-weight: 500; color: var(--quiet) }
.good { color: var(--good) } .bad { color: var(--bad) }
div { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { min-width: 3rem; padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: right;
  font-weight: 400 }
th:first-child { padding-left: 0; text-align: left }
thead th { color: var(--quiet); font-size: .875rem }
.heat td { padding: 0 }
.heat span { display: block; padding: .25rem .75rem;
  background: color-mix(in srgb, var(--heat) calc(var(--share) * 35%), transparent) }
svg { width: 18rem; border-left: 1px solid var(--line); border-bottom: 1px solid var(--line) }
polyline { fill: none; stroke: var(--heat); vector-effect: non-scaling-stroke }
"""
