"""A TFMA metric: what follows from the confusion of labels and best answers, exactly.

TFMA's own per-class figures count an answer when its score passes 0.5, so with three labels an answer may count for
none; its accuracy is a float32. Here the label with the highest score is the answer, as the model serves it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
from tensorflow_model_analysis.metrics import metric_types, metric_util

MAJORITY = "majority_share"
GAIN = "accuracy_gain"

# (label, answer), both as places in the list of labels: records.
Tally = Counter[tuple[int, int]]


class Confusion(metric_types.Metric):
    """Of each slice: ``accuracy``; ``precision[L]``, ``recall[L]`` and ``mistaken[L]`` of every label L.

    ``f1`` is the last one's with two labels, else the mean over the labels. ``majority_share`` is the share of the most
    frequent label, ``accuracy_gain`` accuracy minus that share, ``mistaken[L]`` the place of the answer that records of
    L mostly got instead (-1: none).

    Args:
      labels: in the order of the scores.
      name: prefix of nothing; TFMA asks for one.
    """

    def __init__(self, labels: Sequence[str], name: str = "confusion") -> None:
        super().__init__(_computations, labels=list(labels), name=name)


def figures(tally: Tally, labels: Sequence[str]) -> dict[str, float]:
    """The figures of one slice; a share of nothing is 0, as in scikit-learn with ``zero_division=0``."""
    total = tally.total()
    right = [tally[index, index] for index in range(len(labels))]
    given = [sum(count for (label, _), count in tally.items() if label == index) for index in range(len(labels))]
    answered = [sum(count for (_, answer), count in tally.items() if answer == index) for index in range(len(labels))]
    accuracy, majority = _share(sum(right), total), _share(max(given), total)
    found = {"accuracy": accuracy, MAJORITY: majority, GAIN: accuracy - majority}
    for index, label in enumerate(labels):
        found[f"precision[{label}]"] = _share(right[index], answered[index])
        found[f"recall[{label}]"] = _share(right[index], given[index])
        wrong = Tally({key: count for key, count in tally.items() if key[0] == index and key[1] != index})
        found[f"mistaken[{label}]"] = float(wrong.most_common(1)[0][0][1]) if wrong else -1.0
    f1 = [_share(2 * right[index], given[index] + answered[index]) for index in range(len(labels))]
    found["f1"] = f1[1] if len(labels) == 2 else sum(f1) / len(f1)
    return found


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _computations(
    labels: list[str],
    name: str = "confusion",
    model_names: list[str] | None = None,
    output_names: list[str] | None = None,
    eval_config: Any = None,
    example_weighted: bool = False,
) -> list[metric_types.MetricComputation]:
    del name
    computations = []
    for model in model_names or [""]:
        for output in output_names or [""]:
            keys = {
                key: metric_types.MetricKey(
                    key, model_name=model, output_name=output, example_weighted=example_weighted
                )
                for key in figures(Tally({(0, 0): 1}), labels)
            }
            combiner = _Combiner(keys, labels, eval_config, model, output)
            computations.append(
                metric_types.MetricComputation(keys=list(keys.values()), preprocessors=None, combiner=combiner)
            )
    return computations


class _Combiner(beam.CombineFn):
    """Counts."""

    def __init__(
        self, keys: dict[str, metric_types.MetricKey], labels: list[str], eval_config: Any, model: str, output: str
    ) -> None:
        self.keys, self.labels = keys, labels
        self.eval_config, self.model, self.output = eval_config, model, output

    def create_accumulator(self) -> Tally:
        return Tally()

    def add_input(self, tally: Tally, element: metric_types.StandardMetricInputs) -> Tally:
        for label, scores, _ in metric_util.to_label_prediction_example_weight(
            element, self.eval_config, self.model, self.output, flatten=False
        ):
            tally[int(label.item()), int(scores.argmax())] += 1
        return tally

    def merge_accumulators(self, tallies: Iterable[Tally]) -> Tally:
        return sum(tallies, Tally())

    def extract_output(self, tally: Tally) -> dict[metric_types.MetricKey, float]:
        return {self.keys[name]: value for name, value in figures(tally, self.labels).items()}


# TFMA looks the class up by name.
metric_types.register_metric(Confusion)
