"""Line formats: documents of sentences, and CoNLL columns."""

import itertools
import re
from collections.abc import Iterator, Sequence

from components.records.rows import WHOLE, Bad, Range, Row, lines
from configs.sources import Corpus, Source, SpanData

# Other white space, such as the no-break space in 10 000, belongs to its word.
_BLANKS = re.compile(r"[ \t]+")
# Of a word of CoNLL-U: 1, 1-2 for two that are written as one, 1.1 for one that is left out.
_NUMBER = re.compile(r"\d+([-.]\d+)?", re.ASCII)


def read_text(path: str, source: Source, _columns: Sequence[str] | None, within: Range = WHOLE) -> Iterator[Row | Bad]:
    """Documents are separated by blank lines, or a file is one (``document: file``); a line is a sentence."""
    whole = isinstance(source, Corpus) and source.document == "file"
    start, sentences = 1, list[str]()
    for number, line in enumerate(lines(path, source, within), start=within.line):
        if stripped := line.strip():
            start = start if sentences else number
            sentences.append(stripped)
        elif sentences and not whole:
            yield Row(start, {"sentences": sentences})
            sentences = []
    if sentences:
        yield Row(start, {"sentences": sentences})


def read_conll(
    path: str, source: SpanData, columns: Sequence[str] | None, within: Range = WHOLE
) -> Iterator[Row | Bad]:
    """A word (or a character) and its tag a line, a blank line after each sentence: lists of both, a row a sentence.

    Lines that begin with ``-DOCSTART-`` (CoNLL 2003), or with ``#`` before the first word (KLUE, UD), are none. A tab
    alone is a blank line too, as KLUE's own reader has it.
    """
    del columns
    by_tab = source.unit == "character"
    start, sentence = 1, list[list[str]]()
    for number, line in enumerate(itertools.chain(lines(path, source, within), [""]), start=within.line):
        line = line.rstrip("\r\n")
        cells = line.split("\t") if by_tab else _cells(line)
        comment = line.startswith("#") and not sentence and (len(cells[0]) > 1 if by_tab else len(cells) != 2)
        if comment or line.startswith("-DOCSTART-"):
            continue
        if line.strip() or (by_tab and "\t" in line and line != "\t"):
            start = start if sentence else number
            sentence.append(cells)
            continue
        if fault := _fault(sentence):
            yield Bad(path, start, fault)
        elif sentence:
            yield Row(start, {source.text: [cells[0] for cells in sentence], source.label: [c[-1] for c in sentence]})
        sentence = []


def _cells(line: str) -> list[str]:
    """The columns of a line of words: between tabs, where it has any, else between blanks."""
    line = line.rstrip(" \t")
    return [cell.strip(" ") for cell in line.split("\t")] if "\t" in line else _BLANKS.split(line.strip(" "))


def _fault(sentence: Sequence[Sequence[str]]) -> str:
    """The reason why the lines of a sentence are not words with tags."""
    fewest = min(map(len, sentence), default=2)
    if fewest < 2:
        return f"{fewest} column, a word and its tag are expected"
    first = [cells[0] for cells in sentence]
    numbers = [int(word) for word in first if word.isdecimal()]
    counts_up = all(map(_NUMBER.fullmatch, first)) and numbers == list(range(1, len(numbers) + 1))
    if counts_up and len(sentence) > 2 and fewest > 2:
        return "the first column numbers the words, and must be the word itself"
    return ""
