"""JSON to tensors. Each expectation names the test in tensorflow/serving's util/json_tensor_test.cc that it is from."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.example import example_pb2

from serving.errors import ApiError
from serving.json import json_examples, json_reader, json_requests, json_values

INT, TEXT, FLOAT, DOUBLE = "int32", "string", "float", "double"


def inputs(body, **dtypes):
    return json_requests.predict_inputs(json_requests.parse(body.encode()), dtypes)[0]


def fault(body, **dtypes):
    with pytest.raises(ApiError) as caught:
        inputs(body, **dtypes)
    assert caught.value.status == 400
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "dtype", "values"),
    [
        ('{"instances": [[1,2],[3,4],[5,6]]}', INT, [[1, 2], [3, 4], [5, 6]]),  # SingleUnnamedTensor
        (
            '{"instances": [1, 2.0, 3, 4, 5.003, 0.007, 0.0]}',
            FLOAT,
            [1, 2, 3, 4, 5.003, 0.007, 0],
        ),  # MixedInputForFloat
        ('{"instances": [1.0, 2, 3, 4, 0.662, 0, 0.0]}', DOUBLE, [1, 2, 3, 4, 0.662, 0, 0]),  # MixedInputForDouble
        ('{"instances": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]}', TEXT, [b"hello", b"world"]),  # …Base64Scalars
        (
            '{"instances": [[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ="}]]}',
            TEXT,
            [[b"hello"], [b"world"]],
        ),  # …Base64Lists
        (
            '{"instances": [{"x": [[{"b64": "aGVsbG8="}], ["world"]]}]}',
            TEXT,
            [[[b"hello"], [b"world"]]],
        ),  # SingleNamed…
        (
            '{"inputs": {"x": [[[1,2],[3,4],[5,6]]]}}',
            INT,
            [[[1, 2], [3, 4], [5, 6]]],
        ),  # SingleUnnamedTensorColumnarFormat
        ('{"inputs": [[[1,2],[3,4],[5,6]]]}', INT, [[[1, 2], [3, 4], [5, 6]]]),  # the same
        ('{"inputs": {"b64": "aGVsbG8"}}', TEXT, b"hello"),  # a scalar; the padding may be missing
        ('{"inputs": 7}', "int64", 7),
        ('\ufeff{"inputs": true}', "bool", True),  # a byte order mark is skipped
        ('{"inputs": 18446744073709551615}', "uint64", 2**64 - 1),
        ('{"inputs": [300, -1]}', "uint8", [44, 255]),  # checked as int32, stored as it fits
        ('{"inputs": []}', FLOAT, []),
    ],
)
def test_values(body, dtype, values):
    found = inputs(body, x=dtype)["x"]
    numpy = {TEXT: object, FLOAT: "float32", DOUBLE: "float64"}.get(dtype, dtype)
    assert found.dtype == numpy
    assert found.shape == np.shape(values)
    assert found.tolist() == (values if dtype == "uint8" else np.array(values, numpy).tolist())


def test_several_inputs_by_rows_and_numbers_that_are_none():  # MultipleNamedTensor
    found = inputs(
        """{"instances": [
        {"i": [[1,2],[3,4],[5,6]], "s": ["foo", "bar"], "f": [1.0, NaN], "d": [NaN]},
        {"i": [[7,8],[9,0],[1,2]], "s": ["baz", "bat"], "f": [2.0, Infinity], "d": [-Infinity]}]}""",
        i=INT,
        s=TEXT,
        f=FLOAT,
        d=DOUBLE,
    )
    assert found["i"].tolist() == [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]
    assert found["s"].tolist() == [[b"foo", b"bar"], [b"baz", b"bat"]]
    np.testing.assert_array_equal(found["f"], np.array([[1, math.nan], [2, math.inf]], np.float32))
    np.testing.assert_array_equal(found["d"], [[math.nan], [-math.inf]])


def test_several_inputs_by_columns():  # MultipleNamedTensorColumnarFormat
    body = '{"inputs": {"i": [[[1,2],[3,4],[5,6]]], "s": ["foo", "bar"], "b": {"b64": "aGVsbG8="}}}'
    found = inputs(body, i=INT, s=TEXT, b=TEXT)
    assert found["i"].shape == (1, 3, 2)
    assert found["s"].tolist() == [b"foo", b"bar"]
    assert (found["b"].shape, found["b"].item()) == ((), b"hello")


AT = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: "


@pytest.mark.parametrize(
    ("body", "dtype", "message"),
    [  # SingleUnnamedTensorErrors
        ("", INT, "JSON Parse error: The document is empty"),
        ('{"signature_name": 5}', INT, "'signature_name' key must be a string value."),
        ('{"instances": [[1]], "inputs": [[1]]}', INT, "Not formatted correctly expecting only one of"),
        ('{"instances": [[1,2],[3,4],[5,6,7]]}', INT, AT.format(2) + "Expecting tensor size: 2 but got: 3"),
        ('{"instances": [[1,2],[3,4],[[5,6]]]}', INT, AT.format(2) + "Expecting shape [2] but got: [1,2]"),
        ('{"instances": [1, [1]]}', INT, AT.format(1) + "Expecting shape [] but got: [1]"),
        ('{"instances": [[1,2],["a"]]}', INT, 'JSON Value: "a" Type: String is not of expected type: int32'),
        # AddValueToTensor, FillTensorProto, FillPredictRequestFromJson
        ('{"instances": [1.0]}', INT, "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ('{"instances": [true]}', INT, "JSON Value: true Type: True is not of expected type: int32"),
        ('{"instances": [2147483648]}', INT, "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ('{"instances": [null]}', TEXT, "JSON Value: null Type: Null is not of expected type: string"),
        ('{"instances": [{"b64": "aGVsbG8="}]}', INT, "Type: Object is not of expected type: int32"),
        ('{"instances": [{"b64": "*"}]}', TEXT, AT.format(0) + "Unable to base64 decode"),
        ('{"inputs": {"x": {"b64": 1}}}', TEXT, "not formatted correctly for base64 data"),
        ('{"instances": [1]}', "complex64", "UNIMPLEMENTED: Conversion of JSON Value: 1 to type: complex64"),
        (
            '{"inputs": [[1], 2]}',
            INT,
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        ('{"inputs": [1, [2]]}', INT, "Encountered list at unexpected level: 1 expected < 1"),
        ('{"inputs": [[1], [2, 3]]}', INT, "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        ('{"instances": []}', INT, "No values in 'instances' array"),
        ('{"instances": 3}', INT, "Expecting 'instances' to be an list/array"),
        ("{}", INT, "Missing 'inputs' or 'instances' key"),
        ("[1]", INT, "Is not object"),
        ('{"inputs": {"y": 1}}', INT, "Missing named input: x in 'inputs' object."),
        (
            '{"instances": [{"y": 1}]}',
            INT,
            "key: y of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not",
        ),
    ],
)
def test_refusals(body, dtype, message):
    if "signature_name" in body:
        with pytest.raises(ApiError, match=message):
            json_requests.signature_name(json_requests.parse(body.encode()))
    else:
        assert message in fault(body, x=dtype)


@pytest.mark.parametrize(
    ("body", "message"),
    [  # MultipleNamedTensorErrors
        (
            '{"instances": [{"i": [[1,2]], "s": "a"}, {"i": [[[1,2]]], "s": "b"}]}',
            "Expecting shape [1,2] but got: [1,1,2]",
        ),
        ('{"instances": [{"i": [[1],[2]], "s": "a"}, {"i": [[1]], "s": "b"}]}', "Expecting tensor size: 2 but got: 1"),
        ('{"instances": [{"i": 1, "s": "a"}, [1, 20]]}', "Expecting object but got list at item 1 of input list"),
        ('{"instances": [{"i": 1}]}', "keys must be equal to: i,s"),
        ('{"instances": [1]}', "instances is a plain list, but expecting list of objects as multiple input tensors"),
        ('{"inputs": [1]}', "inputs is a plain value/list, but expecting an object as multiple input tensors"),
    ],
)
def test_refusals_of_several_inputs(body, message):
    assert message in fault(body, i=INT, s=TEXT)


def test_a_list_that_begins_with_values_holds_no_objects():
    message = fault('{"instances": [["baz", "bar"], {"s": ["baz", "bat"]}]}', s=TEXT)
    assert message == "Expecting value/list but got object at item 1 of input list"


@pytest.mark.parametrize(
    ("body", "message"),
    [  # RapidJSON's own sentences (error/en.h); the handler test asks for the first
        (b"instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"),
        (b'{"a": "b', "Missing a closing quotation mark in string. at offset: 8"),
        (b'{"a": [1, 2', "Missing a comma or ']' after an array element. at offset: 11"),
        (b'{"a": 1e999}', "Number too big to be stored in double. at offset: 6"),
    ],
)
def test_what_is_no_json(body, message):
    with pytest.raises(ApiError) as caught:
        json_requests.parse(body)
    assert message in caught.value.message


def test_levels_are_limited(monkeypatch):  # TensorFlow Serving's memory is its limit; test_faults.py sends a million
    monkeypatch.setattr(json_reader, "MAX_DEPTH", 1000)
    assert json_requests.parse(b'{"x": ' + b"[" * 999 + b"]" * 999 + b"}")
    with pytest.raises(ApiError, match="JSON Parse error: nested deeper than 1000 levels"):
        json_requests.parse(b'{"x": ' + b"[" * 1000)


def test_a_key_that_nobody_reads_may_be_nested_deep():  # DeeplyNestedWellFormed
    body = '{"instances":[1], "nested":' + "[" * 100_000 + "]" * 100_000 + "}"
    assert inputs(body, x=INT)["x"].tolist() == [1]


def test_a_signature_name_nested_deep():  # DeeplyNestedMalformed
    document = json_requests.parse(b'{"signature_name":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    with pytest.raises(ApiError, match="key must be a string value"):
        json_requests.signature_name(document)


@pytest.mark.parametrize(
    ("dtype", "levels", "message"),
    [
        (INT, 65, "a tensor of 65 dimensions: this server holds up to 64"),
        (TEXT, 65, "JSON Value: 1 Type: Number is not of expected type: string"),
        (INT, 255, "JSON Value has more than 254 dimensions"),
    ],
)
def test_more_dimensions_than_numpy_and_tensorflow_hold(dtype, levels, message):
    assert fault('{"inputs": ' + "[" * levels + "1" + "]" * levels + "}", x=dtype) == message


def test_what_follows_the_document_is_left():  # TensorFromNonNullTerminatedBuffer, and kParseStopWhenDoneFlag
    assert inputs('{"instances": [[1,2],[3,4],[5,6]]}X', x=INT)["x"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert inputs('{"instances": ["a"]} tail', x=TEXT)["x"].tolist() == [b"a"]


def test_precision_is_lost_without_a_word():  # FloatTensorWithPrecisionLoss, …ExceedsMaxReturnsInf, …MinReturnsZero
    body = (
        '{"instances": [1435774380, 1435774380.0, 1.7976931348623157e308, -1.7976931348623157e308, 2.2e-308, 16777217]}'
    )
    expected = [np.float32(1435774380), np.float32(1435774380), math.inf, -math.inf, 0, 16777216]
    assert inputs(body, x=FLOAT)["x"].tolist() == expected
    assert inputs('{"inputs": 9007199254740993}', x=DOUBLE)["x"] == 9007199254740992


def test_names_that_repeat():
    assert inputs('{"inputs": 1, "inputs": 2}', x=INT)["x"] == 1
    assert inputs('{"inputs": {"x": [1], "x": [2]}}', x=INT)["x"].tolist() == [1]
    # In a row all of them are added, and of what is too much the first is kept: Tensor::FromProto.
    assert inputs('{"instances": [{"x": 1, "x": 2}, {"x": 3}]}', x=INT)["x"].tolist() == [1, 2]


def test_bytes_that_are_no_utf8_are_passed_on():
    body = b'{"instances": ["a\xffb", "\\ude00"]}'
    assert json_requests.predict_inputs(json_requests.parse(body), {"x": TEXT})[0]["x"].tolist() == [
        b"a\xffb",
        b"\xed\xb8\x80",
    ]


def serialized(body):
    return [example_pb2.Example.FromString(each) for each in json_examples.examples(json_requests.parse(body.encode()))]


def kept(example):
    return {
        name: list(getattr(feature, feature.WhichOneof("kind")).value)
        for name, feature in example.features.feature.items()
    }


def test_examples_with_a_context():  # ClassifyRegressRequestTest, RequestWithContextAndSignature
    found = serialized(
        """{"context": {"query": "pizza", "location": ["sfo"]}, "examples": [
        {"names": ["foo", "bar"], "ratings": [8.0, 9.0, Infinity], "age": 20},
        {"names": ["baz", {"b64": "aGVsbG8="}], "ratings": 6.0, "intboolmix": [1, true, false]},
        {"names": "bar", "ratings": -Infinity}]}"""
    )
    context = {"query": [b"pizza"], "location": [b"sfo"]}
    assert [kept(example) for example in found] == [
        {**context, "names": [b"foo", b"bar"], "ratings": [8.0, 9.0, math.inf], "age": [20]},
        {**context, "names": [b"baz", b"hello"], "ratings": [6.0], "intboolmix": [1, 1, 0]},
        {**context, "names": [b"bar"], "ratings": [-math.inf]},
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [  # ClassifyRegressRequestTest, JsonErrors
        ('{"context": [{"names": ["foo"]}]}', "Example must be JSON object but got JSON Array"),
        ('{"examples": {"names": ["foo"]}}', "Expecting 'examples' value to be an list/array"),
        ('{"examples": [[{"names": ["foo"]}]]}', "Example must be JSON object but got JSON Array"),
        ('{"examples": [{"names": [10, null]}]}', "Feature: names has element with unexpected JSON type: Null"),
        ('{"examples": [{"names": [10, 10.0]}]}', "Unexpected element type in feature: names expecting type: int64"),
        ('{"examples": [{"names": [10, {"test": 10}]}]}', "names has element with unexpected JSON type: Object"),
        ('{"examples": [{"names": [[10], 20]}]}', "names has element with unexpected JSON type: Array"),
        ('{"examples": [{"names": [20, 18446744073709551603]}]}', "has uint64_t element. Only int64_t is supported."),
        ('{"examples": []}', "'examples' value is an empty array"),
        ("{}", "key 'examples' is expected and was not found"),
    ],
)
def test_refusals_of_examples(body, message):
    with pytest.raises(ApiError) as caught:
        serialized(body)
    assert message in caught.value.message


@given(st.lists(st.floats(width=32), min_size=1), st.lists(st.text(), min_size=1))
def test_numbers_and_texts_arrive_as_they_were_sent(numbers, texts):
    found = inputs(json.dumps({"inputs": {"n": numbers, "t": texts}}), n=FLOAT, t=TEXT)
    np.testing.assert_array_equal(found["n"], np.array(numbers, np.float32))
    assert [text.decode() for text in found["t"]] == texts


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["b64", "x", "y"]), inner, max_size=2),
    max_leaves=8,
)


@given(VALUES, st.sampled_from(["instances", "inputs", "examples"]), st.sampled_from(sorted(json_values.DTYPES)))
def test_any_json_gives_tensors_or_a_sentence(value, key, dtype):
    document = json_requests.parse(json.dumps({key: value}).encode())
    try:
        if key == "examples":
            assert [type(each) for each in json_examples.examples(document)] == [bytes] * len(value)
            return
        (found,) = json_requests.predict_inputs(document, {"x": dtype})[0].values()
    except ApiError as error:
        assert error.message
        return
    given = [row["x"] if isinstance(row, dict) else row for row in value] if key == "instances" else value
    sizes, leaves = [], [given["x"] if isinstance(given, dict) else given]
    while leaves and isinstance(leaves[0], list):
        sizes.append(len(leaves[0]))
        leaves = [each for inner in leaves for each in inner]
    assert list(found.shape)[: len(sizes)] == sizes
    assert found.size == len(leaves)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:0123456789.eE+-NaInfity\\u ', max_size=60).map(str.encode))
def test_any_bytes_give_a_document_or_a_sentence(body):
    try:
        assert type(json_requests.parse(body)) is dict
    except ApiError as error:
        assert error.message


@given(VALUES)
def test_both_readers_read_the_same(value):
    body = json.dumps({"inputs": value}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert repr(json_requests.parse(body)) == repr(json_reader.read(body))
