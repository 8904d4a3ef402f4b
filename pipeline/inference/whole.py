"""Texts that are longer than a model takes: they are asked sentence by sentence, and answered as one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from components.records import sentences
from models.task import Task, nth

_BATCH = 32
Ask = Callable[[dict[str, list[str]]], Mapping[str, Any]]


def answers(ask: Ask, the_task: Task, arguments: dict[str, list[str]]) -> dict[str, np.ndarray]:
    """What a signature answers, an array an output; no text of a task that is ``by_sentences`` is cut for its length.

    Args:
      ask: lists of strings by argument, to tensors (B, …) by output.
      the_task: that answers.
      arguments: of B texts.

    Returns:
      The outputs; of a task that is ``by_sentences`` also ``sentences`` int64 (B,), how many a text was asked in.
    """
    outputs = _arrays(ask(arguments))
    if not the_task.by_sentences:
        return outputs
    (texts,) = arguments.values()
    outputs["sentences"] = np.ones(len(texts), np.int64)
    parts = {row: sentences.split(texts[row]) for row in np.flatnonzero(outputs["truncated"]).tolist()}
    parts = {row: split for row, split in parts.items() if len(split) > 1}
    (name,) = arguments
    found = _asked(ask, name, [sentence for split in parts.values() for sentence in split])
    for row, split in parts.items():
        joined = the_task.joined([found.pop(0) for _ in split])
        for output, value in joined.items():
            outputs[output][row] = value
        outputs["sentences"][row] = len(split)
    return outputs


def _asked(ask: Ask, name: str, texts: Sequence[str]) -> list[dict[str, np.ndarray]]:
    """The answer to each text."""
    found: list[dict[str, np.ndarray]] = []
    for start in range(0, len(texts), _BATCH):
        batch = list(texts[start : start + _BATCH])
        outputs = _arrays(ask({name: batch}))
        found += [nth(outputs, index) for index in range(len(batch))]
    return found


def _arrays(outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    # Copies: what TensorFlow gives cannot be written to.
    return {name: np.array(value) for name, value in outputs.items()}
