"""Charts: what is drawn is where the numbers say, and every chart has its table."""

import math
import re
import xml.etree.ElementTree as ET

import pytest

from components.evaluate.report import chart


def paths(html):
    """The drawn lines: pairs of percent from the left and from the bottom."""
    found = []
    for data in re.findall(r'<path class="s\d(?: dot)?" d="M([^"]*)"/>', html):
        if "H" not in data:
            points = data.removesuffix("h0").split("L")
            found.append([(float(x), 100 - float(y)) for x, y in (point.split(" ") for point in points)])
    return found


def rows(html):
    return [
        re.findall(r"<t[hd][^>]*>(?:<bdi>)?([^<\n]*)", row)
        for row in re.findall(r"<tr>(.*?)(?=<tr>|</table>)", html, re.S)
    ]


def test_points_stand_where_their_numbers_say():
    drawn = chart.lines("x", "y", [chart.Series("a", [(0, 0.0), (0.5, 0.25), (1, 1.0)])], share=True)
    assert paths(drawn) == [[(0, 0), (50, 25), (100, 100)]]


def test_the_axes_end_with_the_data_and_leave_some_room_above_and_below():
    (points,) = paths(chart.lines("step", "loss", [chart.Series("a", [(10, 2.0), (20, 1.0), (30, 3.0)])]))
    assert [x for x, _ in points] == [0, 50, 100]
    assert points[1][1] == pytest.approx(100 * 0.1 / 2.2, abs=0.01)
    assert points[2][1] == pytest.approx(100 - 100 * 0.1 / 2.2, abs=0.01)


def test_what_is_no_number_is_a_gap_and_a_point_between_gaps_a_dot():
    values = [(0, 1.0), (1, math.nan), (2, 2.0), (3, math.inf), (4, 1.5), (5, 1.0)]
    drawn = chart.lines("x", "y", [chart.Series("a", values)])
    assert [len(points) for points in paths(drawn)] == [1, 1, 2]
    assert ["1", "none"] in rows(drawn)


@pytest.mark.parametrize("values", [[], [(0, math.nan)], [(math.inf, 1.0)]])
def test_nothing_to_draw_is_no_chart(values):
    assert chart.lines("x", "y", [chart.Series("a", values)]) == ""


def test_one_point_and_a_constant_have_axes_too():
    for values in ([(5, 3.0)], [(1, 0.0), (2, 0.0)], [(1, 1e-30), (2, 1e-30)], [(1, 3e-5), (2, 3e-5)]):
        for points in paths(chart.lines("x", "y", [chart.Series("a", values)])):
            assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in points)


def test_every_point_is_in_the_table_beside_those_of_the_other_lines():
    drawn = chart.lines("step", "loss", [chart.Series("a", [(1, 0.5), (2, 0.25)]), chart.Series("b", [(2, 1 / 3)])])
    assert rows(drawn) == [["step", "a", "b"], ["1", "0.5", ""], ["2", "0.25", "0.3333"]]


def test_a_long_table_is_thinned_and_keeps_its_ends():
    drawn = rows(chart.lines("step", "loss", [chart.Series("a", [(step, 1.0) for step in range(1, 1001)])]))
    assert drawn[1][0] == "1"
    assert drawn[-1][0] == "1,000"
    assert len(drawn) <= 202


def test_a_name_from_elsewhere_is_text():
    drawn = chart.lines("<x>", '"y"', [chart.Series("<script>", [(0, 1.0)]), chart.Series("العربية", [(1, 1.0)])])
    assert "<script>" not in drawn
    assert "<x>" not in drawn
    assert "<bdi>العربية</bdi>" in drawn
    svg = re.search(r"<svg viewBox=.*?</svg>", drawn, re.S)[0]
    assert ET.fromstring(svg).get("aria-label") == '"y" over <x>: <script>, العربية'


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.5, 1]),
        (0, 100, [0, 50, 100]),
        (1, 3, [1, 1.5, 2, 2.5, 3]),
        (-0.3, 0.3, [-0.2, 0, 0.2]),
        (0, 8e-5, [0, 2e-5, 4e-5, 6e-5, 8e-5]),
        (995, 1005, [995, 1000, 1005]),
    ],
)
def test_ticks_are_round_numbers_within_the_axis(low, high, expected):
    assert chart.ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (0.25, "0.25"), (1200, "1,200"), (3e-5, "3e−5"), (-0.5, "−0.5"), (2.5e7, "2.5e7"), (1e-3, "0.001")],
)
def test_numbers_are_short(value, expected):
    assert chart.number(value) == expected


def test_bars_are_shares_of_the_greatest():
    drawn = chart.bars(("label", "records"), [("a", 50), ("<b>", 100), ("c", 0)])
    assert re.findall(r"--share:([\d.]+)", drawn) == ["0.500", "1.000"]
    assert "&lt;b&gt;" in drawn
    assert rows(drawn)[1][:2] == ["a", "50"]


def test_named_points_of_groups_share_one_scale():
    drawn = chart.points("x", "y", {"<a>": [("1-1", 0.0, 0.0), ("1-2", 2.0, 1.0)], "b": [("</title>", 1.0, 0.0)]})
    found = re.findall(r'<path class="(s\d) dot" d="M(\S+) (\S+)h0"><title>([^<]*)', drawn)
    places = [(style, float(x), 100 - float(y), name) for style, x, y, name in found]
    low, step = 100 * 0.1 / 2.2, 100 / 2.2  # 5 % of the two units on each side
    expected = [("s0", 0, 0, "1-1"), ("s0", 2, 1, "1-2"), ("s1", 1, 0, "&lt;/title&gt;")]
    for (style, x, y, name), (other, across, up, label) in zip(places, expected, strict=True):
        assert (style, name) == (other, label)
        assert (x, y) == pytest.approx((low + across * step, low + up * step), abs=0.02)
    assert "&lt;a&gt;" in drawn
    assert chart.points("x", "y", {}) == ""
