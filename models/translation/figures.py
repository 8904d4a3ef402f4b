"""Figures of translations, from numbers of each record that add up: a slice and a resample are as exact as the whole.

chrF (Popović 2015) and BLEU (Papineni et al. 2002) are sacreBLEU's own code (Post 2018): it gives the counts of a pair,
and makes a score of their sums.
"""

import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.figures import Figures, Section
from models.text.script import script_of

# Scripts that are written without spaces, or whose words are inflected past recognition: BLEU counts their characters.
BY_CHARACTER = frozenset({"Hangul", "Han or Kana", "Thai"})
# Of the names of ``row``: the counts of chrF, and of BLEU over words and over characters.
_CHRF, _WORDS, _CHARACTERS = slice(0, 18), slice(18, 28), slice(28, 38)
_BLEU = ("answer", "reference", *(f"{what}_{n}" for what in ("right", "all") for n in range(1, 5)))
NAMES = (
    *(f"chrf_{what}_{n}" for n in range(1, 7) for what in ("answer", "reference", "match")),
    *(f"bleu_{unit}_{what}" for unit in ("word", "character") for what in _BLEU),
    *("by_character", "exact", "truncated", "empty", "copied", "expected", "kept", "similarity"),
)
# Of the similarity to the nearest known source, what "by novelty" tells apart.
_NOVELTY = (
    ("like a known one (≥ .8)", 0.8, math.inf),
    ("a little like one (.5–.8)", 0.5, 0.8),
    ("new (< .5)", -math.inf, 0.5),
)


def judged(answer: Mapping[str, np.ndarray], record: Mapping[str, np.ndarray], protect: Sequence[str]) -> list[float]:
    """``row`` of an answer.

    Args:
      answer: ``translation`` and ``source``; ``truncated`` and ``similarity``, where there are any.
      record: with its ``target``.
      protect: as for ``row``.
    """
    texts = (answer["translation"], record["target"], answer["source"])
    return row(
        *(text.item().decode() for text in texts),
        truncated=bool(answer["truncated"]) if "truncated" in answer else False,
        protect=protect,
        similarity=float(answer["similarity"]) if "similarity" in answer else math.nan,
    )


def row(
    translation: str,
    reference: str,
    source: str,
    *,
    truncated: bool,
    protect: Sequence[str],
    similarity: float = math.nan,
) -> list[float]:
    """The numbers ``NAMES`` of one record.

    Args:
      translation: the answer.
      reference: the right one.
      source: what was asked.
      truncated: whether the answer is of the head of the source only.
      protect: patterns (RE2) of what is to be kept. They count where the reference keeps what the source has.
      similarity: of the source to the nearest one of the train split, 0 to 1, where whoever answers knows it.
    """
    counts = [_statistics(metric, translation, reference) for metric in (_chrf(), _bleu("13a"), _bleu("char"))]
    answer, right, asked = (" ".join(text.split()) for text in (translation, reference, source))
    expected = placeholders(source, protect)
    expected = expected if expected == placeholders(reference, protect) else Counter()
    kept = expected & placeholders(translation, protect)
    flags = (
        script_of(reference) in BY_CHARACTER,
        answer == right,
        truncated,
        not answer,
        answer == asked != right,
    )
    numbers = (*counts[0], *counts[1], *counts[2], *flags, expected.total(), kept.total(), similarity)
    return [float(number) for number in numbers]


def placeholders(text: str, protect: Sequence[str]) -> Counter[str]:
    """What the patterns find in a text, from left to right, and how often."""
    found = _pattern(tuple(protect)).finditer(text) if protect else ()
    return Counter(match.group() for match in found if match.group())


def chrf(rows: np.ndarray) -> float:
    """chrF2 of the corpus, 0 to 100; NaN without records.

    Args:
      rows: of ``row``, float64 (N, K); columns behind those of ``NAMES`` are not read.
    """
    return _score(_chrf(), rows[:, _CHRF])


def figures(rows: np.ndarray) -> Figures:
    """Of a split or a slice.

    ``chrf``; ``bleu``, over characters where most references are in a script of ``BY_CHARACTER``; shares of answers
    that are ``exact``, ``truncated``, ``empty`` or ``copied`` from the source; ``length_ratio``, of all answers to all
    references in BLEU's units; ``placeholders_kept``, 1 where there is none to be kept.

    Args:
      rows: as for ``chrf``.
    """
    column = {name: rows[:, place] for place, name in enumerate(NAMES)}
    part, unit = (_CHARACTERS, "char") if 2 * column["by_character"].sum() > len(rows) else (_WORDS, "13a")
    answered, referred, *_ = rows[:, part].sum(axis=0)
    expected = column["expected"].sum()
    values = {
        "chrf": chrf(rows),
        "bleu": _score(_bleu(unit), rows[:, part]),
        "exact": _mean(column["exact"]),
        "placeholders_kept": float(column["kept"].sum() / expected) if expected else 1.0,
        "length_ratio": float(answered / referred) if referred else math.nan,
        **{name: _mean(column[name]) for name in ("truncated", "empty", "copied")},
    }
    return Figures(values, computed={"chrf": _signature(_chrf()), "bleu": _signature(_bleu(unit))})


def novelty(rows: np.ndarray, nearest: np.ndarray) -> Section:
    """ChrF by how much the source is like one of the train split, beside that of its nearest one's translation.

    A model that only remembers does well on what it nearly knows, and fails on the rest.

    Args:
      rows: of ``row``, of the model.
      nearest: likewise, of ``baselines.nearest``.
    """
    similarity = nearest[:, NAMES.index("similarity")]
    table = list[list[str | float]]()
    for name, low, high in _NOVELTY:
        part = (similarity >= low) & (similarity < high)
        if part.any():
            table.append([name, f"{part.sum():,}", *(chrf(each[part]) for each in (rows, nearest))])
    return Section("By novelty", ["source", "records", "chrf", "chrf of nearest"], table)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _score(metric: Any, counts: np.ndarray) -> float:
    return float(metric._compute_score_from_stats(counts.sum(axis=0).tolist()).score) if len(counts) else math.nan


def _statistics(metric: Any, translation: str, reference: str) -> Sequence[int]:
    (counts,) = metric._extract_corpus_statistics([translation], [[reference]])
    return list(counts)


def _signature(metric: Any) -> str:
    """As sacreBLEU prints it: ``chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0``."""
    return f"{metric.corpus_score(['a'], [['a']]).name}|{metric.get_signature()}"


@functools.cache
def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


@functools.cache
def _bleu(tokenizer: str) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenizer, force=True)


@functools.cache
def _pattern(protect: tuple[str, ...]) -> Any:
    """All patterns as one, of the engine that they are written for."""
    import re2

    return re2.compile("|".join(f"(?:{each})" for each in protect))
