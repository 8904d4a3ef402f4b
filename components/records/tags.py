"""Tags of words to spans of their text: which scheme they are in, and what the spans are.

A scheme is recognised by the tags of a row, or the row is refused: B-PER and PER may not mean what they seem to.
"""

import itertools
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from components.records.rows import RowError

Span = tuple[int, int, str]

# IOB1, IOB2, IOE, BIOES, BILOU and BMEWO: B begins, I and M go on, E and L end, S, U and W are a word alone.
_PLACES = "BIMELSUW"
# B-PER, PER-B and B, in capitals with O, or in small letters with o.
_SCHEMES = [
    (outside, re.compile(pattern.format(places)))
    for outside, places in (("O", _PLACES), ("o", _PLACES.lower()))
    for pattern in (
        r"(?P<place>[{}])[-_](?P<label>.+)",
        r"(?P<label>.+)[-_](?P<place>[{}])",
        r"(?P<place>[{}])(?P<label>)",
    )
]
# The label of spans whose tags name none, as in seqeval.
_UNNAMED = "_"


class _Tag(NamedTuple):
    place: str
    label: str


def spans(words: Sequence[Any], tags: Sequence[Any], between: str, scheme: Literal["BIO", "word"]) -> list[Span]:
    """The spans (start, end, label) of a text that is ``words`` with ``between`` between them.

    Args:
      words: of a row.
      tags: as many.
      between: "" or " ".
      scheme: ``word``: every tag is the label of its word. ``BIO``: tags say where a span begins and goes on.

    Raises:
      RowError: words without tags, or tags of no scheme.
    """
    if len(words) != len(tags):
        raise RowError(f"{len(words)} words and {len(tags)} tags")
    if all(isinstance(tag, int) for tag in tags) and tags:
        raise RowError("tags are numbers, and must be their names")
    if not all(isinstance(each, str) and each for each in itertools.chain(words, tags)):
        raise RowError("a word or a tag that is no text, or empty")
    ends = list(itertools.accumulate(len(word) + len(between) for word in words))
    places = [(end - len(between) - len(word), end - len(between)) for word, end in zip(words, ends, strict=True)]
    if scheme == "word":
        return [(start, end, tag) for (start, end), tag in zip(places, tags, strict=True)]
    found, goes_on = list[Span](), ""
    for (start, end), tag in zip(places, _read(tags), strict=True):
        if tag is None:
            goes_on = ""
        elif tag.place in "IMEL" and goes_on == tag.label:  # a label goes on where it is the same, as in seqeval
            found[-1] = (found[-1][0], end, tag.label)
        else:
            found.append((start, end, tag.label))
        if tag:
            goes_on = tag.label if tag.place in "BIM" else ""
    return found


def _read(tags: Sequence[str]) -> list[_Tag | None]:
    """Place and label of each tag by the one scheme that they all are in; None outside of every span.

    A tag that two schemes could read, such as B-I, has its place in front.
    """
    given = list(dict.fromkeys(tags))
    for outside, scheme in _SCHEMES:
        read = {tag: match for tag in given if (match := scheme.fullmatch(tag))}
        if read.keys() | {outside} >= set(given):
            known = {tag: _Tag(match["place"].upper(), match["label"] or _UNNAMED) for tag, match in read.items()}
            return [known.get(tag) for tag in tags]
    alone = next((tag for tag in given if not any(tag == o or s.fullmatch(tag) for o, s in _SCHEMES)), "")
    if alone:
        raise RowError(f"tag {_shown(alone)} says no B or I beside its label; task.scheme: word labels words by tags")
    raise RowError(f"tags of no one scheme: {', '.join(map(_shown, sorted(given)[:4]))}")


def _shown(tag: str) -> str:
    return repr(tag if len(tag) <= 30 else f"{tag[:30]}…")


def trimmed(span: Span, text: str) -> Span:
    """A span without the blanks at its ends, which no answer has: no piece of the text stands on them.

    Raises:
      RowError: it holds nothing else.
    """
    start, end, label = span
    while start < end and _blank(text[start]):
        start += 1
    while start < end and _blank(text[end - 1]):
        end -= 1
    if start == end:
        raise RowError("a span of white space alone")
    return start, end, label


def _blank(letter: str) -> bool:
    """White space, and what is removed with it before words are looked for: control and format characters."""
    return letter.isspace() or letter == "\ufffd" or unicodedata.category(letter) in ("Cc", "Cf", "Zs", "Zl", "Zp")
