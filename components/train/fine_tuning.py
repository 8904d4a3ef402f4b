"""What a fine-tuning came to: ``fine_tuning.json`` beside the model, and a line for the person who waits."""

import pathlib

import numpy as np
import pydantic

FILE = "fine_tuning.json"  # inside assets.extra


class Calibration(pydantic.BaseModel):
    """What the logits were divided by, and the expected calibration error of the eval split without and with it."""

    model_config = pydantic.ConfigDict(frozen=True)

    temperature: float
    ece_before: float
    ece_after: float

    def __str__(self) -> str:
        return f"temperature {self.temperature:.2f}, ECE {self.ece_before:.3f}→{self.ece_after:.3f}"


class Refit(pydantic.BaseModel):
    """A training on the train split and the eval split together: of how many records or rows, for how many epochs."""

    model_config = pydantic.ConfigDict(frozen=True)

    records: int
    rows: str = "records"
    epochs: int

    def __str__(self) -> str:
        return f"refit on train + eval: {self.records:,} {self.rows}, {self.epochs} epoch{'s' * (self.epochs > 1)}"


class Pruning(pydantic.BaseModel):
    """Heads that were cut, the least important ones, and the headline figures of the eval split around it.

    Attributes:
      heads: before and after.
      parameters: likewise.
      whole: the figure with all heads.
      cut: of what was left of the model.
      recovered: of the best epoch behind that, or of the model as it was cut.
      epochs: trained behind the cut.
    """

    model_config = pydantic.ConfigDict(frozen=True, ser_json_inf_nan="constants")

    heads: tuple[int, int]
    parameters: tuple[int, int]
    whole: float
    cut: float
    recovered: float
    epochs: int

    def __str__(self) -> str:
        more = f", {self._change(self.recovered)} after {_MORE.get(self.epochs, f'{self.epochs} more epochs')}"
        changes = f"{self._change(self.cut)} when cut{more if self.epochs else ''}"
        heads, sizes = (" → ".join(map(str, pair)) for pair in (self.heads, self._millions))
        return f"{heads} heads ({changes}) · {sizes} M parameters"

    @property
    def _millions(self) -> list[str]:
        digits = 1 if self.parameters[0] - self.parameters[1] >= _ROUGH else 3
        return [f"{count / 1e6:.{digits}f}" for count in self.parameters]

    def _change(self, figure: float) -> str:
        change = figure - self.whole
        digits = f"{abs(change):.3f}"
        return f"{'−' if change < 0 else '+'}{digits.removeprefix('0') if abs(change) < 1 else digits}"


_MORE = {1: "one more epoch"}
_ROUGH = 1e5  # parameters that a tenth of a million shows


class FineTuning(pydantic.BaseModel):
    """Figures of the eval split.

    Attributes:
      metric: the headline's name.
      scores: the headline of each seed's best epoch; NaN where none had any.
      seed: whose weights are exported, or that of the refit.
      records: of the train split, or rows that were made of them.
      rows: what they are called.
      unlabelled: texts without a label, of which only a teacher's answers were learned.
      epochs: that this seed was trained for.
      planned: epochs without early stopping.
      calibration: None where there is none.
      refit: whose weights are exported; None: those that the figures are of.
      pruning: what heads were cut from the best one; None: none.
    """

    model_config = pydantic.ConfigDict(frozen=True, ser_json_inf_nan="constants")

    metric: str
    scores: dict[int, float]
    seed: int
    records: int
    rows: str = "records"
    unlabelled: int = 0
    epochs: int
    planned: int
    calibration: Calibration | None = None
    refit: Refit | None = None
    pruning: Pruning | None = None

    def __str__(self) -> str:
        score = f"{self.scores[self.seed]:.3f}"
        if len(self.scores) > 1:
            values = list(self.scores.values())
            spread = f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
            score = f"{spread} over {len(values)} seeds, best {score} (seed {self.seed})"
        epochs = f"{self.epochs} of {self.planned}" if self.epochs < self.planned else self.epochs
        more = "".join(f" · {each}" for each in (self.pruning, self.calibration, self.refit) if each)
        rows = f"{self.records:,} {self.rows}" + (f" and {self.unlabelled:,} texts" if self.unlabelled else "")
        return f"eval {self.metric} {score} · {rows} · {epochs} epochs{more}"

    @property
    def seeds(self) -> str:
        """``1: 0.878, 2: 0.881``; empty for one."""
        return ", ".join(f"{seed}: {score:.3f}" for seed, score in self.scores.items()) if len(self.scores) > 1 else ""

    def write(self, folder: pathlib.Path) -> None:
        """Writes it into the export's ``assets.extra``."""
        (folder / FILE).write_text(self.model_dump_json(indent=1), "utf-8")


def read(folder: pathlib.Path) -> FineTuning:
    """Reads what ``FineTuning.write`` wrote."""
    return FineTuning.model_validate_json((folder / FILE).read_text("utf-8"))
