"""Row lengths are counted while batches pass by, and come back as they were written."""

import tensorflow as tf

from models.training import lengths


def test_rows_of_every_depth_are_counted_and_pass_unchanged(tmp_path):
    batches = [
        {"token_ids": tf.ragged.constant([[1, 2], [], [3]]), "label_id": tf.constant([0, 1, 0])},
        {"token_ids": tf.ragged.constant([[4, 5]]), "label_id": tf.constant([1])},
    ]
    counted = lengths.Counted()
    assert [each is given for each, given in zip(counted.passed(batches), batches, strict=True)] == [True, True]
    counted.write(tmp_path)
    assert lengths.read(tmp_path) == {"token_ids": {0: 1, 1: 1, 2: 2}}


def test_a_document_is_as_long_as_its_sentences_together(tmp_path):
    nested = tf.ragged.constant([[[1, 2], [3]], [], [[], [4, 5, 6, 7]]])
    counted = lengths.Counted()
    list(counted.passed([{"token_ids": nested, "source_ids": tf.ragged.constant([[1], [2], [3]])}]))
    counted.write(tmp_path)
    assert lengths.read(tmp_path) == {"token_ids": {0: 1, 3: 1, 4: 1}, "source_ids": {1: 3}}


def test_an_older_folder_has_none(tmp_path):
    assert lengths.read(tmp_path) == {}
