"""An analysis as it lies in its artifact, and its thresholds as checks of the one verdict."""

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from components.evaluate import verdict
from components.evaluate.report import explorer
from components.evaluate.verdict import ROUNDING, Check, Verdict
from models.analysis.run import Analysis
from models.figures import Section

# Bounds of these are upper ones; of all other figures lower ones.
_UPPER = re.compile(
    r"(anisotropy|anisotropy_centred|outliers|moved)@|cloze_(loss|perplexity)|completeness"
    r"|((encoder|decoder|cross)_)?((entropy|distance)_mean|heads\[(broad|mixed)\])"
)
METRICS, ARRAYS, EXAMPLES, PAGE = "metrics.json", "arrays.npz", "examples.json", "analysis.html"


def write(folder: str, found: Analysis, page: str) -> None:
    """Writes figures, arrays, sections, texts that may be shown, and the page into an existing folder."""
    from components.storage.files import fileio

    arrays, named = io.BytesIO(), dict[str, Any](found.arrays)  # Any: the stub takes every array for allow_pickle
    np.savez_compressed(arrays, **named)
    verdict.write_sections(folder, found.sections)
    if found.examples:
        packed = [explorer.packed(each) for each in found.examples]
        with fileio.open(f"{folder}/{EXAMPLES}", "w") as file:
            file.write(json.dumps(packed, ensure_ascii=False))
    texts = {METRICS: json.dumps(found.metrics, ensure_ascii=False, indent=1), PAGE: page}
    for name, content in texts.items():
        with fileio.open(f"{folder}/{name}", "w") as file:
            file.write(content)
    with fileio.open(f"{folder}/{ARRAYS}", "wb") as file:
        file.write(arrays.getvalue())


def metrics(folder: str) -> dict[str, float]:
    """Figures by name."""
    from components.storage.files import fileio

    with fileio.open(f"{folder}/{METRICS}") as file:
        found: dict[str, float] = json.loads(file.read())
    return found


def sections(folder: str) -> list[Section]:
    """What a page draws."""
    from components.storage.files import fileio

    with fileio.open(f"{folder}/{verdict.SECTIONS}") as file:
        return verdict.sections_of(file.read())


def judged(given: Verdict, folder: str | None, bounds: Mapping[str, float]) -> Verdict:
    """The verdict with the thresholds of an analysis among its checks.

    Args:
      given: without them.
      folder: of the analysis; None where there is none.
      bounds: ``analyze.bless``.
    """
    if folder is None or not bounds:
        return given
    checks = [*given.checks, *_checks(metrics(folder), bounds)]
    return given.model_copy(update={"checks": checks, "blessed": all(check.passed for check in checks)})


def _checks(found: Mapping[str, float], bounds: Mapping[str, float]) -> Iterator[Check]:
    """A figure that could not be computed holds no bound."""
    for name, bound in bounds.items():
        value = found.get(name)
        upper = _UPPER.match(name) is not None
        passed = value is not None and (value <= bound + ROUNDING if upper else value >= bound - ROUNDING)
        yield Check(name=name, value=value, relation="≤" if upper else "≥", bound=bound, passed=passed)


def summary(found: Analysis) -> str:
    """``largest group of heads [SEP] .36 · label .86 (random weights .77) · 40 % of heads prunable``: one line."""
    given = found.metrics
    roles = {name: share for name, share in given.items() if name.startswith("heads[")}
    parts = []
    if roles:
        most = max(roles, key=roles.__getitem__)
        parts.append(f"{100 * roles[most]:.0f} % of heads {most.removeprefix('heads[').removesuffix(']')}")
    probe = next((name for name in given if name.startswith("probe_")), None)
    if probe:
        task = probe.removeprefix("probe_")
        parts.append(f"{task} {given[probe]:.3f} (random weights {given[f'random_{task}']:.3f})")
    if "prunable" in given:
        parts.append(f"{100 * given['prunable']:.0f} % of heads prunable")
    return " · ".join([*parts, f"{len(given)} figures"])
