"""``tfx-bert predict --explain``: the line below an answer."""

import numpy as np

from pipeline.inference.predict import decided


def test_the_words_that_decided_come_first():
    answer = {
        "word": np.array([b"A", "gänzlich".encode(), b",", b"film", b""], object),
        "effect": np.array([0.004, 0.213, 0.0, -0.5, 0.0], np.float32),
    }
    assert decided(answer) == "film −.50 · gänzlich +.21"
    assert decided({**answer, "effect": np.zeros(5, np.float32)}) == "no word alone changes the answer by .01"


def test_items_are_called_by_their_titles():
    answer = {
        "item": np.array([b"50", b"7", b""], object),
        "title": np.array([b"Star Wars", b"", b""], object),
        "effect": np.array([0.02, 1.25, 0], np.float32),
    }
    assert decided(answer) == "7 +1.25 · Star Wars +.02"
