"""The JSON of a request to tensors.

What FillPredictRequestFromJson and its siblings do in tensorflow/serving's util/json_tensor.cc, with the same rules of
types and the same sentences.

Known differences: a key that stands twice in an object counts once, the last time; a value in an error sentence is cut
at 1,000 characters; text that is not UTF-8 is refused.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson
import rapidjson

from serving import json_responses
from serving.errors import ApiError, invalid

MAX_NESTING = 64  # of lists in a tensor
_BRACKETS = re.compile(rb"[\[\]{}]")
_SHOWN = 1000  # characters of a value in an error sentence

Array = Any  # np.ndarray; strings are an object array of bytes


def parse(body: bytes) -> dict[str, Any]:
    """The document; NaN, Infinity and -Infinity count as numbers.

    Raises:
      ApiError: no JSON, or no object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _parse_strictly(body)
    if type(document) is not dict:
        raise invalid(f"JSON Value: {show(document)} Is not object")
    return document


def _parse_strictly(body: bytes) -> Any:
    """By RapidJSON, TensorFlow Serving's own parser: it takes NaN and Infinity, and says what is wrong, and where."""
    _refuse_deep(body)
    try:
        return rapidjson.loads(body.removeprefix(b"\xef\xbb\xbf"), number_mode=rapidjson.NM_NAN)
    except rapidjson.JSONDecodeError as error:
        # "Parse error at offset 5: Invalid value."
        place, _, what = str(error).removeprefix("Parse error at offset ").partition(": ")
        raise invalid(f"JSON Parse error: {what} at offset: {place}") from None
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid encoding in string. at offset: {error.start}") from None
    except (ValueError, OverflowError):  # Python's own limit on the digits of an integer
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None


def _refuse_deep(body: bytes) -> None:
    """RapidJSON recurses on the C stack. Brackets in strings count too: they only make this stricter."""
    depth = 0
    for bracket in _BRACKETS.finditer(body):  # a loop over every byte of a large body would hold the others up
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_NESTING:
            raise invalid(f"JSON Parse error: nested deeper than {MAX_NESTING} levels")


def signature_name(document: Mapping[str, Any]) -> str:
    """The request's ``signature_name``; empty where it has none."""
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
            raise invalid(f"JSON Value: {show(document)} Excepting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {show(document)} No values in 'instances' array")
        return _rows(instances, dtypes), True
    if "inputs" in document:
        return _columns(document["inputs"], dtypes), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _rows(instances: list[Any], dtypes: Mapping[str, str]) -> dict[str, Array]:
    """FillTensorMapFromInstancesList."""
    if type(instances[0]) is not dict and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = _is_object(instances[0])
    alone = min(dtypes)
    columns: dict[str, _Column] = {}
    for number, element in enumerate(instances):
        if named != _is_object(element):
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {got} at item {number} of input list")
        for name, value in element.items() if named else ((alone, element),):
            try:
                if name not in columns:
                    columns[name] = _Column(name, dtypes)
                columns[name].add(value)
            except ApiError as error:
                key = f" key: {name}" if named else ""
                raise invalid(
                    f"Failed to process element: {number}{key} of 'instances' list. Error: {error.code}: {error}"
                ) from None
        if named and element.keys() != dtypes.keys():
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: {show(element)} must only have "
                f"keys: {','.join(sorted(dtypes))}"
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
        return _array(self.values, (rows, *self.shape), self.dtype)


def _columns(inputs: Any, dtypes: Mapping[str, str]) -> dict[str, Array]:
    """FillTensorMapFromInputsMap."""
    if not _is_object(inputs):
        if len(dtypes) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        inputs = {min(dtypes): inputs}
    found = {}
    for name, dtype in dtypes.items():
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        values: list[Any] = []
        shape = _shape(inputs[name])
        _fill(inputs[name], 0, shape, dtype, values)
        found[name] = _array(values, shape, dtype)
    return found


def _shape(value: Any) -> tuple[int, ...]:
    """By the first element of each list."""
    shape: list[int] = []
    while type(value) is list:
        if len(shape) == MAX_NESTING:
            raise invalid(f"JSON Value is nested deeper than {MAX_NESTING} levels")
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
        convert = _CONVERT.get(dtype)
        if convert is None:
            raise ApiError("UNIMPLEMENTED", f"Conversion of JSON Value: {show(value)} to type: {dtype}")
        values.append(convert(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _fill(item, level + 1, shape, dtype, values)


def _text(value: Any, dtype: str) -> bytes:
    if type(value) is str:
        return value.encode()
    if type(value) is dict:
        return _decoded(value)
    raise _wrong_type(value, dtype)


def _decoded(value: dict[str, Any]) -> bytes:
    """``{"b64": …}``; the padding may be missing."""
    if _is_object(value):
        raise invalid(f"JSON Value: {show(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _decimal(value: Any, dtype: str) -> float:
    if type(value) not in (int, float):
        raise _wrong_type(value, dtype)
    if not -(2**63) <= value < 2**64:  # RapidJSON has no wider integers: from there on they are decimals
        try:
            value = float(value)
        except OverflowError:
            raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    if not _is_lossless(value, dtype):
        raise _lossy(value, dtype)
    return float(value)


def _is_lossless(value: float, dtype: str) -> bool:
    """IsLosslessDecimal: whole numbers up to the mantissa, decimals within the range."""
    info = np.finfo(_NUMPY[dtype])
    if type(value) is int:
        return bool(abs(value) < 2 ** (info.nmant + 1))
    return not math.isfinite(value) or abs(value) <= float(info.max)


def _whole(low: int, high: int) -> Callable[[Any, str], int]:
    def convert(value: Any, dtype: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _wrong_type(value, dtype)
        return value

    return convert


def _bool(value: Any, dtype: str) -> bool:
    if type(value) is not bool:
        raise _wrong_type(value, dtype)
    return value


_INT32 = _whole(-(2**31), 2**31 - 1)
# AddValueToTensor: the narrow integers are checked as int32.
_CONVERT: dict[str, Callable[[Any, str], Any]] = {
    "string": _text,
    "float": _decimal,
    "double": _decimal,
    "int8": _INT32,
    "uint8": _INT32,
    "int16": _INT32,
    "int32": _INT32,
    "int64": _whole(-(2**63), 2**63 - 1),
    "uint32": _whole(0, 2**32 - 1),
    "uint64": _whole(0, 2**64 - 1),
    "bool": _bool,
}
_NUMPY: dict[str, Any] = {name: np.dtype(name) for name in _CONVERT if name not in ("string", "float", "double")} | {
    "string": np.dtype(object),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}


def _array(values: list[Any], shape: tuple[int, ...], dtype: str) -> Array:
    if len(shape) > MAX_NESTING:
        raise invalid(f"JSON Value has {len(shape)} dimensions; NumPy holds {MAX_NESTING}")
    if dtype not in _NUMPY:  # there is no value, or it had been refused
        import tensorflow as tf

        return np.empty(shape, tf.dtypes.as_dtype(dtype).as_numpy_dtype)
    wide = np.int64 if _CONVERT.get(dtype) is _INT32 else _NUMPY[dtype]
    return np.array(values, wide).astype(_NUMPY[dtype], copy=False).reshape(shape)


def examples(document: Mapping[str, Any]) -> list[bytes]:
    """The serialized tf.Examples of a classify or regress request, the context in each: a message may come in parts."""
    context = _example(document["context"]).SerializeToString() if "context" in document else b""
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {show(document)} When method is classify, key 'examples' is expected and was not found"
        )
    given = document["examples"]
    if type(given) is not list:
        raise invalid(f"JSON Value: {show(document)} Expecting 'examples' value to be an list/array")
    if not given:
        raise invalid(f"JSON Value: {show(document)} 'examples' value is an empty array")
    return [context + _example(each).SerializeToString() for each in given]


def _example(value: Any) -> Any:
    """MakeExampleFromJsonObject."""
    from tensorflow.core.example import example_pb2

    if type(value) is not dict:
        raise invalid(f"Example must be JSON object but got JSON {_type_name(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        feature = example.features.feature[name]
        for item in content if type(content) is list else [content]:
            kind, converted = _feature_value(item, name)
            if feature.WhichOneof("kind") not in (None, kind):
                got = feature.WhichOneof("kind").removesuffix("_list")
                raise invalid(f"Unexpected element type in feature: {name} expecting type: {got}")
            getattr(feature, kind).value.append(converted)
    return example


def _feature_value(value: Any, name: str) -> tuple[str, Any]:
    """AddValueToFeature: the kind of list, and what goes into it."""
    if type(value) is bool:
        return "int64_list", int(value)
    if type(value) is str:
        return "bytes_list", value.encode()
    if type(value) is dict and not _is_object(value):
        return "bytes_list", _decoded(value)
    if type(value) is float:
        if not _is_lossless(value, "float"):
            raise _lossy(value, "float")
        return "float_list", value
    if type(value) is int:
        if not -(2**63) <= value < 2**63:
            raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
        return "int64_list", value
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {_type_name(value)}")


def _is_object(value: Any) -> bool:
    """An object that is no ``{"b64": …}``."""
    return type(value) is dict and not (len(value) == 1 and type(value.get("b64")) is str)


def _wrong_type(value: Any, dtype: str) -> ApiError:
    return invalid(f"JSON Value: {show(value)} Type: {_type_name(value)} is not of expected type: {dtype}")


def _lossy(value: float, dtype: str) -> ApiError:
    return invalid(f"Cannot convert JSON value: {show(value)} to {dtype} without loss of precision.")


def _type_name(value: Any) -> str:
    if type(value) is bool:
        return str(value)
    names = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return names.get(type(value), "Null")


def _show_shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def show(value: Any) -> str:
    """A JSON value in an error sentence."""
    if type(value) is float:
        narrow = abs(value) <= float(np.finfo(np.float32).max)
        return json_responses.decimals(np.array([value], np.float32 if narrow else np.float64))[0]
    try:
        text = str(rapidjson.dumps(value, indent=4, ensure_ascii=False))
    except RecursionError:
        text = "(nested too deep to show)"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
