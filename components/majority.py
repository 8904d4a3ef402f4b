"""A TFMA metric: how much better than always answering the majority class."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from tensorflow_model_analysis.metrics import metric_types, metric_util

MAJORITY = "majority_share"
GAIN = "accuracy_gain"


class AccuracyGain(metric_types.Metric):
    """Two figures a slice: the majority class's share of the labels, and accuracy minus that share."""

    def __init__(self, name: str = GAIN) -> None:
        super().__init__(_computations, name=name)


def _computations(
    name: str = GAIN,
    model_names: list[str] | None = None,
    output_names: list[str] | None = None,
    eval_config: Any = None,
    example_weighted: bool = False,
) -> list[metric_types.MetricComputation]:
    computations = []
    for model in model_names or [""]:
        for output in output_names or [""]:
            keys = [
                metric_types.MetricKey(key, model_name=model, output_name=output, example_weighted=example_weighted)
                for key in (MAJORITY, name)
            ]
            computations.append(
                metric_types.MetricComputation(
                    keys=keys, preprocessors=None, combiner=_Combiner(keys, eval_config, model, output)
                )
            )
    return computations


@dataclasses.dataclass
class _Tally:
    labels: Counter[int] = dataclasses.field(default_factory=Counter)
    right: int = 0


class _Combiner(beam.CombineFn):  # type: ignore[misc]
    """Counts the labels, and the right answers."""

    def __init__(self, keys: list[metric_types.MetricKey], eval_config: Any, model: str, output: str) -> None:
        self.keys, self.eval_config, self.model, self.output = keys, eval_config, model, output

    def create_accumulator(self) -> _Tally:
        return _Tally()

    def add_input(self, tally: _Tally, element: metric_types.StandardMetricInputs) -> _Tally:
        for label, scores, _ in metric_util.to_label_prediction_example_weight(
            element, self.eval_config, self.model, self.output, flatten=False
        ):
            tally.labels[int(label.item())] += 1
            tally.right += int(scores.argmax() == label.item())
        return tally

    def merge_accumulators(self, tallies: Iterable[_Tally]) -> _Tally:
        total = _Tally()
        for tally in tallies:
            total.labels.update(tally.labels)
            total.right += tally.right
        return total

    def extract_output(self, tally: _Tally) -> dict[metric_types.MetricKey, float]:
        count = max(1, tally.labels.total())
        majority = max(tally.labels.values(), default=0) / count
        return dict(zip(self.keys, (majority, tally.right / count - majority), strict=True))


# TFMA looks the class up by name.
metric_types.register_metric(AccuracyGain)
