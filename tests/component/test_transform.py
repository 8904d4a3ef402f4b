"""The Transform executor: what it writes, what it says, and what its graph answers when served."""

import json
import logging
import pathlib

import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tfx.dsl.components.base import base_beam_executor
from tfx.types import channel_utils, standard_artifacts

from components import transform
from components.artifacts import Vocabulary
from models.text import SPECIAL, TextRules, Tokenizer

ROOT = pathlib.Path(__file__).parents[2]
PIECES = [*SPECIAL, "a", "gorgeous", "film", "dull", "un", "##able", "!", "[URL]"]
TASK = {
    "train": [
        ("a gorgeous film!", "positive"),
        ("Unable http://x.y/z", "negative"),
        ("a film a film a film a film", "negative"),
    ],
    "eval": [("dull", "negative")],
    "test": [("", "negative"), ("zzz", "positive")],
}


def example(**columns: list[str]) -> bytes:
    record = tf.train.Example()
    for name, values in columns.items():
        record.features.feature[name].bytes_list.value.extend(value.encode() for value in values)
    return record.SerializeToString()


def run(
    tmp_path: pathlib.Path, rows: dict[str, list[bytes]], schema: str, featurizer: str, config: dict
) -> tft.TFTransformOutput:
    """Runs the executor as a runner would; the component's own spec gives the properties."""
    examples, schemas, vocabulary = standard_artifacts.Examples(), standard_artifacts.Schema(), Vocabulary()
    graph, transformed = standard_artifacts.TransformGraph(), standard_artifacts.Examples()
    for artifact, name in [
        (examples, "in"),
        (schemas, "schema"),
        (vocabulary, "vocab"),
        (graph, "graph"),
        (transformed, "out"),
    ]:
        artifact.uri = str(tmp_path / name)
    examples.split_names = json.dumps(list(rows))
    for split, records in rows.items():
        folder = tmp_path / "in" / f"Split-{split}"
        folder.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "data-00000-of-00001.gz"), options="GZIP") as writer:
            for record in records:
                writer.write(record)
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "schema.pbtxt").write_text(schema)
    (tmp_path / "vocab").mkdir()
    (tmp_path / "vocab" / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    rules = TextRules("bert_uncased", ((r"https?://\S+", "[URL]"),), ("[URL]",))
    (tmp_path / "vocab" / "text.json").write_text(json.dumps(rules.dump()))
    component = transform.Transform(
        *(channel_utils.as_channel([artifact]) for artifact in (examples, schemas, vocabulary)),
        featurizer,
        config,
        "digest",
    )
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=["--direct_running_mode=in_memory", f"--temp_location={tmp_path}"],
        tmp_dir=str(tmp_path),
        unique_id="1",
    )
    transform.Executor(context).Do(
        {"examples": [examples], "schema": [schemas], "vocabulary": [vocabulary]},
        {"transform_graph": [graph], "transformed_examples": [transformed]},
        component.exec_properties,
    )
    return tft.TFTransformOutput(graph.uri)


def read(tmp_path: pathlib.Path, output: tft.TFTransformOutput, split: str) -> list[dict]:
    files = tf.io.gfile.glob(f"{tmp_path}/out/Split-{split}/*")
    spec = output.transformed_feature_spec()
    return [
        tf.io.parse_single_example(record, spec) for record in tf.data.TFRecordDataset(files, compression_type="GZIP")
    ]


@pytest.fixture(scope="module")
def classified(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("task")
    rows = {
        split: [example(text=[text], label=[label], origin=["f:1"]) for text, label in records]
        for split, records in TASK.items()
    }
    columns = [
        f'feature {{ name: "{name}" type: BYTES presence {{ min_fraction: 1.0 min_count: 1 }} shape {{}} }}'
        for name in ("text", "label", "origin")
    ]
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(str(record.event))
    logger = logging.getLogger("tfx_bert")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        config = {"labels": ["negative", "positive"], "max_length": 8}
        output = run(tmp_path, rows, "\n".join(columns), "models.tasks.classification.Task", config)
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


def test_vocabulary_lies_beside_the_graph(classified):
    tmp_path, _, _ = classified
    tokenizer = Tokenizer.read(tmp_path / "graph" / "vocabulary")
    assert tokenizer.vocabulary == tuple(PIECES)
    assert tokenizer.rules.reserve == ("[URL]",)


def test_documents_keep_their_sentences(tmp_path):
    documents = [["a film", "gorgeous!"], ["dull"], ["", "a"]]
    rows = {
        split: [example(sentences=document, origin=["f:1"]) for document in documents]
        for split in ("train", "eval", "test")
    }
    schema = (ROOT / "schemas" / "corpus.pbtxt").read_text()
    output = run(tmp_path, rows, schema, "models.pretraining_data.Corpus", {})
    ids = sorted(row["token_ids"].to_list() for row in read(tmp_path, output, "test"))
    assert ids == [[[], [5]], [[5, 7], [6, 11]], [[8]]]
