"""A TFMA metric: the figures that a task judges its model by, of every slice."""

from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types

from models import task

# What judges each record, by parts of a split.
Rows = list[np.ndarray]


class Figures(metric_types.Metric):
    """``models.task.Task.figures``.

    Args:
      type: of the task.
      config: of the task.
      name: prefix of nothing; TFMA asks for one.
    """

    def __init__(self, type: str, config: Mapping[str, Any], name: str = "figures") -> None:  # noqa: A002
        super().__init__(_computations, type=type, config=config, name=name)


def _computations(
    type: str,  # noqa: A002
    config: Mapping[str, Any],
    name: str = "figures",
    model_names: list[str] | None = None,
    output_names: list[str] | None = None,
    example_weighted: bool = False,
) -> list[metric_types.MetricComputation]:
    del name, output_names
    the_task = task.load(type)(config)
    names = the_task.figures(np.zeros((1, len(the_task.row_metric_names))))
    computations = []
    # One model alone has no name, and its predictions no place under one.
    named = [model for model in model_names or [] if model] or None
    for model in model_names or [""]:
        keys = {
            each: metric_types.MetricKey(each, model_name=model, example_weighted=example_weighted) for each in names
        }
        computations.append(
            metric_types.MetricComputation(
                keys=list(keys.values()),
                preprocessors=[metric_types.FeaturePreprocessor(the_task.gold, model_names=named)],
                combiner=_Combiner(the_task, keys, model),
            )
        )
    return computations


class _Combiner(beam.CombineFn):
    """Keeps what judges each record: a few numbers."""

    def __init__(self, the_task: task.Task, keys: dict[str, metric_types.MetricKey], model: str) -> None:
        self.task, self.keys, self.model = the_task, keys, model

    def create_accumulator(self) -> Rows:
        return []

    def add_input(self, rows: Rows, element: metric_types.StandardMetricInputs) -> Rows:
        answer = element.get_predictions(self.model)
        if not isinstance(answer, Mapping):  # of a single output TFMA passes the values alone
            answer = {"scores" if self.task.single_label else self.task.answers[0]: np.asarray(answer)}
        # A record that has no value of a feature comes without it.
        gold = {name: np.asarray(element.get_features().get(name, [])) for name in self.task.gold}
        rows.append(np.asarray(self.task.row_metrics(answer, gold)))
        return rows

    def merge_accumulators(self, accumulators: Iterable[Rows]) -> Rows:
        return [row for rows in accumulators for row in rows]

    def compact(self, rows: Rows) -> Rows:
        return [np.concatenate([row.reshape(-1, len(self.task.row_metric_names)) for row in rows])] if rows else rows

    def extract_output(self, rows: Rows) -> dict[metric_types.MetricKey, float]:
        (whole,) = self.compact(rows) or [np.zeros((0, len(self.task.row_metric_names)))]
        found = self.task.figures(whole)
        return {key: found.get(name, float("nan")) for name, key in self.keys.items()}


# TFMA looks the class up by name.
metric_types.register_metric(Figures)
