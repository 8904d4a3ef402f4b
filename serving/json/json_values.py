"""JSON values to what tensors hold: AddValueToTensor and its siblings in tensorflow/serving's util/json_tensor.cc."""

import base64
import math
import re
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from serving.errors import ApiError, invalid
from serving.json.json_writer import show

MAX_NUMPY_RANK = 64

_INT32 = (-(2**31), 2**31 - 1)
# The narrow integers are checked as int32, and stored as it fits.
_INTEGERS = {
    "int8": _INT32,
    "uint8": _INT32,
    "int16": _INT32,
    "int32": _INT32,
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_DECIMALS = {"float": np.float32, "double": np.float64}
DTYPES = ("string", "bool", *_DECIMALS, *_INTEGERS)  # that JSON has values for
# absl::Base64Unescape: white space is skipped; no padding, or as much as is due; a dot is padding too.
_BASE64_SPACE = re.compile("[\t\n\v\f\r ]+")
_BASE64 = re.compile("([A-Za-z0-9+/]*)([=.]*)")
_TYPE_NAMES = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}

Array = Any  # np.ndarray; strings are an object array of bytes


def of(value: Any, dtype: str) -> Any:
    """One value: bytes, int, bool, or a number that becomes a decimal.

    Args:
      value: no list.
      dtype: as TensorFlow calls it: ``float``, ``int64``, ``string`` ….

    Raises:
      ApiError: it is of another type, or there is no JSON for this one.
    """
    kind = type(value)
    if isinstance(value, dict) and dtype == "string":
        return decoded(value)
    if dtype == "string" and kind is str:
        return text(value)
    if dtype == "bool" and kind is bool:
        return value
    if dtype in _DECIMALS and kind in (int, float):
        return value
    if dtype in _INTEGERS and kind is int and _INTEGERS[dtype][0] <= value <= _INTEGERS[dtype][1]:
        return value
    if isinstance(value, dict) or dtype in DTYPES:
        raise invalid(f"JSON Value: {show(value)} Type: {type_name(value)} is not of expected type: {dtype}")
    raise ApiError("UNIMPLEMENTED", f"Conversion of JSON Value: {show(value)} to type: {dtype}")


def of_all(values: list[Any], dtype: str) -> Sequence[Any] | None:
    """The same for a list, at once; None where one of them is not plainly of the type."""
    kinds = set(map(type, values))
    if dtype == "string":
        return [text(value) for value in values] if kinds <= {str} else None
    if dtype == "bool":
        return values if kinds <= {bool} else None
    if dtype in _DECIMALS:
        return values if kinds <= {int, float} else None
    if dtype in _INTEGERS and kinds == {int}:
        low, high = _INTEGERS[dtype]
        return values if low <= min(values) and max(values) <= high else None
    return None


def array(values: Sequence[Any], shape: tuple[int, ...], dtype: str) -> Array:
    """The tensor. Of more values than it holds, where a name stood twice in a row, the first: Tensor::FromProto."""
    if len(shape) > MAX_NUMPY_RANK:
        raise invalid(f"a tensor of {len(shape)} dimensions: this server holds up to {MAX_NUMPY_RANK}")
    values = values[: math.prod(shape)]
    if dtype in _DECIMALS:
        with np.errstate(over="ignore"):  # infinity, as by a static_cast
            return np.array(values, np.float64).astype(_DECIMALS[dtype], copy=False).reshape(shape)
    if dtype in _INTEGERS:
        wide = np.uint64 if dtype == "uint64" else np.int64
        return np.array(values, wide).astype(dtype, copy=False).reshape(shape)
    if dtype == "bool":
        return np.array(values, bool).reshape(shape)
    if dtype == "string":
        found = np.empty(len(values), object)  # np.array would look into the bytes
        found[:] = values
        return found.reshape(shape)
    # A type that JSON has no values for, and there is none.
    try:
        return np.empty(shape, np.float16 if dtype == "half" else getattr(ml_dtypes, dtype, dtype))
    except TypeError:
        raise invalid(f"a tensor of type {dtype} cannot be sent as JSON") from None


def text(value: str) -> bytes:
    """The bytes of a string."""
    return value.encode("utf-8", "surrogateescape")


def is_object(value: Any) -> bool:
    """An object that is no ``{"b64": …}``."""
    return isinstance(value, dict) and not (size(value) == 1 and type(value.get("b64")) is str)


def size(value: dict[str, Any]) -> int:
    """How many names an object has, those that repeat too."""
    return len(getattr(value, "pairs", value))


def decoded(value: dict[str, Any]) -> bytes:
    """``{"b64": …}``: JsonDecodeBase64Object."""
    if is_object(value):
        raise invalid(f"JSON Value: {show(value)} not formatted correctly for base64 data")
    found = _BASE64.fullmatch(_BASE64_SPACE.sub("", value["b64"]))
    if not found or len(found[1]) % 4 == 1 or len(found[2]) not in (0, -len(found[1]) % 4):
        raise invalid("Unable to base64 decode")
    return base64.b64decode(found[1] + "=" * (-len(found[1]) % 4))


def type_name(value: Any) -> str:
    """JsonTypeString."""
    if type(value) is bool:
        return str(value)
    return "Object" if isinstance(value, dict) else _TYPE_NAMES.get(type(value), "Null")
