"""Text encodings: detects the encoding of a file and reports what did not decode."""

import codecs
import gzip
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from components.storage.s3_place import is_s3
from configs.encoding import Encoding

# The most frequent syllables of Korean: a third of every text. Bytes of another language hit few of them.
_COMMON = frozenset("이다는을가에의지고하은도로한기나사아어리")
# Encodings to suggest if detection fails.
EXAMPLES = "cp1252 (Western European), cp1250, cp1251 (Cyrillic), cp932 (Japanese), gb18030 (Chinese) …"
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
    if is_s3(path):
        from components.storage.s3 import S3

        stream: IO[bytes] = S3.open(path, "rb")
    elif "://" in path:
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        # Beam's own unpacking gives a file that io.TextIOWrapper does not take.
        stream = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    else:
        stream = Path(path).open("rb")  # noqa: SIM115 (the caller closes it)
    return cast("IO[bytes]", _Gzip(stream)) if unpack and path.lower().endswith(".gz") else stream


def recognised(path: str) -> Encoding | None:
    """The encoding that a file is certainly in, with a few damaged UTF-8 characters allowed; ``None`` if unsure."""
    return decodes_as(path, None) or ("utf-8" if _mostly_utf8(path) else None)


def decodes_as(path: str, encoding: Encoding | None) -> Encoding | None:
    """Another encoding that decodes the whole file into plausible text; ``None`` if there is none."""
    with open_bytes(path) as stream:
        start = stream.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16" if encoding != "utf-16" else None
    # UTF-16 without a mark: every second byte of ASCII is 0.
    if len(start) == 4 and start.count(0) == 2 and encoding != "utf-16":
        return "utf-16"
    different = (each for each in _JUDGED if each != encoding)
    found = next((each for each in different if _makes_sense(path, each)), None)
    return found if found in (None, "utf-8") or not _mostly_utf8(path) else None


def is_utf8(path: str, *, instead_of: Encoding) -> bool:
    """Whether the file's first megabyte is UTF-8, and hardly ``instead_of``.

    One syllable in seven of CP949 is a letter of UTF-8 too; ten in a row are by no accident. Where a byte is a letter,
    a single one of UTF-8 would be ``Ã`` and a sign behind it, as in ``Ã©``.
    """
    with open_bytes(path) as stream:
        start = stream.read(_CHUNK)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    single = len(bytes(range(128, 256)).decode(instead_of, "replace")) == 128
    return sum(letter > "\x7f" for letter in text) >= (1 if single else 10)


def codec_of(path: str, encoding: Encoding) -> str | None:
    """Python's name for the encoding of this file; ``None``: asked for UTF-16, found neither a mark nor a zero byte."""
    if encoding == "utf-8":
        return "utf-8-sig"  # a byte-order mark in front is no text
    if encoding != "utf-16":
        return encoding
    with open_bytes(path) as stream:
        start = stream.read(1024)
    if not start or start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return encoding
    # Line ends and commas have a zero byte: behind them in little-endian files, before them in big-endian ones.
    if 0 not in start:
        return None
    return "utf-16-be" if start[::2].count(0) > start[1::2].count(0) else "utf-16-le"


def _mostly_utf8(path: str) -> bool:
    """Whether more letters beyond ASCII are UTF-8 than bytes are none."""
    letters = damaged = 0
    binary = cast("io.BufferedReader", open_bytes(path))
    with io.TextIOWrapper(binary, encoding="utf-8", errors="surrogateescape", newline="") as stream:
        while chunk := stream.read(_CHUNK):
            if not chunk.isascii():
                letters += sum(letter > "\x7f" for letter in chunk)
                damaged += sum("\udc80" <= letter <= "\udcff" for letter in chunk)
    return letters > 2 * damaged


def _makes_sense(path: str, encoding: Encoding) -> bool:
    """Whether the decoded file is plausible text for that encoding."""
    found = Counter[str]()
    try:
        with io.TextIOWrapper(cast("io.BufferedReader", open_bytes(path)), encoding=encoding, newline="") as stream:
            while chunk := stream.read(_CHUNK):
                found.update(chunk)
    except UnicodeDecodeError:
        return False
    return _JUDGED[encoding](found)


def _korean(found: Counter[str]) -> bool:
    """Mostly Hangul, and the syllables that Korean has: ``’s`` and ``éé`` are rare ones, Chinese is Hanja and those."""
    hangul = sum(count for letter, count in found.items() if "가" <= letter <= "힣")
    foreign = sum(count for letter, count in found.items() if letter > "\x7f")
    return 2 * hangul > foreign and 20 * sum(found[letter] for letter in _COMMON) >= hangul


def _nearly_ascii(found: Counter[str]) -> bool:
    """English with ``’`` and ``café``. Languages with more letters of their own have more encodings like this one."""
    plain = sum(count for letter, count in found.items() if letter.isascii() and letter.isalpha())
    foreign = sum(count for letter, count in found.items() if letter > "\x7f" and letter.isalpha())
    return foreign * 100 <= plain


# Encodings that a file can be recognised by, in the order they are tried.
_JUDGED: dict[Encoding, Callable[[Counter[str]], bool]] = {
    "utf-8": lambda _: True,
    "cp949": _korean,
    "cp1252": _nearly_ascii,
}


def undecodable(values: Mapping[str, Any], encoding: Encoding) -> str | None:
    """The reason why a row is not valid text: undecodable bytes are kept as lone surrogates."""
    try:
        for name, value in values.items():
            if not name.isascii():
                name.encode()
            for text in (value,) if isinstance(value, str) else _strings((value,)):
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
