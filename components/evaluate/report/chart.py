"""Charts without a library: text is HTML, so that it keeps its size on a phone; only what is drawn is SVG.

Every chart brings its table. One axis a chart. Series differ by colour and by dashes (Okabe and Ito's colours, which
people see apart who do not see red from green).
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from components.evaluate.report import html

_TICKS = 4  # about so many on an axis
_STYLES = 6  # colours and dashes in ``style.STYLE``; then they begin again
_ROWS = 200  # of a chart's table: more are not read


@dataclasses.dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
      name: as the legend says it.
      points: x and y; a y that is not finite interrupts the line.
    """

    name: str
    points: Sequence[tuple[float, float]]


def lines(x: str, y: str, series: Sequence[Series], *, share: bool = False) -> str:
    """Lines over one pair of axes, their legend and their table.

    Args:
      x: label of the horizontal axis, with its unit.
      y: likewise of the vertical one.
      series: at least one; those without a finite point are left out.
      share: whether both axes go from 0 to 1.

    Returns:
      HTML; empty where there is nothing to draw.
    """
    drawn = [each for each in series if any(_finite(point) for point in each.points)]
    if not drawn:
        return ""
    points = [point for each in drawn for point in each.points if _finite(point)]
    across = (0.0, 1.0) if share else _range([point[0] for point in points])
    up = (0.0, 1.0) if share else _range([point[1] for point in points], padded=True)
    whole = not share and all(float(point[0]).is_integer() for point in points)  # there is no half a step
    curves = "".join(_curve(each, number % _STYLES, across, up) for number, each in enumerate(drawn))
    grid = "".join(f'<path class="grid" d="M0 {_flip(_place(tick, up))}H100"/>' for tick in ticks(*up))
    label = html.attribute(f"{y} over {x}: " + ", ".join(each.name for each in drawn))
    left = "".join(f'<span style="bottom:{_place(tick, up):.4g}%">{number(tick)}</span>' for tick in ticks(*up))
    below = "".join(
        f'<span style="left:{_place(tick, across):.4g}%">{number(tick)}</span>'
        for tick in ticks(*across)
        if not whole or tick.is_integer()
    )
    legend = "".join(
        f'<li><svg viewBox="0 0 24 4" aria-hidden="true"><path class="s{place % _STYLES}" d="M0 2H24"/></svg>'
        f"{html.text(each.name)}</li>"
        for place, each in enumerate(drawn)
    )
    return f"""<figure class="chart">
<figcaption>{html.text(y)}</figcaption>
<div class="plot"><div class="left" aria-hidden="true">{left}</div>
<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label={label}>{grid}{curves}</svg>
<div class="below" aria-hidden="true">{below}</div><p class="across">{html.text(x)}</p></div>
{f'<ul class="legend">{legend}</ul>' if len(drawn) > 1 else ""}
{html.details("Table", _table(x, y, drawn))}
</figure>"""


def points(x: str, y: str, groups: Mapping[str, Sequence[tuple[str, float, float]]]) -> str:
    """Named points of several groups in a square of one scale, and their legend; the table is the caller's.

    Args:
      x: label of the horizontal axis.
      y: likewise of the vertical one.
      groups: by name, points as their name, x and y.

    Returns:
      HTML; empty where there is nothing to draw.
    """
    places = [place for several in groups.values() for _, *place in several]
    if not places:
        return ""
    within = _range([each for place in places for each in place], padded=True)
    drawn = "".join(
        f'<path class="s{number % _STYLES} dot" d="M{_place(across, within):g} {_flip(_place(up, within)):g}h0">'
        f"<title>{html.escaped(name)}</title></path>"
        for number, several in enumerate(groups.values())
        for name, across, up in several
    )
    label = html.attribute(f"{y} over {x}: " + ", ".join(groups))
    legend = "".join(
        f'<li><svg viewBox="0 0 24 4" aria-hidden="true"><path class="s{number % _STYLES} dot" d="M12 2h0"/></svg>'
        f"{html.text(name)}</li>"
        for number, name in enumerate(groups)
    )
    return f"""<figure class="chart">
<figcaption>{html.text(y)}</figcaption>
<div class="plot square"><div class="left"></div>
<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label={label}>{drawn}</svg>
<p class="across">{html.text(x)}</p></div>
<ul class="legend">{legend}</ul>
</figure>"""


def bar(share: float) -> str:
    """A cell's bar: its length is a share of the column's greatest."""
    return f'<span class="bar" style="--share:{min(max(share, 0.0), 1.0):.3f}"></span>' if share > 0 else ""


def bars(head: tuple[str, str], rows: Sequence[tuple[str, float]], caption: str = "") -> str:
    """A table of names and numbers, each with its bar: the chart is the table.

    Args:
      head: what the names and what the numbers are.
      rows: at least one.
      caption: says what the table holds.
    """
    most = max((value for _, value in rows if math.isfinite(value)), default=0) or 1
    cells = ([html.text(name), html.cell(value), bar(value / most)] for name, value in rows)
    return html.table([*map(html.text, head), ""], cells, "bars", caption)


def number(value: float) -> str:
    """A tick's label: ``1,200``, ``0.25``, ``3e−5``."""
    if value and not 1e-3 <= abs(value) < 1e6:
        digits, _, exponent = f"{value:.2e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}".replace("-", "−")
    return f"{value:,.10g}".replace("-", "−")


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from ``low`` to ``high``: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / _TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{place * step:.12g}") for place in range(first, last + 1)]


def _finite(point: tuple[float, float]) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _range(values: Sequence[float], *, padded: bool = False) -> tuple[float, float]:
    """From the least to the greatest; wider where both are one."""
    low, high = min(values), max(values)
    space = (high - low) * 0.05 if padded else 0.0
    if high - low <= abs(high) * 1e-9:
        space = abs(high) * 0.1 or 1.0
    return low - space, high + space


def _place(value: float, within: tuple[float, float]) -> float:
    """Percent of the axis."""
    return round(100 * (value - within[0]) / (within[1] - within[0]), 2)


def _flip(place: float) -> float:
    return round(100 - place, 2)  # SVG's y goes down


def _curve(series: Series, style: int, across: tuple[float, float], up: tuple[float, float]) -> str:
    """A path; a point alone between gaps is a dot."""
    parts = []
    for finite, group in itertools.groupby(series.points, key=_finite):
        places = [f"{_place(x, across):g} {_flip(_place(y, up)):g}" for x, y in group] if finite else []
        if len(places) == 1:
            parts.append(f'<path class="s{style} dot" d="M{places[0]}h0"/>')
        elif places:
            parts.append(f'<path class="s{style}" d="M{"L".join(places)}"/>')
    return "".join(parts)


def _table(x: str, y: str, series: Sequence[Series]) -> str:
    """A row for each x; of many, evenly chosen ones and the last."""
    places = sorted({point[0] for each in series for point in each.points if math.isfinite(point[0])})
    kept = places[:: math.ceil(len(places) / _ROWS)]
    kept += [places[-1]] if kept[-1] != places[-1] else []
    values = [dict(each.points) for each in series]
    head = [html.text(x), *(html.text(each.name if len(series) > 1 else y) for each in series)]
    rows = ([number(place), *(_value(known.get(place)) for known in values)] for place in kept)
    return html.table(head, rows)


def _value(value: float | None) -> str:
    return "" if value is None else "none" if not math.isfinite(value) else number(float(f"{value:.4g}"))
