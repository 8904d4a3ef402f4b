"""Row metrics of the eval split: what chooses the epoch comes from the code that judges the test split.

A batch of the eval split goes the way of a served request, ``inputs`` → model → ``answer``, and ``row_metrics`` takes
each answer with its gold, as in the Evaluator.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from models.task import Task, Tensors, nth


def batches(the_task: Task, rows: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Batches of the eval split, in its order: what the model takes, and the features as ``featurize`` made them.

    Args:
      the_task: of the split.
      rows: transformed records, one an element.
      batch_size: records a batch.
    """
    ragged = rows.ragged_batch(batch_size)
    return ragged.map(lambda features: (the_task.inputs(features), features)).prefetch(2)


def answered(the_task: Task, outputs: Tensors, features: Tensors) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ``serving_examples`` would answer, tensors (B, …), and ``gold``, ragged (B, None); in the graph.

    Args:
      the_task: that answers.
      outputs: of the model.
      features: of ``featurize``, with the record's ``kept_columns``.
    """
    known = gold(the_task, features)
    record = {name: features[name] for name in the_task.texts} | known
    return the_task.answer(outputs, features, record) | the_task.examined(outputs, features, record), known


def gold(the_task: Task, record: Tensors) -> dict[str, tf.RaggedTensor]:
    """``gold`` of a batch of records, ragged (B, None): a list of values a record, whatever their number."""
    return {
        name: record[name]
        if isinstance(record[name], tf.RaggedTensor)
        else tf.RaggedTensor.from_tensor(record[name][:, None])
        for name in the_task.gold
    }


def row_metrics(the_task: Task, answers: Tensors, golds: Mapping[str, tf.RaggedTensor]) -> np.ndarray:
    """``Task.row_metrics`` of a batch: float64 (B, K).

    Args:
      the_task: that answered.
      answers: tensors (B, …), by output.
      golds: ragged (B, None), by feature.
    """
    arrays = {name: np.asarray(value) for name, value in answers.items()}
    parts = {name: np.split(value.values.numpy(), value.row_splits.numpy()[1:-1]) for name, value in golds.items()}
    count = len(next(iter(arrays.values())))
    rows = [
        the_task.row_metrics(nth(arrays, index), {name: part[index] for name, part in parts.items()})
        for index in range(count)
    ]
    return np.array(rows, float).reshape(count, len(the_task.row_metric_names))


def loss_of_split(the_task: Task, model: Any, batches: tf.data.Dataset) -> Callable[[], float]:
    """A function that gives the mean loss of a split, nats.

    Args:
      the_task: whose loss it is.
      model: what ``build`` gave.
      batches: of ``Task.batches``, of the split.
    """

    @tf.function(input_signature=[batches.element_spec], autograph=False)
    def weighed(batch: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        return the_task.loss(model(batch, training=False), batch), the_task.weight(batch)

    def mean() -> float:
        losses = np.array([weighed(batch) for batch in batches], float).reshape(-1, 2)
        return float(np.average(losses[:, 0], weights=losses[:, 1])) if len(losses) else float("nan")

    return mean


def of_split(the_task: Task, model: Any, split: tf.data.Dataset) -> Any:
    """A function that gives ``row_metrics`` of every record of a split, float64 (N, K), by one pass over it.

    Args:
      the_task: that answers.
      model: what ``build`` gave.
      split: of ``batches``.
    """

    @tf.function(input_signature=list(split.element_spec), autograph=False)
    def answers(inputs: Tensors, features: Tensors) -> tuple[dict[str, Any], dict[str, Any]]:
        return answered(the_task, model(inputs, training=False), features)

    return lambda: np.concatenate([row_metrics(the_task, *answers(*batch)) for batch in split])
