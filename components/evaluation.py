"""From the experiment's ``evaluate`` section to TFMA's configuration, and from TFMA's results to a verdict."""

import json
import math
from collections.abc import Iterator
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.confusion import GAIN, MAJORITY
from components.report import Plots
from components.verdict import ROUNDING, SLICE_RECORDS, Check, Slice, Verdict


def eval_config(labels: list[str], slices: list[str], *, plots: bool = False) -> config_pb2.EvalConfig:
    """TFMA's configuration.

    Args:
      labels: of the task, in the order of the scores.
      slices: features and columns whose values are figures of their own; the label always is one.
      plots: whether ``plots`` will be asked.
    """
    spec = config_pb2.ModelSpec(
        signature_name="serving_examples",
        label_key="label",
        prediction_key="scores",
        preprocessing_function_names=["transform_features"],
    )
    keys = [[], ["label"], *([key] for key in slices)]
    config = config_pb2.EvalConfig(
        model_specs=[spec, spec],
        slicing_specs=[config_pb2.SlicingSpec(feature_keys=key) for key in keys],
        metrics_specs=_metrics(labels, plots),
    )
    config.model_specs[0].name = "candidate"
    config.model_specs[1].name, config.model_specs[1].is_baseline = "baseline", True
    return config


def _metrics(labels: list[str], plots: bool) -> list[config_pb2.MetricsSpec]:
    """With two labels AUC and calibration of the last one, else AUC of each against the rest, mean over the labels.

    No thresholds here: TFMA knows none that depends on another figure, such as the majority's share.
    """
    confusion = config_pb2.MetricConfig(
        class_name="Confusion", module="components.confusion", config=json.dumps({"labels": labels})
    )
    overall = config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name="ExampleCount"), confusion])
    names = ("AUC", "Calibration") if len(labels) == 2 else ("AUC",)
    of_scores = config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name=name) for name in names])
    if plots:
        overall.metrics.add(class_name="MultiClassConfusionMatrixPlot")
    if plots and len(labels) == 2:
        of_scores.metrics.add(class_name="ConfusionMatrixPlot")
    if len(labels) == 2:
        of_scores.binarize.class_ids.values.append(1)
    else:
        of_scores.aggregate.macro_average = True
        of_scores.aggregate.class_weights.update(dict.fromkeys(range(len(labels)), 1.0))
    return [overall, of_scores]


def _bounds(bless: dict[str, Any]) -> dict[str, float]:
    """Lower bounds by figure. Nothing asked for: better than always answering the majority class."""
    bounds = {name: bless[name] for name in ("accuracy", "f1", "auc") if bless.get(name) is not None}
    for name in ("precision", "recall"):
        bounds |= {f"{name}[{label}]": bound for label, bound in bless.get(name, {}).items()}
    return bounds or {GAIN: 0.0}


def verdict(folder: str, *, labels: list[str], bless: dict[str, Any], baseline: str | None) -> Verdict:
    """What TFMA found, in one document that a person, the command line and a diff can read.

    Args:
      folder: of an ``Evaluator``'s evaluation.
      labels: of the task, in the order of the scores.
      bless: the thresholds.
      baseline: URI of the model that the candidate was compared with.
    """
    parts = _figures(folder, "candidate" if baseline else "")
    whole = parts[()]
    checks = [*_checks(parts, bless), *_slice_checks(parts, bless)]
    if baseline:
        change, bound = whole["accuracy"] - _figures(folder, "baseline")[()]["accuracy"], -bless["max_regression"]
        passed = change >= bound - ROUNDING
        checks.append(Check(name="change", value=change, relation="≥", bound=bound, passed=passed))
    slices = [
        Slice(name=f"{column}: {value}", value=figures["accuracy"], n=int(figures["example_count"]))
        for ((column, value), *_), figures in _named(parts)
        if figures["example_count"]
    ]
    mistaken = {label: int(whole[f"mistaken[{label}]"]) for label in labels}
    hidden = (MAJORITY, GAIN, "example_count", *(f"mistaken[{label}]" for label in labels))
    return Verdict(
        blessed=all(check.passed for check in checks),
        checks=checks,
        metrics={name: value for name, value in whole.items() if name not in hidden and not math.isnan(value)},
        n=int(whole["example_count"]),
        majority=whole[MAJORITY],
        slices=sorted(slices, key=lambda part: part.name),
        mistaken={label: labels[place] for label, place in mistaken.items() if place >= 0},
        baseline=baseline,
    )


def _checks(parts: dict[Any, dict[str, float]], bless: dict[str, Any]) -> list[Check]:
    """The absolute thresholds."""
    whole, checks = parts[()], []
    for name, bound in _bounds(bless).items():
        if name == GAIN:
            accuracy, majority = whole["accuracy"], whole[MAJORITY]
            checks.append(
                Check(name="accuracy", value=accuracy, relation=">", bound=majority, passed=accuracy > majority)
            )
            continue
        of_label = parts.get((("label", name.partition("[")[2].removesuffix("]")),))
        n = int(of_label["example_count"]) if of_label else None
        value = None if math.isnan(whole[name]) else whole[name]
        passed = value is not None and value >= bound
        checks.append(Check(name=name, value=value, relation="≥", bound=bound, passed=passed, n=n))
    return checks


def _slice_checks(parts: dict[Any, dict[str, float]], bless: dict[str, Any]) -> Iterator[Check]:
    """The thresholds on parts of the test split. A part without records passes nothing."""
    for column, given in bless.get("slices", {}).items():
        seen = {value: figures for ((name, value), *_), figures in _named(parts) if name == column}
        if not isinstance(given, dict):
            enough = sorted(value for value, figures in seen.items() if figures["example_count"] >= SLICE_RECORDS)
            given = dict.fromkeys(enough or [f"any of {SLICE_RECORDS} records"], given)
        for value, bound in given.items():
            n = int(seen[value]["example_count"]) if value in seen else 0
            accuracy = seen[value]["accuracy"] if n else None
            passed = accuracy is not None and accuracy >= bound
            name = f"accuracy[{column}: {value}]"
            yield Check(name=name, value=accuracy, relation="≥", bound=bound, passed=passed, n=n)


def _named(parts: dict[Any, dict[str, float]]) -> Iterator[tuple[Any, dict[str, float]]]:
    """The slices without the whole."""
    return ((key, figures) for key, figures in parts.items() if key)


def _figures(folder: str, model: str) -> dict[Any, dict[str, float]]:
    """Figures by slice, ``()`` being the whole: TFMA's nested dicts made flat, accuracy first."""
    flat = {}
    for key, outputs in tfma.load_eval_result(folder, model_name=model).slicing_metrics:
        groups = next(iter(outputs.values()))
        # Protobuf's JSON writes NaN as text, as of an AUC over one class. A mean is called "macro_average: true\n_auc".
        values = {
            name.rpartition("\n_")[2]: float(value["doubleValue"])
            for group in groups.values()
            for name, value in group.items()
            if not name.endswith("_diff")  # of the baseline; `change` says it
        }
        flat[tuple((column, str(value)) for column, value in key)] = {"accuracy": values["accuracy"], **values}
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
