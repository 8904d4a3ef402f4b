"""RapidJSON's reader: what iterative parsing with NaN and Infinity makes of a text (RapidJSON 1.1.0, reader.h)."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import ApiError
from serving.json import json_reader


def test_what_a_text_is_read_as():
    body = (
        b" \xef\xbb"[1:]
        + b'{"a": [1, -0, 1.5, true, null, NaN, -Infinity], "\\u00e9": "\\n\xff\\ud83d\\ude00\\ude00"} tail'
    )
    found = json_reader.read(body)
    assert repr(found["a"]) == "[1, 0, 1.5, True, None, nan, -inf]"
    assert found["é"].encode("utf-8", "surrogateescape") == b"\n\xff\xf0\x9f\x98\x80\xed\xb8\x80"


def test_names_that_repeat_are_all_kept_and_the_first_one_is_found():
    found = json_reader.read(b'{"a": 1, "b": 2, "a": 3}')
    assert found["a"] == 1
    assert list(json_reader.pairs(found)) == [("a", 1), ("b", 2), ("a", 3)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"  ", "The document is empty. at offset: 2"),
        (b"]", "The document is empty. at offset: 0"),
        (b"\xef\xbb\xbf,", "The document is empty. at offset: 3"),
        (b'{"a":1\0}', "Missing a comma or '}' after an object member. at offset: 6"),
        (b"{1:2}", "Missing a name for object member. at offset: 1"),
        (b'{"a":1,}', "Missing a name for object member. at offset: 7"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b"[1,]", "Invalid value. at offset: 3"),
        (b"[1 2]", "Missing a comma or ']' after an array element. at offset: 3"),
        (b"[nulx]", "Invalid value. at offset: 4"),
        (b"[Nax]", "Invalid value. at offset: 3"),
        (b"[-Infinix]", "Invalid value. at offset: 8"),
        (b"[-]", "Invalid value. at offset: 2"),
        (b"[01]", "Missing a comma or ']' after an array element. at offset: 2"),
        (b"[1.]", "Miss fraction part in number. at offset: 3"),
        (b"[1e+]", "Miss exponent in number. at offset: 4"),
        (b"[ 1e309]", "Number too big to be stored in double. at offset: 2"),
        (b"[0e400]", "Number too big to be stored in double. at offset: 1"),
        (b"[" + b"9" * 310 + b"e-99]", "Number too big to be stored in double. at offset: 1"),
        (b'["\\x"]', "Invalid escape character in string. at offset: 2"),
        (b'["a\x01"]', "Invalid escape character in string. at offset: 3"),
        (b'["\\u12x4"]', "Incorrect hex digit after \\u escape in string. at offset: 2"),
        (b'["\\ude00\\ud83d"]', "The surrogate pair in string is invalid. at offset: 8"),
        (b'["a', "Missing a closing quotation mark in string. at offset: 3"),
    ],
)
def test_what_is_no_json(body, message):
    with pytest.raises(ApiError) as caught:
        json_reader.read(body)
    assert caught.value.message == f"JSON Parse error: {message}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
        ("-9223372036854775808", -(2**63)),
        ("-9223372036854775809", -(2.0**63)),
        ("0.1e309", 1e308),  # as many more as there are decimals
        ("1.7976931348623159e308", math.inf),
        ("1e-400", 0.0),
        ("1e-99999999999999999999", 0.0),
        ("0." + "0" * 400 + "1", 0.0),
        ("Inf", math.inf),
        ("NaInf", math.inf),  # RapidJSON goes on where NaN stopped
        # Its fast conversion, which is not the nearest double (recorded from TensorFlow Serving).
        ("123456789012345678901234567890", 1.2345678901234566e29),
        ("2.2250738585072011e-308", 2.2250738585072014e-308),
        ("1e-45", 1.0000000000000002e-45),
        # The nearest double.
        ("0.30000000000000004", 0.30000000000000004),
    ],
)
def test_numbers(text, value):
    found = json_reader.read(text.encode())
    assert (type(found), found) == (type(value), value)


@given(st.floats(1e-20, 1e20) | st.integers(-(2**63), 2**64 - 1))
def test_usual_numbers_are_the_nearest_ones(value):
    assert json_reader.read(json.dumps(value).encode()) == value
