"""What is learned from events is learned of the train split alone: other answers to eval and test change none of it."""

import json
import random
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import channel_utils, standard_artifacts

from components.artifacts import Vocabulary
from components.data import vocabulary_gen
from components.evaluate import references
from components.records.kinds.sequence import Kind
from components.records.record import Counted, Part
from configs.events import SequenceData
from models import task, vocabularies
from models.recommendation import baselines
from tests.unit.models.conftest import TINY

USERS, EVENTS = 60, 8
SPLITS = {"last": {"by": "last"}, "time": {"by": "time", "eval": 6.0, "test": 7.0}, "user": {"by": "user"}}


def splits(by, answers):
    """Records by split. What eval and test ask for are items drawn of ``answers``, all others are of i0 … i11."""
    kind = Kind(SequenceData(path=["a.csv"], time="time", split=SPLITS[by]), begins=(6.0, 7.0))
    usual, other, found = random.Random(1), random.Random(2), {"train": [], "eval": [], "test": []}
    for user in range(USERS):
        items = [f"i{usual.randrange(12)}" for _ in range(EVENTS)]
        for changed in (False, True):
            parts = [Part(f"u{user}", n, "a.csv", user * EVENTS + n + 2, (item,)) for n, item in enumerate(items)]
            records = [
                (split or kind.split_of(record.key, "path"), record.features)
                for split, record in (item for item in kind.join(parts) if not isinstance(item, Counted))
            ]
            if changed:
                for split, record in records:
                    found[split].append(record)
            held_out = range(6, 8) if by != "user" else range(EVENTS) if records[0][0] != "train" else ()
            for n in held_out:
                items[n] = other.choice(answers)
    return found


def written(folder, records):
    """Examples, as ExampleGen leaves them."""
    for split, rows in records.items():
        (folder / f"Split-{split}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / f"Split-{split}" / "data.gz"), options="GZIP") as writer:
            for row in rows:
                example = tf.train.Example()
                for name in ("history", "target", "origin"):
                    example.features.feature[name].bytes_list.value.extend(row[name])
                writer.write(example.SerializeToString())
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(folder), json.dumps(list(records))
    return examples


def learned(folder, records):
    """The folder of the vocabulary that VocabularyGen learns, with the titles of all items of the catalogue."""
    examples, vocabulary = written(folder / "examples", records), Vocabulary()
    vocabulary.uri = str(folder / "vocabulary")
    node = vocabulary_gen.VocabularyGen(
        [channel_utils.as_channel([examples])], source_digest="d", kind="items", features=["history", "target"]
    )
    vocabulary_gen.Executor().Do({"examples": [examples]}, {"vocabulary": [vocabulary]}, node.exec_properties)
    return folder / "vocabulary"


@pytest.mark.parametrize("by", SPLITS)
def test_items_counts_and_rows_are_of_train_alone(by, tmp_path):
    one, other = splits(by, ["i1", "i2"]), splits(by, ["new1", "new2"])
    assert one["test"] != other["test"]
    assert min(map(len, one.values())) > 2
    folders = [learned(tmp_path / name, records) for name, records in (("one", one), ("other", other))]
    assert (folders[0] / "items.json").read_bytes() == (folders[1] / "items.json").read_bytes()
    items = vocabularies.read(folders[1])
    wanted = Counter(name for record in one["train"] for name in (*record["history"], *record["target"]))
    assert dict(zip(items.names[5:], items.counts[5:], strict=True)) == wanted
    the_task = task.load("next_item")({}).fitted(None, None, items)
    rows = []
    for records in (one, other):
        raw = {name: tf.ragged.constant([each[name] for each in records["train"]]) for name in ("history", "target")}
        features = the_task.featurize({**raw, "target": raw["target"].values}, items)
        read = the_task.training_rows(tf.data.Dataset.from_tensor_slices(features))
        rows.append([row["sequence"].tolist() for row in read.as_numpy_iterator()])
    assert rows[0] == rows[1]
    assert sum(map(len, rows[0])) == sum(wanted.values())


@pytest.mark.parametrize("by", SPLITS)
def test_recommenders_without_a_network_see_train_and_histories_alone(by, tmp_path):
    """Two test splits with the same histories, and other targets: the same items are answered, at other ranks."""
    records = splits(by, ["i1", "i2"])
    others = [{**record, "target": [b"i3" if record["target"] != [b"i3"] else b"i4"]} for record in records["test"]]
    written(tmp_path / "one", records)
    written(tmp_path / "other", {"test": others, "eval": []})
    train = [str(tmp_path / "one/Split-train")]
    the_task = task.load("next_item")({"exclude_seen": False})
    found = [
        references.rows(the_task, baselines.NAMES, train, [str(tmp_path / name / "Split-test")])
        for name in ("one", "other")
    ]
    for name in baselines.NAMES:
        shown = [rows[:, 4:] for _, rows in (each[name] for each in found)]
        np.testing.assert_array_equal(*shown)
        assert (shown[0] > 0).any()
        assert (found[0][name][1][:, 0] != found[1][name][1][:, 0]).any()


def test_titles_are_read_of_the_catalogue_whatever_eval_and_test_hold(tmp_path):
    """An item that eval alone has is cold: its vector is its title's, and no row of training holds it."""
    texts = tf.constant(["ab", "fade"])
    side = [{"item": tf.constant(["i1", "new1"]), "title": texts, "about": texts}]
    kept = []
    for name, answers in (("one", ["i1"]), ("other", ["new1"])):
        (tmp_path / name).mkdir()
        events = [np.array([*each["history"], *each["target"]], object) for each in splits("last", answers)["train"]]
        settings = {"learn": None, "path": None}
        vocabularies.load("items").learn(map(tf.constant, events), settings, tmp_path / name, base=TINY, side=side)
        kept.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert kept[0] == kept[1]
    items = vocabularies.read(tmp_path / "other")
    assert (items.names[-1], items.counts[-1]) == (b"new1", 0)
    np.testing.assert_allclose(np.linalg.norm(items.vectors[-1]), 1, atol=1e-6)
