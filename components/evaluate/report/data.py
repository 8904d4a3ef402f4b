"""The part of a report that is about the data: how many records, which labels, how long, what was set aside."""

import dataclasses
from collections.abc import Mapping, Sequence

from components.evaluate.report import chart, html

_VALUES = 30  # of a column that are shown
_REASONS = 20  # why records are bad


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the records, in one split.

    Attributes:
      name: of the feature.
      split: of the records.
      records: that have a value.
      missing: that have none.
      values: the most frequent values and how often each is there; only of a column of labels.
      distinct: how many different values there are; None where that is unknown.
      mean: of numbers their mean, of texts their mean length in bytes.
      low, high: of numbers.
    """

    name: str
    split: str
    records: int
    missing: int = 0
    values: Sequence[tuple[str, int]] = ()
    distinct: int | None = None
    mean: float | None = None
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """Where records came from, and what was found in them.

    Attributes:
      name: ``task``, ``corpus``, … as the YAML names it.
      files: each with the first digits of its SHA-256.
      counts: records by split.
      columns: of all splits.
      lengths: what Transform said of the tokenized rows.
      bad: how many records were set aside, by reason.
      anomalies: what did not stop the run.
      rows: how many rows of the train split's first ones have each length, by what they are made of.
    """

    name: str
    files: str = ""
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    columns: Sequence[Column] = ()
    lengths: str = ""
    bad: Mapping[str, int] = dataclasses.field(default_factory=dict)
    anomalies: Sequence[str] | None = None
    rows: Mapping[str, Mapping[int, int]] = dataclasses.field(default_factory=dict)


def sources(found: Sequence[Source]) -> str:
    """A part for each source."""
    return html.section("Data", *map(_source, found))


def _source(source: Source) -> str:
    parts = [
        f"<h3>{html.text(source.name)}</h3>",
        html.note(source.files),
        chart.bars(("split", "records"), list(source.counts.items())) if source.counts else "",
        *_labels(source),
        _columns(source),
        html.note(f"Tokenized: {source.lengths}" if source.lengths else ""),
        *(_histogram(name, counts) for name, counts in source.rows.items() if counts),
        _bad(source.bad),
        _anomalies(source.anomalies),
    ]
    return "\n".join(filter(None, parts))


def _labels(source: Source) -> list[str]:
    """Of each column of labels how often every value is there, by split."""
    drawn = []
    for name in dict.fromkeys(column.name for column in source.columns if column.values):
        mine = [column for column in source.columns if column.name == name and column.values]
        first = mine[0]
        known = {column.split: dict(column.values) for column in mine}
        most = max(number for _, number in first.values) or 1
        rows = [
            [
                html.text(value),
                *(f"{known[column.split].get(value, 0):,}" for column in mine),
                chart.bar(number / most),
            ]
            for value, number in first.values[:_VALUES]
        ]
        head = [html.text(name), *(html.text(column.split) for column in mine), ""]
        distinct = first.distinct or len(first.values)
        left = f"{distinct - _VALUES:,} more values." if distinct > _VALUES else ""
        drawn.append(html.table(head, rows, "bars") + html.note(left))
    return drawn


def _columns(source: Source) -> str:
    """Every column in a row for each split, behind a click."""
    rows = [
        [
            html.text(column.name),
            html.text(column.split),
            f"{column.records:,}",
            f"{column.missing:,}",
            "" if column.distinct is None else f"{column.distinct:,}",
            "" if column.mean is None else html.figure(column.mean),
            "" if column.low is None else f"{html.figure(column.low)} … {html.figure(column.high)}",
        ]
        for column in source.columns
    ]
    if not rows:
        return ""
    head = ["column", "split", "records", "missing", "distinct", "mean (texts: bytes)", "range"]
    return html.details("Columns", html.table(head, rows))


def _histogram(name: str, counts: Mapping[int, int]) -> str:
    """Rows by their length, in at most ``_BINS`` equal bins that begin at 1."""
    shortest, longest = min(counts), max(counts)
    width = next(
        width
        for power in range(7)
        for width in (1 * 10**power, 2 * 10**power, 5 * 10**power)
        if width * _BINS >= longest
    )
    bins = [0] * (-(-longest // width) or 1)
    for length, rows in counts.items():
        bins[max(length - 1, 0) // width] += rows
    first = max(shortest - 1, 0) // width
    shown = [(_bin(place, width), rows) for place, rows in enumerate(bins) if place >= first]
    what = _ROWS_OF.get(name, name)
    return chart.bars(
        (what, "rows"), shown, f"How long rows are: {what} of {sum(counts.values()):,} rows of the train split"
    )


def _bin(place: int, width: int) -> str:
    low, high = place * width + 1, (place + 1) * width
    return f"{low:,}" if width == 1 else f"{low:,} – {high:,}"


_BINS = 12
_ROWS_OF = {
    "token_ids": "tokens",
    "item_ids": "items",
    "source_ids": "pieces of the source",
    "target_ids": "pieces of the target",
}


def _bad(bad: Mapping[str, int]) -> str:
    if not bad:
        return ""
    total, shown = sum(bad.values()), sorted(bad.items(), key=lambda each: -each[1])
    left = f"{len(shown) - _REASONS:,} other reasons." if len(shown) > _REASONS else ""
    made = chart.bars(("reason", "records"), shown[:_REASONS], f"{total:,} records were set aside")
    return made + html.note(left)


def _anomalies(found: Sequence[str] | None) -> str:
    if found is None:
        return ""
    if not found:
        return html.note("No anomalies.")
    return "<ul>" + "".join(f"<li>{html.text(each)}" for each in found) + "</ul>"
