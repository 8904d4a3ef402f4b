"""The Transform executor: what it writes, what it says, and what its graph answers when served."""

import logging
import pathlib
from collections import Counter

import pytest
import tensorflow as tf
import tensorflow_transform as tft

from models import progress
from models.text.tokenization import Tokenizer
from models.training import lengths

ROOT = pathlib.Path(__file__).parents[2]
TASK = {
    "train": [
        ("a gorgeous film!", "positive"),
        ("Unable http://x.y/z", "negative"),
        ("a film a film a film a film", "negative"),
    ],
    "eval": [("dull", "negative")],
    "test": [("", "negative"), ("zzz", "positive")],
}


def read(tmp_path: pathlib.Path, output: tft.TFTransformOutput, split: str) -> list[dict]:
    files = sorted(tf.io.gfile.glob(f"{tmp_path}/out/Split-{split}/*"))
    spec = output.transformed_feature_spec()
    return [
        tf.io.parse_single_example(record, spec) for record in tf.data.TFRecordDataset(files, compression_type="GZIP")
    ]


@pytest.fixture(scope="module")
def classified(tmp_path_factory, transforming):
    tmp_path = tmp_path_factory.mktemp("task")
    rows = {
        split: [transforming.example(text=[text], label=[label], origin=["f:1"]) for text, label in records]
        for split, records in TASK.items()
    }
    columns = [
        f'feature {{ name: "{name}" type: BYTES presence {{ min_fraction: 1.0 min_count: 1 }} shape {{}} }}'
        for name in ("text", "label", "origin")
    ]
    messages = []
    handler = logging.Handler()
    handler.addFilter(lambda record: isinstance(record.event, progress.Summary))  # how far it is, a slow machine tells
    handler.emit = lambda record: messages.append(str(record.event))
    logger = logging.getLogger("tfx_bert")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        config = {"labels": ["negative", "positive"], "max_length": 8}
        output = transforming.run(tmp_path, rows, "\n".join(columns), "models.tasks.classification.Task", config)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return tmp_path, output, messages


def test_records_become_ids_in_every_split(classified):
    tmp_path, output, _ = classified
    rows = {
        split: sorted(
            (row["token_ids"].numpy().tolist(), int(row["label_id"])) for row in read(tmp_path, output, split)
        )
        for split in TASK
    }
    assert rows == {
        "train": [([2, 5, 6, 7, 11, 3], 1), ([2, 5, 7, 5, 7, 5, 7, 3], 0), ([2, 9, 10, 12, 3], 0)],
        "eval": [([2, 8, 3], 0)],
        "test": [([2, 1, 3], 1), ([2, 3], 0)],
    }


def test_summary_says_tokens_unknown_and_long_rows(classified):
    assert classified[2] == ["6 tokens mean · 0.00 % [UNK] · 33.3 % at max_length"]


def test_served_ids_are_training_ids_without_the_label(classified):
    _, output, _ = classified
    layer = output.transform_features_layer()
    served = layer({"text": tf.constant([text for text, _ in TASK["train"]])})
    assert served["token_ids"].to_list() == [[2, 5, 6, 7, 11, 3], [2, 9, 10, 12, 3], [2, 5, 7, 5, 7, 5, 7, 3]]


def test_how_long_the_train_rows_are_lies_beside_the_graph(classified):
    tmp_path, output, _ = classified
    expected = Counter(int(tf.size(row["token_ids"])) for row in read(tmp_path, output, "train"))
    assert lengths.read(tmp_path / "graph") == {"token_ids": expected}
    assert len(expected) > 1


def test_vocabulary_lies_beside_the_graph(classified, transforming):
    tmp_path, _, _ = classified
    tokenizer = Tokenizer.read(tmp_path / "graph" / "vocabulary")
    assert tokenizer.vocabulary == tuple(transforming.pieces)
    assert tokenizer.rules.reserve == ("[URL]",)


def test_documents_keep_their_sentences_as_with_tfx(tmp_path, transforming):
    documents = [["a film", "gorgeous!"], ["dull"], ["", "a"]]
    rows = {
        split: [transforming.example(sentences=document, origin=["f:1"]) for document in documents]
        for split in ("train", "eval", "test")
    }
    schema = (ROOT / "schemas" / "corpus.pbtxt").read_text()
    corpus = "models.pretraining.pretraining_data.Corpus"
    output = transforming.run(tmp_path, rows, schema, corpus, {}, files=2)
    ids = [row["token_ids"].to_list() for row in read(tmp_path, output, "test")]
    assert ids == [[[5, 7], [6, 11]], [[8]], [[], [5]]]
    # One file written for each that was read, and nothing beside them.
    names = [
        f"Split-{split}/transformed_examples-0000{number}-of-00002.gz" for split in sorted(rows) for number in (0, 1)
    ]
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")) == names
    transforming.run_tfx(tmp_path, corpus, {})
    for split in rows:
        assert examples(tmp_path / "out", split) == examples(tmp_path / "tfx_out", split)
    for schema in ("metadata/schema.pbtxt", "transformed_metadata/schema.pbtxt"):
        assert (tmp_path / "graph" / schema).read_text() == (tmp_path / "tfx_graph" / schema).read_text()


def examples(folder, split):
    files = sorted(str(path) for path in (folder / f"Split-{split}").iterdir())
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return [tf.train.Example.FromString(record) for record in records]
