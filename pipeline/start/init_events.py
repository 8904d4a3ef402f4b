"""What a file of events shows: who did what, and when; and the experiment on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.records import event_columns, readers
from components.records.head import Head
from components.records.kind import Kind, load
from configs.base import ConfigError
from configs.encoding import Encoding
from configs.yaml.document import inline
from configs.yaml.validate import one_of
from models.task import load as load_task
from pipeline.loader import task_types
from pipeline.start import preview, sniff
from pipeline.start.sniff import Given
from pipeline.terminal.numbers import size

KIND = "sequence"
_LENGTH = 50  # items of a history that a row holds, as in Kang & McAuley 2018 for sparse data


@dataclass(frozen=True)
class Events:
    """What ``look`` found.

    Attributes:
      data: the section ``task.data``.
      head: of the file.
      summary: the file in one line.
      assumed: what that rests on.
    """

    data: dict[str, Any]
    head: Head
    summary: str
    assumed: list[str]

    def lines(self) -> list[str]:
        """What was seen, for a person."""
        return [self.summary, *bad_line(self.head)]


def bad_line(head: Head) -> list[str]:
    """A line on the rows that cannot be used, where there are any."""
    if not head.bad:
        return []
    reason, count = head.bad.most_common(1)[0]
    return [f"  bad    {head.bad.total():,} rows, such as {count:,} × {reason}: set aside (quarantine)"]


def look(path: str, named: Mapping[str, str], encoding: Encoding | None, catalogue: str | None) -> Events | None:
    """Reads the head of a file; None where it does not look like events.

    Args:
      path: of the file.
      named: ``user``, ``item`` and ``time`` of the command line, where they are given.
      encoding: likewise.
      catalogue: a file with the titles of the items, likewise.

    Raises:
      ConfigError: a column that was named is not there.
      DataError: the file cannot be read, or nothing can be learned from it.
    """
    kind = load(KIND)
    opened, needed, assumed = sniff.opened(path, encoding)
    header = readers.names(path, opened)
    for key, column in named.items():
        if column not in header:
            raise ConfigError(f"--{key}: {one_of(column, header)}")
    if kind.guess({column: [] for column in header}, named) is None:
        return None
    _, columns = sniff.sampled(path, opened)
    guess = kind.guess(columns, named)
    if guess is None:
        return None
    data = section(path, opened, needed) | dict(guess.columns)
    if titles := _catalogue(path, catalogue, data["item"], encoding):
        data["catalogue"] = titles
        assumed.append(f"{titles['title']!r} of {titles['path']} says what the items are called")
    head, summary = read(kind, data, str(opened.format), opened.encoding)
    return Events(data, head, summary, [*assumed, *guess.assumed, *_unused(columns, data)])


def read(kind: type[Kind[Any]], data: dict[str, Any], form: str, encoding: str) -> tuple[Head, str]:
    """The head of the file as a run would read it, and that in one line; ``data`` gets what bad rows ask for.

    Raises:
      DataError: nothing can be learned from it.
    """
    of = kind(kind.data.model_validate({**data, "on_bad_record": "quarantine", "max_bad_share": 1.0}))
    head = preview.look(of)
    if head.bad:
        data["on_bad_record"] = "quarantine"
        if (share := head.bad.total() / head.rows) > kind.data.model_fields["max_bad_share"].default:
            data["max_bad_share"] = min(1.0, round(share + 0.01, 2))
    how = f"{size(Path(data['path']).stat().st_size)} · {form} · {encoding.upper()}"
    return head, f"{preview.summary(head, of)} · {how}"


def yaml(seen: Events, name: str) -> list[str]:
    """The experiment, line by line."""
    task = next(each for each in task_types() if load_task(each).schema == KIND)
    return [
        f"# Written by tfx-bert init from {seen.data['path']}. Review it, then: tfx-bert run {name}.yaml",
        f"name: {name}",
        "task:",
        f"  type: {task}",
        f"  data: {inline(seen.data)}",
        "  objective: causal   # counts: no network, in seconds, and often better on few users; cloze: BERT4Rec",
        f"  max_length: {_LENGTH}   # items; of longer histories the last ones are read",
        "encoder: items_small",
        "evaluate: {bless: {beats: [popularity]}}   # ndcg_10, hit_10 and the others take thresholds",
    ]


def section(path: str, source: Given, needed: bool) -> dict[str, Any]:
    """What ``task.data`` says of a file."""
    said: dict[str, Any] = {"path": path}
    if needed:
        said["format"] = source.format
    if source.encoding != "utf-8":
        said["encoding"] = source.encoding
    return said


def _catalogue(path: str, asked: str | None, item: str, encoding: Encoding | None) -> dict[str, Any] | None:
    """The section of the file that was named, or of RecBole's ``NAME.item`` beside ``NAME.inter``."""
    beside = Path(path).with_suffix(".item")
    found = asked or (str(beside) if path.endswith(".inter") and beside.is_file() else None)
    if found is None:
        return None
    opened, needed, _ = sniff.opened(found, encoding)
    _, columns = sniff.sampled(found, opened)
    if item not in columns:
        raise ConfigError(
            f"--catalogue: {found} has no column {item!r}, as the events have; {one_of(item, list(columns))}"
        )
    title = event_columns.title(columns, item)
    if title is None:
        raise ConfigError(f"--catalogue: {found} has no column beside {item!r}: titles are expected")
    return {**section(found, opened, needed), "item": item, "title": title}


def _unused(columns: Mapping[str, list[str]], data: Mapping[str, Any]) -> list[str]:
    """A word about ratings: they are no reason to leave events out, unless a person says so."""
    rating = next((name for name in columns if "rating" in name.lower() and name not in data.values()), None)
    advice = f"every row is an event, whatever {rating!r} says; keep: {{column: {rating}, range: '>= 4'}} takes some"
    return [advice] if rating else []
