"""RapidJSON's PrettyWriter, and how TensorFlow Serving cuts what it echoes (JsonValueToDebugString)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.json import json_reader
from serving.json.json_numbers import double
from serving.json.json_writer import quoted, show


def test_strings():
    assert quoted('a"\\/\b\f\n\r\t\x0b\x1f\x7fé\udcff') == '"a\\"\\\\/\\b\\f\\n\\r\\t\\u000B\\u001F\x7fé\udcff"'


@pytest.mark.parametrize(
    ("value", "text"),
    [  # from echoes that were recorded from TensorFlow Serving, but for the zeros
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1e22, "1e22"),
        (1e-7, "1e-7"),
        (3.5e38, "3.5e38"),
        (5e-324, "5e-324"),
        (99999999999999999999.0, "100000000000000000000.0"),
        (1.0000000596046448, "1.0000000596046448"),
        (2.2250738585072014e-308, "2.2250738585072014e-308"),
        (1.1111111111111121e307, "1.1111111111111121e307"),
    ],
)
def test_doubles(value, text):
    assert double(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_come_back_as_they_were(value):
    assert float(double(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([[], [1, "a"]], '[[], [1, "a"]]'),
        ({}, "{}"),
        ({"a": [{"b": None}]}, '{\n    "a": [{\n            "b": null\n        }]\n}'),
        ([1, math.nan, 2], "[1, "),
        (math.inf, ""),
        (["x" * 300, 1], '["' + "x" * 300 + '"'),
        ([100] * 200, "[" + ", ".join(["100"] * 52)),  # 254 bytes, so another one is begun
        (json_reader.read(b'{"a": 1, "a": true}'), '{\n    "a": 1,\n    "a": true\n}'),
    ],
)
def test_echoes(value, text):
    assert show(value) == text
