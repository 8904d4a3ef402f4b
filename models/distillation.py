"""A student learns the answers of a teacher beside the labels (Hinton et al. 2015, section 2).

The answers are numbers in the rows, so a step runs the student alone.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from models.task import TAUGHT, Task, Tensors
from models.training import replicas

ANSWER, LABELLED = TAUGHT
UNLABELLED = "unlabelled.gz"  # the file of the rows without a label, in the folder of the train split


def width(the_task: Task) -> int:
    """How many numbers an answer has: one a label, or one."""
    return len(the_task.label_names or (None,))


def spec(the_task: Task) -> dict[str, Any]:
    """How the features of ``TAUGHT`` are parsed."""
    return {
        ANSWER: tf.io.FixedLenFeature([width(the_task)], tf.float32),
        LABELLED: tf.io.FixedLenFeature([], tf.float32),
    }


def loss(the_task: Task, teacher: Mapping[str, Any]) -> Callable[[Tensors, Tensors], tf.Tensor]:
    """``weight`` · mean soft loss of all rows + (1 - ``weight``) · the task's loss of the rows with a label.

    Args:
      the_task: of student and teacher.
      teacher: ``temperature`` and ``weight`` of ``configs.teacher.Teacher``.

    Returns:
      ``loss(outputs, batch)``, as ``Task.loss``.
    """
    weight = teacher["weight"]

    def mixed(outputs: Tensors, batch: Tensors) -> tf.Tensor:
        soft = replicas.mean(the_task.soft_loss(outputs, batch[ANSWER], teacher["temperature"]))
        if weight == 1:
            return soft
        labelled = batch[LABELLED] > 0.5
        hard = the_task.loss(*({n: tf.boolean_mask(x, labelled) for n, x in each.items()} for each in (outputs, batch)))
        return weight * soft + (1 - weight) * hard

    return mixed


def together(labelled: tf.data.Dataset, unlabelled: tf.data.Dataset, counts: tuple[int, int]) -> tf.data.Dataset:
    """Rows of both, evenly mixed and always in the same order: a shuffle's buffer may hold fewer than all of them.

    Args:
      labelled: rows with a label.
      unlabelled: rows without.
      counts: how many there are of each.
    """
    total, others = sum(counts), counts[1]
    # Of the first i rows, i · others // total have no label.
    which = tf.data.Dataset.range(total).map(lambda i: (i + 1) * others // total - i * others // total)
    return tf.data.Dataset.choose_from_datasets([labelled, unlabelled], which, stop_on_empty_dataset=False)
