"""Bytes to text: which encoding a file is in, and what did not decode."""

import codecs
import gzip
import io
from collections.abc import Iterable, Iterator, Mapping
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


class _Gzip(gzip.GzipFile):
    """An unpacking reader that closes the file below it too."""

    def __init__(self, packed: IO[bytes]) -> None:
        super().__init__(fileobj=packed)
        self.packed = packed

    def close(self) -> None:
        super().close()
        self.packed.close()


def open_bytes(path: str, *, unpack: bool = True) -> IO[bytes]:
    """The file's bytes, unpacked where its name ends in ``.gz``, unless ``unpack`` is false."""
    if "://" in path:
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        # Beam's own unpacking gives a file that io.TextIOWrapper does not take.
        stream: IO[bytes] = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    else:
        stream = Path(path).open("rb")  # noqa: SIM115 (the caller closes it)
    return cast("IO[bytes]", _Gzip(stream)) if unpack and path.lower().endswith(".gz") else stream


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


def is_utf8(path: str) -> bool:
    """Whether the file's first megabyte is UTF-8 with ten letters beyond ASCII.

    One syllable in seven of CP949 is a letter of UTF-8 too; ten in a row are by no accident.
    """
    with open_bytes(path) as stream:
        start = stream.read(_CHUNK)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return sum(letter > "\x7f" for letter in text) >= 10


def codec_of(path: str, encoding: Encoding) -> str | None:
    """Python's name for the encoding of this file; ``None``: asked for UTF-16, found neither a mark nor a zero byte."""
    if encoding != "utf-16":
        return CODECS[encoding]
    with open_bytes(path) as stream:
        start = stream.read(1024)
    if not start or start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return CODECS[encoding]
    # Line ends and commas have a zero byte: behind them in little-endian files, before them in big-endian ones.
    if 0 not in start:
        return None
    return "utf-16-be" if start[::2].count(0) > start[1::2].count(0) else "utf-16-le"


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
    try:
        for text in _strings((*values, *values.values())):
            if not text.isascii():
                text.encode()
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        if 0xDC80 <= code <= 0xDCFF and encoding != "utf-16":
            return f"not {encoding.upper()} (byte 0x{code - 0xDC00:02x})"
        return f"lone surrogate U+{code:04X}"
    except RecursionError:
        return "lists or objects nested too deep"
    return None


def _strings(values: Iterable[Any]) -> Iterator[str]:
    """Those in ``values``, however deep; keys of objects are strings too."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from _strings((*value, *value.values()))
        elif isinstance(value, list):
            yield from _strings(value)
