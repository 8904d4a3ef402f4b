"""What is too long for a model is asked sentence by sentence."""

import numpy as np

from models import task
from pipeline.inference import whole

MOST = 4  # words that this answerer takes


def ask(arguments):
    """Turns the words of each text around, after cutting it; tells how often it was asked, and about how many."""
    (texts,) = arguments.values()
    ask.batches.append(len(texts))
    words = [text.split() for text in texts]
    return {
        "translation": np.array([" ".join(each[:MOST][::-1]).encode() for each in words], object),
        "score": np.array([-len(each) / 8 for each in words], np.float32),
        "truncated": np.array([len(each) > MOST for each in words]),
        "missing": np.array([each.count("%1") for each in words]),
        "unknown": np.zeros(len(words), np.int64),
    }


def found(texts):
    ask.batches = []
    outputs = whole.answers(ask, task.load("translation")({}), {"text": texts})
    return {name: value.tolist() for name, value in outputs.items()}


def test_a_text_that_is_cut_is_asked_sentence_by_sentence():
    outputs = found(["One two.", "Delete these %1 rows. Close it. Save the file now please.", "no end of one sentence"])
    assert outputs == {
        "translation": [b"two. One", b"rows. %1 these Delete it. Close now file the Save", b"one of end no"],
        "score": [-0.25, -0.625, -0.625],
        "truncated": [False, True, True],  # its third sentence is too long by itself; the last text has one sentence
        "missing": [0, 1, 0],
        "unknown": [0, 0, 0],
        "sentences": [1, 3, 1],
    }
    assert ask.batches == [3, 3]


def test_many_sentences_are_asked_in_batches():
    outputs = found(["A dog barks. " * 50])
    assert outputs["translation"] == [b" ".join([b"barks. dog A"] * 50)]
    assert outputs["truncated"] == [False]
    assert outputs["sentences"] == [50]
    assert ask.batches == [1, 32, 18]


def test_what_fits_is_asked_once():
    assert found(["One two.", ""])["sentences"] == [1, 1]
    assert ask.batches == [2]


def test_other_tasks_are_asked_as_they_are():
    answerer = task.load("classification")({"labels": ["a", "b"]})
    outputs = whole.answers(lambda arguments: {"truncated": np.ones(1)}, answerer, {"text": ["One. Two."]})
    assert outputs.keys() == {"truncated"}
