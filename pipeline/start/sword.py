"""Verses of Bibles as the SWORD Project packs them (zText, compressed by the book): raw text in OSIS markup.

Each testament has three files: ``.bzz``, the books, each packed by zlib; ``.bzs``, where each of them is; ``.bzv``,
where each verse is in its book. Two modules with one versification have the same verses at the same places.
"""

import html
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_BOOK, _VERSE = struct.Struct("<III"), struct.Struct("<IIH")
_NOTES = re.compile(r"<(note|title)\b[^>]*(?<!/)>.*?</\1>", re.DOTALL)
_TAGS = re.compile(r"<[^>]+>")
_INTRODUCES = re.compile(r'<div [^>]*\bsID=[^>]*type="book"')
_STARTS = re.compile(r'<chapter [^>]*osisID="([^".]+)\.(\d+)"[^>]*sID=')


def verses(first: Path, second: Path) -> Iterator[tuple[str, str, str, str]]:
    """Book, chapter and verse (``Gen``, ``Gen.1.1``), and the two texts, of the verses that both modules have.

    Args:
      first: folder of a module.
      second: folder of one with the same versification.
    """
    book, chapter, number = "", "", 0
    for part in ("ot", "nt"):
        for one, other in zip(_entries(first, part), _entries(second, part), strict=True):
            if start := _STARTS.search(one):
                book, chapter, number = start[1], start[2], 0
                continue
            number += 1
            texts = _text(one), _text(other)
            if all(texts) and not _INTRODUCES.search(one):
                yield book, f"{book}.{chapter}.{number}", *texts


def _entries(module: Path, part: str) -> Iterator[str]:
    """The places of a testament, in order: verses, and between them the beginnings of books and of chapters."""
    places, where, packed = ((module / f"{part}.bz{kind}").read_bytes() for kind in "svz")
    books = [zlib.decompress(packed[start : start + size]) for start, size, _ in _BOOK.iter_unpack(places)]
    for book, start, size in _VERSE.iter_unpack(where):
        yield books[book][start : start + size].decode() if size else ""


def _text(entry: str) -> str:
    plain = html.unescape(_TAGS.sub("", _NOTES.sub(" ", entry))).replace("¶", " ")
    return " ".join(plain.split())
