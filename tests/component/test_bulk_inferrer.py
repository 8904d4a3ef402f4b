"""Records without labels, from the file to Examples with answers: ScoreExampleGen and TFX's BulkInferrer."""

import csv
import logging
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfx.types import channel_utils, standard_artifacts

from components.artifacts import BadRecords
from components.data import example_gen
from components.deploy import bulk_inferrer
from configs.sources import Unlabelled
from models.bert.encoder import BertEncoder
from models.export import saved_model
from models.tasks.classification import Task
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from schemas import DataError

TOKENIZER = Tokenizer([*SPECIAL, "좋다", "나쁘다", "영화", "good", "film"], TextRules("uncased_nfc"))
LABELS = ["부정", "중립", "긍정"]
BEAM = {"beam_pipeline_args": ["--direct_running_mode=in_memory"], "tmp_dir": "tmp", "unique_id": "1"}
COMMON = {"input_digest": "i", "source_digest": "s", "bad_records_path": "runs/score_bad_records.csv"}


@pytest.fixture(scope="module", params=[["text"], ["text", "text_pair"]], ids=["one text", "pairs"])
def model(request, tmp_path_factory):
    folder, columns = tmp_path_factory.mktemp("model"), request.param
    keras.utils.set_random_seed(2)
    encoder = BertEncoder(
        vocabulary_size=TOKENIZER.size, num_layers=1, hidden_dim=8, num_heads=1, intermediate_dim=8, max_positions=32
    )
    task = Task({"labels": LABELS, "max_length": 16})
    saved_model.write(
        str(folder / "Format-Serving"),
        family="text",
        model=task.build(encoder),
        the_task=task,
        featurize=lambda record: task.featurize(record, TOKENIZER),
        raw_spec={column: tf.io.FixedLenFeature([], tf.string) for column in columns},
    )
    return folder, columns


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def artifact(kind, folder):
    made = kind()
    made.uri = str(Path(folder).absolute())
    Path(folder).mkdir(parents=True, exist_ok=True)
    return made


def ingest(sample=0, **options):
    source = Unlabelled(path=["new.csv"], text="리뷰", **options)
    outputs = {"examples": [artifact(standard_artifacts.Examples, "in")], "bad_records": [artifact(BadRecords, "bad")]}
    properties = dict(example_gen.RecordExampleGen("score", source, sample=sample, **COMMON).spec.exec_properties)
    example_gen.Executor(example_gen.Executor.Context(**BEAM)).Do({}, outputs, properties)
    return outputs["examples"]


def score(model, examples, blessed):
    blessing = artifact(standard_artifacts.ModelBlessing, "blessing")
    blessing.set_int_custom_property("blessed", blessed)
    inputs = {
        "examples": examples,
        "model": [artifact(standard_artifacts.Model, model)],
        "model_blessing": [blessing],
    }
    outputs = {"output_examples": [artifact(standard_artifacts.Examples, "out")]}
    channels = {name: channel_utils.as_channel(found) for name, found in inputs.items()}
    node = bulk_inferrer.BulkInferrer(**channels, answers=("label", "score", "scores"), source_digest="s")
    properties = {name: value for name, value in node.spec.exec_properties.items() if value is not None}
    bulk_inferrer.Executor(bulk_inferrer.Executor.Context(**BEAM)).Do(inputs, outputs, properties)


def answered():
    found = {}
    files = [str(path) for path in Path("out").glob("Split-score/*.gz")]
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        found[features["origin"].bytes_list.value[0].decode()] = features
    return found


def write(count, *more):
    with Path("new.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(["번호", "리뷰", "답"])
        csv.writer(file).writerows([number, f"{'좋다 ' * (number % 9)}영화", "good film"] for number in range(count))
        csv.writer(file).writerows(more)


def test_every_record_is_answered_as_the_model_does(model, caplog):
    folder, columns = model
    write(60, [60, "", "x"])
    pair = {"text_pair": "답"} if len(columns) == 2 else {}
    with caplog.at_level(logging.INFO, "tfx_bert"):
        examples = ingest(on_bad_record="quarantine", **pair)
        score(folder, examples, blessed=1)
    found = answered()
    assert sorted(found, key=lambda origin: int(origin.split(":")[1])) == [f"new.csv:{n}" for n in range(2, 62)]
    texts = [f"{'좋다 ' * (number % 9)}영화" for number in range(60)]
    arguments = {"text": tf.constant(texts)} | ({"text_pair": tf.constant(["good film"] * 60)} if pair else {})
    expected = tf.saved_model.load(str(folder / "Format-Serving")).signatures["serving_default"](**arguments)
    for number in range(60):
        features = found[f"new.csv:{number + 2}"]
        assert features["text"].bytes_list.value[0].decode() == texts[number]
        assert features["label"].bytes_list.value[0] == expected["label"].numpy()[number]
        np.testing.assert_allclose(features["scores"].float_list.value, expected["scores"][number], atol=1e-6)
        np.testing.assert_allclose(features["score"].float_list.value, [expected["score"][number]], atol=1e-6)
    told = [record.message for record in caplog.records if record.name == "tfx_bert"]
    assert told[0] == "60 score · 1 bad"
    assert told[-1].startswith("60 scored · ")
    assert "긍정" in told[-1] or "부정" in told[-1] or "중립" in told[-1]
    assert "new.csv,62,column '리뷰' is empty" in Path("bad/bad_records.csv").read_text("utf-8")


def test_a_model_that_is_not_blessed_scores_nothing(model, caplog):
    folder, columns = model
    write(3)
    examples = ingest(**({"text_pair": "답"} if len(columns) == 2 else {}))
    with caplog.at_level(logging.INFO, "tfx_bert"):
        score(folder, examples, blessed=0)
    assert answered() == {}
    told = [record.message for record in caplog.records if record.name == "tfx_bert"]
    assert told[-1] == "nothing scored: the model is not blessed"


def test_a_rehearsal_takes_a_few(caplog):
    write(40)
    with caplog.at_level(logging.INFO, "tfx_bert"):
        ingest(sample=5)
    assert caplog.records[-1].message == "5 score · 0 bad"


def test_bad_records_follow_the_policy_of_the_section():
    write(3, [3, "", "x"])
    with pytest.raises(DataError, match=r"(?s)1 of 4 rows bad.*--set score\.on_bad_record=quarantine"):
        ingest()
    write(0, [3, "", "x"])
    with pytest.raises(DataError, match="Not one row can be used: check the columns"):
        ingest(on_bad_record="quarantine", max_bad_share=1.0)
