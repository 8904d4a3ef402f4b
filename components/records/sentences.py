"""Sentences of running text."""

import sentencex

_CLOSING = frozenset("\"'”’」』»")


def split(text: str) -> list[str]:
    """The sentences of ``text``, in order, without the space around them; a blank line ends one too.

    By sentencex, whose rules are Unicode's marks and English abbreviations; its rules for Korean give the same.
    """
    found: list[str] = []
    for piece in sentencex.segment("en", text):
        if found and found[-1][-1] in _CLOSING and piece[0].isalpha():
            found[-1] += piece  # Korean goes on behind a quotation: "…"라고 했다.
        else:
            found.append(piece)
    return [sentence for piece in found if (sentence := piece.strip())]
