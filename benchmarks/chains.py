"""Logs whose best possible figure is known: walks of a chain of items, with the true matrix at hand.

``python -m benchmarks.recommendation chain``: 200 items, from each of which a few are likely (Dirichlet, .1). Who knows
the matrix, and leaves out what was seen, has the best hit@10 that there is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.measure import table, timed
from models import families, task
from models.judging import eval_rows
from models.recommendation import baselines, figures
from models.training.optimizer import AdamW, LinearSchedule
from models.vocabularies.items import Items

SHAPE = {
    "num_layers": 1,
    "hidden_dim": 48,
    "num_heads": 2,
    "max_positions": 64,
    "dropout": 0.1,
    "attention_dropout": 0.1,
}
ITEMS, WALKS = 200, 9000
SHARE = 0.95  # of the best possible figure
# What each objective is learned with: the task's keys, epochs, learning rate.
LEARNED: Mapping[str, tuple[dict[str, Any], int, float]] = {
    "causal": ({}, 12, 5e-3),
    "cloze": ({"objective": "cloze", "passes": 2}, 60, 3e-3),
    "counts": ({"objective": "counts"}, 0, 0.0),
}
Pair = tuple[list[int], int]
Rows = Callable[[list[int]], np.ndarray]


def drawn(rows: Rows, lengths: Sequence[int], generator: np.random.Generator) -> list[list[int]]:
    """Walks of a chain: ``rows(history)`` are the probabilities of the next item."""
    walks = []
    for length in lengths:
        walk: list[int] = []
        while len(walk) < length:
            walk.append(int(generator.choice(len(rows([])), p=rows(walk))))
        walks.append(walk)
    return walks


class Split:
    """``train``, ``test``: the last item of a walk is the target; of the train split the one before.

    Args:
      walks: of at least three items.
      size: how many items there are.
      vectors: of their titles, float32 (I, T).
    """

    def __init__(self, walks: Sequence[list[int]], size: int, vectors: np.ndarray | None = None) -> None:
        self.train, self.test = ([(each[:-1], each[-1]) for each in part] for part in ([w[:-1] for w in walks], walks))
        counts = np.bincount([each for walk in walks for each in walk[:-1]], minlength=size)
        self.order = np.lexsort((np.arange(size), -counts))
        names = [str(each) for each in self.order]
        self.items = Items(names, counts[self.order].tolist(), vectors=None if vectors is None else vectors[self.order])

    def dataset(self, the_task: Any, pairs: Sequence[Pair]) -> tf.data.Dataset:
        """Features of histories with their targets."""
        raw = {
            "history": tf.ragged.constant([[b"%d" % each for each in history] for history, _ in pairs], tf.string),
            "target": tf.constant([b"%d" % target for _, target in pairs]),
        }
        return tf.data.Dataset.from_tensor_slices({"target": raw["target"], **the_task.featurize(raw, self.items)})


def learned(
    split: Split, config: Mapping[str, Any], epochs: int, rate: float = 5e-3, shape: Mapping[str, Any] = SHAPE
) -> np.ndarray:
    """Rows of the test split after so many epochs: the last one's, no epoch is chosen."""
    the_task = task.load("next_item")({"max_length": 16, **config})
    rows = the_task.training_rows(split.dataset(the_task, split.train)).cache()
    the_task = the_task.fitted(rows, split.dataset(the_task, split.train), split.items)
    keras.utils.set_random_seed(1)
    network = families.load("items").network(shape, split.items, None) if epochs else None
    model = the_task.build(network)
    if epochs:
        _train(the_task, model, rows, epochs, rate)
    judged = eval_rows.batches(the_task, split.dataset(the_task, split.test), 256)
    found: np.ndarray = eval_rows.of_split(the_task, model, judged)()
    return found


def _train(the_task: Any, model: Any, rows: tf.data.Dataset, epochs: int, rate: float) -> None:
    steps = epochs * -(-int(rows.reduce(0, lambda n, _: n + 1)) // 64)
    optimizer = AdamW(LinearSchedule(rate, steps // 10, steps), 0.01, 5.0)
    optimizer.build(model.trainable_variables)
    variables = [variable.value for variable in model.trainable_variables]

    def stream(epoch: int) -> tf.data.Dataset:
        return the_task.batches(rows, batch_size=64, seed=1, epoch=epoch)

    @tf.function(input_signature=[stream(0).element_spec], autograph=False)
    def step(batch: task.Tensors) -> None:
        with tf.GradientTape() as tape:
            loss = the_task.loss(model(batch, training=True), batch)
        optimizer.apply(tape.gradient(loss, variables), variables)

    for epoch in range(epochs):
        for batch in stream(epoch):
            step(batch)


def hits(rows: np.ndarray) -> float:
    """``hit_10``."""
    return figures.of(rows).values["hit_10"]


def of_baseline(name: str, split: Split, exclude_seen: bool = True) -> np.ndarray:
    """Rows of the test split, of a recommender without a network."""

    def record(history: list[int], target: int) -> dict[str, np.ndarray]:
        return {"history": np.array([b"%d" % each for each in history], object), "target": np.array([b"%d" % target])}

    train, test = ([record(*each) for each in pairs] for pairs in (split.train, split.test))
    answers = baselines.answers(name, train, test, exclude_seen=exclude_seen)
    return np.array(
        [figures.row_of(answer, b"%d" % target) for answer, (_, target) in zip(answers, split.test, strict=True)]
    )


def best_possible(split: Split, rows: Rows, size: int) -> float:
    """``hit_10`` of who knows the chain, with the items of the history excluded; expected, not drawn."""
    shares = []
    for history, target in split.test:
        chances = rows(history)
        allowed = np.ones(size, bool)
        allowed[history] = False
        allowed[target] = True  # as everywhere: the target takes part though it was seen
        top = np.argsort(-np.where(allowed, chances, -1), kind="stable")[:10]
        shares.append(target in top)
    return float(np.mean(shares))


def order_one(size: int, count: int, seed: int = 0) -> tuple[Split, float]:
    """A chain, each of whose items has few likely ones behind it, and the best possible figure."""
    generator = np.random.default_rng(seed)
    matrix, first = generator.dirichlet(np.full(size, 0.1), size), np.full(size, 1 / size)
    walks = drawn(lambda walk: matrix[walk[-1]] if walk else first, generator.integers(4, 21, count), generator)
    split = Split(walks, size)
    return split, best_possible(split, lambda history: matrix[history[-1]], size)


def report() -> None:
    """A row an objective, and the recommenders without a network."""
    split, ceiling = order_one(ITEMS, WALKS)
    found = {}
    for name, (config, epochs, rate) in LEARNED.items():
        with timed() as cost:
            found[name] = hits(learned(split, config, epochs, rate)), epochs, cost.cpu
    rows = [
        (name, str(epochs), f"{hit:.3f}", f"{hit / ceiling:.3f}", f"{cpu:.0f}")
        for name, (hit, epochs, cpu) in found.items()
    ]
    for name in baselines.NAMES:
        hit = hits(of_baseline(name, split))
        rows.append((name, "", f"{hit:.3f}", f"{hit / ceiling:.3f}", ""))
    low = [name for name in ("causal", "cloze") if found[name][0] < SHARE * ceiling]
    table(
        f"{WALKS:,} walks of a chain of {ITEMS} items; the best possible hit_10 is {ceiling:.3f}",
        ("", "epochs", "hit_10", "of the best", "CPU s"),
        rows,
        [f"causal and cloze at least {SHARE} of the best possible: {'yes' if not low else 'NOT ' + ', '.join(low)}"],
    )
