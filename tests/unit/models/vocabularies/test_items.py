import numpy as np
import pytest
import tensorflow as tf

from models import progress, vocabularies
from models.vocabularies import items
from models.vocabularies.items import FIRST, Items
from schemas import DataError

SETTINGS = {"learn": None, "path": None}


def learned(folder, events, settings=SETTINGS, **given):
    folder.mkdir(exist_ok=True)
    summary = items.learn([tf.constant(events, tf.string)], settings, folder, **given)
    return vocabularies.read(folder), summary


def test_the_more_frequent_item_has_the_lower_id(tmp_path):
    found, summary = learned(tmp_path, ["b", "a", "c", "b", "[MASK]", "b", "a"])
    assert found.names.tolist() == [b""] * FIRST + [b"b", b"a", b"[MASK]", b"c"]
    assert found.counts.tolist() == [0] * FIRST + [3, 2, 1, 1]
    assert found.ids(tf.constant(["c", "b", "", "B", "[MASK]"])).numpy().tolist() == [8, 5, 1, 1, 7]
    asked = tf.constant(["c"])
    assert tf.function(lambda: vocabularies.read(tmp_path).ids(asked))().numpy().tolist() == [
        8
    ]  # as Transform reads it
    assert summary == "4 items · 7 events, half of them of 2 items"


def test_ids_are_those_of_a_dictionary():
    names = [chr(0x3B1 + number % 500) + f"{number}\t é" for number in range(100_000)]
    found = Items(names, [1] * len(names))
    asked = list(names[::-1]) + [f"{name} " for name in names[:1000]]
    place = {name: FIRST + index for index, name in enumerate(names)}
    assert found.ids(tf.constant(asked)).numpy().tolist() == [place.get(name, 1) for name in asked]


def side_of(told):
    """A batch of a catalogue: title and what a text model reads, by item."""
    titles, abouts = zip(*told.values(), strict=True)
    return {name: tf.constant(values) for name, values in (("item", [*told]), ("title", titles), ("about", abouts))}


def test_the_catalogue_gives_titles_and_no_items(tmp_path):
    side = [side_of({"a": ("Été", "Été"), "new": ("New", "New")})]
    found, _ = learned(tmp_path, ["a", "b"], side=side)
    assert found.names[FIRST:].tolist() == [b"a", b"b"]
    assert found.titles[FIRST:].tolist() == ["Été".encode(), b""]


def test_items_that_the_catalogue_lacks_are_told(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(progress, "emit", lambda event: told.append(str(event)))
    learned(tmp_path, ["a", "b", "b", "c"], side=[side_of({"a": ("Heat", "Heat")})])
    assert told == ["2 of 3 items are not in the catalogue, so answers show no title for them"]


def test_bands_are_half_ninety_percent_and_the_rest():
    found = Items(["a", "b", "c", "d"], [50, 30, 10, 10])
    assert found.bands[FIRST:].tolist() == [0, 1, 1, 2]


def test_at_most_so_many_items(tmp_path):
    found, _ = learned(tmp_path, ["a", "b", "b", "c", "c", "c"], {**SETTINGS, "learn": 2})
    assert found.names[FIRST:].tolist() == [b"c", b"b"]


def test_nothing_to_learn_from_two_spellings_and_a_file(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no item: there is nothing to learn from"):
        learned(tmp_path, ["", " "])
    said = []
    monkeypatch.setattr(progress, "emit", said.append)
    learned(tmp_path, ["Ab", "aB", "a b", "c"])
    assert "3 items differ from another one in case or blanks only" in str(said[0])
    with pytest.raises(ValueError, match="items are learned from the events"):
        items.check({"learn": None, "path": "items.txt"})


def test_a_title_s_vector_is_the_mean_of_the_text_model(tmp_path):
    """At length 1; a batch of titles changes none. That the encoder is transformers' is test_encoder.py's matter."""
    from tests.unit.models.conftest import TINY

    side = [side_of({"a": ("ab", "ab"), "cold": ("fade", "fade, ab")})]
    found, summary = learned(tmp_path, ["a", "b", "a"], base=TINY, side=side)
    assert found.names[FIRST:].tolist() == [b"a", b"b", b"cold"]
    assert summary.endswith("1 without an event")
    assert found.vectors.shape == (3, 24)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), [1, 0, 1], atol=1e-6)
    alone = items.text_vectors(TINY, ["fade, ab"])
    np.testing.assert_allclose(alone[0], found.vectors[2], atol=1e-6)
