"""The JSON of a classify or regress request to serialized tf.Examples.

FillClassifyRegressRequestFromJson of tensorflow/serving's util/json_tensor.cc, tag 2.20.0.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.errors import invalid
from serving.json import json_values
from serving.json.json_reader import pairs
from serving.json.json_writer import show

# Of tensorflow/core/example/feature.proto: the number of the list in a Feature, and the name in an error sentence.
_BYTES, _FLOATS, _INTEGERS = (1, "bytes"), (2, "float"), (3, "int64")


def examples(document: Mapping[str, Any]) -> list[bytes]:
    """The serialized tf.Examples, the context in each: a message may come in parts."""
    context = _example(document["context"]) if "context" in document else b""
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {show(document)} When method is classify, key 'examples' is expected and was not found"
        )
    given = document["examples"]
    if type(given) is not list:
        raise invalid(f"JSON Value: {show(document)} Expecting 'examples' value to be an list/array")
    if not given:
        raise invalid(f"JSON Value: {show(document)} 'examples' value is an empty array")
    return [context + _example(each) for each in given]


def _example(value: Any) -> bytes:
    """MakeExampleFromJsonObject. Of a name that repeats, the last one stays."""
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {json_values.type_name(value)}")
    features = {}
    for whole_name, content in pairs(value):
        name = whole_name.partition("\0")[0]
        features[name] = _feature(content if type(content) is list else [content], name)
    entries = (_part(1, _part(1, json_values.text(name)) + _part(2, feature)) for name, feature in features.items())
    return _part(1, b"".join(entries)) if features else b""


def _feature(items: list[Any], name: str) -> bytes:
    """The elements have one kind: AddValueToFeature."""
    kind: tuple[int, str] | None = None
    values: list[Any] = []
    for item in items:
        its = _kind(item, name)
        if kind not in (None, its):
            assert kind
            raise invalid(f"Unexpected element type in feature: {name} expecting type: {kind[1]}")
        kind = its
        values.append(_checked(item, name))
    if kind is None:
        return b""
    if kind == _BYTES:
        packed = b"".join(_part(1, each) for each in values)
    elif kind == _FLOATS:
        with np.errstate(over="ignore"):
            packed = _part(1, np.array(values, np.float64).astype("<f4").tobytes())
    else:
        packed = _part(1, b"".join(_varint(each % 2**64) for each in values))
    return _part(kind[0], packed)


def _kind(value: Any, name: str) -> tuple[int, str]:
    if type(value) in (bool, int):
        return _INTEGERS
    if type(value) is float:
        return _FLOATS
    if type(value) is str or (isinstance(value, dict) and not json_values.is_object(value)):
        return _BYTES
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {json_values.type_name(value)}")


def _checked(value: Any, name: str) -> Any:
    if type(value) is str:
        return json_values.text(value)
    if isinstance(value, dict):
        return json_values.decoded(value)
    if type(value) is int and value >= 2**63:
        raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    return value


def _part(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer that has a length (https://protobuf.dev/programming-guides/encoding)."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
