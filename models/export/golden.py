"""Golden requests: every export must answer them as the trained model did, alone and in a batch."""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from models import task

FILE = "golden.json"  # inside assets.extra

TEXTS = (
    "A gorgeous, witty, seductive film.",
    "It is not what I expected , and the sound was bad .",
    "",
    " ",
    "a",
    "WORD " * 2000,
    "x" * 5000,
    "😀 👨‍👩‍👧‍👦 🇰🇷",
    "삼성전자는 어제 좋은 소식을 발표했다.",
    "한글 자모",
    "naïve café ＦＵＬＬ ﬁne ß İstanbul",
    "tab\tnew\nline\r\0null\x07bell\u200bzero\u00a0nbsp\u3000wide\ufffd",
    "[CLS] [SEP] [MASK] [PAD] [UNK] ##ing",
    "العربية עברית ไทย 日本語 中文",
)


def arguments(columns: list[str]) -> dict[str, list[str]]:
    """The texts as arguments of ``serving_default``; second texts run in the other direction."""
    return {column: list(TEXTS if index == 0 else TEXTS[::-1]) for index, column in enumerate(columns)}


def write(
    folder: pathlib.Path, columns: list[str], answer: Callable[..., Mapping[str, Any]], the_task: task.Task | None
) -> None:
    """Keeps what the trained model itself answers, beside the export.

    Args:
      folder: the export's ``assets.extra``.
      columns: the arguments of ``serving_default``.
      answer: the Python function behind ``serving_default``, on the weights in memory.
      the_task: that answers; None for a base model.
    """
    import tensorflow as tf

    texts = arguments(columns)
    outputs = answer(*(tf.constant(texts[column]) for column in columns))
    values = {
        name: np.char.decode(value.numpy().astype(bytes), "utf-8").tolist()
        if value.dtype == tf.string
        else value.numpy().tolist()
        for name, value in outputs.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"inputs": texts, "outputs": values, "task": the_task and the_task.dump()}
    (folder / FILE).write_text(json.dumps(kept, ensure_ascii=False), "utf-8")


def read(folder: pathlib.Path) -> dict[str, Any]:
    """``inputs`` by column, ``outputs`` by name and the ``task``, as ``write`` kept them."""
    kept: dict[str, Any] = json.loads((folder / FILE).read_text("utf-8"))
    return kept


def answers(folder: pathlib.Path) -> task.Task | None:
    """The task that the model in ``folder`` was trained on; None for a base model, which answers nothing."""
    given = read(folder)["task"]
    return task.load(given["type"])(given["config"]) if given else None


def example(folder: pathlib.Path) -> str | None:
    """``"A gorgeous, …" → positive .98``: the first text and its answer; None for a base model."""
    the_task = answers(folder)
    if the_task is None:
        return None
    return f'"{TEXTS[0]}" → {the_task.summarize(first(read(folder)))}'


def first(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to the first text, as a graph gives it: an array an output.

    Args:
      kept: what ``read`` gave.
    """
    values = {name: np.asarray(rows[0]) for name, rows in kept["outputs"].items()}
    return {name: np.char.encode(x, "utf-8").astype(object) if x.dtype.kind == "U" else x for name, x in values.items()}
