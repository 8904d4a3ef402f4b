"""From the experiment's ``evaluate`` section to TFMA's configuration, and from TFMA's results to a verdict."""

import json
import math
import operator
from collections.abc import Iterator
from typing import Any, Literal

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.evaluate.report import Plots
from components.evaluate.verdict import ROUNDING, SLICE_RECORDS, Check, Slice, Verdict
from models import task

# Of the figures that a task gives: the headline of the best answer that does not look at the text.
TRIVIAL = "trivial"


def eval_config(
    task_type: str, config: dict[str, Any], slices: list[str], *, plots: bool = False
) -> config_pb2.EvalConfig:
    """TFMA's configuration.

    Args:
      task_type: the task's name.
      config: the task's own keys.
      slices: features and columns whose values are figures of their own; a single label always is one.
      plots: whether ``plots`` will be asked, of a task that has any.
    """
    the_task = task.load(task_type)(config)
    one_label = the_task.single_label
    spec = config_pb2.ModelSpec(
        signature_name="serving_examples",
        label_key="label" if one_label else "",
        prediction_key="scores" if one_label else "",
        preprocessing_function_names=["transform_features"],
    )
    keys = [[], *([["label"]] if one_label else []), *([key] for key in slices)]
    asked = config_pb2.EvalConfig(
        model_specs=[spec, spec],
        slicing_specs=[config_pb2.SlicingSpec(feature_keys=key) for key in keys],
        metrics_specs=[_metrics(task_type, config), *(_plots(config["labels"]) if plots and one_label else [])],
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


def _plots(labels: list[str]) -> Iterator[config_pb2.MetricsSpec]:
    """The confusion of all labels; with two of them the ROC curve of the last one."""
    yield config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name="MultiClassConfusionMatrixPlot")])
    if len(labels) == 2:
        roc = config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name="ConfusionMatrixPlot")])
        roc.binarize.class_ids.values.append(1)
        yield roc


def verdict(folder: str, *, the_task: task.Task, bless: dict[str, Any], baseline: str | None) -> Verdict:
    """What TFMA found, in one document that a person, the command line and a diff can read.

    Args:
      folder: of an ``Evaluator``'s evaluation.
      the_task: that was evaluated.
      bless: the thresholds.
      baseline: URI of the model that the candidate was compared with.
    """
    headline = the_task.metrics[0]
    parts = _figures(folder, "candidate" if baseline else "", headline.name)
    whole = parts[()]
    checks = [*_checks(parts, the_task, bless), *_slice_checks(parts, headline, bless)]
    if baseline:
        change = whole[headline.name] - _figures(folder, "baseline", headline.name)[()][headline.name]
        bound, lower = bless["max_regression"], headline.better == "lower"
        checks.append(_check("change", change, "≤", bound) if lower else _check("change", change, "≥", -bound))
    slices = [
        Slice(name=f"{column}: {value}", value=figures[headline.name], n=int(figures["example_count"]))
        for ((column, value), *_), figures in _named(parts)
        if figures["example_count"] and not math.isnan(figures[headline.name])
    ]
    labels = getattr(the_task.config, "labels", [])
    mistaken = {label: int(whole.get(f"mistaken[{label}]", -1)) for label in labels}
    hidden = (TRIVIAL, "example_count", *(f"mistaken[{label}]" for label in labels))
    return Verdict(
        blessed=all(check.passed for check in checks),
        checks=checks,
        metrics={name: value for name, value in whole.items() if name not in hidden and not math.isnan(value)},
        n=int(whole["example_count"]),
        trivial=whole.get(TRIVIAL),
        slices=sorted(slices, key=lambda part: part.name),
        mistaken={label: labels[place] for label, place in mistaken.items() if place >= 0},
        baseline=baseline,
    )


def _check(name: str, value: float, relation: Literal["≥", "≤", ">", "<"], bound: float, n: int | None = None) -> Check:
    """A figure that is none passes nothing."""
    compare = {"≥": operator.ge, "≤": operator.le, ">": operator.gt, "<": operator.lt}[relation]
    # A change is a difference of shares: .86 - .87 is a little less than -.01.
    slack = {"≥": ROUNDING, "≤": -ROUNDING}.get(relation, 0.0) if name == "change" else 0.0
    passed = not math.isnan(value) and bool(compare(value + slack, bound))
    return Check(
        name=name, value=None if math.isnan(value) else value, relation=relation, bound=bound, passed=passed, n=n
    )


def _checks(parts: dict[Any, dict[str, float]], the_task: task.Task, bless: dict[str, Any]) -> list[Check]:
    """The absolute thresholds. Nothing asked for: better than the best answer that does not look at the text."""
    whole, headline = parts[()], the_task.metrics[0]
    checks = [
        _check(metric.name, whole[metric.name], "≤" if metric.better == "lower" else "≥", bless[metric.name])
        for metric in the_task.metrics
        if bless.get(metric.name) is not None
    ]
    for kind in ("precision", "recall"):
        for label, bound in bless.get(kind, {}).items():
            name, of_label = f"{kind}[{label}]", parts.get((("label", label),))
            checks.append(_check(name, whole[name], "≥", bound, int(of_label["example_count"]) if of_label else None))
    if not checks:
        relation: Literal["<", ">"] = "<" if headline.better == "lower" else ">"
        checks.append(_check(headline.name, whole[headline.name], relation, whole.get(TRIVIAL, 0.0)))
    return checks


def _slice_checks(parts: dict[Any, dict[str, float]], headline: task.Metric, bless: dict[str, Any]) -> Iterator[Check]:
    """The thresholds on parts of the test split. A part without records passes nothing."""
    relation: Literal["≤", "≥"] = "≤" if headline.better == "lower" else "≥"
    for column, given in bless.get("slices", {}).items():
        seen = {value: figures for ((name, value), *_), figures in _named(parts) if name == column}
        if not isinstance(given, dict):
            enough = sorted(value for value, figures in seen.items() if figures["example_count"] >= SLICE_RECORDS)
            given = dict.fromkeys(enough or [f"any of {SLICE_RECORDS} records"], given)
        for value, bound in given.items():
            n = int(seen[value]["example_count"]) if value in seen else 0
            figure = seen[value][headline.name] if n else math.nan
            yield _check(f"{headline.name}[{column}: {value}]", figure, relation, bound, n)


def _named(parts: dict[Any, dict[str, float]]) -> Iterator[tuple[Any, dict[str, float]]]:
    """The slices without the whole."""
    return ((key, figures) for key, figures in parts.items() if key)


def _figures(folder: str, model: str, headline: str) -> dict[Any, dict[str, float]]:
    """Figures by slice, ``()`` being the whole: TFMA's nested dicts made flat, the headline first."""
    flat = {}
    for key, outputs in tfma.load_eval_result(folder, model_name=model).slicing_metrics:
        groups = next(iter(outputs.values()))
        # Protobuf's JSON writes NaN as text, as of an AUC over one class.
        values = {
            name: float(value["doubleValue"])
            for group in groups.values()
            for name, value in group.items()
            if not name.endswith("_diff")  # of the baseline; `change` says it
        }
        flat[tuple((column, str(value)) for column, value in key)] = {headline: values[headline], **values}
    return flat


def plots(folder: str, *, labels: list[str], baseline: str | None) -> Plots:
    """What was asked for with ``eval_config(plots=True)``, over the whole test split.

    Args:
      folder: of an ``Evaluator``'s evaluation.
      labels: of the task, in the order of the scores.
      baseline: URI of the model that the candidate was compared with.
    """
    result = tfma.load_eval_result(folder, model_name="candidate" if baseline else "")
    groups = next(iter(dict(result.plots)[()].values()))
    (matrix,) = groups[""]["multiClassConfusionMatrixAtThresholds"]["matrices"]
    confusion = [[0] * len(labels) for _ in labels]
    for cell in matrix["entries"]:  # protobuf's JSON leaves zeros out
        confusion[cell.get("actualClassId", 0)][cell.get("predictedClassId", 0)] = int(cell["numWeightedExamples"])
    steps = groups.get("classId:1", {}).get("confusionMatrixAtThresholds", {}).get("matrices", [])
    points = dict[tuple[float, float], float]()  # a thousand thresholds, few of which differ
    for step in steps:
        rate, recall, threshold = (float(step.get(name, 0)) for name in ("falsePositiveRate", "recall", "threshold"))
        points.setdefault((rate, recall), threshold)
    if any(math.isnan(value) for point in points for value in point):  # of a label that no record has
        points.clear()
    return Plots(confusion, [(*point, threshold) for point, threshold in points.items()])
