"""From the experiment's ``evaluate`` section to TFMA's configuration, and from TFMA's results to a verdict."""

import base64
import json
import math
import operator
import pathlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.evaluate import bootstrap, review
from components.evaluate.tfma_metric import ROWS, unpack
from components.evaluate.verdict import ROUNDING, SLICE_RECORDS, Check, Reference, Slice, Verdict
from components.train import fine_tuning
from models import task
from models.figures import Figures
from models.training import curve

# Records' identities and their row metrics, in one order.
Rows = tuple[np.ndarray, np.ndarray]
# By slice, a tuple of columns and their values: figures by name.
Slices = dict[tuple[tuple[str, str], ...], dict[str, float]]


def eval_config(task_type: str, config: dict[str, Any], slices: list[str]) -> config_pb2.EvalConfig:
    """TFMA's configuration.

    Args:
      task_type: the task's name.
      config: the task's own keys.
      slices: features and columns whose values are figures of their own; a single label always is one.
    """
    spec = config_pb2.ModelSpec(signature_name="serving_examples", preprocessing_function_names=["transform_features"])
    keys = [[], *([["label"]] if task.load(task_type).single_label else []), *([key] for key in slices)]
    asked = config_pb2.EvalConfig(
        model_specs=[spec, spec],
        slicing_specs=[config_pb2.SlicingSpec(feature_keys=key) for key in keys],
        metrics_specs=[_metrics(task_type, config)],
    )
    asked.model_specs[0].name = "candidate"
    asked.model_specs[1].name, asked.model_specs[1].is_baseline = "baseline", True
    return asked


def _metrics(task_type: str, config: dict[str, Any]) -> config_pb2.MetricsSpec:
    """No thresholds here: TFMA knows none that depends on another figure, such as the majority's share."""
    spec = config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name="ExampleCount")])
    given = json.dumps({"type": task_type, "config": config})
    spec.metrics.add(class_name="Figures", module="components.evaluate.tfma_metric", config=given)
    return spec


def verdict(
    folder: str,
    *,
    the_task: task.Task,
    bless: dict[str, Any],
    baseline: str | None,
    references: Mapping[str, Rows] = MappingProxyType({}),
    model: pathlib.Path | None = None,
) -> Verdict:
    """What TFMA found, in one document that a person, the command line and a diff can read.

    Args:
      folder: of an ``Evaluator``'s evaluation.
      the_task: that was evaluated.
      bless: the thresholds.
      baseline: URI of the model that the candidate was compared with.
      references: by the name of a baseline, what ``components.evaluate.references.rows`` gave.
      model: what the candidate carries beside its graph; None: nothing is said of its training.
    """
    headline = the_task.metrics[0]
    parts = _slices(folder, "candidate" if baseline else "")
    named = "candidate" if baseline else ""
    judged = rows(folder, the_task, named)
    tables = {name: _paired(judged, other, name) for name, other in references.items()}
    if baseline:
        tables[_BEFORE] = _paired(judged, rows(folder, the_task, "baseline"), "the latest blessed model")
    whole, beats = the_task.figures(judged[1]), bless.get("beats", [])
    compared, intervals = _compared(the_task, judged[1], tables)
    checks = [
        *_checks(whole, parts, the_task, bless),
        *_beaten(whole, compared, the_task, beats),
        *_kept(whole, compared, the_task, bless.get(task.TEACHER)),
        *_slice_checks(parts, headline, bless),
    ]
    if baseline:
        change = whole.values[headline.name] - the_task.figures(tables[_BEFORE]).values[headline.name]
        bound, lower = bless["max_regression"], headline.better == "lower"
        checks.append(_check("change", change, "≤", bound) if lower else _check("change", change, "≥", -bound))
    slices = [
        Slice(name=f"{column}: {value}", value=figures[headline.name], n=int(figures["example_count"]))
        for ((column, value), *_), figures in parts.items()
        if figures["example_count"] and not math.isnan(figures[headline.name])
    ]
    return Verdict(
        blessed=all(check.passed for check in checks),
        checks=checks,
        metrics={name: value for name, value in whole.flat().items() if not math.isnan(value)},
        n=len(judged[1]),
        trivial=whole.trivial,
        slices=sorted(slices, key=lambda part: part.name),
        mistaken={label: each.mistaken_for for label, each in whole.labels.items() if each.mistaken_for},
        baseline=baseline,
        baselines=compared,
        intervals=intervals,
        computed=dict(whole.computed),
        warnings=[
            # A student is not asked to be its teacher's equal, unless a check asks.
            *review.baselines(
                the_task,
                whole.values[headline.name],
                [each for each in compared if each.name not in (task.TEACHER, *beats)],
            ),
            *review.labels(the_task, whole),
            *review.slices(the_task, *judged, _identities(folder, the_task, named)),
            *(_of_training(the_task, model) if model else ()),
        ],
    )


def _identities(folder: str, the_task: task.Task, model: str) -> dict[str, np.ndarray]:
    """By slice, those of a label left out, which records are in it."""
    width = len(the_task.row_metric_names)
    return {
        f"{column}: {value}": unpack(base64.b64decode(outputs[ROWS]["bytesValue"]), width)[0]
        for key, outputs in _outputs(folder, model)
        for column, value in key
        if column != "label"
    }


def _of_training(the_task: task.Task, model: pathlib.Path) -> Iterator[str]:
    if (model / fine_tuning.FILE).is_file():
        came_to = fine_tuning.read(model)
        yield from review.training(the_task, came_to, curve.read(model).get(f"seed {came_to.seed}"))


# In the tables that are compared: the latest blessed model.
_BEFORE = "before"


def _paired(judged: Rows, other: Rows, name: str) -> np.ndarray:
    """The row metrics of ``other``, a row for each of ``judged``."""
    if not np.array_equal(judged[0], other[0]):
        raise ValueError(
            f"{name} was judged on {len(other[0]):,} records, of which the model's {len(judged[0]):,} differ"
        )
    return other[1]


def _compared(
    the_task: task.Task, judged: np.ndarray, tables: Mapping[str, np.ndarray]
) -> tuple[list[Reference], dict[str, tuple[float, float]]]:
    """The headline beside that of each baseline; by figure, its 95 % interval."""
    headline = the_task.metrics[0].name
    drawn = bootstrap.resampled(the_task.headline, [judged, *tables.values()])
    spans = {headline: bootstrap.interval(drawn[0])}
    compared = []
    for (name, table), values in zip(tables.items(), drawn[1:], strict=True):
        difference = bootstrap.interval(drawn[0] - values)
        if name == _BEFORE:
            spans["change"] = difference
        else:
            figures = the_task.figures(table).flat()
            low, high = difference or (None, None)
            value = None if math.isnan(figures[headline]) else figures[headline]
            apart = None if value is None else the_task.headline(judged) - value
            known = {each: number for each, number in figures.items() if "[" not in each and not math.isnan(number)}
            compared.append(Reference(name=name, value=value, difference=apart, low=low, high=high, metrics=known))
    return compared, {name: span for name, span in spans.items() if span}


def _beaten(whole: Figures, compared: list[Reference], the_task: task.Task, names: list[str]) -> Iterator[Check]:
    """A baseline without a headline, such as a mean under a correlation, counts as 0."""
    headline, values = the_task.metrics[0], {each.name: each.value for each in compared}
    relation: Literal["<", ">"] = "<" if headline.better == "lower" else ">"
    for name in names:
        yield _check(f"{headline.name} vs {name}", whole.values[headline.name], relation, values[name] or 0.0)


def _kept(whole: Figures, compared: list[Reference], the_task: task.Task, share: float | None) -> Iterator[Check]:
    """That the share of the teacher's headline is kept; one that has none, or a negative one, counts as 0."""
    if share is None:
        return
    for teacher in compared:
        if teacher.name == task.TEACHER:
            headline = the_task.metrics[0].name
            bound = share * max(teacher.value or 0.0, 0.0)
            yield _check(f"{headline} kept of the {task.TEACHER}'s", whole.values[headline], "≥", bound)


def _check(name: str, value: float, relation: Literal["≥", "≤", ">", "<"], bound: float, n: int | None = None) -> Check:
    """A NaN figure fails every threshold."""
    compare = {"≥": operator.ge, "≤": operator.le, ">": operator.gt, "<": operator.lt}[relation]
    # A change is a difference of shares: .86 - .87 is a little less than -.01.
    slack = {"≥": ROUNDING, "≤": -ROUNDING}.get(relation, 0.0) if name == "change" else 0.0
    passed = not math.isnan(value) and bool(compare(value + slack, bound))
    return Check(
        name=name, value=None if math.isnan(value) else value, relation=relation, bound=bound, passed=passed, n=n
    )


def _checks(whole: Figures, parts: Slices, the_task: task.Task, bless: dict[str, Any]) -> list[Check]:
    """The absolute thresholds. Nothing asked for: better than the best answer that does not look at the text."""
    headline = the_task.metrics[0]
    checks = [
        _check(metric.name, whole.values[metric.name], "≤" if metric.better == "lower" else "≥", bless[metric.name])
        for metric in the_task.metrics
        if bless.get(metric.name) is not None
    ]
    for kind in ("precision", "recall"):
        for label, bound in bless.get(kind, {}).items():
            value, of_label = getattr(whole.labels[label], kind), parts.get((("label", label),))
            checks.append(
                _check(f"{kind}[{label}]", value, "≥", bound, int(of_label["example_count"]) if of_label else None)
            )
    if not checks and not bless.get("beats") and bless.get(task.TEACHER) is None:
        relation: Literal["<", ">"] = "<" if headline.better == "lower" else ">"
        checks.append(_check(headline.name, whole.values[headline.name], relation, whole.trivial or 0.0))
    return checks


def _slice_checks(parts: Slices, headline: task.Metric, bless: dict[str, Any]) -> Iterator[Check]:
    """The thresholds on slices of the test split. A slice without records fails every threshold."""
    relation: Literal["≤", "≥"] = "≤" if headline.better == "lower" else "≥"
    for column, given in bless.get("slices", {}).items():
        seen = {value: figures for ((name, value), *_), figures in parts.items() if name == column}
        if not isinstance(given, dict):
            enough = sorted(value for value, figures in seen.items() if figures["example_count"] >= SLICE_RECORDS)
            given = dict.fromkeys(enough or [f"any of {SLICE_RECORDS} records"], given)
        for value, bound in given.items():
            n = int(seen[value]["example_count"]) if value in seen else 0
            figure = seen[value][headline.name] if n else math.nan
            yield _check(f"{headline.name}[{column}: {value}]", figure, relation, bound, n)


def _slices(folder: str, model: str) -> Slices:
    """Figures by slice, all slices except the overall one: TFMA's nested dicts made flat."""
    return {
        tuple((column, str(value)) for column, value in key): {
            name: float(value["doubleValue"])  # protobuf's JSON writes NaN as text, as of an AUC over one class
            for name, value in outputs.items()
            if "doubleValue" in value and not name.endswith("_diff")  # of the baseline; `change` says it
        }
        for key, outputs in _outputs(folder, model)
        if key
    }


def rows(folder: str, the_task: task.Task, model: str) -> Rows:
    """The identities and row metrics of the test split.

    Args:
      folder: of an ``Evaluator``'s evaluation.
      the_task: that was evaluated.
      model: ``candidate`` or ``baseline``; empty where there was no baseline.
    """
    (whole,) = (outputs for key, outputs in _outputs(folder, model) if not key)
    return unpack(base64.b64decode(whole[ROWS]["bytesValue"]), len(the_task.row_metric_names))


def _outputs(folder: str, model: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """By slice, its metrics as protobuf's JSON."""
    for key, outputs in tfma.load_eval_result(folder, model_name=model).slicing_metrics:
        groups = next(iter(outputs.values()))
        yield key, {name: value for group in groups.values() for name, value in group.items()}
