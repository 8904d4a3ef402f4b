"""Texts that every export must answer as the trained model did, alone and in a batch."""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

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


def write(folder: pathlib.Path, columns: list[str], answer: Callable[..., Mapping[str, Any]]) -> None:
    """Keeps what the trained model itself answers, beside the export.

    Args:
      folder: the export's ``assets.extra``.
      columns: the arguments of ``serving_default``.
      answer: the Python function behind ``serving_default``, on the weights in memory.
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
    (folder / FILE).write_text(json.dumps({"inputs": texts, "outputs": values}, ensure_ascii=False), "utf-8")


def read(folder: pathlib.Path) -> dict[str, Any]:
    """``inputs`` by column and ``outputs`` by name, as ``write`` kept them."""
    kept: dict[str, Any] = json.loads((folder / FILE).read_text("utf-8"))
    return kept


def example(folder: pathlib.Path) -> str | None:
    """``"A gorgeous, …" → positive .98``: the first text and its answer; None where the answer is no label."""
    kept = read(folder)
    if "label" not in kept["outputs"]:
        return None
    label, score = kept["outputs"]["label"][0], kept["outputs"]["score"][0]
    return f'"{TEXTS[0]}" → {label} {score:.2f}'.replace(" 0.", " .")
