"""What an evaluation came to: ``verdict.json`` beside TFMA's results, the same for a task and for pretraining alone."""

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from models.figures import Section

if TYPE_CHECKING:  # the commands that look back read verdicts without TFX
    from tfx.types import artifact

FILE = "verdict.json"
SECTIONS = "sections.json"  # beside it
# A slice of fewer records says more about chance than about the model: accuracy's standard error is up to .09.
SLICE_RECORDS = 30
# A change is a difference of shares: .86 - .87 is a little less than -.01.
ROUNDING = 1e-9


class Check(pydantic.BaseModel):
    """One threshold.

    Attributes:
      name: such as ``accuracy``, ``recall[부정]``, ``accuracy[genre: drama]``, ``change``.
      value: on the test split; None where it could not be computed.
      relation: of value to bound, when it passes.
      bound: the threshold.
      passed: whether it held.
      n: records behind the value, where it is of a label or a slice.
    """

    name: str
    value: float | None = None
    relation: Literal["≥", "≤", ">", "<"]
    bound: float
    passed: bool
    n: int | None = None


class Slice(pydantic.BaseModel):
    """A part of the test split: ``name`` is ``column: value``, ``value`` its headline figure, ``n`` its records."""

    name: str
    value: float
    n: int


class Reference(pydantic.BaseModel):
    """A baseline of the task, on the records that the model was judged on.

    Attributes:
      name: such as ``majority`` or ``tfidf``.
      value: its headline figure; None where there is none, as of a constant under a correlation.
      difference: the model's headline less this one.
      low, high: the 95 % interval of the difference.
      metrics: its figures, those of labels left out.
    """

    name: str
    value: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    metrics: dict[str, float] = {}


class Verdict(pydantic.BaseModel):
    """What an evaluation came to.

    Attributes:
      blessed: whether every check passed.
      checks: every threshold.
      metrics: over the whole test split, the headline figure first.
      n: records of the test split.
      trivial: what the headline figure would be of the best answer that does not look at the text.
      slices: every part that was judged.
      mistaken: by label, the answer that its records mostly got instead.
      baseline: URI of the latest blessed model other than the candidate.
      baselines: what the task's baselines come to.
      intervals: by figure, and of ``change``, the 95 % interval by the paired bootstrap.
      computed: by figure, how it was computed, where that matters, such as sacreBLEU's signature.
      warnings: what a reviewer would say, a sentence each; none of them keeps a model from being blessed.
    """

    blessed: bool
    checks: list[Check]
    metrics: dict[str, float]
    n: int
    trivial: float | None = None
    slices: list[Slice] = []
    mistaken: dict[str, str] = {}
    baseline: str | None = None
    baselines: list[Reference] = []
    intervals: dict[str, tuple[float, float]] = {}
    computed: dict[str, str] = {}
    warnings: list[str] = []

    def write(self, folder: str) -> None:
        """Writes ``verdict.json``."""
        from components.storage.files import fileio

        with fileio.open(f"{folder}/{FILE}", "w") as file:
            file.write(json.dumps(self.model_dump(mode="json", exclude_none=True), ensure_ascii=False, indent=1))

    def __str__(self) -> str:
        name, value = next(iter(self.metrics.items()))
        failed = sum(not check.passed for check in self.checks)
        return f"{name} {value:.3f} on {self.n:,} · " + (
            "blessed" if self.blessed else f"{failed} of {len(self.checks)} checks failed"
        )


def read(folder: str) -> Verdict:
    """Reads what ``Verdict.write`` wrote."""
    from components.storage.files import fileio

    with fileio.open(f"{folder}/{FILE}") as file:
        return Verdict.model_validate_json(file.read())


def write_sections(folder: str, sections: Sequence[Section]) -> None:
    """Writes what the task's report draws beside the verdict."""
    from components.storage.files import fileio

    with fileio.open(f"{folder}/{SECTIONS}", "w") as file:
        file.write(json.dumps([dataclasses.asdict(each) for each in sections], ensure_ascii=False))


def sections_of(text: str) -> list[Section]:
    """What ``write_sections`` wrote, from the file's text."""
    return [Section(**each) for each in json.loads(text)]


def bless(blessing: "artifact.Artifact", verdict: Verdict, model: "artifact.Artifact") -> None:
    """Marks a ModelBlessing as the stock Evaluator does: Pusher and the resolver read these properties."""
    from components.storage.files import fileio

    blessing.set_string_custom_property("current_model", model.uri)
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_int_custom_property("blessed", int(verdict.blessed))
    with fileio.open(f"{blessing.uri}/{'BLESSED' if verdict.blessed else 'NOT_BLESSED'}", "w") as file:
        file.write("")


def compared(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The inputs of an evaluator, without a ``baseline_model`` that holds no model."""
    from tfx.utils import path_utils

    from components.storage.files import fileio

    uri = uri_of(inputs, "baseline_model")
    if uri is None or fileio.exists(path_utils.serving_model_path(uri)):
        return inputs
    return {name: artifacts for name, artifacts in inputs.items() if name != "baseline_model"}


def uri_of(inputs: dict[str, list[Any]], key: str) -> str | None:
    """The URI of an optional input."""
    from tfx.types import artifact_utils

    return artifact_utils.get_single_uri(inputs[key]) if inputs.get(key) else None
