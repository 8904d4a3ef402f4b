"""Features as bytes of a tf.Example, and such bytes as a TFRecord: without TensorFlow, a few microseconds each.

They are those of ``tf.train.Example.SerializeToString(deterministic=True)`` (tensorflow/core/example/example.proto) and
of ``tf.io.TFRecordWriter`` (tensorflow/core/lib/io/record_writer.h).
"""

import array
import functools
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import google_crc32c


def example(features: Mapping[str, Sequence[bytes] | Sequence[int] | Sequence[float]]) -> bytes:
    """An Example with these features.

    Args:
      features: by name; a feature without values says no type.
    """
    found = list[bytes]()
    for name in _ordered(tuple(features)):
        entry = _name(name) + _long(b"\x12", _feature(features[name]))
        found.append(_long(b"\n", entry))
    return _long(b"\n", b"".join(found))


def record(data: bytes) -> bytes:
    """A TFRecord: length, its checksum, the bytes, their checksum."""
    return _head(len(data)) + data + _masked(data)


def _feature(values: Sequence[Any]) -> bytes:
    """A Feature: a list of bytes is its field 1, of floats 2, of whole numbers 3."""
    if not values:
        return b""
    if isinstance(values[0], float):
        return _long(b"\x12", _long(b"\n", array.array("f", values).tobytes()))
    if isinstance(values[0], int):
        return _long(b"\x1a", _long(b"\n", b"".join([_varint(value & 0xFFFFFFFFFFFFFFFF) for value in values])))
    if len(values) == 1:
        return _long(b"\n", _long(b"\n", values[0]))
    return _long(b"\n", b"".join([_long(b"\n", value) for value in values]))


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first (protobuf.dev/programming-guides/encoding)."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


_VARINTS = [_varint(number) for number in range(1 << 12)]


def _long(tag: bytes, content: bytes) -> bytes:
    """A field whose length stands before it."""
    length = len(content)
    return tag + (_VARINTS[length] if length < 4096 else _varint(length)) + content


@functools.lru_cache(1024)
def _ordered(names: tuple[str, ...]) -> list[str]:
    """By their bytes; a name that begins with another stands before it (upb/message/map_sorter.c of protobuf)."""
    return sorted(names, key=lambda name: name.encode() + b"\xff")


@functools.lru_cache(1024)
def _name(name: str) -> bytes:
    """The key of a map's entry."""
    return _long(b"\n", name.encode())


@functools.lru_cache(4096)
def _head(length: int) -> bytes:
    data = struct.pack("<Q", length)
    return data + _masked(data)


def _masked(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted, as the format has it."""
    crc: int = google_crc32c.value(data)
    return ((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")
