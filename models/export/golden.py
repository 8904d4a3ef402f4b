"""Values that every export must answer as the trained model did, alone and in a batch."""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from models import task
from models.families import Input

FILE = "golden.json"  # inside assets.extra


def write(
    folder: pathlib.Path,
    family: str,
    inputs: Sequence[Input],
    answer: Callable[..., Mapping[str, Any]],
    the_task: task.Task | None,
    signatures: Sequence[str],
) -> None:
    """Keeps what the trained model itself answers, beside the export.

    Args:
      folder: the export's ``assets.extra``.
      family: its name.
      inputs: the arguments of ``serving_default``.
      answer: the Python function behind ``serving_default``, on the weights in memory.
      the_task: that answers; None for a base model.
      signatures: names of all that the export has.
    """
    import tensorflow as tf

    values = {each.name: list(each.golden) for each in inputs}
    outputs = {
        name: np.char.decode(value.numpy().astype(bytes), "utf-8").tolist()
        if value.dtype == tf.string
        else value.numpy().tolist()
        for name, value in answer(*map(tf.constant, values.values())).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    asked = {"inputs": values, "outputs": outputs, "signatures": list(signatures)}
    kept = {**asked, "task": the_task and the_task.dump(), "family": family}
    (folder / FILE).write_text(json.dumps(kept, ensure_ascii=False), "utf-8")


def read(folder: pathlib.Path) -> dict[str, Any]:
    """``inputs`` and ``outputs`` by name, the ``task`` and the ``family``, as ``write`` kept them."""
    kept: dict[str, Any] = json.loads((folder / FILE).read_text("utf-8"))
    return {"family": "text", **kept}  # exports of earlier versions name none


def answers(folder: pathlib.Path) -> task.Task | None:
    """The task that the model in ``folder`` was trained on; None for a base model, which answers nothing."""
    given = read(folder)["task"]
    return task.load(given["type"])(given["config"]) if given else None


def first(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to the first golden value, as a graph gives it: an array an output.

    Args:
      kept: what ``read`` gave.
    """
    values = {name: np.asarray(rows[0]) for name, rows in kept["outputs"].items()}
    return {name: np.char.encode(x, "utf-8").astype(object) if x.dtype.kind == "U" else x for name, x in values.items()}
