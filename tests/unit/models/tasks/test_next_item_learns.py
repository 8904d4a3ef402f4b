"""What is learned from logs whose best possible figure is known: chains of items, with the true matrix at hand."""

import keras
import numpy as np
import tensorflow as tf

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


def drawn(rows, lengths, generator):
    """Walks of a chain: ``rows(history)`` are the probabilities of the next item."""
    walks = []
    for length in lengths:
        walk = []
        while len(walk) < length:
            walk.append(int(generator.choice(len(rows([])), p=rows(walk))))
        walks.append(walk)
    return walks


class Split:
    """``train``, ``test``: the last item of a walk is the target; of the train split the one before."""

    def __init__(self, walks, size, vectors=None):
        self.train, self.test = ([(each[:-1], each[-1]) for each in part] for part in ([w[:-1] for w in walks], walks))
        counts = np.bincount([each for walk in walks for each in walk[:-1]], minlength=size)
        self.order = np.lexsort((np.arange(size), -counts))
        names = [str(each) for each in self.order]
        self.items = Items(names, counts[self.order], vectors=None if vectors is None else vectors[self.order])

    def dataset(self, the_task, pairs):
        raw = {
            "history": tf.ragged.constant([[b"%d" % each for each in history] for history, _ in pairs], tf.string),
            "target": tf.constant([b"%d" % target for _, target in pairs]),
        }
        return tf.data.Dataset.from_tensor_slices({"target": raw["target"], **the_task.featurize(raw, self.items)})


def learned(split, config, epochs, rate=5e-3, shape=SHAPE):
    """Figures of the test split after so many epochs: the last one's, no epoch is chosen."""
    the_task = task.load("next_item")({"max_length": 16, **config})
    rows = the_task.training_rows(split.dataset(the_task, split.train)).cache()
    the_task = the_task.fitted(rows, split.dataset(the_task, split.train), split.items)
    keras.utils.set_random_seed(1)
    model = the_task.build(families.load("items").network(shape, split.items, None))
    steps = epochs * -(-int(rows.reduce(0, lambda n, _: n + 1)) // 64)
    optimizer = AdamW(LinearSchedule(rate, steps // 10, steps), 0.01, 5.0)
    optimizer.build(model.trainable_variables)
    variables = [variable.value for variable in model.trainable_variables]

    def stream(epoch):
        return the_task.batches(rows, batch_size=64, seed=1, epoch=epoch)

    @tf.function(input_signature=[stream(0).element_spec], autograph=False)
    def step(batch):
        with tf.GradientTape() as tape:
            loss = the_task.loss(model(batch, training=True), batch)
        optimizer.apply(tape.gradient(loss, variables), variables)

    for epoch in range(epochs):
        for batch in stream(epoch):
            step(batch)
    judged = eval_rows.batches(the_task, split.dataset(the_task, split.test), 256)
    return eval_rows.of_split(the_task, model, judged)()


def hits(rows):
    return figures.of(rows).values["hit_10"]


def of_baseline(name, split, exclude_seen=True):
    def record(history, target):
        return {"history": np.array([b"%d" % each for each in history], object), "target": np.array([b"%d" % target])}

    train, test = ([record(*each) for each in pairs] for pairs in (split.train, split.test))
    answers = baselines.answers(name, train, test, exclude_seen=exclude_seen)
    return np.array(
        [figures.row_of(answer, b"%d" % target) for answer, (_, target) in zip(answers, split.test, strict=True)]
    )


def best_possible(split, rows, size):
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


def order_one(size, count, seed=0):
    """A chain, each of whose items has few likely ones behind it, and the best possible figure."""
    generator = np.random.default_rng(seed)
    matrix, first = generator.dirichlet(np.full(size, 0.1), size), np.full(size, 1 / size)
    walks = drawn(lambda walk: matrix[walk[-1]] if walk else first, generator.integers(4, 21, count), generator)
    split = Split(walks, size)
    return split, best_possible(split, lambda history: matrix[history[-1]], size)


def test_a_chain_is_learned_by_all_that_look_at_the_last_item():
    split, ceiling = order_one(200, 9000)
    assert hits(of_baseline("popularity", split)) < 0.4 * ceiling
    assert hits(of_baseline("markov", split)) >= 0.95 * ceiling
    assert hits(learned(split, {}, epochs=12)) >= 0.95 * ceiling


def test_cloze_learns_a_chain():
    split, ceiling = order_one(40, 2500)
    config = {"objective": "cloze", "max_length": 8, "passes": 2}
    assert hits(learned(split, config, epochs=30, rate=3e-3)) >= 0.95 * ceiling


def test_without_an_order_nobody_beats_popularity():
    """Every item drawn by itself. The standard error of a share of 2,000 records is at most .0112."""
    size, generator = 100, np.random.default_rng(1)
    shares = 1 / np.arange(5, size + 5)
    shares /= shares.sum()
    split = Split(
        [generator.choice(size, length, p=shares).tolist() for length in generator.integers(4, 21, 2000)], size
    )
    popularity = hits(of_baseline("popularity", split))
    for name in ("item_knn", "markov", "decay"):
        assert hits(of_baseline(name, split)) < popularity + 2 * 0.0112, name
    assert hits(learned(split, {}, epochs=4)) < popularity + 2 * 0.0112


def test_what_the_last_item_alone_does_not_say_is_learned_from_the_one_before():
    """The next item follows from the last two together, or is chance: of each alone nothing follows."""
    size, generator = 30, np.random.default_rng(2)

    def rows(walk):
        if len(walk) < 2:
            return np.full(size, 1 / size)
        chances = np.full(size, 0.1 / size)
        chances[(walk[-1] + 7 * walk[-2]) % size] += 0.9
        return chances

    split = Split(drawn(rows, generator.integers(5, 15, 3000), generator), size)
    ceiling = best_possible(split, rows, size)
    markov, popularity = (hits(of_baseline(name, split)) for name in ("markov", "popularity"))
    assert abs(markov - popularity) < 0.05
    assert hits(learned(split, {}, epochs=20)) > (ceiling + markov) / 2


def test_items_without_one_event_are_found_by_their_titles():
    """20 films of each of 10 genres, titles near those of their genre; a genre follows from the one before.

    Every tenth film has no event but as a target of the test split. Chance is 10 of 200 films.
    """
    size, generator = 200, np.random.default_rng(4)
    genre, cold = np.arange(size) // 20, np.arange(size) % 10 == 0
    vectors = generator.normal(size=(10, 32))[genre] + 0.3 * generator.normal(size=(size, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def walk(length):
        genres = (generator.integers(10) + 3 * np.arange(length)) % 10
        films = [int(generator.choice(np.flatnonzero((genre == each) & ~cold))) for each in genres[:-1]]
        return [*films, int(generator.choice(np.flatnonzero(genre == genres[-1])))]

    split = Split([walk(length) for length in generator.integers(5, 12, 2000)], size, vectors)
    new = cold[[target for _, target in split.test]]
    rows = learned(split, {"titles": "given"}, epochs=8)
    assert new.sum() > 150
    assert hits(rows[new]) >= 3 * 10 / size
