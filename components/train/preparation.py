"""What every training of a task reads, of the Trainer and of the Tuner: rows of both splits, and the task that fits."""

import dataclasses
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer import fn_args_utils

from components.train import training
from models import distillation, task, vocabularies
from models.training.reading import rows


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What every training of a node has in common.

    Attributes:
      task: with what it had to know beforehand.
      transformed: records of the train split.
      train: rows that are trained on.
      held_out: records of the eval split.
      records: how many ``train`` are, without those of ``unlabelled``.
      files: of both.
      unlabelled: rows that only a teacher answered, and how many there are; None where there are none.
    """

    task: task.Task
    transformed: tf.data.Dataset
    train: tf.data.Dataset
    held_out: tf.data.Dataset
    records: int
    files: list[str]
    unlabelled: tuple[tf.data.Dataset, int] | None = None


def prepare(fn_args: fn_args_utils.FnArgs, config: dict[str, Any]) -> Prepared:
    """Reads the train split once.

    Args:
      fn_args: of the node.
      config: its ``custom_config``.
    """
    spec = tft.TFTransformOutput(fn_args.transform_output).transformed_feature_spec()
    splits = [training.matching(patterns) for patterns in (fn_args.train_files, fn_args.eval_files)]
    the_task = task.load(config["task"]["type"])(config["task"]["config"])
    unlabelled = None
    if "teacher" in config["train"]:
        spec |= distillation.spec(the_task)
        if others := [path for path in splits[0] if path.endswith(f"/{distillation.UNLABELLED}")]:
            unlabelled = rows(others, spec), _count(rows(others, spec))
            splits[0] = [path for path in splits[0] if path not in others]
    transformed, held_out = (rows(files, spec) for files in splits)
    return prepared(fn_args, the_task, transformed, held_out, [*splits[0], *splits[1]], unlabelled)


def prepared(
    fn_args: fn_args_utils.FnArgs,
    the_task: task.Task,
    transformed: Any,
    held_out: Any,
    files: list[str],
    unlabelled: tuple[Any, int] | None,
) -> Prepared:
    """What trainings read of these records; the arguments are as in ``Prepared``."""
    train = the_task.training_rows(transformed)
    vocabulary = vocabularies.read(training.vocabulary_folder(fn_args.transform_output))
    records = _count(train)
    fitted = the_task.fitted(train, held_out, vocabulary)
    if unlabelled:
        train = distillation.together(train, unlabelled[0], (records, unlabelled[1]))
    return Prepared(fitted, transformed, train, held_out, records, files, unlabelled)


def _count(rows_: tf.data.Dataset) -> int:
    return int(rows_.reduce(0, lambda n, _: n + 1))
