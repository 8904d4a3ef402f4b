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
        feature = _feature(features[name])
        entry = _name(name) + b"\x12" + _varint(len(feature)) + feature
        found += (b"\n", _varint(len(entry)), entry)
    joined = b"".join(found)
    return b"\n" + _varint(len(joined)) + joined


def record(data: bytes) -> bytes:
    """A TFRecord: length, its checksum, the bytes, their checksum."""
    return b"".join((_head(len(data)), data, _masked(data)))


def _feature(values: Sequence[Any]) -> bytes:
    """A Feature: a list of bytes is its field 1, of floats 2, of whole numbers 3."""
    if not values:
        return b""
    if isinstance(values[0], float):
        content = array.array("f", values).tobytes()
        tag, content = b"\x12", b"\n" + _varint(len(content)) + content
    elif isinstance(values[0], int):
        content = b"".join([_varint(value & 0xFFFFFFFFFFFFFFFF) for value in values])
        tag, content = b"\x1a", b"\n" + _varint(len(content)) + content
    else:
        tag, content = b"\n", b"".join([b"\n" + _varint(len(value)) + value for value in values])
    return tag + _varint(len(content)) + content


@functools.lru_cache(1024)
def _ordered(names: tuple[str, ...]) -> list[str]:
    """By their bytes; a name that begins with another stands before it (upb/message/map_sorter.c of protobuf)."""
    return sorted(names, key=lambda name: name.encode() + b"\xff")


@functools.lru_cache(1024)
def _name(name: str) -> bytes:
    """The key of a map's entry."""
    key = name.encode()
    return b"\n" + _varint(len(key)) + key


@functools.lru_cache(4096)
def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first (protobuf.dev/programming-guides/encoding)."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


@functools.lru_cache(4096)
def _head(length: int) -> bytes:
    data = struct.pack("<Q", length)
    return data + _masked(data)


def _masked(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted, as the format has it."""
    crc: int = google_crc32c.value(data)
    return ((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")
