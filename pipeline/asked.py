"""What a model is asked at the end of a run, the section ``try`` of the YAML, and what it answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.records.kind import load as load_kind
from configs.experiment import Task
from configs.yaml.validate import one_of
from models import families
from models import task as tasks

_SHOWN = 80  # characters of what was asked


def names(task: Task) -> list[str]:
    """The inputs that a model of ``task`` takes, in the order in which a person gives them."""
    its = tasks.load(task.type)(task.own())
    there = {feature.name for feature in load_kind(its.schema)(task.data).schema().feature}
    return [each.name for each in families.load(its.family).inputs if each.name in there and each.name not in its.gold]


def arguments(asked: str | Mapping[str, str], task: Task) -> dict[str, str]:
    """An item of ``try`` as arguments of ``serving_default``.

    Args:
      asked: a line of ``tfx-bert predict``, or values by the column of the records.
      task: says which columns there are.

    Raises:
      ValueError: it is not what the model takes; the sentence says what is.
    """
    family, taken = families.load(tasks.load(task.type).family), names(task)
    if isinstance(asked, str):
        return family.parse(asked, taken)
    keys = {each.name: each.key or each.name for each in family.inputs if each.name in taken}
    columns = {name: column for name, key in keys.items() for known, column in task.data.columns if known == key}
    for column in asked:
        if column not in columns.values():
            raise ValueError(one_of(column, list(columns.values())))
    if missing := [column for column in columns.values() if column not in asked]:
        raise ValueError(f"{missing[0]!r} is missing; a record here has {' and '.join(columns.values())}")
    return {name: asked[column] for name, column in columns.items()}


def answers(folder: Path, task: Task, asked: Sequence[str | Mapping[str, str]]) -> list[str]:
    """``"A gorgeous film" → positive .98``, a line for each item of ``try``.

    Args:
      folder: of the SavedModel.
      task: that it was trained on.
      asked: the items.
    """
    if not asked:
        return []
    import tensorflow as tf
    import tensorflow_text  # noqa: F401 (its ops are in the graph)

    from models.export import golden

    model, the_task = tf.saved_model.load(str(folder)), golden.answers(folder / "assets.extra")
    assert the_task is not None
    given = [arguments(each, task) for each in asked]
    rows = {name: tf.constant([each[name] for each in given]) for name in given[0]}
    outputs: dict[str, Any] = {
        name: value.numpy() for name, value in model.signatures["serving_default"](**rows).items()
    }
    found = [tasks.nth(outputs, index) for index in range(len(given))]
    return [
        " · ".join([f'"{short(" | ".join(each.values()))}" → {the_task.summarize(answer)}', *the_task.told(answer)])
        for each, answer in zip(given, found, strict=True)
    ]


def short(text: str) -> str:
    """A text in at most 80 characters and in one line, for the terminal."""
    text = " ".join(text.replace("\t", " | ").split("\n"))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
