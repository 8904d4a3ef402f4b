"""What a row becomes: a record, a part of one, or nothing; and the key that equal texts share."""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Record(NamedTuple):
    """A record, ready to be an Example.

    Attributes:
      features: by name: UTF-8, whole numbers or fractions.
      key: 16 bytes of SHA-256 over the normalised text: equal texts, equal keys.
      file: of its first row.
      line: of its first row, from 1.
    """

    features: Mapping[str, Sequence[bytes] | Sequence[int] | Sequence[float]]
    key: bytes
    file: str
    line: int


class Part(NamedTuple):
    """A row that makes a record, or several, together with the others of its group.

    Attributes:
      group: what the rows share: a document, a user.
      order: what they are sorted by.
      file: of the row.
      line: of the row, from 1.
      content: what the row holds.
    """

    group: str
    order: str | float
    file: str
    line: int
    content: tuple[Any, ...]


class LeftOut:
    """A row, or a group of them, that is sound and not used: a number in none of the label ranges."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a group adds to the figures of its source, by name; all groups' are summed up for ``Kind.judge``."""

    figures: Mapping[str, int]


def ordered(parts: Iterable[Part]) -> list[Part]:
    """By ``order`` (as numbers if all are numbers), then by file and line."""
    parts = list(parts)
    numbers = all(not isinstance(part.order, str) for part in parts)
    return sorted(parts, key=lambda part: (part.order if numbers else str(part.order), part.file, part.line))


def normalize(text: str) -> str:
    """Texts that a reader would call the same become equal: NFKC, case folded, white space folded."""
    if text.isascii():
        return " ".join(text.lower().split())
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def key(texts: Sequence[str]) -> bytes:
    """16 bytes that identify the normalised texts, in order."""
    return hashlib.sha256("\x1e".join(map(normalize, texts)).encode()).digest()[:16]
