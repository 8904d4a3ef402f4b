"""A TFMA metric: the figures that a task judges its model by, of every slice, and the row metrics behind them."""

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types

from models import task

# Name of the metric that holds the row metrics themselves.
ROWS = "rows"
# A record's identity and its row metrics, by parts of a split.
Rows = list[tuple[np.ndarray, np.ndarray]]


class Figures(metric_types.Metric):
    """``models.task.Task.figures``.

    Args:
      type: of the task.
      config: of the task.
      name: unused; required by TFMA.
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
    names = [*the_task.figures(np.zeros((1, len(the_task.row_metric_names)))).flat(), ROWS]
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
                preprocessors=[metric_types.FeaturePreprocessor([*the_task.gold, "origin"], model_names=named)],
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
            answer = {self.task.answers[0]: np.asarray(answer)}
        features = element.get_features()
        # A record that has no value of a feature comes without it.
        gold = {name: np.asarray(features.get(name, [])) for name in self.task.gold}
        row = np.asarray(self.task.row_metrics(answer, gold), float)
        rows.append((np.array([identity(features["origin"])]), row[None]))
        return rows

    def merge_accumulators(self, accumulators: Iterable[Rows]) -> Rows:
        return [part for rows in accumulators for part in rows]

    def compact(self, rows: Rows) -> Rows:
        ids, values = zip(*rows, strict=True) if rows else ((), ())
        return [(np.concatenate(ids), np.concatenate(values))] if rows else rows

    def extract_output(self, rows: Rows) -> dict[metric_types.MetricKey, float | bytes]:
        empty = np.zeros(0, np.int64), np.zeros((0, len(self.task.row_metric_names)))
        (whole,) = self.compact(rows) or [empty]
        ids, values = ordered(*whole)
        flat = self.task.figures(values).flat()
        return {key: flat.get(name, float("nan")) for name, key in self.keys.items()} | {
            self.keys[ROWS]: pack(ids, values)
        }


def identity(origin: Any) -> int:
    """Of a record, by its ``origin``: 63 bits of a hash, so that the rows of two models can be paired."""
    (text,) = np.asarray(origin).ravel()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def ordered(ids: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same in one order, whatever the order that Beam took."""
    order = np.lexsort((*rows.T[::-1], ids))
    return ids[order], rows[order]


def pack(ids: np.ndarray, rows: np.ndarray) -> bytes:
    """Identities int64 (N,) and row metrics float64 (N, K) as TFMA keeps them: one metric of bytes."""
    return zlib.compress(ids.astype("<i8").tobytes() + rows.astype("<f8").tobytes())


def unpack(packed: bytes, width: int) -> tuple[np.ndarray, np.ndarray]:
    """What ``pack`` packed; ``width`` is K."""
    data = zlib.decompress(packed)
    count = len(data) // (8 * (1 + width))
    return np.frombuffer(data, "<i8", count), np.frombuffer(data, "<f8", offset=8 * count).reshape(count, width)


# TFMA looks the class up by name.
metric_types.register_metric(Figures)
