"""Tensors to the JSON of a response.

What MakeJsonFromTensors and its siblings do in tensorflow/serving's util/json_tensor.cc, to the white space; outputs
stand in the order of their names.
"""

import base64
import math
import struct
from collections.abc import Mapping
from typing import Any

from serving.errors import invalid
from serving.json.json_writer import quoted

Array = Any  # np.ndarray; strings are an object array of bytes

_INTEGERS = ("int8", "uint8", "int16", "int32", "int64", "uint32", "uint64")
_NAMES = {"float16": "half"}  # TensorFlow's, where it is not NumPy's
_PACK = {"float32": "f", "float64": "d"}
_FULL = {"float32": ".9g", "float64": ".17g"}  # max_digits10


def rows(outputs: Mapping[str, Array]) -> bytes:
    """``{"predictions": […]}``, an element a row: MakeRowFormatJsonFromTensors.

    Raises:
      ApiError: the outputs are not batched alike.
    """
    if not _check_batch_size(outputs):
        return _document("predictions", "[]")
    several = len(outputs) > 1
    columns = {
        name: _inline(_texts(name, value, value.ndim + (2 if several else 1)), value.shape)
        for name, value in sorted(outputs.items())
    }
    if not several:
        [column] = columns.values()
        return _document("predictions", f"[{', '.join(column)}\n    ]")
    keys = [f"            {_key(name)}: " for name in columns]
    elements = (
        "        {\n" + ",\n".join(map(str.__add__, keys, row)) + "\n        }"
        for row in zip(*columns.values(), strict=True)
    )
    return _document("predictions", "[\n" + ",\n".join(elements) + "\n    ]")


def columns(outputs: Mapping[str, Array]) -> bytes:
    """``{"outputs": …}``: MakeColumnarFormatJsonFromTensors."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    several = len(outputs) > 1
    depth = 2 if several else 1
    found = {
        name: _indented(_texts(name, value, depth + value.ndim), value.shape, depth)
        for name, value in sorted(outputs.items())
    }
    if not several:
        return _document("outputs", *found.values())
    lines = ",\n".join(f"        {_key(name)}: {value}" for name, value in found.items())
    return _document("outputs", "{\n" + lines + "\n    }")


def classes(labels: Array | None, scores: Array | None) -> bytes:
    """``{"results": [[[label, score], …], …]}``: MakeJsonFromClassificationResult; strings and float32 (B, C).

    One of them may be missing: then the label is empty, or the score 0.
    """
    given = labels if labels is not None else scores
    assert given is not None
    texts = _texts("", labels, 0) if labels is not None else ['""'] * given.size
    numbers = decimals(scores) if scores is not None else ["0.0"] * given.size
    pairs = [f"[{label}, {score}]" for label, score in zip(texts, numbers, strict=True)]
    return _document("results", f"[{', '.join(_inline(pairs, given.shape))}\n    ]")


def regressions(values: Array) -> bytes:
    """``{"results": [value, …]}``: MakeJsonFromRegressionResult; float32 (B,) or (B, 1)."""
    return _document("results", f"[{', '.join(decimals(values))}]")


def error(message: str) -> bytes:
    """``{"error": …}``."""
    return _document("error", quoted(message))


def decimals(values: Array) -> list[str]:
    """WriteDecimal, for each: six digits where they come back as the same number, else as many as it takes.

    Args:
      values: float32 or float64.
    """
    kind = values.dtype.name
    flat = values.ravel().tolist()
    texts = [f"{value:.6g}" for value in flat]
    layout = f"{len(flat)}{_PACK[kind]}"
    back = struct.unpack(layout, struct.pack(layout, *map(float, texts)))
    return [_decimal(*each, _FULL[kind]) for each in zip(flat, texts, back, strict=True)]


def _decimal(value: float, text: str, back: float, full: str) -> str:
    if not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if value != back:
        text = format(value, full)
    return text if "." in text or "e" in text else f"{text}.0"


def _check_batch_size(outputs: Mapping[str, Array]) -> int:
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    count = -1
    for name, value in sorted(outputs.items()):
        if not value.shape:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if count not in (-1, len(value)):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(value)} expecting: {count}")
        count = len(value)
    return count


def _texts(name: str, value: Array, depth: int) -> list[str]:
    """AddSingleValueAndAdvance: the JSON of every element, in order; ``depth`` lists and objects stand around each."""
    kind = value.dtype
    if not value.size:
        return []
    if kind.kind == "O":
        if name.endswith("_bytes"):
            line = "\n" + "    " * depth
            layout = f'{{{{{line}    "b64": "{{}}"{line}}}}}'.format
            return [layout(base64.b64encode(each).decode()) for each in value.ravel().tolist()]
        return [quoted(each.decode("utf-8", "surrogateescape")) for each in value.ravel().tolist()]
    if kind.name in _PACK:
        return decimals(value)
    if kind.name in _INTEGERS:
        return [str(number) for number in value.ravel().tolist()]
    if kind.kind == "b":
        return ["true" if each else "false" for each in value.ravel().tolist()]
    raise invalid(f"Failed to write JSON value for tensor type: {_NAMES.get(kind.name, kind.name)}")


def _key(name: str) -> str:
    """PrettyWriter's Key takes a C string."""
    return quoted(name.partition("\0")[0])


def _inline(texts: list[str], shape: tuple[int, ...]) -> list[str]:
    """The elements in nested lists on one line for each row of ``shape``."""
    for axis in range(len(shape) - 1, 0, -1):
        width = shape[axis]
        starts = range(0, width * math.prod(shape[:axis]), width) if width else [0] * math.prod(shape[:axis])
        texts = [f"[{', '.join(texts[start : start + width])}]" for start in starts]
    return texts


def _indented(texts: list[str], shape: tuple[int, ...], depth: int) -> str:
    """The elements in nested lists, one a line."""
    source = iter(texts)

    def nested(level: int) -> str:
        if level == len(shape):
            return next(source)
        if not shape[level]:
            return "[]"
        space = "    " * (depth + level + 1)
        items = ",\n".join(space + nested(level + 1) for _ in range(shape[level]))
        return f"[\n{items}\n{space[4:]}]"

    return nested(0)


def _document(key: str, value: str) -> bytes:
    return f'{{\n    "{key}": {value}\n}}'.encode("utf-8", "surrogateescape")
