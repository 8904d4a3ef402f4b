"""A verdict as the pages of Kubeflow and Vertex show it: numbers, confusion matrix, ROC curve, and the report."""

import math
import pathlib
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any

from tfx import types
from tfx.types.component_spec import ChannelParameter

from components.artifacts import HTML, ClassificationMetrics, Metrics
from components.evaluate.report import report
from components.evaluate.verdict import Verdict
from models.figures import CONFUSION, ROC, Section

# What an evaluator may put out beside its evaluation and its blessing, where there are such pages.
OUTPUTS = {
    "metrics": ChannelParameter(type=Metrics, optional=True),
    "classification": ChannelParameter(type=ClassificationMetrics, optional=True),
    "report": ChannelParameter(type=HTML, optional=True),
}
# A matrix of more is not read, and nears the 200 kB that Vertex takes of an artifact's metadata.
_MATRIX_LABELS = 100


def channels(*names: str) -> dict[str, types.Channel]:
    """The outputs of these names."""
    return {name: types.Channel(type=OUTPUTS[name].type) for name in names}


def write(
    outputs: dict[str, list[Any]], verdict: Verdict, sections: Sequence[Section], model: pathlib.Path | None = None
) -> None:
    """Fills those of ``OUTPUTS`` that the node has.

    Args:
      outputs: of the node.
      verdict: what the evaluation came to.
      sections: what the task draws beside it.
      model: the ``assets.extra`` of the model that was judged.
    """
    from kfp import dsl
    from tfx.types import artifact_utils

    from components.storage.files import fileio

    metrics = artifact_utils.get_single_instance(outputs["metrics"])
    for name, value in _numbers(verdict):
        metrics.set_float_custom_property(name, value)
    if "classification" in outputs:
        given = dsl.ClassificationMetrics()  # it knows the form that the pages take
        for each in sections:
            if each.title == CONFUSION and len(each.rows) <= _MATRIX_LABELS:
                given.log_confusion_matrix(list(each.head[1:]), [list(row[1:]) for row in each.rows])
            elif each.title == ROC:
                rates, recalls, thresholds = (list(column) for column in zip(*each.rows, strict=True))
                given.log_roc_curve(rates, recalls, thresholds)
        classification = artifact_utils.get_single_instance(outputs["classification"])
        for name, value in given.metadata.items():
            classification.set_json_value_custom_property(name, value)
    uri = artifact_utils.get_single_uri(outputs["report"])
    fileio.makedirs(posixpath.dirname(uri))
    with fileio.open(uri, "w") as file:
        file.write(report.page(report.of_model(verdict, sections, model)))


def _numbers(found: Verdict) -> Iterator[tuple[str, float]]:
    """Newer pages show numbers only. Those of single labels stand in the HTML."""
    yield "blessed", float(found.blessed)
    yield "failed_checks", float(sum(not check.passed for check in found.checks))
    yield "records", float(found.n)
    for name, value in found.metrics.items():
        if "[" not in name and math.isfinite(value):
            yield name, value
