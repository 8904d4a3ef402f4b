"""Records that baselines learn from, and the identity by which they are paired with the model's."""

import numpy as np
import tensorflow as tf

from components.evaluate import references
from components.evaluate.tfma_metric import ordered, pack, unpack
from models import progress, task
from models.recommendation import baselines
from models.training.reading import raw


def test_a_sample_is_drawn_from_all_records_and_is_always_the_same():
    kept = references.sample(range(10_000), 500)
    assert len(set(kept)) == 500
    assert kept == references.sample(range(10_000), 500)
    assert abs(np.mean(kept) - 5000) < 4 * 2887 / np.sqrt(500)
    assert references.sample(range(7), 500) == list(range(7))


def test_rows_come_back_as_they_were_packed():
    generator = np.random.default_rng(2)
    ids, rows = generator.integers(2**63 - 1, size=9), generator.random((9, 4))
    for count in (9, 0):
        back = unpack(pack(ids[:count], rows[:count]), 4)
        np.testing.assert_array_equal(back[0], ids[:count])
        np.testing.assert_array_equal(back[1], rows[:count])


def test_the_order_of_rows_is_that_of_their_records_whatever_beam_did():
    generator = np.random.default_rng(2)
    ids, rows = np.array([5, 1, 5, 3]), np.arange(8.0).reshape(4, 2)
    for _ in range(5):
        mixed = generator.permutation(4)
        found = ordered(ids[mixed], rows[mixed])
        assert found[0].tolist() == [1, 3, 5, 5]
        assert found[1].tolist() == [[2, 3], [6, 7], [0, 1], [4, 5]]


def test_a_raw_record_has_an_array_a_feature():
    feature = tf.train.Feature
    features = {
        "text": feature(bytes_list=tf.train.BytesList(value=["영화".encode()])),
        "start": feature(int64_list=tf.train.Int64List(value=[3, 5])),
        "label": feature(float_list=tf.train.FloatList(value=[0.5])),
        "answers": feature(),
    }
    record = raw(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    assert {name: value.tolist() for name, value in record.items()} == {
        **{"text": ["영화".encode()], "start": [3, 5], "label": [0.5], "answers": []}
    }


def test_over_50000_items_the_costly_baselines_are_left_out_unless_the_gate_asks(tmp_path, monkeypatch):
    """Each item is followed by the next one: popularity knows nothing, the others all."""
    names = [b"%d" % n for n in range(50_001)]
    logs = {"train": (names[:-1], names[-1:]), "test": (names[6:8], names[8:9])}
    for split, (history, target) in logs.items():
        columns = {"history": history, "target": target, "origin": [f"a.csv:{split}".encode()]}
        feature = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=each)) for name, each in columns.items()}
        (tmp_path / split).mkdir()
        with tf.io.TFRecordWriter(str(tmp_path / split / "data.gz"), "GZIP") as file:
            file.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    told = []
    monkeypatch.setattr(progress, "emit", lambda event: told.append(str(event)))
    the_task, folders = task.load("next_item")({}), ([str(tmp_path / "train")], [str(tmp_path / "test")])
    found = references.rows(the_task, baselines.NAMES, *folders, needed=["decay"])
    assert {name: rows[0, 0] for name, (_, rows) in found.items()} == {"popularity": 49_999, "markov": 1, "decay": 1}
    assert told == [
        "not compared with item_knn: the train split is too large for that; a baseline that evaluate.bless.beats names "
        "is computed all the same"
    ]
