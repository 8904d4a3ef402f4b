"""RapidJSON 1.1.0's reader, as TensorFlow Serving's ParseJson sets it.

Iterative; NaN and Infinity are numbers; what follows the document is left. Its rules of what is JSON, its sentences and
their offsets (reader.h, error/en.h); no validation of UTF-8.
"""

import re
from typing import Any

from serving.errors import invalid
from serving.json.json_numbers import INVALID, end_of, fault, number, word

MAX_DEPTH = 1_000_000  # of lists and objects in each other: a hundred bytes of memory each

_SPACE = re.compile(rb"[ \t\n\r]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_HEX = re.compile(rb"[0-9A-Fa-f]{4}")
_ESCAPES = {b'"': b'"', b"/": b"/", b"\\": b"\\", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_LITERALS = {b"n": (b"null", None), b"t": (b"true", True), b"f": (b"false", False)}

_SURROGATE = "The surrogate pair in string is invalid."
# What is read, and what is missing where something else stands there (HandleError).
_MISSING = {
    "start": "The document is empty.",
    "[": INVALID,
    "element": "Missing a comma or ']' after an array element.",
    "element,": INVALID,
    "{": "Missing a name for object member.",
    "name": "Missing a colon after a name of object member.",
    "name:": INVALID,
    "member": "Missing a comma or '}' after an object member.",
    "member,": "Missing a name for object member.",
}


class Repeated(dict[str, Any]):
    """An object in which a name stands twice: each name's first value, as FindMember finds it.

    Attributes:
      pairs: all of them, in order.
    """

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(reversed(pairs))
        self.pairs = pairs


def pairs(value: dict[str, Any]) -> Any:
    """Names and values in order, those that repeat too."""
    return value.pairs if type(value) is Repeated else value.items()


def read(body: bytes) -> Any:
    """The first value in ``body``; what follows it is not looked at.

    Returns:
      None, bool, int of 64 bits, float, str, list, dict or ``Repeated``. Bytes in strings that are no UTF-8 are
      surrogates, as by Python's ``surrogateescape``.

    Raises:
      ApiError: it is no JSON.
    """
    place = 0
    for mark in (b"\xef", b"\xbb", b"\xbf"):  # each by itself: EncodedInputStream
        place += body.startswith(mark, place)
    state = "start"
    stack: list[tuple[str, list[Any]]] = []  # how to go on after the inner one, and what holds it
    inside: list[Any] = []  # a list's elements; an object's names and values in turn
    while True:
        place = end_of(_SPACE, body, place)
        token = body[place : place + 1]
        if token in b"\0":  # the end, or what RapidJSON takes for it
            raise fault(_MISSING[state], place)
        if state in ("start", "[", "element,", "name:") and token not in b"]},:":
            after = {"start": "end", "name:": "member"}.get(state, "element")
            if token in b"[{":
                if len(stack) == MAX_DEPTH:
                    raise invalid(f"JSON Parse error: nested deeper than {MAX_DEPTH} levels")
                stack.append((after, inside))
                state, inside, place = token.decode(), [], place + 1
                continue
            value, place = _scalar(body, place, token)
        elif token == b'"' and state in ("{", "member,"):
            name, place = _string(body, place + 1)
            inside.append(name)
            state = "name"
            continue
        elif (token, state) in ((b",", "element"), (b",", "member"), (b":", "name")):
            state, place = state + token.decode(), place + 1
            continue
        elif (token, state) in ((b"]", "["), (b"]", "element"), (b"}", "{"), (b"}", "member")):
            value, place = inside if token == b"]" else _object(inside), place + 1
            after, inside = stack.pop()
        else:
            raise fault(_MISSING[state], place)
        if after == "end":
            return value
        inside.append(value)
        state = after


def _object(inside: list[Any]) -> dict[str, Any]:
    names, values = inside[::2], inside[1::2]
    found = dict(zip(names, values, strict=True))
    return found if len(found) == len(names) else Repeated(list(zip(names, values, strict=True)))


def _scalar(body: bytes, place: int, token: bytes) -> tuple[Any, int]:
    if token == b'"':
        return _string(body, place + 1)
    if token in _LITERALS:
        letters, value = _LITERALS[token]
        return value, word(body, place, letters)
    return number(body, place)


def _string(body: bytes, place: int) -> tuple[str, int]:
    """ParseStringToStream, from behind the quotation mark on."""
    parts: list[bytes] = []
    while True:
        start, place = place, end_of(_PLAIN, body, place)
        parts.append(body[start:place])
        token = body[place : place + 1]
        if token == b'"':
            return b"".join(parts).decode("utf-8", "surrogateescape"), place + 1
        if token in b"\0":
            raise fault("Missing a closing quotation mark in string.", place)
        if token != b"\\":
            raise fault("Invalid escape character in string.", place)
        escape = body[place + 1 : place + 2]
        if escape in _ESCAPES:
            parts.append(_ESCAPES[escape])
            place += 2
        elif escape == b"u":
            text, place = _unicode(body, place)
            parts.append(text)
        else:
            raise fault("Invalid escape character in string.", place)


def _unicode(body: bytes, place: int) -> tuple[bytes, int]:
    """The UTF-8 of an escaped code, or of a pair of them; that of a lone low surrogate is no UTF-8."""
    code, end = _hex(body, place + 2, place), place + 6
    if 0xD800 <= code < 0xDC00:
        if body[end : end + 2] != b"\\u":
            raise fault(_SURROGATE, place)
        low, end = _hex(body, end + 2, place), end + 6
        if not 0xDC00 <= low < 0xE000:
            raise fault(_SURROGATE, place)
        code = ((code - 0xD800) << 10 | (low - 0xDC00)) + 0x10000
    return chr(code).encode("utf-8", "surrogatepass"), end


def _hex(body: bytes, place: int, escape: int) -> int:
    if not (found := _HEX.match(body, place)):
        raise fault("Incorrect hex digit after \\u escape in string.", escape)
    return int(found[0], 16)
