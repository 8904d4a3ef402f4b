import math
import random
from collections import Counter

import numpy as np

from models.translation import baselines


def record(text, target="?"):
    return {"text": np.array([text.encode()], object), "target": np.array([target.encode()], object)}


def answers(found, name="translation"):
    return [each[name].item() for each in found]


def test_the_copy_is_the_source():
    test = [record("a"), record("나 %1")]
    assert answers(baselines.copy([record("x")], test)) == [b"a", "나 %1".encode()]
    assert answers(baselines.copy([record("x")], test), "source") == [b"a", "나 %1".encode()]


def trigrams(text):
    text = f" {text.lower()} "
    return Counter(text[place : place + 3] for place in range(len(text) - 2))


def brute_force(known, text):
    """Cosines by the definition of TF-IDF with scikit-learn's smoothing: idf = ln((1 + n) / (1 + df)) + 1."""
    frequency = Counter(gram for each in known for gram in trigrams(each))
    frequency = Counter({gram: sum(gram in trigrams(each) for each in known) for gram in frequency})

    def vector(text):
        weights = {
            gram: count * (math.log((1 + len(known)) / (1 + frequency[gram])) + 1)
            for gram, count in trigrams(text).items()
            if gram in frequency
        }
        length = math.sqrt(sum(value**2 for value in weights.values()))
        return {gram: value / length for gram, value in weights.items()}

    asked = vector(text)
    return [sum(value * asked.get(gram, 0) for gram, value in vector(each).items()) for each in known]


def test_the_nearest_source_is_that_of_brute_force(monkeypatch):
    monkeypatch.setattr(baselines, "_AT_ONCE", 7)
    chance = random.Random(0)
    texts = [
        " ".join(chance.choices(["Insert", "chart", "row", "표", "a", "Rows"], k=chance.randint(1, 5)))
        for _ in range(80)
    ]
    known, asked = list(dict.fromkeys(texts[:50])), texts[50:]
    train = [record(text, str(place)) for place, text in enumerate(known)]
    found = baselines.nearest(train, [record(text) for text in asked])
    for text, answer in zip(asked, found, strict=True):
        cosines = brute_force(known, text)
        np.testing.assert_allclose(answer["similarity"].item(), max(cosines), atol=1e-9)
        assert cosines[int(answer["translation"].item())] >= max(cosines) - 1e-9


def test_a_text_that_shares_nothing_has_an_answer_too():
    found = baselines.nearest([record("abc", "one"), record("def", "two")], [record("가"), record("abc"), record("x")])
    assert answers(found) == [b"one", b"one", b"one"]
    assert answers(found, "similarity") == [0.0, 1.0, 0.0]


def test_texts_of_one_letter():
    found = baselines.nearest([record("a", "one"), record("b", "two")], [record("b"), record("B")])
    assert answers(found) == [b"two", b"two"]
