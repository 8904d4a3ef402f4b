"""Two files of lines to rows: line n of the one is the translation of line n of the other."""

import itertools
from collections.abc import Iterator, Sequence

from components.records.formats.encodings import decodes_as, undecodable
from components.records.rows import MAX_LINE, WHOLE, Bad, Range, Row, lines, place, require, wrong_encoding
from configs.base import ConfigError
from configs.pairs import ParallelData
from schemas import DataError


def read_aligned(
    path: str, source: ParallelData, columns: Sequence[str] | None, _within: Range = WHOLE
) -> Iterator[Row | Bad]:
    """The rows of two files, whichever of them ``path`` is. Two lines that are both blank are no row.

    They are read whole: line n of the second file is not where line n of the first one is.

    Raises:
      DataError: one file has more lines than the other.
      ConfigError: ``path`` is not one of two.
    """
    if misfit := source.misfit(path, "aligned"):
        raise ConfigError(f"{place(source, misfit[0])}: {misfit[1]}")
    pair, names = source.beside(path) or (), (source.text, source.target)
    require(f"{path}:1", source, names if columns is None else columns, names)
    sides = [_lines(each, source) for each in pair]
    for number, texts in enumerate(itertools.zip_longest(*sides), start=1):
        if None in texts:
            if any(map(_written, itertools.chain(texts, *sides))):
                raise DataError(_apart(pair, source))
            return
        faults = ((file, _fault(text, source)) for file, text in zip(pair, texts, strict=True))
        file, reason = next((fault for fault in faults if fault[1]), ("", None))
        if reason:
            if reason.startswith("not ") and (other := decodes_as(file, source.encoding)):
                raise wrong_encoding(file, number, reason, other, source)
            yield Bad(file, number, reason)
        elif any(map(_written, texts)):
            yield Row(number, dict(zip(names, texts, strict=True)))


def _lines(path: str, source: ParallelData) -> Iterator[str]:
    """Lines without their ends. A line ends with a line feed: a carriage return alone belongs to a text."""
    line = ""
    for part in lines(path, source):
        line += part
        if len(line) > MAX_LINE:
            raise DataError(
                f"{path} has a line of more than {MAX_LINE >> 20} M characters; check the file's line ends."
            )
        if line.endswith("\n"):
            yield line.rstrip("\r\n")
            line = ""
    if line:
        yield line


def _fault(text: str, source: ParallelData) -> str | None:
    return undecodable({"": text}, source.encoding)


def _written(text: str | None) -> bool:
    return bool(text and text.strip())


def _apart(pair: Sequence[str], source: ParallelData) -> str:
    counts = [max((n for n, line in enumerate(_lines(path, source), 1) if _written(line)), default=0) for path in pair]
    return (
        f"{pair[0]} has {counts[0]:,} lines and {pair[1]} has {counts[1]:,}: line n of the second file must be the "
        "translation of line n of the first one; find the line that one of them lacks."
    )
