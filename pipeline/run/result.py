"""The result of a run: ``runs/<name>/<number>/result.json``, read by ``runs``, ``show``, ``errors`` and ``diff``."""

import re
from pathlib import Path
from typing import Any, Literal, Self

import pydantic

from components.evaluate.verdict import SLICE_RECORDS, Check, Reference, Slice, Verdict

FILE = "result.json"


class RunError(RuntimeError):
    """A run cannot begin or go on, for a reason that one sentence says. Exit code 1."""


class _Part(pydantic.BaseModel):
    # Results of earlier versions may hold more.
    # A metric over no records is NaN. JSON has no NaN, and null would not read back as a float.
    model_config = pydantic.ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class Node(_Part):
    """How one node went.

    Attributes:
      node: its id.
      state: how; ``pending`` and ``running`` only while a cluster is at it.
      seconds: wall time.
      summary: what it said it produced.
      cached_from: number of the run that produced it, where it was reused and that is known.
      reason: why it failed or waits, as its cluster says it.
    """

    node: str
    state: Literal["pending", "running", "ran", "cached", "skipped", "failed"]
    seconds: float = 0.0
    summary: str = ""
    cached_from: int | None = None
    reason: str = ""


class Pushed(_Part):
    """Where a blessed model went."""

    version: int
    path: str


class Remote(_Part):
    """A run on a cluster.

    Attributes:
      kind: of the cluster.
      name: under which it was submitted; no other run has it.
      id: that the cluster gave it; None while it has not answered.
      address: where a person looks at it.
    """

    kind: Literal["kubeflow", "vertex"]
    name: str
    id: str | None = None
    address: str | None = None


class RunResult(_Part):
    """The result of a run, complete or not.

    Attributes:
      name: of the experiment.
      number: of the run.
      verdict: ``done`` where nothing was to be judged (``--to``, ``--sample``).
      started: ISO 8601, with the time zone.
      seconds: wall time.
      nodes: in the order of the DAG.
      metrics: on the test split, headline first.
      trivial: what the headline figure would be of the best answer that does not look at the text.
      weakest: the worst slice by the headline figure.
      checks: every threshold.
      baselines: what the task's baselines come to on the test split.
      intervals: by figure, its 95 % interval.
      computed: by figure, how it was computed, where that matters.
      warnings: what a reviewer would say of the model.
      baseline: version of the blessed model it was compared with.
      pushed: the new version.
      serving: version that is served after this run, new or old.
      most_missed: a label, and what it was mostly taken for.
      tried: what the experiment's ``try`` asks and the model's answer, a line each.
      sample: records of ``--sample``.
      git: revision of the source; with ``+`` where it was edited.
      fine_tuned: what the Trainer came to on the eval split, and each of several seeds.
      checkpoint: what training started from: a folder, or an experiment and its version.
      data: SHA-256 of the sources and of the checkpoint, by the node that reads them.
      pipeline_run: the id of this run in MLMD.
      remote: where it runs, if not here.
      error: the sentence that says why it failed.
    """

    name: str
    number: int
    verdict: Literal["running", "done", "blessed", "not_blessed", "failed", "interrupted"]
    started: str
    seconds: float = 0.0
    nodes: list[Node] = []
    metrics: dict[str, float] = {}
    trivial: float | None = None
    weakest: Slice | None = None
    checks: list[Check] = []
    baselines: list[Reference] = []
    intervals: dict[str, tuple[float, float]] = {}
    computed: dict[str, str] = {}
    warnings: list[str] = []
    baseline: int | None = None
    pushed: Pushed | None = None
    serving: int | None = None
    most_missed: tuple[str, str] | None = None
    tried: list[str] = []
    sample: int | None = None
    git: str | None = None
    fine_tuned: str | None = None
    checkpoint: str | None = None
    data: dict[str, str] = {}
    pipeline_run: str | None = None
    remote: Remote | None = None
    error: str | None = None

    def write(self, folder: Path) -> None:
        """Writes ``result.json``, whole or not at all."""
        part = folder / f".{FILE}"
        part.write_text(self.model_dump_json(indent=1, exclude_none=True), "utf-8")
        part.replace(folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads what ``write`` wrote.

        Raises:
          RunError: it is damaged.
        """
        try:
            return cls.model_validate_json((folder / FILE).read_text("utf-8"))
        except pydantic.ValidationError as error:
            raise RunError(f"{folder / FILE} is damaged or of another version ({error.errors()[0]['msg']})") from None


def judged(verdict: Verdict) -> dict[str, Any]:
    """The fields of ``RunResult`` that an evaluation decided."""
    return {
        "verdict": "blessed" if verdict.blessed else "not_blessed",
        "metrics": verdict.metrics,
        "trivial": verdict.trivial,
        "checks": verdict.checks,
        "baselines": verdict.baselines,
        "intervals": verdict.intervals,
        "computed": verdict.computed,
        "warnings": verdict.warnings,
        "weakest": _weakest(verdict),
        "most_missed": _most_missed(verdict),
    }


def compared(fields: dict[str, Any], version: int) -> dict[str, Any]:
    """``fields`` of ``judged``, with the version that the candidate was compared with."""
    checks = [
        check.model_copy(update={"name": f"change from v{version}"}) if check.name == "change" else check
        for check in fields["checks"]
    ]
    return {**fields, "baseline": version, "checks": checks}


def _weakest(found: Verdict) -> Slice | None:
    slices = [part for part in found.slices if part.n >= SLICE_RECORDS and not part.name.startswith("label: ")]
    if not slices:
        return None
    return Slice(**min(slices, key=lambda part: part.value).model_dump())


def _most_missed(found: Verdict) -> tuple[str, str] | None:
    """The label with the lowest recall, and the label that was predicted most often instead."""
    recalls = {name[len("recall[") : -1]: value for name, value in found.metrics.items() if name.startswith("recall[")}
    missed = [label for label in sorted(recalls, key=lambda label: recalls[label]) if label in found.mistaken]
    return (missed[0], found.mistaken[missed[0]]) if missed else None


def runs_of(root: Path, name: str) -> list[Path]:
    """The folders of an experiment's runs, oldest first."""
    folders = [path for path in (root / name).glob("*") if re.fullmatch(r"\d+", path.name) and (path / FILE).is_file()]
    return sorted(folders, key=lambda path: int(path.name))


def find(root: Path, run: str | None) -> Path:
    """The folder of a run.

    Args:
      root: the environment's ``runs`` folder.
      run: ``reviews/2`` or ``reviews#2``; ``reviews`` is its latest; ``2`` is of the experiment that ran last; None is
        the latest of all.

    Raises:
      RunError: there is no such run; says which there are.
    """
    everything = sorted(
        (folder for experiment in root.glob("*") for folder in runs_of(root, experiment.name)),
        key=lambda folder: (folder / FILE).stat().st_mtime,
    )
    if not everything:
        raise RunError(f"no runs in {root}/ yet: start one with tfx-bert run")
    if run is None:
        return everything[-1]
    name, _, number = run.replace("#", "/").partition("/")
    if name.isdecimal() and not number:
        name, number = everything[-1].parent.name, name
    mine = [folder for folder in runs_of(root, name) if folder.name == number or not number]
    if mine:
        return mine[-1]
    known = ", ".join(dict.fromkeys(f"{folder.parent.name}/{folder.name}" for folder in everything[-8:]))
    raise RunError(f"there is no run {run!r}; the last ones are {known}")
