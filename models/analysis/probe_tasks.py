"""What probes are asked, made of texts alone: SentEval's surface tasks (Conneau et al. 2018), and two of words.

A sentence is a text that the model reads. Words stand between white space.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from models.analysis.probes import Labels

NAMES = ("label", "length", "word_content", "bigram_shift", "position", "casing", "pos")
OF_WORDS = ("position", "casing", "pos")
# In words: the bins of SentEval's task SentLen.
_BINS = ((5, 8), (9, 12), (13, 16), (17, 20), (21, 25), (26, 28))
_RANKS, _LETTERS, _CONTENT, _SENTENCES = (200, 800), 4, 100, 10
_LEAST = 100  # examples that a probe is worth
_PARTS = 5  # of a sentence, for ``position``
_WORD = re.compile(r"\S+")


@dataclasses.dataclass(frozen=True)
class Word:
    """A word of a sentence.

    Attributes:
      text: as it is written.
      start: its first character.
      number: its place among the words, from 0.
      of: how many words the sentence has.
      tag: what a tagged file says of it.
    """

    text: str
    start: int
    number: int
    of: int
    tag: str = ""


def words(text: str, tags: Sequence[str] = ()) -> list[Word]:
    """The words of a text, with their tags where there are as many."""
    found = list(_WORD.finditer(text))
    tagged = tags if len(tags) == len(found) else [""] * len(found)
    return [Word(each[0], each.start(), number, len(found), tagged[number]) for number, each in enumerate(found)]


def length(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The places of the sentences that have a bin, and their bins."""
    counts = np.array([len(text.split()) for text in texts])
    bins = np.full(len(texts), -1)
    for place, (low, high) in enumerate(_BINS):
        bins[(counts >= low) & (counts <= high)] = place
    return np.flatnonzero(bins >= 0), bins[bins >= 0]


def word_content(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which one of some words of middle frequency a sentence holds: places of sentences, and the words' numbers.

    The words: ranks 200 to 800 of the data, four letters at least, those in most sentences first, in ten at least. A
    sentence holds exactly one of them, once.
    """
    split = [[word.lower().strip(".,;:!?\"'()[]") for word in text.split()] for text in texts]
    ranked = [word for word, _ in Counter(word for each in split for word in each).most_common(_RANKS[1])]
    middle = {word for word in ranked[_RANKS[0] :] if len(word) >= _LETTERS and word.isalpha()}
    holding = Counter(word for each in split for word in set(each) & middle)
    chosen = {word: place for place, (word, _) in enumerate(holding.most_common(_CONTENT))}
    found = {
        place: chosen[held[0]]
        for place, each in enumerate(split)
        if len(held := [word for word in each if word in chosen]) == 1
    }
    enough = {number for number, count in Counter(found.values()).items() if count >= _SENTENCES}
    kept = [place for place, number in found.items() if number in enough]
    return np.array(kept, int), np.array([found[place] for place in kept], int)


def bigram_shift(texts: Sequence[str], seed: int) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Sentences of which every other one has two neighbours swapped, neither at an end, neither with punctuation.

    Returns:
      Places of sentences of five words or more, the sentences, and 1 where two words are swapped.
    """
    generator = np.random.default_rng(seed)
    places, made, swapped = list[int](), list[str](), list[int]()
    for place, text in enumerate(texts):
        split = text.split()
        able = [
            number
            for number in range(1, len(split) - 2)
            if split[number].isalpha() and split[number + 1].isalpha() and split[number] != split[number + 1]
        ]
        if not able:
            continue
        number, swap = int(generator.choice(able)), len(made) % 2
        if swap:
            split[number], split[number + 1] = split[number + 1], split[number]
        places.append(place)
        made.append(" ".join(split))
        swapped.append(swap)
    return np.array(places, int), made, np.array(swapped, int)


def of_words(name: str, given: Sequence[tuple[int, Word]]) -> Labels | str:
    """A task of words; or why it cannot be asked.

    Args:
      name: of ``OF_WORDS``.
      given: words with the number of their sentence.
    """
    types = _numbers([word.text.lower() for _, word in given])
    groups = np.array([sentence for sentence, _ in given], int)
    if name == "position":
        classes = np.array([_PARTS * word.number // word.of for _, word in given], int)
    elif name == "casing":
        # The first word of a sentence is capitalised whatever it is.
        classes = np.array([int(word.text[0].isupper()) for _, word in given], int)
    else:
        classes = _numbers([word.tag.partition("-")[0] for _, word in given])
    return checked(Labels(name, classes, groups, types))


def of_sentences(name: str, classes: np.ndarray, groups: np.ndarray) -> Labels | str:
    """A task of sentences; or why it cannot be asked."""
    return checked(Labels(name, _numbers(classes.tolist()), groups))


def checked(labels: Labels) -> Labels | str:
    """The task, or why it cannot be asked: too few examples, or all alike."""
    if len(labels.classes) < _LEAST:
        return f"{labels.name}: {len(labels.classes)} examples are fewer than {_LEAST}"
    if len(np.unique(labels.classes)) < 2:
        return f"{labels.name}: all examples are alike"
    return labels


def _numbers(values: Sequence[object]) -> np.ndarray:
    """Values as 0 … C-1, in the order of their names."""
    place = {value: number for number, value in enumerate(sorted(set(values), key=str))}
    return np.array([place[value] for value in values], int)
