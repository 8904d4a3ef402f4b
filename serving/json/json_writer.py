"""RapidJSON 1.1.0's PrettyWriter: strings and numbers, and how a value is echoed in an error sentence."""

import math
import re
from typing import Any

from serving.json.json_numbers import double
from serving.json.json_reader import pairs

_LIMIT = 256  # kMaxJsonDebugStringBytes of tensorflow/serving's util/json_tensor.cc
_SPECIAL = re.compile(r'["\\\x00-\x1f]')
_ESCAPES = {code: f"\\u{code:04X}" for code in range(0x20)} | {
    ord(plain): f"\\{letter}" for plain, letter in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True)
}


def quoted(text: str) -> str:
    """A string: WriteString. Surrogates that stand for bytes stay what they are."""
    return f'"{text.translate(_ESCAPES)}"' if _SPECIAL.search(text) else f'"{text}"'


def show(value: Any) -> str:
    """A value in an error sentence: JsonValueToDebugString. Lists stand on one line.

    After 256 bytes nothing more is begun, and a number that is not finite ends it: the text may be no JSON.
    """
    echo = _Echo()
    echo.write("", value, 0)
    return "".join(echo.parts)


class _Echo:
    """JsonWriterWithLimit: every method says whether to go on."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._size = 0

    def _put(self, text: str) -> bool:
        if self._size >= _LIMIT:
            return False
        self.parts.append(text)
        self._size += len(text.encode("utf-8", "surrogateescape"))
        return True

    def write(self, prefix: str, value: Any, depth: int) -> bool:
        """``depth`` is the number of lists and objects around it."""
        if isinstance(value, dict):
            return self._object(prefix, value, depth)
        if type(value) is list:
            return self._put(f"{prefix}[") and self._elements(value, depth) and self._put("]")
        if type(value) is float and not math.isfinite(value):
            self._put(prefix)
            return False
        return self._put(prefix + _scalar(value))

    def _elements(self, value: list[Any], depth: int) -> bool:
        return all(self.write(", " if place else "", each, depth + 1) for place, each in enumerate(value))

    def _object(self, prefix: str, value: dict[str, Any], depth: int) -> bool:
        if not self._put(f"{prefix}{{"):
            return False
        line = "\n" + "    " * (depth + 1)
        for place, (name, each) in enumerate(pairs(value)):
            if not (self._put(f"{',' if place else ''}{line}{quoted(name)}") and self.write(": ", each, depth + 1)):
                return False
        return self._put(f"{line[:-4] if value else ''}}}")


def _scalar(value: Any) -> str:
    if type(value) is str:
        return quoted(value)
    if type(value) is float:
        return double(value)
    return {None: "null", True: "true", False: "false"}.get(value, "") if type(value) is not int else str(value)
