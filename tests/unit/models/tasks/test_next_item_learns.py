"""What is learned from logs whose best possible figure is known: chains of items, with the true matrix at hand."""

import numpy as np

from benchmarks.chains import Split, best_possible, drawn, hits, learned, of_baseline, order_one


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


def test_only_a_history_of_more_than_one_item_tells_the_genre():
    """A film of one of two genres and a short film of no genre by turns: behind a short film the genre goes on."""
    size, generator = 50, np.random.default_rng(6)
    genre = np.repeat([0, 1, 2], [20, 20, 10])

    def rows(walk):
        if len(walk) % 2:
            return (genre == 2) / 10
        if not walk:
            return (genre < 2) / 40
        return np.where(genre == genre[walk[-2]], 0.95, 0.05) * (genre < 2) / 20

    split = Split(drawn(rows, 2 * generator.integers(2, 6, 2500) + 1, generator), size)
    ceiling, markov = best_possible(split, rows, size), hits(of_baseline("markov", split))
    assert markov < 0.75 * ceiling
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
