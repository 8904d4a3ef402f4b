"""WordPiece: learned from the train splits or imported, with the rules by which text becomes words.

A folder holds ``vocab.txt`` (a piece a line), ``text.json`` (``TextRules``) and ``report.json``.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from models import progress
from models.checkpoints import checkpoint
from models.text import tokenization, wordpiece
from models.text.tokenization import TextRules, Tokenizer
from models.vocabularies import RULES
from schemas import DataError

# Shares of the running words that are [UNK]: past the first a notice says so, past the second the run stops.
_MANY_UNKNOWN, _NEARLY_ALL_UNKNOWN = 0.2, 0.8


def check(settings: Mapping[str, Any]) -> None:
    """Raises ValueError for a mode that there is not, a reserve that cannot work, and no source or several."""
    learn, path, base = settings["learn"], settings["path"], settings.get("base", False)
    if (learn is not None) + (path is not None) + base != 1:
        raise ValueError(f"give one of learn, path and base_model. Received: learn={learn}, path={path}, base={base}")
    _rules(settings, None)


def learn(
    texts: Iterable[Any],
    settings: Mapping[str, Any],
    folder: Path,
    *,
    imported: bytes | None = None,
    base: Path | None = None,
) -> str:
    """Writes ``vocab.txt``, ``text.json`` and ``report.json``; see ``models.vocabularies.Module.learn``.

    Args:
      texts: string tensors (N,), raw.
      settings: ``learn`` (pieces) or ``path``; ``reserve``; ``mode``, None for that of ``base``, else
        ``bert_uncased``; ``replace``, where empty that of ``base``.
      folder: exists.
      imported: the content of a ``vocab.txt``, which ``settings["path"]`` names.
      base: a Hugging Face folder whose vocabulary, casing and rules are taken.

    Returns:
      Pieces, share of [UNK], pieces a word.

    Raises:
      DataError: there is no text, nearly all words are [UNK], or the imported vocabulary is at fault.
    """
    if base:
        start = checkpoint.read(base)
        pieces, rules = list(start.vocabulary), _rules(settings, TextRules.load(start.rules))
    else:
        pieces, rules = [], _rules(settings, None)
    if imported is not None:
        pieces = tokenization.vocabulary(imported, settings["path"])
    counts = wordpiece.count(texts, rules)
    if settings["learn"]:
        pieces = wordpiece.learn(counts, settings["learn"], rules.reserve)
    if not counts:
        raise DataError("the train split has no text: there is nothing to learn from")
    report = wordpiece.report(Tokenizer(pieces, rules), counts)
    _judge(report)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), "utf-8")
    said = {"kind": "wordpiece", **rules.dump()}
    (folder / RULES).write_text(json.dumps(said, ensure_ascii=False, indent=1), "utf-8")
    (folder / "report.json").write_text(report.dump(), "utf-8")
    return str(report)


def read(folder: Path) -> Tokenizer:
    """The tokenizer, in the graph.

    Raises:
      DataError: ``vocab.txt`` is absent, empty, not UTF-8, or lacks a special piece.
    """
    return Tokenizer.read(folder)


def _rules(settings: Mapping[str, Any], base: TextRules | None) -> TextRules:
    """The experiment's rules over imported ones: its mode or theirs, its replacements or theirs, both reserves."""
    base = base or TextRules()
    own = TextRules.load({"mode": settings["mode"] or base.mode, "replace": settings["replace"]})
    reserve = tuple(dict.fromkeys((*base.reserve, *settings["reserve"])))
    return dataclasses.replace(own, replace=own.replace or base.replace, reserve=reserve)


def _judge(report: wordpiece.Report) -> None:
    """Stops a run whose words nearly all become [UNK]; says so where many do."""
    cure = "take a vocabulary or a checkpoint of the texts' language and spelling, or learn one (vocabulary.learn)"
    if report.unknown >= _NEARLY_ALL_UNKNOWN:
        raise DataError(f"{report.unknown:.0%} of the {report.words:,} words are [UNK] with this vocabulary; {cure}")
    if report.unknown >= _MANY_UNKNOWN:
        progress.emit(progress.Notice(f"{report.unknown:.0%} of the words are [UNK]; {cure}"))
