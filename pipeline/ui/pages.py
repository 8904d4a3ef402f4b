"""The pages of ``tfx-bert ui`` as HTML. What moves lies in ``<div data-live>``, which the script fetches anew."""

import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from components.evaluate.report import chart, html, training
from components.evaluate.report.report import Node, nodes_table
from pipeline.review.history import changed
from pipeline.run.report import RESOLVED, trained_on, why
from pipeline.run.result import RunResult
from pipeline.terminal.numbers import clock
from pipeline.ui import live
from pipeline.ui.live import Run

# What a page may take: its own style, its own script, its own server.
POLICY = "; ".join(
    (
        *("default-src 'none'", "style-src 'unsafe-inline'", "script-src 'self'", "connect-src 'self'"),
        *("base-uri 'none'", "form-action 'self'"),
    )
)
SERVER = "http://127.0.0.1:8501/"  # where tfx-bert serve listens unless it is told otherwise
_MOODS = {"blessed": "good", "done": "good", "not_blessed": "bad", "failed": "bad", "killed": "bad"}
_SHOWN = 20  # runs of an experiment on the first page, the newest


def _page(title: str, body: str, *, going: bool = False) -> str:
    # With scripts off, a page of a run that goes on loads itself again.
    refresh = '<noscript><meta http-equiv="refresh" content="5"></noscript>' if going else ""
    head = f'<script src="/ui.js" defer></script>{refresh}'
    trail = '<nav aria-label="pages"><a href="/">All runs</a></nav>' if title != "Runs" else ""
    return html.page(f"{title} · tfx-bert", f"{trail}\n{body}", policy=POLICY, head=head)


def _link(result: RunResult, label: str = "") -> str:
    path = f"/runs/{urllib.parse.quote(result.name, safe='')}/{result.number}"
    return f"<a href={html.attribute(path)}>{html.text(label or f'#{result.number}')}</a>"


def _verdict(verdict: str) -> str:
    return f'<span class="{_MOODS.get(verdict, "wait")}">{html.text(verdict.replace("_", " "))}</span>'


def overview(root: Path) -> str:
    """Every experiment, its runs and its headline figure over them."""
    found = live.experiments(root)
    names = [f"{name}/{folder.name}" for name, folders in found.items() for folder in reversed(folders)]
    body = "\n".join(_experiment(name, folders) for name, folders in found.items())
    none = f"<p>No runs in {html.text(f'{root}/')} yet. Start one: <code>tfx-bert run EXPERIMENT</code></p>"
    head = f"<header><h1>Runs</h1><p>{html.text(root.absolute())}</p></header>"
    return _page("Runs", f"{head}\n{_chooser(names)}\n<div data-live>{body or none}</div>")


def _chooser(names: Sequence[str], first: str = "", second: str = "") -> str:
    """The form that sets two runs side by side."""
    if len(names) < 2:
        return ""

    def options(chosen: str) -> str:
        return "".join(
            f"<option{' selected' if name == chosen else ''}>{html.escaped(name)}</option>" for name in names
        )

    return f"""<form action="/compare" class="compare">
<p><label for="a">Run</label><select id="a" name="a">{options(first or names[1])}</select></p>
<p><label for="b">beside</label><select id="b" name="b">{options(second or names[0])}</select></p>
<button>Compare</button></form>"""


def _experiment(name: str, folders: list[Path]) -> str:
    results, damaged = live.results(folders)
    going = {each.number: live.is_going(path, each) for path, each in zip(folders, results, strict=False)}
    if damaged:
        going = {each.number: live.is_going(folders[0].parent / str(each.number), each) for each in results}
    rows = [_row(each, going[each.number]) for each in reversed(results[-_SHOWN:])]
    head = ["run", "verdict", "headline", "95 % interval", "pushed", "took", "started", ""]
    left = f"{len(results) - _SHOWN:,} older runs: tfx-bert runs {name}" if len(results) > _SHOWN else ""
    return html.section(
        name,
        _trend(results),
        html.table(head, rows, "runs") if rows else "",
        html.note(left),
        *(f'<p class="bad">{html.text(sentence)}</p>' for sentence in damaged),
    )


def _row(result: RunResult, going: bool) -> list[str]:
    name, value = next(iter(result.metrics.items()), ("", None))
    verdict = "killed" if result.verdict == "running" and not going else result.verdict
    report = f"<a href={html.attribute(_report(result))}>report</a>" if not going else ""
    return [
        _link(result),
        _verdict(verdict) + (f" · {html.text(f'sample {result.sample}')}" if result.sample else ""),
        f"{html.text(name)} {html.figure(value)}" if name else "",
        html.interval(result.intervals.get(name)),
        html.text(f"v{result.pushed.version}") if result.pushed else "",
        clock(result.seconds) if result.seconds else "",
        html.text(result.started[:16].replace("T", " ")),
        report,
    ]


def _report(result: RunResult) -> str:
    return f"/runs/{urllib.parse.quote(result.name, safe='')}/{result.number}/report.html"


def _trend(results: Sequence[RunResult]) -> str:
    """The headline figure and its baselines over the runs; nothing where fewer than two have one."""
    judged = [each for each in results if each.metrics]
    if len(judged) < 2:
        return ""
    headline = next(iter(judged[-1].metrics))
    series = [chart.Series("model", [(each.number, each.metrics.get(headline, float("nan"))) for each in judged])]
    for name in dict.fromkeys(baseline.name for each in judged for baseline in each.baselines):
        values = [
            (each.number, baseline.value)
            for each in judged
            for baseline in each.baselines
            if baseline.name == name and baseline.value is not None
        ]
        series.append(chart.Series(name, values))
    return chart.lines("run", headline, series)


def run(found: Run, values: Mapping[str, object]) -> str:
    """One run: how far each node is, its curves, and where to look on.

    Args:
      found: the run.
      values: its resolved experiment.
    """
    result = found.result
    head = f"""<header class="{_MOODS.get(found.verdict, "wait")}"><h1>{html.text(f"{result.name} #{result.number}")} ·
{html.text(found.verdict.replace("_", " "))}</h1><p>{html.text(_said(found))}</p>
{f'<p class="bad">{html.text(why(result))}</p>' if why(result) else ""}</header>"""
    report = "" if found.going else f"<p><a href={html.attribute(_report(result))}>The whole report</a></p>"
    parts = [
        head,
        f'<p class="lead">{html.text(trained_on(result, values))}</p>' if trained_on(result, values) else "",
        report,
        _headlines(result),
        html.section("Nodes", nodes_table([_node(node) for node in found.nodes])),
        training.curves(found.curves),
        html.section("Notices", *(f"<p>{html.text(notice)}</p>" for notice in found.notices)),
        _model(result),
    ]
    kept = "\n".join(filter(None, parts))
    state = "going" if found.going else "over"
    return _page(f"{result.name} #{result.number}", f'<div data-live="{state}">{kept}</div>', going=found.going)


def _said(found: Run) -> str:
    result = found.result
    parts = [f"started {result.started[:16].replace('T', ' ')}", f"{clock(found.seconds)} minutes"]
    if result.remote:
        parts.append(f"on {result.remote.kind}: {result.remote.address or 'not submitted'}")
    if result.sample:
        parts.append(f"a rehearsal on {result.sample:,} records")
    return " · ".join(parts)


def _node(node: live.NodeState) -> Node:
    return Node(node.name, node.state, node.seconds, node.summary, node.share)


def _headlines(result: RunResult) -> str:
    rows = [
        [html.text(name), html.figure(value), html.interval(result.intervals.get(name))]
        for name, value in result.metrics.items()
        if "[" not in name
    ]
    return html.section("Figures", html.table(["figure", "value", "95 % interval"], rows)) if rows else ""


def _model(result: RunResult) -> str:
    """Where the model is, and how to ask it."""
    if not result.pushed:
        return ""
    return html.section(
        "Model",
        f"<p>Version {result.pushed.version} is in <code>{html.text(result.pushed.path)}</code></p>",
        f"<p><code>tfx-bert serve {html.text(result.name)}</code> answers on this machine, and "
        f'<a href="{SERVER}">its page</a> asks it.</p>',
    )


def compare(first: Run, second: Run, names: Sequence[str]) -> str:
    """Two runs side by side: what was changed, figures, seconds, curves.

    Args:
      first: the run that is compared with.
      second: the run that is compared.
      names: of all runs, for the form.
    """
    a, b = first.result, second.result
    head = [html.text("figure"), _link(a, first.name), _link(b, second.name), "change"]
    changes = changed(first.folder / RESOLVED, second.folder / RESOLVED)
    data = [
        f"{node}: {a.data.get(node, 'none')[:8]}→{b.data.get(node, 'none')[:8]}"
        for node in sorted(a.data.keys() | b.data.keys())
        if a.data.get(node) != b.data.get(node)
    ]
    body = [
        f"<header><h1>{html.text(first.name)} beside {html.text(second.name)}</h1></header>",
        _chooser(names, first.name, second.name),
        html.section(
            "Verdict", html.table(["", *head[1:3]], [["verdict", _verdict(first.verdict), _verdict(second.verdict)]])
        ),
        html.section("Changed in the configuration", _list(changes) or html.note("Nothing.")),
        html.section("Changed in the data", _list(data) or html.note("Nothing.")),
        html.section("Figures", _differences(head, a.metrics, b.metrics)),
        html.section("Seconds", _differences(["node", *head[1:]], _seconds(first), _seconds(second), plain=True)),
        training.compared({first.name: first.curves, second.name: second.curves}),
    ]
    return _page(f"{first.name} beside {second.name}", "\n".join(filter(None, body)))


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{html.text(line)}" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _seconds(found: Run) -> dict[str, float]:
    return {node.name: node.seconds for node in found.nodes if node.state == "ran"}


def _differences(
    head: Sequence[str], first: Mapping[str, float], second: Mapping[str, float], *, plain: bool = False
) -> str:
    """A row for each name of either, and the second less the first."""
    rows = []
    for name in dict.fromkeys([*first, *second]):
        old, new = first.get(name), second.get(name)
        told = [("–" if value is None else f"{value:,.1f}" if plain else html.figure(value)) for value in (old, new)]
        change = ""
        if old is not None and new is not None:
            difference = f"{new - old:,.1f}".replace("-", "−") if plain else html.figure(new - old)
            change = f"+{difference}" if new > old else difference
        rows.append([html.text(name), *told, change])
    return html.table(head, rows) if rows else ""


def fault(status: int, sentence: str) -> str:
    """A page that says what is wrong."""
    return _page(str(status), f'<header class="bad"><h1>{html.text(sentence)}</h1></header>')
