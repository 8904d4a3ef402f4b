"""An experiment on records that hold more than a label each: spans, answers, several labels."""

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.records.head import Head
from components.records.kind import Kind, load
from components.records.record import Record
from configs.yaml.document import inline
from models.task import load as load_task
from pipeline.start import beginning, columns, estimate, init_events, lengths, sniff
from pipeline.start.shapes import Shape
from pipeline.terminal.numbers import share
from schemas import DataError

_LABELS = 1_000  # at most; more of them are no labels


@dataclass(frozen=True)
class Seen:
    """What ``look`` found.

    Attributes:
      shape: the task.
      data: the section ``task.data``.
      head: of the file.
      summary: the file in one line.
      language: of its texts.
      labels: every one, in order; empty where the data say them at each run.
      max_length: tokens that 99 % of the texts fit in.
      fitting: the share of the texts that do.
    """

    shape: Shape
    data: dict[str, Any]
    head: Head
    summary: str
    language: str
    labels: list[str]
    max_length: int
    fitting: float

    def lines(self) -> list[str]:
        """What was seen, for a person."""
        return [f"{self.summary} · {self.language}", *init_events.bad_line(self.head)]


def look(path: str, shape: Shape) -> Seen:
    """Reads a file as the task that it shows.

    Raises:
      DataError: the file cannot be read, or nothing can be learned from it.
    """
    kind = load(load_task(shape.task).schema)
    data = {"path": path, **shape.data}
    if "scheme" in shape.keys:
        data["scheme"] = shape.keys["scheme"]  # which the task says in the YAML
    head, summary = init_events.read(kind, data, shape.format, str(data.get("encoding", "utf-8")))
    texts, labels = _read(path, kind(kind.data.model_validate(data)))
    data.pop("scheme", None)
    if not texts:
        raise DataError(f"{path}: no record has a text")
    tokens = [estimate.tokens(each) for each in texts]
    limit = sniff.max_length(tokens)
    fitting = sum(each <= limit for each in tokens) / len(tokens)
    return Seen(shape, data, head, summary, sniff.language(texts), _listed(path, shape, labels), limit, fitting)


def yaml(seen: Seen, name: str, checkpoint: str | None) -> tuple[list[str], str]:
    """The experiment, line by line, and why it starts from what it starts from."""
    shape, path = seen.shape, seen.data["path"]
    start, why = beginning.start(seen.language, Path(path).stat().st_size, checkpoint)
    lines = [
        f"# Written by tfx-bert init from {path}. Review it, then: tfx-bert run {name}.yaml",
        f"name: {name}",
        *(f"{key}: {inline(value)}" for key, value in start.items()),
        "task:",
        f"  type: {shape.task}",
        f"  data: {inline(seen.data)}",
        *_keys(seen),
        beginning.train(start, seen.head.records),
        '# try: ["a text of your own"]   # what the model is asked at the end of a run',
        "# Blessed if better than the best answer that does not look at the text and no worse than the last one;",
        "# evaluate.bless takes thresholds.",
    ]
    return lines, why


def _keys(seen: Seen) -> list[str]:
    """The task's own keys."""
    lines = [f"  {key}: {inline(value)}" for key, value in seen.shape.keys.items()]
    if seen.labels:
        lines.append(f"  labels: {inline(seen.labels)}")
    if seen.shape.task == "question_answering":
        return [*lines, "  max_length: 384   # tokens of a window; longer contexts are read in several, stride apart"]
    return [
        *lines,
        f"  max_length: {seen.max_length}   # tokens; {share(seen.fitting)} of the texts fit, the others are cut",
    ]


def _read(path: str, kind: Kind[Any]) -> tuple[list[str], Counter[str]]:
    """The first texts, both of a pair as one, and how often each label comes in the whole file."""
    texts, labels = list[str](), Counter[str]()
    records = (each for each in kind.records(path) if isinstance(each, Record))
    for record in records if kind.labelled == "labels" else itertools.islice(records, sniff.ROWS):
        if len(texts) < sniff.ROWS:
            texts.append(" ".join(lengths.texts_of(record, kind)))
        labels.update(kind.labels_of(record))
    return texts, labels


def _listed(path: str, shape: Shape, labels: Mapping[str, int]) -> list[str]:
    if shape.task != "multi_label":
        return []
    if len(labels) > _LABELS:
        raise DataError(f"{path}: column {shape.data['label']!r} has {len(labels):,} labels; name another with --label")
    return columns.ordered(labels)
