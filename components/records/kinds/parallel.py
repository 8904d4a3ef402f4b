"""A text and its translation."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from typing_extensions import override

from components.records import bad_records, kind, pair_columns
from components.records.head import Guess, Head
from components.records.readers import format_of
from components.records.record import Counted, LeftOut, Part, Record, key, ordered
from components.records.rows import WHOLE, Bad, Range, Row, RowError, place
from components.records.values import name_of, text_of
from configs.pairs import ParallelData
from models import progress
from models.text.script import NONE, script_of
from schemas import DataError

# Words of one side. No sentence has as many: a file lost its line ends.
_MOST_WORDS = 1000
# The ratio is that of Moses' clean-corpus-n.perl, there of words. Short texts may differ more: "Is Less Than" is 이하.
_RATIO, _MORE = 9, 20
# Shares of one side's texts in the other side's script that stop a run, and that are told.
_SWAPPED, _TOLD = 0.2, 0.01
_SEVERAL, _REPEATED = "several", "repeated"  # of groups of rows
_CURE = "if the columns are swapped there, swap them back, else leave these pairs out"
_TO = " → "  # between the scripts of both sides
_SEEN = 200  # characters that the script of a text is told by


class Kind(kind.Kind[ParallelData]):
    """All rows with one source text are one record, with the translation that most of them have."""

    data = ParallelData
    texts = ("text", "target")
    gold = ("target",)
    noun = "pairs"

    @property
    @override
    def shares(self) -> Mapping[str, float]:
        return self.source.split.model_dump(exclude={"by"})

    @override
    def records(self, path: str, within: Range = WHOLE) -> Iterator[Record | Part | LeftOut | Bad]:
        """Of two files of lines the first one has the rows of both."""
        pair = self.source.beside(path) if format_of(path, self.source) == "aligned" else None
        return iter(()) if pair and path == pair[1] else super().records(path, within)

    @override
    def read(self, path: str, row: Row) -> Part | LeftOut:
        source = self.source
        text, target = (_side(row.values, name) for name in (source.text, source.target))
        if text == target and not source.keep_equal:
            return LeftOut()
        short, long = sorted(map(len, (text, target)))
        if long > _RATIO * short + _MORE:
            raise RowError(f"one side is more than {_RATIO} times as long as the other, and {_MORE} characters more")
        kept = {name: name_of(row.values, name) for name in self.slices}
        by = name_of(row.values, source.split.by) if source.split.by else None
        if by == "":
            raise RowError(f"column {source.split.by!r} is empty")
        return Part(text, 0, path, row.line, (text, target, kept, by))

    @property
    @override
    def grouped(self) -> bool:
        return True

    @override
    def join(self, parts: Sequence[Part]) -> Iterator[tuple[None, Record] | Counted]:
        parts = ordered(parts)
        counts = Counter(part.content[1] for part in parts)
        best = max(counts.values())
        chosen = next(part for part in parts if counts[part.content[1]] == best)  # of as many, the first one
        text, target, kept, by = chosen.content
        features = {name: [value.encode()] for name, value in {**kept, "text": text, "target": target}.items()}
        origin = {"origin": [f"{chosen.file}:{chosen.line}".encode()]}
        yield None, Record({**features, **origin}, key([by or text]), chosen.file, chosen.line)
        if len(parts) > 1:
            yield Counted({_SEVERAL if len(counts) > 1 else _REPEATED: 1})

    @override
    def line(self, report: bad_records.Report) -> str:
        told = (
            (_REPEATED, "came more than once"),
            (_SEVERAL, "sources with several translations: the most frequent one is kept"),
        )
        parts = (f"{number:,} {words}" for name, words in told if (number := report.figures[name]))
        copies = " as their own translation" * bool(report.left_out)  # the line ends with those that are left out
        return " · ".join([super().line(report) + copies, *parts])

    @override
    def records_of(self, head: Head) -> float:
        """Of the rows with one source text one is kept."""
        return head.records * len(head.groups) / max(1, head.groups.total())

    @override
    def add(self, record: Record | Part, head: Head) -> None:
        if isinstance(record, Part):
            text, target, *_ = record.content
            head.groups[text] += 1
            head.labels[_scripts(text, target)] += 1

    @override
    def summarize(self, head: Head) -> list[str]:
        told = [f"{len(head.groups):,} source texts"] * (0 < len(head.groups) < head.rows)
        total = head.labels.total()
        often = [each for each in head.labels.most_common(3) if each[1] >= _TOLD * total]
        told += [f"{100 * (number / total):.0f} % {scripts}" for scripts, number in often]
        return told + [sentence for sentence, _ in self._foreign(head.labels)]

    @override
    def lacking(self, head: Head) -> str | None:
        return next((f"{told}; {_CURE}" for told, share in self._foreign(head.labels) if share >= _SWAPPED), None)

    @classmethod
    @override
    def guess(cls, columns: Mapping[str, Sequence[str]], named: Mapping[str, str]) -> Guess | None:
        return None if named else pair_columns.guess(columns)

    @override
    def label(self, record: Record) -> str:
        """The scripts of both sides."""
        return _scripts(*(_decoded(record, name) for name in self.texts))

    @override
    def judge(self, report: bad_records.Report, path: str) -> None:
        super().judge(report, path)
        scripts = Counter[str]()
        for (_, label), number in report.records.items():
            scripts[label] += number
        for told, share in self._foreign(scripts):
            if share >= _SWAPPED:
                raise DataError(f"{place(self.source, 'text')}: {told}; {_CURE}.")
            progress.emit(progress.Notice(told))

    def _foreign(self, scripts: Mapping[str, int]) -> Iterator[tuple[str, float]]:
        pairs = {tuple(label.split(_TO)): number for label, number in scripts.items()}
        return _foreign(pairs, (self.source.text, self.source.target))


def _scripts(text: str, target: str) -> str:
    return _TO.join(script_of(side[:_SEEN]) for side in (text, target))


def _side(values: Mapping[str, Any], name: str) -> str:
    """One side of a pair: NFC, with each run of white space as one space.

    Raises:
      RowError: it is none.
    """
    text = " ".join(unicodedata.normalize("NFC", text_of(values, name)).split())
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise RowError(f"control character in column {name!r}")
    if text.count(" ") >= _MOST_WORDS:
        raise RowError(f"more than {_MOST_WORDS:,} words in column {name!r}")
    return text


def _foreign(pairs: Mapping[tuple[str, ...], int], names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Where sides have the script of the other side: a sentence, and their share.

    Args:
      pairs: how many pairs have which scripts.
      names: columns of both sides.
    """
    apart = {scripts: number for scripts, number in pairs.items() if NONE not in scripts and len(set(scripts)) == 2}
    alike = sum(number for scripts, number in pairs.items() if NONE not in scripts and scripts not in apart)
    if not apart or alike > sum(apart.values()):
        return
    usual = max(apart, key=apart.__getitem__)
    for name, place_of in zip(names, (0, 1), strict=True):
        written = sum(number for scripts, number in pairs.items() if scripts[place_of] != NONE)
        other = usual[1 - place_of]
        share = sum(number for scripts, number in pairs.items() if scripts[place_of] == other) / written
        if share >= _TOLD:
            yield (
                f"{100 * share:.0f} % of column {name!r} are in {other}, which is the script of the other column",
                share,
            )


def _decoded(record: Record, name: str) -> str:
    (value,) = record.features[name]
    return str(value, "utf-8")  # type: ignore[arg-type]
