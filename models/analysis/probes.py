"""Linear probes: what can be read from a layer's vectors, beside two controls.

Ridge regression onto one-hot labels, in closed form: the same answer each time, and a tenth of a second. One
decomposition of a layer serves every penalty and every task over the same vectors.

Axes: N examples, D hidden, C classes.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
_TRAIN, _DEV = 0.6, 0.8  # shares of the sentences, cumulated; the rest is test


@dataclasses.dataclass(frozen=True)
class Labels:
    """What a probe is to read.

    Attributes:
      name: of the task.
      classes: int (N,), 0 … C-1.
      groups: int (N,), the sentence of each example: all of one are in the same split.
      types: int (N,), the word type of each example, for the control task; None for tasks of whole sentences.
    """

    name: str
    classes: np.ndarray
    groups: np.ndarray
    types: np.ndarray | None = None

    @property
    def majority(self) -> float:
        """Share of the most frequent class."""
        return float(np.bincount(self.classes).max() / len(self.classes))


@dataclasses.dataclass(frozen=True)
class Split:
    """Places of examples by split, int."""

    train: np.ndarray
    dev: np.ndarray
    test: np.ndarray

    @classmethod
    def of(cls, groups: np.ndarray, seed: int) -> "Split":
        """60, 20 and 20 % of the groups, drawn by ``seed``."""
        names = np.unique(groups)
        order = np.random.default_rng(seed).permutation(len(names))
        share = np.empty(len(names))
        share[order] = (np.arange(len(names)) + 0.5) / len(names)
        of_example = share[np.searchsorted(names, groups)]
        parts = (of_example < _TRAIN, (of_example >= _TRAIN) & (of_example < _DEV), of_example >= _DEV)
        return cls(*map(np.flatnonzero, parts))


class Ridge:
    """Ridge regression with an intercept, of vectors (N, D), for any targets and penalties.

    scikit-learn's ``RidgeClassifier`` answers the same: there are ±1 in the place of 0 and 1.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self.mean = vectors.mean(axis=0, dtype=float)
        self._centred = vectors - self.mean
        self._values, self._directions = np.linalg.eigh(self._centred.T @ self._centred)

    def answers(self, classes: np.ndarray, asked: np.ndarray, penalties: Sequence[float] = PENALTIES) -> np.ndarray:
        """The class of each asked vector by each penalty: int (P, M).

        Args:
          classes: int (N,), of the vectors that it is made of.
          asked: (M, D).
          penalties: of the squared weights.
        """
        targets = np.eye(classes.max() + 1)[classes]
        intercept = targets.mean(axis=0)
        moments = self._directions.T @ (self._centred.T @ (targets - intercept))
        rotated = (asked - self.mean) @ self._directions
        values = np.maximum(self._values, 0)  # rounding
        scores = [rotated @ (moments / (values + each)[:, None]) + intercept for each in penalties]
        return np.stack([score.argmax(axis=1) for score in scores])


@dataclasses.dataclass(frozen=True)
class Score:
    """Of a probe on the test part.

    Attributes:
      accuracy: share of right answers.
      control: likewise of the control task; NaN without one.
      selectivity: accuracy on words that train has, less the control's on the same ones; NaN likewise.
    """

    accuracy: float
    control: float = float("nan")
    selectivity: float = float("nan")


def score(vectors: np.ndarray, tasks: Sequence[Labels], seed: int) -> list[Score]:
    """Probes of several tasks over the same examples, and their control tasks.

    Args:
      vectors: (N, D).
      tasks: with the same ``groups``.
      seed: of the split, and of the control's labels.
    """
    split = Split.of(tasks[0].groups, seed)
    ridge = Ridge(vectors[split.train])

    def right(classes: np.ndarray) -> np.ndarray:
        """Whether each test example is answered rightly, by the penalty that does best on dev."""
        asked = vectors[np.concatenate([split.dev, split.test])]
        found = ridge.answers(classes[split.train], asked)
        on_dev = (found[:, : len(split.dev)] == classes[split.dev]).mean(axis=1) if len(split.dev) else np.zeros(1)
        hits: np.ndarray = found[on_dev.argmax(), len(split.dev) :] == classes[split.test]
        return hits

    return [_score(task, split, right, seed) for task in tasks]


def _score(task: Labels, split: Split, right: Callable[[np.ndarray], np.ndarray], seed: int) -> Score:
    hits = right(task.classes)
    accuracy = float(hits.mean())
    if task.types is None:
        return Score(accuracy)
    control = right(control_classes(task, seed))
    seen = np.isin(task.types[split.test], task.types[split.train])
    if not seen.any():
        return Score(accuracy)
    of_seen = float(control[seen].mean())
    return Score(accuracy, of_seen, float(hits[seen].mean()) - of_seen)


def control_classes(task: Labels, seed: int) -> np.ndarray:
    """A class for each word type, drawn as often as the task has it (Hewitt & Liang 2019, section 2): int (N,).

    What a probe reads of it, it has learned by heart.
    """
    assert task.types is not None
    shares = np.bincount(task.classes) / len(task.classes)
    drawn = np.random.default_rng([seed, 1]).choice(len(shares), size=task.types.max() + 1, p=shares)
    classes: np.ndarray = drawn[task.types]
    return classes
