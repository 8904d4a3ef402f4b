"""Probes answer as scikit-learn's, read what is there, and read by heart what is not."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from models.analysis import probe_tasks, probes

GENERATOR = np.random.default_rng(11)


@pytest.mark.parametrize("classes", [2, 5])
def test_answers_are_those_of_scikit_learn(classes):
    vectors, asked = (GENERATOR.normal(size=(size, 16)) for size in (300, 200))
    labels = (vectors[:, :classes] + 0.8 * GENERATOR.normal(size=(300, classes))).argmax(axis=1)
    found = probes.Ridge(vectors).answers(labels, asked)
    for penalty, answers in zip(probes.PENALTIES, found, strict=True):
        expected = RidgeClassifier(alpha=penalty).fit(vectors, labels).predict(asked)
        np.testing.assert_array_equal(answers, expected)


def test_more_dimensions_than_examples():
    vectors = GENERATOR.normal(size=(20, 40))
    labels = np.arange(20) % 2
    expected = RidgeClassifier(alpha=1.0).fit(vectors, labels).predict(vectors)
    np.testing.assert_array_equal(probes.Ridge(vectors).answers(labels, vectors, [1.0])[0], expected)


def test_a_direction_is_read_and_noise_is_not():
    vectors = GENERATOR.normal(size=(3000, 12)).astype(np.float32)
    groups = np.arange(3000)
    there = probes.Labels("there", (vectors[:, 4] > 0).astype(int), groups)
    noise = probes.Labels("noise", GENERATOR.integers(0, 2, 3000), groups)
    of_there, of_noise = probes.score(vectors, [there, noise], seed=1)
    assert of_there.accuracy > 0.97
    assert of_noise.accuracy == pytest.approx(0.5, abs=3 * 0.5 / 600**0.5)
    assert np.isnan(of_there.selectivity)
    assert probes.score(vectors, [there, noise], seed=1) == [of_there, of_noise]
    assert probes.score(vectors, [there, noise], seed=2) != [of_there, of_noise]


def test_vectors_of_word_types_know_every_control_task_by_heart():
    """One-hot vectors of 30 words: a task of words is read, and so is any other: nothing is selective."""
    types = GENERATOR.integers(0, 30, 2000)
    task = probes.Labels("tag", types % 3, np.arange(2000), types)
    (found,) = probes.score(np.eye(30)[types], [task], seed=1)
    assert (found.accuracy, found.control, found.selectivity) == (1, 1, 0)


def test_the_control_gives_a_word_one_class_as_often_as_the_task_has_it():
    types = np.repeat(np.arange(4000), 2)
    task = probes.Labels("tag", (types % 10 == 0).astype(int), np.arange(8000), types)
    classes = probes.control_classes(task, seed=3)
    assert (classes[::2] == classes[1::2]).all()
    assert classes.mean() == pytest.approx(0.1, abs=0.02)


def test_a_sentence_is_in_one_split():
    groups = np.repeat(np.arange(500), 3)
    split = probes.Split.of(groups, seed=4)
    parts = [set(groups[part]) for part in (split.train, split.dev, split.test)]
    assert [len(part) for part in parts] == [300, 100, 100]
    assert len(set.union(*parts)) == 500


def test_words_and_their_places():
    assert [(word.text, word.start, word.number, word.of) for word in probe_tasks.words(" Ein  Film! ")] == [
        ("Ein", 1, 0, 2),
        ("Film!", 6, 1, 2),
    ]
    assert [word.tag for word in probe_tasks.words("a b", ["X", "Y"])] == ["X", "Y"]


def test_length_has_the_bins_of_senteval():
    texts = [" ".join(["w"] * count) for count in (4, 5, 8, 9, 16, 25, 28, 29)]
    places, bins = probe_tasks.length(texts)
    assert (places.tolist(), bins.tolist()) == ([1, 2, 3, 4, 5, 6], [0, 0, 1, 2, 4, 5])


def test_a_shifted_sentence_has_two_neighbours_swapped():
    texts = ["the very old film, was great fun today"] * 6 + ["too short, really", "1 2 3 4 5 6"]
    places, made, swapped = probe_tasks.bigram_shift(texts, seed=1)
    assert places.tolist() == [0, 1, 2, 3, 4, 5]
    assert swapped.tolist() == [0, 1] * 3
    for text, swap in zip(made, swapped, strict=True):
        differs = [a != b for a, b in zip(text.split(), texts[0].split(), strict=True)]
        assert sum(differs) == 2 * swap
        assert not differs[0] and not differs[-1] and not differs[3]  # "film," keeps its comma and its place
        if swap:
            first = differs.index(True)
            assert differs[first + 1]


def test_word_content_asks_for_words_of_middle_frequency():
    common = [f"common{letter}" for letter in "abcdefghij"]
    frequent = [f"f{'abcdefghijklmnopqrstuvwxyz'[n // 26]}{'abcdefghijklmnopqrstuvwxyz'[n % 26]}" for n in range(200)]
    texts = [" ".join([*frequent, common[n % 2]]) for n in range(40)] + [" ".join(frequent)] * 5
    texts += [" ".join([*frequent, common[0], common[1]])]  # two of them: which one?
    places, numbers = probe_tasks.word_content(texts)
    assert places.tolist() == list(range(40))
    assert (numbers == np.arange(40) % 2).all() or (numbers == 1 - np.arange(40) % 2).all()


def test_what_cannot_be_asked_says_why():
    one = [(0, word) for word in probe_tasks.words("only a few words")]
    assert probe_tasks.of_words("casing", one) == "casing: 4 examples are fewer than 100"
    many = [(number, probe_tasks.words("word")[0]) for number in range(200)]
    assert probe_tasks.of_words("casing", many) == "casing: all examples are alike"
    tags = [
        (n, probe_tasks.Word("Word" if n % 3 else "of", 0, n % 5, 5, "NN-TL" if n % 3 else "IN")) for n in range(200)
    ]
    pos = probe_tasks.of_words("pos", tags)
    assert pos.classes.tolist() == [int(n % 3 > 0) for n in range(200)]
    assert probe_tasks.of_words("position", tags).classes.tolist() == [n % 5 for n in range(200)]
