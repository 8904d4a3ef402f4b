"""Probes of a model by layer, beside the same of random weights and of control tasks."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from models.analysis import probe_tasks, probes, states
from models.analysis.probes import Labels
from models.analysis.subject import Subject, untrained
from models.bert.encoder import BertEncoder


@dataclasses.dataclass(frozen=True)
class Probe:
    """What is read of a model, a layer a row: L+1 layers, 0 the embeddings.

    Attributes:
      majority: share of the most frequent class.
      accuracy: of each layer and seed, (L+1, R).
      random: likewise, of random weights.
      control: likewise, of the control task; NaN for tasks of sentences.
      selectivity: likewise.
      examples: of all splits.
    """

    majority: float
    accuracy: np.ndarray
    random: np.ndarray
    control: np.ndarray
    selectivity: np.ndarray
    examples: int

    @property
    def best(self) -> int:
        """The layer whose mean accuracy is highest, of equals the first."""
        return int(self.accuracy.mean(axis=1).argmax())

    @property
    def gain(self) -> tuple[float, float]:
        """The best layer's accuracy less that of the best layer of random weights, and its standard error."""
        mine, other = self.accuracy[self.best], self.random[int(self.random.mean(axis=1).argmax())]
        # Both are measured on the same splits.
        difference = mine - other
        return float(difference.mean()), float(difference.std(ddof=1) / len(difference) ** 0.5) if len(mine) > 1 else 0


@dataclasses.dataclass(frozen=True)
class Asked:
    """The texts, and the tasks over some of their vectors.

    Attributes:
      rows: every text; behind them those with two words swapped, then the tagged ones.
      sentences: tasks of sentences, each with the places of its texts in ``rows``.
      words: tasks of words, those over the same words together, with the places of these in ``rows``.
      of_texts: the words of ``rows`` that stand in the texts as they are; they come first.
      left_out: why others are not asked.
    """

    rows: states.Rows
    sentences: Sequence[tuple[Labels, np.ndarray]]
    words: Sequence[tuple[Sequence[Labels], np.ndarray]]
    of_texts: int
    left_out: Sequence[str]


def asked(
    subject: Subject,
    names: Sequence[str],
    texts: Sequence[str],
    labels: Sequence[str] = (),
    tagged: Sequence[tuple[str, Sequence[str]]] = (),
) -> Asked:
    """Makes the tasks.

    Args:
      subject: whose vocabulary reads the texts.
      names: of ``probe_tasks.NAMES``.
      texts: of the records, none empty.
      labels: of each text; empty where it has none.
      tagged: texts with the tags of their words.
    """
    sentences, left_out = list[tuple[Labels, np.ndarray]](), list[str]()
    shifted: list[str] = []

    def take(found: Labels | str, places: np.ndarray) -> None:
        if isinstance(found, str):
            left_out.append(found)
        else:
            sentences.append((found, places))

    everything = np.arange(len(texts))
    for name in names:
        if name == "label":
            if labels:
                take(probe_tasks.of_sentences(name, np.array(labels), everything), everything)
            else:
                left_out.append("label: a record is no single text with one label")
        elif name == "length":
            places, bins = probe_tasks.length(texts)
            take(probe_tasks.of_sentences(name, bins, places), places)
        elif name == "word_content":
            places, held = probe_tasks.word_content(texts)
            take(probe_tasks.of_sentences(name, held, places), places)
        elif name == "bigram_shift":
            places, drawn, swapped = probe_tasks.bigram_shift(texts, seed=0)
            # Those without a swap are texts as they are, which are read anyway.
            shifted = [sentence for sentence, swap in zip(drawn, swapped, strict=True) if swap]
            read = np.where(swapped == 1, len(texts) + np.cumsum(swapped) - 1, places)
            take(probe_tasks.of_sentences(name, swapped, places), read)
    whole = [*texts, *shifted, *(text for text, _ in tagged)]
    no_tags = [()] * (len(texts) + len(shifted))
    rows = states.rows(whole, subject.vocabulary, subject.max_length, [*no_tags, *(tags for _, tags in tagged)])
    owner = np.array([number for number, _ in rows.words], int)
    kept = np.flatnonzero((owner < len(texts)) | (owner >= len(texts) + len(shifted)))
    rows = dataclasses.replace(rows, words=[rows.words[place] for place in kept.tolist()], places=rows.places[kept])
    of_texts = int((owner < len(texts)).sum())
    of_words = list[tuple[Sequence[Labels], np.ndarray]]()
    for asks, places in (
        ([name for name in names if name in _OF_TEXTS], np.arange(of_texts)),
        ([name for name in names if name == "pos"], np.arange(of_texts, len(rows.words))),
    ):
        if not len(places) and asks == ["pos"]:
            left_out.append("pos: no file of tagged words is given (analyze.probes.pos), and the records have no tags")
            continue
        made = [probe_tasks.of_words(name, [rows.words[place] for place in places.tolist()]) for name in asks]
        left_out += [found for found in made if isinstance(found, str)]
        if found := [each for each in made if isinstance(each, Labels)]:
            of_words.append((found, places))
    return Asked(rows, sentences, of_words, of_texts, left_out)


_OF_TEXTS = tuple(name for name in probe_tasks.OF_WORDS if name != "pos")


def of(subject: Subject, given: Asked, seeds: int, own: states.States) -> dict[str, Probe]:
    """The probes by the name of a task.

    Args:
      subject: of ``own``.
      given: what is asked.
      seeds: splits, and networks of random weights.
      own: the vectors of ``given.rows``.
    """
    mine = {seed: dict(_scores(own, given, seed)) for seed in range(seeds)}
    others = {seed: dict(_scores(_untrained(subject.encoder, given, seed), given, seed)) for seed in range(seeds)}
    tasks = [*(task for task, _ in given.sentences), *(task for several, _ in given.words for task in several)]
    return {
        task.name: Probe(
            majority=task.majority,
            accuracy=_of(mine, task.name, "accuracy"),
            random=_of(others, task.name, "accuracy"),
            control=_of(mine, task.name, "control"),
            selectivity=_of(mine, task.name, "selectivity"),
            examples=len(task.classes),
        )
        for task in tasks
    }


def _untrained(encoder: BertEncoder, given: Asked, seed: int) -> states.States:
    return states.of(untrained(encoder, seed), given.rows)


def _of(scores: Mapping[int, Mapping[str, Sequence[probes.Score]]], task: str, name: str) -> np.ndarray:
    """(L+1, R)."""
    return np.array([[getattr(score, name) for score in each[task]] for each in scores.values()]).T


def _scores(vectors: states.States, given: Asked, seed: int) -> Iterator[tuple[str, list[probes.Score]]]:
    """Of each task, a score a layer."""
    for task, places in given.sentences:
        yield task.name, [probes.score(layer[places], [task], seed)[0] for layer in vectors.sentences]
    for tasks, places in given.words:
        by_layer = [probes.score(layer[places], tasks, seed) for layer in vectors.words]
        for place, task in enumerate(tasks):
            yield task.name, [scores[place] for scores in by_layer]
