"""The curve of a training: what a report draws of it, so few numbers that they travel with the model."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

FILE = "curves.json"  # inside assets.extra
# Twice as many at most: a curve of more looks alike, and the file would grow with the training.
_POINTS = 200


@dataclasses.dataclass(frozen=True)
class Point:
    """Some steps of a training.

    Attributes:
      step: optimizer steps done after them.
      steps: how many they are.
      loss: training loss, mean over them, nats.
      learning_rate: of the last one.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float


@dataclasses.dataclass
class Curve:
    """Loss and learning rate by step, and figures of the eval split.

    Attributes:
      points: in order; two neighbours become one when there are too many.
      figures: by name, pairs of a step and the figure there.
    """

    points: list[Point] = dataclasses.field(default_factory=list)
    figures: dict[str, list[tuple[int, float]]] = dataclasses.field(default_factory=dict)

    def add(self, step: int, loss: float, learning_rate: float) -> None:
        """The training is at ``step``; ``loss`` is the mean since the last point, or since the beginning."""
        done = self.points[-1].step if self.points else 0
        self.points.append(Point(step, step - done, loss, learning_rate))
        if len(self.points) >= 2 * _POINTS:
            self.points = [_merged(*pair) for pair in zip(self.points[::2], self.points[1::2], strict=True)]

    def judge(self, step: int, figures: Mapping[str, float]) -> None:
        """The model of ``step`` has these figures on the eval split."""
        for name, value in figures.items():
            self.figures.setdefault(name, []).append((step, float(value)))

    def dump(self) -> dict[str, Any]:
        """As JSON has it."""
        points = [list(dataclasses.astuple(point)) for point in self.points]
        return {"points": points, "figures": {name: list(values) for name, values in self.figures.items()}}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Curve":
        """What ``dump`` gave."""
        points = [Point(*row) for row in values["points"]]
        return cls(points, {name: [(step, value) for step, value in row] for name, row in values["figures"].items()})


def _merged(first: Point, second: Point) -> Point:
    steps = first.steps + second.steps
    loss = (first.loss * first.steps + second.loss * second.steps) / steps
    return Point(second.step, steps, loss, second.learning_rate)


def write(folder: pathlib.Path, curves: Mapping[str, Curve]) -> None:
    """Writes the curves of a model's trainings, by a name such as ``seed 1``, into the export's ``assets.extra``."""
    text = json.dumps({name: curve.dump() for name, curve in curves.items()}, ensure_ascii=False)
    (folder / FILE).write_text(text, "utf-8")


def read(folder: pathlib.Path) -> dict[str, Curve]:
    """What ``write`` wrote; nothing of a model that was trained before there were curves."""
    if not (folder / FILE).is_file():
        return {}
    return {name: Curve.of(values) for name, values in json.loads((folder / FILE).read_text("utf-8")).items()}
