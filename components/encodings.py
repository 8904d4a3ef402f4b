"""Bytes to text: which encoding a file is in, and what did not decode."""

import codecs
import gzip
import io
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

from configs.experiment import Encoding

# A byte-order mark in front of UTF-8 is no text.
CODECS: dict[Encoding, str] = {
    "utf-8": "utf-8-sig",
    "utf-8-sig": "utf-8-sig",
    "utf-16": "utf-16",
    "cp949": "cp949",
    "euc-kr": "euc-kr",
}
_CHUNK = 1 << 20  # characters a read


def open_bytes(path: str, *, unpack: bool = True) -> IO[bytes]:
    """The file's bytes, unpacked where its name ends in ``.gz``, unless ``unpack`` is false."""
    if "://" in path:
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        compression = CompressionTypes.AUTO if unpack else CompressionTypes.UNCOMPRESSED
        return cast("IO[bytes]", FileSystems.open(path, compression_type=compression))
    return cast("IO[bytes]", gzip.open(path)) if unpack and path.endswith(".gz") else Path(path).open("rb")


def decodes_as(path: str, encoding: Encoding) -> Encoding | None:
    """The encoding, other than ``encoding``, that decodes the whole file and makes sense of it; ``None``: none does."""
    with open_bytes(path) as stream:
        start = stream.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16" if encoding != "utf-16" else None
    # UTF-16 without a mark: every second byte of ASCII is 0.
    if len(start) == 4 and start.count(0) == 2 and encoding != "utf-16":
        return "utf-16"
    candidates: tuple[Encoding, ...] = ("utf-8", "cp949")
    different = (each for each in candidates if each != encoding.removesuffix("-sig"))
    return next((each for each in different if _makes_sense(path, each)), None)


def _makes_sense(path: str, encoding: str) -> bool:
    """Whether the file decodes and, for CP949, reads as Korean: accented Latin letters can decode as rare Hanja."""
    hangul, foreign = 0, 0
    try:
        with io.TextIOWrapper(cast("io.BufferedReader", open_bytes(path)), encoding=encoding, newline="") as stream:
            while chunk := stream.read(_CHUNK):
                if not chunk.isascii():
                    hangul += sum("가" <= letter <= "힣" for letter in chunk)
                    foreign += sum(letter > "\x7f" for letter in chunk)
    except UnicodeDecodeError:
        return False
    return encoding != "cp949" or 2 * hangul > foreign


def undecodable(values: Mapping[str, Any], encoding: Encoding) -> str | None:
    """The reason why a row holds something that is no text: bytes that did not decode travel as lone surrogates."""
    for value in values.values():
        for text in value if isinstance(value, list) else (value,):
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError as error:
                    code = ord(text[error.start])
                    if 0xDC80 <= code <= 0xDCFF and encoding != "utf-16":
                        return f"not {encoding.upper()} (byte 0x{code - 0xDC00:02x})"
                    return f"lone surrogate U+{code:04X}"
    return None
