"""``tfx-bert errors --labels``: the train records whose labels are probably wrong."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from models import families
from models.export import golden
from models.judging import label_errors
from models.task import Record, Task, strings
from pipeline.inference.predict import load, task_of
from pipeline.review import errors
from pipeline.run.result import RunError, RunResult, find
from pipeline.terminal import noise
from pipeline.terminal.numbers import plain, share

_BATCH = 64
_SEED = 1  # of the folds


@dataclasses.dataclass(frozen=True)
class Doubt:
    """A record whose label is probably wrong.

    Attributes:
      origin: ``file:line``.
      given: its label.
      likely: the label that the other records speak for.
      probability: of that one, 0 to 1, by a classifier that has not seen this record's label.
      text: both texts of a pair.
    """

    origin: str
    given: str
    likely: str
    probability: float
    text: str


def labels(root: Path, run: str | None, number: int, *, texts: bool = False) -> None:
    """Prints the ``number`` most doubtful labels of a run's train split.

    Raises:
      RunError: there is no such run, or its records have no label of which one is right.
    """
    folder = find(root, run)
    result = RunResult.read(folder)
    with noise.captured(folder / "errors.log") as terminal:
        console = Console(file=terminal, highlight=False, markup=False)
        with console.status("asking whether the labels of the train split agree with each other"):
            records, found = doubts(folder, result)
        head = f"{result.name} #{result.number} · {len(found):,} of {records:,} labels of the train split are doubtful"
        console.print(f"{head} ({share(len(found) / records)})", soft_wrap=True)
        for doubt in found[:number]:
            shown = f"  {doubt.text}" if texts else ""
            line = Text.assemble(
                (doubt.origin, "dim"), "  ", (doubt.given, "red"), ", likely ", (doubt.likely, "green"),
                f" {plain(doubt.probability)}", shown,
            )  # fmt: skip
            console.print(line, soft_wrap=True)
        if len(found) > number:
            console.print(Text(f"{len(found) - number:,} more: --number {len(found)}", "dim"))


def doubts(folder: Path, result: RunResult) -> tuple[int, list[Doubt]]:
    """How many train records a run has, and those whose labels are probably wrong, the most doubtful first.

    The vectors are those of the run's own model, in front of its last layer; what they say of a record's label is
    learned from the other records' labels (``models.judging.label_errors``).

    Args:
      folder: ``runs/<experiment>/<number>``.
      result: of that run.

    Raises:
      RunError: the run was not on this machine, has no task, or one without exactly one label a record.
    """
    model, examples = errors.made(folder, result)
    the_task = task_of(model)
    if not the_task.single_label:
        kind = the_task.dump()["type"]
        raise RunError(
            f"errors --labels looks at tasks where a record has one label: classification. {result.name} is {kind}; "
            "without --labels its mistakes are shown"
        )
    noise.hush()
    records = list(_records(examples))
    vectors = _vectors(model, records)
    names = list(the_task.label_names or ())
    given = np.array([names.index(record["label"].item().decode()) for record in records])
    try:
        probabilities = label_errors.probabilities(vectors, given, len(names), _SEED)
    except ValueError as error:
        raise RunError(f"{result.name}/{result.number}: {error}") from None
    found = label_errors.doubted(probabilities, given)
    return len(records), [
        _doubt(records[place], names[given[place]], probabilities[place], the_task, names) for place in found
    ]


def origins(folder: Path, result: RunResult) -> set[str]:
    """``file:line`` of every record of a run's train split; the arguments are as in ``doubts``."""
    _, examples = errors.made(folder, result)
    return {origin for record in _records(examples) for origin in strings(record["origin"])}


def _doubt(record: Record, given: str, scores: np.ndarray, the_task: Task, names: list[str]) -> Doubt:
    likely = int(scores.argmax())
    family = families.load(the_task.family)
    text = family.shown({each.name: strings(record[each.name]) for each in family.inputs if each.name in record})
    (origin,) = strings(record["origin"])
    return Doubt(origin, given, names[likely], float(scores[likely]), text)


def _records(examples: str) -> Iterator[Record]:
    """The raw records of the train split."""
    from components.evaluate import references

    return references.read([f"{examples}/Split-train"])


def _vectors(model: Path, records: list[Record]) -> np.ndarray:
    """What the run's model knows of each record: float32 (N, D)."""
    embed, names = load(model, "embed"), list(golden.read(model / "assets.extra")["inputs"])
    found: list[Any] = []
    for start in range(0, len(records), _BATCH):
        batch = records[start : start + _BATCH]
        asked = {name: [record[name].item() for record in batch] for name in names}
        found.append(embed(asked)["pooled"].numpy())
    return np.concatenate(found)
