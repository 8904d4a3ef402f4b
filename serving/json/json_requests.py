"""The JSON of a predict request to tensors.

FillPredictRequestFromJson of tensorflow/serving's util/json_tensor.cc, tag 2.20.0: its rules of types, its sentences.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

from serving.errors import ApiError, invalid
from serving.json import json_reader, json_values
from serving.json.json_reader import pairs
from serving.json.json_values import is_object
from serving.json.json_writer import show

MAX_RANK = 254  # of TensorFlow's TensorShape

# orjson reads what most clients send as RapidJSON does, but for names that repeat and these numbers.
_FAR_EXPONENT = re.compile(rb"[eE][+-]?0*(?:2[3-9]|[3-9][0-9]|[1-9][0-9][0-9])")
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_MANY_DIGITS = b"0" * 25  # decimals have up to 21 in a row
_NAME_ENDS = re.compile(rb'"[ \t\n\r]*:')

Array = Any  # np.ndarray; strings are an object array of bytes


def parse(body: bytes) -> dict[str, Any]:
    """The document: ParseJson.

    Returns:
      As of ``json_reader.read``.

    Raises:
      ApiError: no JSON, or no object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = orjson.loads(body)
        if _is_read_differently(body, document):
            document = json_reader.read(body)
    except orjson.JSONDecodeError:
        document = json_reader.read(body)
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {show(document)} Is not object")
    return document


def _is_read_differently(body: bytes, document: Any) -> bool:
    """Whether RapidJSON may read something else. A name that repeats is missing among those that orjson kept."""
    if body.count(b":") != (len(document) if type(document) is dict else 0):
        names = _NAME_ENDS.findall(body)  # and texts that begin with a colon: never too few
        if len(names) != _count_names(document):
            return True
    return _MANY_DIGITS in body.translate(_DIGITS_AS_ZEROS) or bool(_FAR_EXPONENT.search(body))


def _count_names(value: Any) -> int:
    if type(value) is dict:
        return len(value) + sum(map(_count_names, value.values()))
    if type(value) is list and not {dict, list}.isdisjoint(map(type, value)):
        return sum(map(_count_names, value))
    return 0


def signature_name(document: Mapping[str, Any]) -> str:
    """The request's ``signature_name``; empty where it has none: FillSignature."""
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise invalid(
            f"JSON Value: {show(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def predict_inputs(document: Mapping[str, Any], dtypes: Mapping[str, str]) -> tuple[dict[str, Array], bool]:
    """The tensors of a predict request.

    Args:
      document: with ``instances``, a row an element, or ``inputs``, a column a key.
      dtypes: of the signature's inputs, by name, as TensorFlow calls them: ``float``, ``int64``, ``string`` ….

    Returns:
      Tensors by input name, and whether the request is in the row format.
    """
    if "instances" in document:
        instances = document["instances"]
        if "inputs" in document:
            raise invalid(
                f"JSON Value: {show(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
                "keys to exist "
            )
        if type(instances) is not list:
            raise invalid(f"JSON Value: {show(document)} Expecting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {show(document)} No values in 'instances' array")
        return _rows(instances, dtypes), True
    if "inputs" in document:
        return _columns(document["inputs"], dtypes), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _rows(instances: list[Any], dtypes: Mapping[str, str]) -> dict[str, Array]:
    """FillTensorMapFromInstancesList."""
    if not isinstance(instances[0], dict) and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = is_object(instances[0])
    alone = next(iter(dtypes))
    columns: dict[str, _Column] = {}
    for number, element in enumerate(instances):
        if named != is_object(element):
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {got} at item {number} of input list")
        names = set()
        for name, value in pairs(element) if named else ((alone, element),):
            if named:
                name = _c_string(name)
                names.add(name)
            try:
                if name not in columns:
                    columns[name] = _Column(name, dtypes)
                columns[name].add(value)
            except ApiError as error:
                key = f" key: {name}" if named else ""
                raise invalid(
                    f"Failed to process element: {number}{key} of 'instances' list. Error: {error.code}: {error}"
                ) from None
        if named and names != dtypes.keys():
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: {show(element)} keys must be "
                f"equal to: {','.join(sorted(dtypes))}"
            )
    return {name: column.array(len(instances)) for name, column in columns.items()}


class _Column:
    """The values of one input, gathered row by row: AddInstanceItem."""

    def __init__(self, name: str, dtypes: Mapping[str, str]) -> None:
        if name not in dtypes:
            raise invalid(f"JSON object: does not have named input: {name}")
        self.dtype = dtypes[name]
        self.values: list[Any] = []
        self.shape: tuple[int, ...] | None = None

    def add(self, value: Any) -> None:
        shape, before = _shape(value), len(self.values)
        _fill(value, 0, shape, self.dtype, self.values)
        if self.shape is None:
            self.shape = shape
        elif (size := len(self.values) - before) != math.prod(self.shape):
            raise invalid(f"Expecting tensor size: {math.prod(self.shape)} but got: {size}")
        elif shape != self.shape:
            raise invalid(f"Expecting shape {_show_shape(self.shape)} but got: {_show_shape(shape)}")

    def array(self, rows: int) -> Array:
        assert self.shape is not None
        return json_values.array(self.values, (rows, *self.shape), self.dtype)


def _columns(inputs: Any, dtypes: Mapping[str, str]) -> dict[str, Array]:
    """FillTensorMapFromInputsMap."""
    if not is_object(inputs):
        if len(dtypes) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        name = next(iter(dtypes))
        return {name: _tensor(inputs, dtypes[name])}
    found = {}
    for name, dtype in dtypes.items():
        if _c_string(name) not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        found[name] = _tensor(inputs[_c_string(name)], dtype)
    return found


def _tensor(value: Any, dtype: str) -> Array:
    values: list[Any] = []
    shape = _shape(value)
    _fill(value, 0, shape, dtype, values)
    return json_values.array(values, shape, dtype)


def _shape(value: Any) -> tuple[int, ...]:
    """By the first element of each list: GetDenseTensorShape."""
    shape: list[int] = []
    while type(value) is list:
        if len(shape) == MAX_RANK:
            raise invalid(f"JSON Value has more than {MAX_RANK} dimensions")
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _fill(value: Any, level: int, shape: tuple[int, ...], dtype: str, values: list[Any]) -> None:
    """FillTensorProto: appends the leaves of ``value``."""
    if type(value) is not list:
        if level != len(shape):
            raise invalid(
                f"JSON Value: {show(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at level: "
                f"{len(shape)}"
            )
        values.append(json_values.of(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    if level + 1 == len(shape) and (leaves := json_values.of_all(value, dtype)) is not None:
        values += leaves
        return
    for item in value:
        _fill(item, level + 1, shape, dtype, values)


def _c_string(name: str) -> str:
    """As it is where only the pointer to it goes on."""
    return name.partition("\0")[0]


def _show_shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
