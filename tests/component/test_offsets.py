"""Offsets count the characters of the text as it was given, whichever way it comes to the model."""

import csv
import functools
import json
from pathlib import Path

import keras
import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf
from tfx.types import channel_utils, standard_artifacts

from components.artifacts import BadRecords
from components.data import example_gen
from components.deploy import bulk_inferrer
from configs.sources import Unlabelled
from models import task
from models.bert.encoder import BertEncoder
from models.export import saved_model
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from pipeline.inference import bulk, predict
from serving.json import json_requests, json_responses
from serving.servable import Servable

TOKENIZER = Tokenizer([*SPECIAL, "anna", "oslo", "한글", "e", "##e", "é", "in", "##in", "."], TextRules("uncased_nfc"))
# White space of all kinds, what no piece holds, and characters that UTF-16, UTF-8 or NFC count in another way.
SPACE = ("", " ", "\n", "\t \r\n", "\u00a0", "\u3000", "\u2028", "\x85")
AROUND = (*SPACE, "\ufeff", "\u200b", "\u0301", "👩‍🚀 ", "\U0001f1f3")
INSIDE = ("Anna", "e\u0301e 한글", "Anna \u3000한글\r\nin", "e👩‍🚀 Oslo\ufeff.")
TEXTS = [
    f"{before}{text}{behind}" for text in INSIDE for before, behind in zip(AROUND, AROUND[1:] + AROUND[:1], strict=True)
]
TASK = task.load("token_classification")({"labels": ["A", "B"], "max_length": 16})
LOAD = functools.cache(predict.load)  # takes seconds
BEAM = {"beam_pipeline_args": ["--direct_running_mode=in_memory"], "tmp_dir": "tmp", "unique_id": "1"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Where the model of the experiment x lies."""
    folder = tmp_path_factory.mktemp("runs") / "x/serving_model/x/1"
    keras.utils.set_random_seed(4)
    encoder = BertEncoder(
        vocabulary_size=TOKENIZER.size, num_layers=1, hidden_dim=16, num_heads=2, intermediate_dim=16, max_positions=16
    )
    layer = TASK.build(encoder)
    for variable in layer.trainable_variables:  # larger: answers that differ from text to text
        variable.assign(variable * 20 if "norm" not in variable.path else variable)
    saved_model.write(
        str(folder),
        family="text",
        model=layer,
        the_task=TASK,
        featurize=lambda record: TASK.featurize(record, TOKENIZER),
        raw_spec={"text": tf.io.FixedLenFeature([], tf.string)},
    )
    return folder


@pytest.fixture(scope="module")
def expected(model):
    """Of the model itself, all texts at once: spans of the text as it was given, and no white space at their ends."""
    answer = LOAD(model)
    outputs = {name: value.numpy() for name, value in answer({"text": TEXTS}).items()}
    found = [places(TASK.to_row(task.nth(outputs, row))["spans"]) for row in range(len(TEXTS))]
    for text, offsets, told in zip(TEXTS, found, outputs["span"], strict=True):
        shown = task.strings(told)
        assert [text[start:end] for start, end in offsets] == shown == [each.strip() for each in shown]
    assert len({start for offsets in found for start, _ in offsets}) > 5
    return found


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict, "load", LOAD)


def places(spans):
    """Start and end of each, from a table's cell."""
    return [(span["start"], span["end"]) for span in json.loads(spans)]


def test_rest(model, expected):
    servable = Servable(model)
    signature = servable.signatures["serving_default"]
    assert all(each.batched for each in servable.signatures.values())  # requests can be computed together
    body = json.dumps({"instances": TEXTS}).encode()
    inputs, _ = json_requests.predict_inputs(json_requests.parse(body), signature.inputs)
    outputs = dict(zip(signature.outputs, signature.call(*inputs.values()), strict=True))
    rows = json.loads(json_responses.rows(outputs))["predictions"]
    servable.close()
    found = [[place for place in zip(row["start"], row["end"], strict=True) if place != (0, 0)] for row in rows]
    assert found == expected


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_predict_input(model, expected, ending):
    if ending == "jsonl":
        Path("new.jsonl").write_text("".join(f"{json.dumps({'text': text})}\n" for text in TEXTS))
    elif ending == "parquet":
        pyarrow.parquet.write_table(pyarrow.table({"text": TEXTS}), "new.parquet")
    else:
        with Path("new.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["text"], *([text] for text in TEXTS)])
    bulk.bulk(model.parents[3], "x", Path(f"new.{ending}"), Path("out.jsonl"))
    rows = [json.loads(line) for line in Path("out.jsonl").read_text("utf-8").split("\n")[:-1]]
    assert [row["text"] for row in rows] == TEXTS
    assert [places(row["spans"]) for row in rows] == expected


def test_score(model, expected):
    Path("new.jsonl").write_text("".join(f"{json.dumps({'text': text})}\n" for text in TEXTS))
    examples, bad = artifact(standard_artifacts.Examples, "in"), artifact(BadRecords, "bad")
    digests = {"input_digest": "i", "source_digest": "s"}
    node = example_gen.RecordExampleGen(
        "score", Unlabelled(path=["new.jsonl"]), sample=0, bad_records_path="bad.csv", **digests
    )
    example_gen.Executor(example_gen.Executor.Context(**BEAM)).Do(
        {}, {"examples": [examples], "bad_records": [bad]}, dict(node.spec.exec_properties)
    )
    blessing = artifact(standard_artifacts.ModelBlessing, "blessing")
    blessing.set_int_custom_property("blessed", 1)
    pushed = artifact(standard_artifacts.Model, "model")
    Path("model/Format-Serving").symlink_to(model)
    inputs = {"examples": [examples], "model": [pushed], "model_blessing": [blessing]}
    channels = {name: channel_utils.as_channel(found) for name, found in inputs.items()}
    node = bulk_inferrer.BulkInferrer(**channels, answers=TASK.answers, source_digest="s")
    properties = {name: value for name, value in node.spec.exec_properties.items() if value is not None}
    outputs = {"output_examples": [artifact(standard_artifacts.Examples, "out")]}
    bulk_inferrer.Executor(bulk_inferrer.Executor.Context(**BEAM)).Do(inputs, outputs, properties)
    found = {}
    files = [str(path) for path in Path("out").glob("Split-score/*.gz")]
    for each in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(each).features.feature
        line = int(features["origin"].bytes_list.value[0].rpartition(b":")[2])
        assert features["text"].bytes_list.value[0].decode() == TEXTS[line - 1]
        offsets = zip(features["start"].int64_list.value, features["end"].int64_list.value, strict=True)
        found[line] = [place for place in offsets if place != (0, 0)]
    assert [found[line] for line in sorted(found)] == expected


def artifact(kind, folder):
    made = kind()
    made.uri = str(Path(folder).absolute())
    Path(folder).mkdir(parents=True, exist_ok=True)
    return made
