"""Tensors to JSON. Each expectation names the test in tensorflow/serving's util/json_tensor_test.cc that it is from."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import ApiError
from serving.json import json_responses


def texts(*rows):
    return np.array(rows, object)


def test_one_tensor():  # FromJsonSingleTensor
    value = {"i": np.array([[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]], np.int32)}
    expected = [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]
    assert json.loads(json_responses.rows(value)) == {"predictions": expected}
    assert json.loads(json_responses.columns(value)) == {"outputs": expected}


def test_white_space_is_as_tensorflow_serving_writes_it():  # the example of g3doc/api_rest.md
    assert json_responses.rows({"y": np.array([3.5, 4.0, 5.5], np.float32)}) == (
        b'{\n    "predictions": [3.5, 4.0, 5.5\n    ]\n}'
    )
    two = {"label": texts(b"a", b"b"), "scores": np.array([[0.25, 0.75], [1, 0]], np.float32)}
    assert json_responses.rows(two).decode() == (
        '{\n    "predictions": [\n'
        '        {\n            "label": "a",\n            "scores": [0.25, 0.75]\n        },\n'
        '        {\n            "label": "b",\n            "scores": [1.0, 0.0]\n        }\n    ]\n}'
    )
    assert json_responses.columns(two).decode() == (
        '{\n    "outputs": {\n        "label": [\n            "a",\n            "b"\n        ],\n        "scores": [\n'
        "            [\n                0.25,\n                0.75\n            ],\n"
        "            [\n                1.0,\n                0.0\n            ]\n        ]\n    }\n}"
    )


def test_bytes():  # FromJsonSingleBytesTensor
    value = {"s_bytes": texts([b"hello", b"world"], [b"tf", b"serving"])}
    assert json.loads(json_responses.rows(value)) == {
        "predictions": [[{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}], [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}]]
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [  # FromJsonSingleFloatTensorSixDigitPrecision, …NonFinite
        (9000000, "9e+06"),
        (999999, "999999.0"),
        (0.5, "0.5"),
        (0.0003, "0.0003"),
        (0.00003, "3e-05"),
        (555557.5, "555557.5"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (3, "3.0"),
        (0.2, "0.2"),
        (1 / 3, "0.333333343"),  # six digits are not enough: nine
        (-0.0, "-0.0"),
    ],
)
def test_decimals(value, text):
    assert json_responses.decimals(np.array([value], np.float32)) == [text]


@given(st.lists(st.floats(width=32, allow_nan=False)), st.lists(st.floats(allow_nan=False)))
def test_decimals_come_back_as_they_were(narrow, wide):
    assert [float(np.float32(text)) for text in json_responses.decimals(np.array(narrow, np.float32))] == narrow
    assert [float(text) for text in json_responses.decimals(np.array(wide, np.float64))] == wide


def test_several_tensors():  # FromJsonMultipleNamedTensors
    value = {
        "d": np.array([8.0, 9.0]),
        "f": np.array([[1.0], [2.0]], np.float32),
        "i": np.array([[[1, 2]], [[7, 8]]], np.int32),
        "s": texts([b"foo", b"bar"], [b"baz", b"bat"]),
        "s_bytes": texts([b"hello"], [b"tf"]),
        "b": np.array([True, False]),
        "none": np.zeros((2, 0), np.int64),
    }
    assert json.loads(json_responses.rows(value)) == {
        "predictions": [
            {"d": 8.0, "f": [1.0], "i": [[1, 2]], "s": ["foo", "bar"], "s_bytes": [{"b64": "aGVsbG8="}], "b": True}
            | {"none": []},
            {"d": 9.0, "f": [2.0], "i": [[7, 8]], "s": ["baz", "bat"], "s_bytes": [{"b64": "dGY="}], "b": False}
            | {"none": []},
        ]
    }
    assert json.loads(json_responses.columns(value))["outputs"] == {
        "d": [8.0, 9.0],
        "f": [[1.0], [2.0]],
        "i": [[[1, 2]], [[7, 8]]],
        "s": [["foo", "bar"], ["baz", "bat"]],
        "s_bytes": [[{"b64": "aGVsbG8="}], [{"b64": "dGY="}]],
        "b": [True, False],
        "none": [[], []],
    }


def test_a_scalar():
    assert json.loads(json_responses.columns({"y": np.array(3, np.float32)})) == {"outputs": 3.0}


@pytest.mark.parametrize(
    ("value", "message"),
    [  # FromJsonSingleTensorErrors, FromJsonMultipleNamedTensorsErrors
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"t": np.array([1, 2], np.complex64)}, "Failed to write JSON value for tensor type: complex64"),
        ({"t": np.array(1)}, "Tensor name: t has no shape information"),
        ({"t": np.array([1], np.uint16)}, "Failed to write JSON value for tensor type: uint16"),
        ({"t": np.array([1], np.float16)}, "Failed to write JSON value for tensor type: half"),
        ({"a": np.zeros((0, 2)), "b": np.zeros((1, 2))}, "Tensor name: b has inconsistent batch size: 1 expecting: 0"),
        ({"a": np.zeros(2), "b": np.zeros(1)}, "Tensor name: b has inconsistent batch size: 1 expecting: 2"),
    ],
)
def test_refusals(value, message):
    with pytest.raises(ApiError) as caught:
        json_responses.rows(value)
    assert message in caught.value.message


def test_classes():  # ClassifyRegressnResultTest, JsonFromClassificationResult
    labels, scores = texts([b"car", b"bike"], [b"car", b"bike"]), np.array([[0.2, 0.7], [0.7, 0.1]], np.float32)
    assert json.loads(json_responses.classes(labels, scores)) == {
        "results": [[["car", 0.2], ["bike", 0.7]], [["car", 0.7], ["bike", 0.1]]]
    }
    assert json.loads(json_responses.classes(None, scores[:1])) == {"results": [[["", 0.2], ["", 0.7]]]}
    assert json.loads(json_responses.classes(labels[:1], None)) == {"results": [[["car", 0.0], ["bike", 0.0]]]}


def test_regressions():  # JsonFromRegressionResultWithNonFinite
    values = np.array([0.2, math.inf, 1.0, -math.inf, math.nan], np.float32)
    assert json_responses.regressions(values) == b'{\n    "results": [0.2, Infinity, 1.0, -Infinity, NaN]\n}'


@given(st.lists(st.text(), min_size=1))
def test_texts_come_back_as_they_were(given_texts):
    value = {"s": np.array([text.encode() for text in given_texts], object)}
    assert json.loads(json_responses.rows(value))["predictions"] == given_texts


def test_no_rows():  # FromJsonSingleZeroBatchTensor, FromJsonMultipleZeroBatchTensors
    nothing = b'{\n    "predictions": []\n}'
    assert json_responses.rows({"i": np.zeros((0, 2), np.int32)}) == nothing
    assert json_responses.rows({"s": np.zeros((0, 1, 2), object), "f": np.zeros((0, 3, 4), np.float32)}) == nothing


def test_text_that_is_no_utf8_is_passed_on():
    assert json_responses.columns({"s": texts(b"a\xff")}) == b'{\n    "outputs": [\n        "a\xff"\n    ]\n}'


def test_errors():
    assert json.loads(json_responses.error('a "b"\n')) == {"error": 'a "b"\n'}
