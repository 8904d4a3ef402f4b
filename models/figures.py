"""What an evaluation comes to, as data: figures of a split, figures of its labels, and what a report draws."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal


@dataclasses.dataclass(frozen=True)
class LabelFigures:
    """Of one label.

    Attributes:
      precision: share of the answers with this label that are right.
      recall: share of this label's records (spans) that got it.
      mistaken_for: the answer that its records mostly got instead; None for none.
      records: that have this label (spans).
    """

    precision: float
    recall: float
    mistaken_for: str | None = None
    records: int = 0


@dataclasses.dataclass(frozen=True)
class Figures:
    """Of a split or a slice.

    Attributes:
      values: by name, the headline first; NaN where there is none.
      trivial: what the headline would be of the best answer that does not look at the text; None where that is unknown.
      labels: of every label, by its name.
      computed: how figures were computed, where it matters to whoever compares them: by name, such as sacreBLEU's
        signature.
    """

    values: Mapping[str, float]
    trivial: float | None = None
    labels: Mapping[str, LabelFigures] = dataclasses.field(default_factory=dict)
    computed: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def flat(self) -> dict[str, float]:
        """By name, those of labels as ``precision[L]`` and ``recall[L]``: as TFMA and ``verdict.json`` hold them."""
        flat = {name: float(value) for name, value in self.values.items()}
        for label, figures in self.labels.items():
            flat |= {f"precision[{label}]": float(figures.precision), f"recall[{label}]": float(figures.recall)}
        return flat


# Titles of the sections that Kubeflow and Vertex have drawings of their own for.
CONFUSION, ROC = "Confusion", "ROC"


@dataclasses.dataclass(frozen=True)
class Section:
    """A table of a report, and how it is drawn.

    Attributes:
      title: one word or two.
      head: names of the columns.
      rows: as many cells each; the first one names the row, or is x of a line.
      drawn: ``table``: as it is; ``heat``: each number shaded by its share of the row; ``map``: by its share of the
        table's largest; ``lines``: every further column over the first one; ``points``: each row is one, of the group
        in its second column, at the x and y behind it.
      note: what a reader has to know beside it.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | float]]
    drawn: Literal["table", "heat", "map", "lines", "points"] = "table"
    note: str = ""
