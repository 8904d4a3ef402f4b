"""Draws a directed graph without cycles in layers, from top to bottom (Sugiyama et al. 1981)."""

import dataclasses
import html as escaping
import itertools
from collections.abc import Sequence
from typing import Literal

from components.evaluate.report import html

# Pixels: three boxes of a layer beside each other fit a phone of 390.
_WIDTH, _HEIGHT, _GAP, _RISE = 110, 42, 10, 26
_LETTERS = 17  # of 12 pixels that a box takes
_SWEEPS = 8


@dataclasses.dataclass(frozen=True)
class Box:
    """A node of the drawing.

    Attributes:
      id: of this box alone.
      title: its first line.
      note: its second, quiet line.
      kind: how its frame looks: a file from outside, a step, or what it all ends in.
    """

    id: str
    title: str
    note: str = ""
    kind: Literal["file", "step", "end"] = "step"


def draw(boxes: Sequence[Box], edges: Sequence[tuple[str, str]]) -> str:
    """The drawing as SVG in a frame that scrolls.

    Args:
      boxes: at least one.
      edges: pairs of ids, from a cause to what was made of it; an edge that a longer way implies is left out.

    Returns:
      HTML; empty without boxes.
    """
    if not boxes:
        return ""
    known = {box.id: box for box in boxes}
    kept = reduced([edge for edge in dict.fromkeys(edges) if edge[0] in known and edge[1] in known])
    layers, parts = _layered(list(known), kept)
    ordered = _ordered(layers, parts)
    widest = max(_span(layer, known) for layer in ordered)
    places = {name: place for row, layer in enumerate(ordered) for name, place in _placed(layer, row, widest, known)}
    height = len(ordered) * (_HEIGHT + _RISE) - _RISE
    curves = "".join(_edge(places[a], places[b], a in known, b in known) for a, b in parts)
    drawn = "".join(_box(known[name], *place) for name, place in places.items() if name in known)
    said = html.attribute("Lineage: " + ", ".join(f"{known[a].title} to {known[b].title}" for a, b in kept))
    return (
        f'<div class="scroll graph" tabindex="0"><svg viewBox="-1 -1 {widest + 2} {height + 2}" role="img" '
        f'aria-label={said} style="min-width:{widest}px;max-width:{round(widest * 1.25)}px">{curves}{drawn}</svg></div>'
    )


def reduced(edges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The edges without those that a longer way implies."""
    after: dict[str, set[str]] = {}
    for a, b in edges:
        after.setdefault(a, set()).add(b)

    def reaches(start: str, goal: str) -> bool:
        waiting, seen = [start], set[str]()
        while waiting:
            here = waiting.pop()
            if here == goal:
                return True
            if here not in seen:
                seen.add(here)
                waiting += after.get(here, ())
        return False

    return [(a, b) for a, b in edges if not any(reaches(other, b) for other in after[a] - {b})]


def _layered(names: list[str], edges: list[tuple[str, str]]) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Layers as low as consumers allow, and the edges cut into steps of one layer each through nameless points."""
    before: dict[str, list[str]] = {name: [] for name in names}
    after: dict[str, list[str]] = {name: [] for name in names}
    for a, b in edges:
        before[b].append(a)
        after[a].append(b)
    depth: dict[str, int] = {}

    def measure(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max(map(measure, before[name]), default=-1)
        return depth[name]

    for name in names:
        measure(name)
    for name in sorted(names, key=lambda each: -depth[each]):  # a source stands right above what takes it
        if after[name] and not before[name]:
            depth[name] = min(depth[each] for each in after[name]) - 1
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in names:
        layers[depth[name]].append(name)
    parts: list[tuple[str, str]] = []
    for a, b in edges:
        way = [a]
        for row in range(depth[a] + 1, depth[b]):
            point = f"{a}\0{b}\0{row}"
            layers[row].append(point)
            way.append(point)
        parts += itertools.pairwise([*way, b])
    return layers, parts


def _ordered(layers: list[list[str]], parts: list[tuple[str, str]]) -> list[list[str]]:
    """Each layer sorted by the mean place of its neighbours, downwards and upwards in turn: fewer crossings."""
    above: dict[str, list[str]] = {}
    under: dict[str, list[str]] = {}
    for a, b in parts:
        above.setdefault(b, []).append(a)
        under.setdefault(a, []).append(b)
    layers = [list(layer) for layer in layers]
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            beside = layers[row - 1 if down else row + 1]
            share = {name: (place + 0.5) / len(beside) for place, name in enumerate(beside)}
            own = {name: (place + 0.5) / len(layers[row]) for place, name in enumerate(layers[row])}
            near = above if down else under
            means = {}
            for name in layers[row]:
                found = [share[each] for each in near.get(name, ()) if each in share]
                means[name] = sum(found) / len(found) if found else own[name]
            layers[row].sort(key=lambda name: means[name])
    return layers


def _size(name: str, known: dict[str, Box]) -> int:
    return _WIDTH if name in known else _GAP


def _span(layer: list[str], known: dict[str, Box]) -> int:
    return sum(_size(name, known) for name in layer) + _GAP * (len(layer) - 1)


def _placed(layer: list[str], row: int, widest: int, known: dict[str, Box]) -> list[tuple[str, tuple[float, float]]]:
    """Middle of the upper edge of each, the layer in the middle of the drawing."""
    x, y = (widest - _span(layer, known)) / 2, float(row * (_HEIGHT + _RISE))
    found = []
    for name in layer:
        size = _size(name, known)
        found.append((name, (x + size / 2, y)))
        x += size + _GAP
    return found


def _edge(a: tuple[float, float], b: tuple[float, float], leaves: bool, enters: bool) -> str:
    """From the lower edge of ``a`` to the upper edge of ``b``; through a nameless point it goes straight down."""
    (x, top), (to, bottom) = a, b
    y = top + _HEIGHT
    through = "" if leaves else f"M{x:g} {top:g}V{y:g}"
    bend = (y + bottom) / 2
    arrow = f"M{to - 3:g} {bottom - 5:g}L{to:g} {bottom:g}L{to + 3:g} {bottom - 5:g}" if enters else ""
    return f'<path class="edge" d="{through}M{x:g} {y:g}C{x:g} {bend:g} {to:g} {bend:g} {to:g} {bottom:g}{arrow}"/>'


def _box(box: Box, x: float, y: float) -> str:
    lines = f'<text x="{x:g}" y="{y + (18 if box.note else 25):g}">{_short(box.title)}</text>'
    if box.note:
        lines += f'<text class="quiet" x="{x:g}" y="{y + 33:g}">{_short(box.note)}</text>'
    whole = escaping.escape(f"{box.title} {box.note}".strip())
    frame = f'<rect x="{x - _WIDTH / 2:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="4"/>'
    return f'<g class="{box.kind}"><title>{whole}</title>{frame}{lines}</g>'


def _short(line: str) -> str:
    """Escaped, and cut where it is longer than a box."""
    return escaping.escape(line if len(line) <= _LETTERS else f"{line[: _LETTERS - 1]}…")
