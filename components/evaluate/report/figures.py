"""The parts of a report that an evaluation gives: checks, figures beside baselines, slices, and the task's sections."""

from collections.abc import Iterator, Sequence

from components.evaluate.report import chart, html
from components.evaluate.verdict import SLICE_RECORDS, Reference, Verdict
from models.figures import ROC, Section

# A matrix of more labels is behind a click, one of more than ``_MATRIX`` is left out; its largest cells are shown.
_READ_AT_ONCE, _MATRIX = 12, 100
_PAIRS = 20  # of labels that are confused most
_SLICES = 60  # slices that are shown
_ROWS = 200  # of a table of the task's


def checks(verdict: Verdict) -> str:
    """Every threshold, and whether it held."""
    if not verdict.checks:
        return ""
    compared = f"Compared with {verdict.baseline}" if verdict.baseline else ""
    head = ["check", "value", "bound", "records", ""]
    return html.section("Checks", html.table(head, _checks(verdict)), html.note(compared))


def warnings(verdict: Verdict) -> str:
    """What a reviewer would say of the model."""
    said = "".join(f"<li>{html.text(each)}.</li>" for each in verdict.warnings)
    return html.section("Warnings", f"<ul>{said}</ul>") if said else ""


def _checks(verdict: Verdict) -> Iterator[list[str]]:
    for check in verdict.checks:
        mark = '<b class="good">✓ passed</b>' if check.passed else '<b class="bad">✗ failed</b>'
        count = "" if check.n is None else f"{check.n:,}"
        yield [
            html.text(check.name),
            html.figure(check.value),
            f"{check.relation} {html.figure(check.bound)}",
            count,
            mark,
        ]


def figures(verdict: Verdict) -> str:
    """Each figure with its interval, beside that of every baseline; those of single labels in their own table."""
    names = [each.name for each in verdict.baselines]
    rows = [_figure(verdict, name, value) for name, value in verdict.metrics.items() if "[" not in name]
    if verdict.trivial is not None and not names:
        name = f"{next(iter(verdict.metrics), '')} of the best answer that does not look at the text"
        rows.append([html.text(name), html.figure(verdict.trivial), ""])
    head = ["figure", "model", "95 % interval", *map(html.text, names)]
    return html.section(
        "Figures",
        html.note(f"On the test split of {verdict.n:,} records.") if verdict.n else "",
        html.table(head, rows) if rows else "",
        *(html.note(f"{name}: {computed}") for name, computed in verdict.computed.items()),
        _differences(verdict.baselines, next(iter(verdict.metrics), "")),
        _labels(verdict),
    )


def _figure(verdict: Verdict, name: str, value: float) -> list[str]:
    headline = next(iter(verdict.metrics))
    others = [each.metrics.get(name, each.value if name == headline else None) for each in verdict.baselines]
    cells = [html.figure(other) if other is not None else "–" for other in others]
    return [html.text(name), html.figure(value), html.interval(verdict.intervals.get(name)), *cells]


def _differences(baselines: Sequence[Reference], headline: str) -> str:
    if not baselines:
        return ""
    rows = []
    for each in baselines:
        known = None if each.low is None or each.high is None else (each.low, each.high)
        rows.append([html.text(each.name), html.figure(each.value), html.figure(each.difference), html.interval(known)])
    head = ["baseline", html.text(headline), "model less baseline", "95 % interval"]
    return f"<h3>Beside the baselines</h3>\n{html.table(head, rows)}"


def _labels(verdict: Verdict) -> str:
    """Precision and recall of each label, the weakest recall first; of a base model its figures by frequency."""
    found: dict[str, dict[str, float]] = {}
    for name, value in verdict.metrics.items():
        kind, bracket, label = name.partition("[")
        if bracket:
            found.setdefault(label.removesuffix("]"), {})[kind] = value
    if not found:
        return ""
    kinds = list(dict.fromkeys(kind for values in found.values() for kind in values))
    last, of_pieces = kinds[-1], "mlm_loss" in kinds  # of hidden pieces by how frequent they are, in that order
    ordered = list(found) if of_pieces else sorted(found, key=lambda label: (found[label].get(last, 0.0), label))
    rows = []
    for label in ordered:
        cells = [html.figure(found[label][kind]) if kind in found[label] else "–" for kind in kinds]
        mistaken = html.text(verdict.mistaken[label]) if label in verdict.mistaken else ""
        rows.append([html.text(label), *cells, *([mistaken] if verdict.mistaken else [])])
    head = [
        "hidden pieces" if of_pieces else "label",
        *map(html.text, kinds),
        *(["mostly taken for"] if verdict.mistaken else []),
    ]
    made = html.table(head, rows)
    if len(rows) > _READ_AT_ONCE:
        return html.details(f"By label ({len(rows)})", made)
    return f"<h3>{'By frequency' if of_pieces else 'By label'}</h3>\n{made}"


def slices(verdict: Verdict) -> str:
    """The headline of each part of the test split, as a bar."""
    if not verdict.slices:
        return ""
    headline = next(iter(verdict.metrics), "value")
    shown = verdict.slices[:_SLICES]
    most = max((abs(part.value) for part in shown), default=0.0) or 1.0
    rows = []
    for part in shown:
        count = f"{part.n:,}" + (' <span class="wait">few</span>' if part.n < SLICE_RECORDS else "")
        drawn = chart.bar(max(part.value, 0.0) / max(most, 1.0 if most <= 1 else most))
        rows.append([html.text(part.name), html.figure(part.value), count, drawn])
    few = any(part.n < SLICE_RECORDS for part in shown)
    warning = f"A slice of fewer than {SLICE_RECORDS} records (few) says more about chance than about the model."
    left = (
        f"{len(verdict.slices) - len(shown):,} more slices are in verdict.json."
        if len(verdict.slices) > _SLICES
        else ""
    )
    return html.section(
        "By slice",
        html.table(["slice", html.text(headline), "records", ""], rows, "bars"),
        html.note(warning if few else ""),
        html.note(left),
    )


def sections(given: Sequence[Section]) -> str:
    """What the task draws: tables, shaded matrices, lines."""
    return "\n".join(filter(None, map(_section, given)))


def _section(each: Section) -> str:
    if not each.rows:
        return ""
    if each.drawn == "heat":
        return html.section(each.title, html.note(each.note), *_matrix(each))
    if each.drawn == "map":
        table = html.table([*map(html.text, each.head)], _shaded(each.rows), "heat")
        return html.section(each.title, html.note(each.note), table)
    if each.drawn == "lines":
        return html.section(each.title, html.note(each.note), _lines(each))
    if each.drawn == "points":
        return html.section(each.title, html.note(each.note), *_points(each))
    rows = [[html.cell(cell) for cell in row] for row in each.rows[:_ROWS]]
    left = f"{len(each.rows) - _ROWS:,} more rows are in sections.json." if len(each.rows) > _ROWS else ""
    table = html.table([*map(html.text, each.head)], rows)
    return html.section(each.title, html.note(each.note), table, html.note(left))


def _points(each: Section) -> Iterator[str]:
    groups: dict[str, list[tuple[str, float, float]]] = {}
    for name, group, x, y in each.rows:
        groups.setdefault(str(group), []).append((str(name), float(x), float(y)))
    yield chart.points(each.head[2], each.head[3], groups)
    table = html.table([*map(html.text, each.head)], ([html.cell(cell) for cell in row] for row in each.rows))
    yield html.details("Table", table)


def _lines(each: Section) -> str:
    """Every further column over the first one; a column alone names the axis."""
    names = each.head[1:]
    drawn = names[:1] if each.title == ROC else names  # a threshold is no curve
    share = each.title == ROC
    series = [
        chart.Series(name, [(float(row[0]), float(row[1 + place])) for row in each.rows])
        for place, name in enumerate(drawn)
    ]
    return chart.lines(each.head[0], names[0] if len(series) == 1 else each.title, series, share=share)


def _shaded(rows: Sequence[Sequence[str | float]]) -> Iterator[list[str]]:
    """Numbers shaded by their share of the table's largest."""
    most = max((float(cell) for _, *cells in rows for cell in cells), default=0.0) or 1.0
    for first, *cells in rows:
        drawn = (
            f'<span style="--share:{min(max(float(cell) / most, 0.0), 1.0):.2f}">{html.figure(float(cell))}</span>'
            for cell in cells
        )
        yield [html.text(first), *drawn]


def _matrix(each: Section) -> Iterator[str]:
    size = len(each.rows)
    if size > _READ_AT_ONCE:
        pairs = _confused(each)
        if pairs:
            yield "<h3>Confused most often</h3>"
            yield html.table(["label", "taken for", "records"], pairs, "words")
        else:
            yield html.note("No label was taken for another one.")
    if size > _MATRIX:
        yield html.note(f"The whole matrix of {size} labels is in sections.json beside the evaluation.")
        return
    table = html.table([*map(html.text, each.head)], map(_heat, each.rows), "heat")
    yield html.details(f"The whole matrix of {size} labels", table) if size > _READ_AT_ONCE else table


def _confused(each: Section) -> list[list[str]]:
    """The cells off the diagonal that hold most."""
    labels = each.head[1:]
    found = [
        (float(count), str(name), str(labels[place]))
        for row, (name, *counts) in enumerate(each.rows)
        for place, count in enumerate(counts)
        if place != row and float(count) > 0
    ]
    found.sort(key=lambda cell: (-cell[0], cell[1], cell[2]))
    return [[html.text(label), html.text(other), f"{count:,.0f}"] for count, label, other in found[:_PAIRS]]


def _heat(row: Sequence[str | float]) -> list[str]:
    """Numbers shaded by their share of the row; nothing where there is nothing."""
    first, *numbers = row
    counts = [float(number) for number in numbers]
    whole = sum(counts) or 1
    cells = (f'<span style="--share:{each / whole:.2f}">{each:,.0f}</span>' if each else "" for each in counts)
    return [html.text(first), *cells]
