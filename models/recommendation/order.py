"""Whether the order of a history says anything about the next item: counts with the true order, and with none.

The idea is of Klenitskiy et al. 2024, "Does it look sequential?" (arXiv 2408.12008).
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from models.recommendation import baselines, figures

Items: TypeAlias = Sequence[bytes] | np.ndarray
LEARNED, ASKED = 2_000, 1_000  # sequences and questions that are read: a second or two
_LAST = 200  # items of a sequence that are read
_LEAST = 100  # questions without which nothing is said


@dataclasses.dataclass(frozen=True)
class Order:
    """``ndcg_10`` of decayed counts.

    Attributes:
      true: with every history as it is.
      shuffled: with every history shuffled.
      error: standard error of the difference, which is paired.
      asked: questions.
    """

    true: float
    shuffled: float
    error: float
    asked: int

    @property
    def matters(self) -> bool:
        """Whether the true order is better by two standard errors."""
        return self.true - self.shuffled > 2 * self.error

    def __str__(self) -> str:
        if self.matters:
            return f"order matters: counts {_short(self.true)}, shuffled {_short(self.shuffled)}"
        return (
            f"the order of a user's events does not matter for the next item: counts reach ndcg_10 {_short(self.true)} "
            f"with it, {_short(self.shuffled)} when every history is shuffled ({self.asked:,} users); a network that "
            "reads the order has nothing to learn from it: check the column that says when, or take objective: counts"
        )


def measure(learned: Iterable[Items], asked: Iterable[tuple[Items, bytes]]) -> Order | None:
    """None where there are too few questions to tell.

    Args:
      learned: sequences of items, the oldest first.
      asked: histories, and what came next.
    """
    sequences = [np.array(each[-_LAST:], object) for each in learned]
    questions = [(np.array(history[-_LAST:], object), target) for history, target in asked if len(history) > 1]
    if len(questions) < _LEAST or not sequences:
        return None
    draws = np.random.default_rng(0)
    true = _gains(sequences, questions)
    shuffled = _gains(
        [draws.permutation(each) for each in sequences],
        [(draws.permutation(history), target) for history, target in questions],
    )
    error = float((true - shuffled).std(ddof=1)) / len(true) ** 0.5
    return Order(float(true.mean()), float(shuffled.mean()), error, len(true))


def _gains(sequences: Sequence[np.ndarray], questions: Sequence[tuple[np.ndarray, bytes]]) -> np.ndarray:
    train = [{"history": each[:-1], "target": each[-1:]} for each in sequences]
    test = [{"history": history} for history, _ in questions]
    answers = baselines.answers("decay", train, test, exclude_seen=True)
    ranks = [figures.row_of(answer, target)[0] for answer, (_, target) in zip(answers, questions, strict=True)]
    return np.array([figures.ndcg(np.array([rank]), figures.SHOWN) for rank in ranks])


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")
