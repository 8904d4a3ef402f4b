"""From the experiment's ``evaluate`` section to TFMA's configuration, and from TFMA's results to a verdict."""

from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.majority import GAIN, MAJORITY
from components.verdict import Check, Slice, Verdict

# TFMA's names for the figures of two classes, and of each class.
_BINARY = {"f1": "F1Score", "auc": "AUC"}
_PER_CLASS = {"precision": "Precision", "recall": "Recall"}
_RESULTS = {"f1": "f1_score", "auc": "auc", "calibration": "calibration"}
ACCURACY = "SparseCategoricalAccuracy"
ALWAYS_SLICED = ("length_bucket", "label")


def eval_config(labels: list[str], slices: list[str], bless: dict[str, Any]) -> config_pb2.EvalConfig:
    """TFMA's configuration.

    Args:
      labels: of the task, in the order of the scores.
      slices: columns whose values are figures of their own.
      bless: ``configs.experiment.Bless`` as a dict.
    """
    spec = config_pb2.ModelSpec(
        signature_name="serving_examples",
        label_key="label",
        prediction_key="scores",
        preprocessing_function_names=["transform_features"],
    )
    config = config_pb2.EvalConfig(
        model_specs=[spec],
        slicing_specs=[config_pb2.SlicingSpec()] + [config_pb2.SlicingSpec(feature_keys=[key]) for key in (*ALWAYS_SLICED, *slices)],
        metrics_specs=_overall(bless) + _of_classes(labels, bless),
    )
    baseline = config.model_specs.add()
    baseline.CopyFrom(spec)
    config.model_specs[0].name, baseline.name, baseline.is_baseline = "candidate", "baseline", True
    return config


def _overall(bless: dict[str, Any]) -> list[config_pb2.MetricsSpec]:
    accuracy = config_pb2.MetricThreshold(
        # accuracy is a share: a fall of max_regression is the most that the latest blessed model allows.
        change_threshold=config_pb2.GenericChangeThreshold(
            absolute={"value": -bless["max_regression"]}, direction=config_pb2.MetricDirection.HIGHER_IS_BETTER
        )
    )
    if "accuracy" in bless:
        accuracy.value_threshold.lower_bound.value = bless["accuracy"]
    gain = None
    if _nothing_asked(bless):
        gain = config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": 0.0}))
    return [
        config_pb2.MetricsSpec(
            metrics=[
                config_pb2.MetricConfig(class_name="ExampleCount"),
                config_pb2.MetricConfig(class_name=ACCURACY, threshold=accuracy),
                config_pb2.MetricConfig(class_name="AccuracyGain", module="components.majority", threshold=gain),
            ]
        )
    ]


def _nothing_asked(bless: dict[str, Any]) -> bool:
    """Then a model must be better than always answering the majority class."""
    return not any(bless.get(name) for name in ("accuracy", *_BINARY, *_PER_CLASS))


def _of_classes(labels: list[str], bless: dict[str, Any]) -> list[config_pb2.MetricsSpec]:
    """Precision and recall of every class; F1, AUC and calibration of the positive one where there are two."""

    def metric(class_name: str, bound: float | None) -> config_pb2.MetricConfig:
        threshold = None
        if bound is not None:
            threshold = config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": bound}))
        return config_pb2.MetricConfig(class_name=class_name, threshold=threshold)

    specs = []
    for index, label in enumerate(labels):
        metrics = [metric(class_name, bless.get(name, {}).get(label)) for name, class_name in _PER_CLASS.items()]
        if len(labels) == 2 and index == 1:
            metrics += [metric(class_name, bless.get(name)) for name, class_name in _BINARY.items()]
            metrics.append(metric("Calibration", None))
        specs.append(config_pb2.MetricsSpec(metrics=metrics, binarize={"class_ids": {"values": [index]}}))
    return specs


def verdict(folder: str, *, labels: list[str], bless: dict[str, Any], baseline: str | None) -> Verdict:
    """What TFMA found, in one document that a person, the command line and a diff can read.

    Args:
      folder: of an ``Evaluator``'s evaluation.
      labels: of the task, in the order of the scores.
      bless: the thresholds.
      baseline: URI of the model that the candidate was compared with.
    """
    parts = dict(tfma.load_eval_result(folder, model_name="candidate" if baseline else "").slicing_metrics)
    whole = _figures(parts[()], labels)
    counts = {str(key[0][1]): int(_figures(value, labels)["n"]) for key, value in parts.items() if key and key[0][0] == "label"}
    checks = _checks(whole, counts, bless)
    if baseline:
        before = _figures(dict(tfma.load_eval_result(folder, model_name="baseline").slicing_metrics)[()], labels)
        change = whole["accuracy"] - before["accuracy"]
        bound = -bless["max_regression"]
        checks.append(Check(name="change", value=change, relation="≥", bound=bound, passed=change >= bound))
    slices = []
    for key, value in parts.items():
        figures = _figures(value, labels)
        if key and figures["n"]:
            slices.append(Slice(name=f"{key[0][0]}: {key[0][1]}", value=figures["accuracy"], n=int(figures["n"])))
    return Verdict(
        blessed=tfma.load_validation_result(folder).validation_ok,
        checks=checks,
        metrics={name: value for name, value in whole.items() if name not in ("n", MAJORITY, GAIN)},
        n=int(whole["n"]),
        majority=whole[MAJORITY],
        slices=sorted(slices, key=lambda part: part.name),
        baseline=baseline,
    )


def _checks(whole: dict[str, float], counts: dict[str, int], bless: dict[str, Any]) -> list[Check]:
    """Absolute thresholds, as ``eval_config`` set them."""
    wanted = {name: bless[name] for name in ("accuracy", *_BINARY) if bless.get(name) is not None}
    wanted |= {f"{name}[{label}]": bound for name in _PER_CLASS for label, bound in bless.get(name, {}).items()}
    checks = []
    for name, bound in wanted.items():
        n = counts.get(name.partition("[")[2].removesuffix("]"))
        checks.append(Check(name=name, value=whole[name], relation="≥", bound=bound, passed=whole[name] >= bound, n=n))
    if _nothing_asked(bless):
        accuracy, majority = whole["accuracy"], whole[MAJORITY]
        checks.append(Check(name="accuracy", value=accuracy, relation=">", bound=majority, passed=accuracy > majority))
    return checks


def _figures(metrics: Any, labels: list[str]) -> dict[str, float]:
    """TFMA's nested dict of one slice, flat: ``accuracy``, ``f1``, ``recall[negative]`` …"""
    (by_class,) = metrics.values()
    overall = by_class[""]

    def value(name: str, group: Any) -> float:
        return float(group[name]["doubleValue"])

    figures = {"accuracy": value("sparse_categorical_accuracy", overall)}
    for index, label in enumerate(labels):
        group = by_class[f"classId:{index}"]
        if len(labels) == 2 and index == 1:
            figures |= {name: value(tfma_name, group) for name, tfma_name in _RESULTS.items() if tfma_name in group}
        figures |= {f"{name}[{label}]": value(name, group) for name in _PER_CLASS}
    return figures | {name: value(name, overall) for name in (MAJORITY, GAIN)} | {"n": value("example_count", overall)}
