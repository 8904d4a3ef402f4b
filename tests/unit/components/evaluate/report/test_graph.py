"""The drawing of a lineage: each edge once, downwards, and no box on another."""

import itertools
import random
import re
import xml.etree.ElementTree as ET

from components.evaluate.report import graph
from components.evaluate.report.graph import Box


def svg(html):
    return ET.fromstring(re.search(r"<svg.*</svg>", html, re.S)[0])


def boxes(html):
    """Left and upper edge of each box, by the first word of its title."""
    found = {}
    for group in svg(html).iter("g"):
        frame = group.find("rect")
        found[group.find("title").text.split()[0]] = float(frame.get("x")), float(frame.get("y"))
    return found


def test_an_edge_that_a_longer_way_implies_is_left_out():
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d"), ("b", "d")]
    assert graph.reduced(edges) == [("a", "b"), ("b", "c"), ("c", "d")]


def test_what_is_made_stands_below_what_it_is_made_of_and_no_box_covers_another():
    chance = random.Random(1)
    names = [f"n{number}" for number in range(24)]
    edges = [(a, b) for a, b in itertools.combinations(names, 2) if chance.random() < 0.15]
    drawn = graph.draw([Box(name, name) for name in names], edges)
    placed = boxes(drawn)
    assert placed.keys() == set(names)
    assert all(placed[a][1] < placed[b][1] for a, b in edges)
    width, _ = (float(value) for value in svg(drawn).get("viewBox").split()[2:])
    for (x, y), (other, row) in itertools.combinations(placed.values(), 2):
        assert y != row or abs(x - other) >= 110
    assert all(0 <= x <= width - 112 for x, _ in placed.values())


def test_a_source_stands_right_above_what_takes_it():
    drawn = graph.draw([Box(name, name) for name in "abcx"], [("a", "b"), ("b", "c"), ("x", "c")])
    assert boxes(drawn)["x"][1] == boxes(drawn)["b"][1]


def test_names_are_cut_and_escaped_and_whole_in_the_title():
    drawn = graph.draw([Box("a", "<script>alert(1)</script>", "note"), Box("b", "b")], [("a", "b"), ("a", "elsewhere")])
    (first, _) = svg(drawn).iter("g")
    assert first.find("title").text == "<script>alert(1)</script> note"
    assert [line.text for line in first.iter("text")] == ["<script>alert(1)…", "note"]
    assert svg(drawn).get("aria-label") == "Lineage: <script>alert(1)</script> to b"


def test_nothing_is_no_drawing():
    assert graph.draw([], []) == ""
    assert len(boxes(graph.draw([Box("a", "alone")], []))) == 1
