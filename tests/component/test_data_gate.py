"""StatisticsGen and ExampleValidator as they are, on records of our kind, then the gate."""

import json
import logging

import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.components.example_validator.executor import DEFAULT_FILE_NAME
from tfx.components.example_validator.executor import Executor as ExampleValidator
from tfx.components.statistics_gen.executor import Executor as StatisticsGen
from tfx.types import channel_utils, standard_artifacts

import schemas
from components.artifacts import GateReport
from components.data.data_gate import DataGate, Executor
from schemas import DataError

SPLITS = ("train", "eval", "test")
GOOD = [
    {"text": ["좋다"], "label": ["긍정"], "origin": ["a.csv:2"]},
    {"text": ["별로"], "label": ["부정"], "origin": ["a.csv:3"]},
]
ANOMALIES = anomalies_pb2.Anomalies


def artifact(kind, folder, splits=SPLITS):
    found = kind()
    found.uri = str(folder)
    if "split_names" in (kind.PROPERTIES or {}):
        found.split_names = json.dumps(list(splits))
    folder.mkdir(parents=True, exist_ok=True)
    return found


def validate(folder, records, schema):
    """The anomalies that TFX finds in ``records`` (by split)."""
    examples = artifact(standard_artifacts.Examples, folder / "examples")
    for split in SPLITS:
        (folder / f"examples/Split-{split}").mkdir()
        with tf.io.TFRecordWriter(str(folder / f"examples/Split-{split}/data_tfrecord.gz"), options="GZIP") as writer:
            for record in records.get(split, GOOD):
                feature = {
                    name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))
                    for name, values in record.items()
                }
                writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    imported = artifact(standard_artifacts.Schema, folder / "schema")
    (folder / "schema/schema.pbtxt").write_text(schemas.dump(schema))
    statistics = artifact(standard_artifacts.ExampleStatistics, folder / "statistics")
    anomalies = artifact(standard_artifacts.ExampleAnomalies, folder / "anomalies")
    context = StatisticsGen.Context(
        beam_pipeline_args=["--direct_running_mode=in_memory"], tmp_dir=str(folder), unique_id="1"
    )
    StatisticsGen(context).Do({"examples": [examples]}, {"statistics": [statistics]}, {})
    ExampleValidator().Do({"statistics": [statistics], "schema": [imported]}, {"anomalies": [anomalies]}, {})
    return anomalies


def written(folder, **splits):
    """Anomalies that TFX would not find in such small data."""
    found = artifact(standard_artifacts.ExampleAnomalies, folder / "anomalies")
    for split in SPLITS:
        (folder / f"anomalies/Split-{split}").mkdir()
        content = splits.get(split, ANOMALIES()).SerializeToString()
        (folder / f"anomalies/Split-{split}" / DEFAULT_FILE_NAME).write_bytes(content)
    return found


def gate(folder, anomalies, source_name="task.data"):
    report = artifact(GateReport, folder / "report")
    Executor().Do({"anomalies": [anomalies]}, {"report": [report]}, {"source_name": source_name})
    return json.loads((folder / "report/gate.json").read_text())


def task_schema(**options):
    return schemas.resolve("classification", labels=["부정", "긍정"], **options)


def test_good_records_pass(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "tfx_bert"):
        assert gate(tmp_path, validate(tmp_path, {}, task_schema())) == {"splits": list(SPLITS), "warnings": []}
    assert [record.message for record in caplog.records if record.name == "tfx_bert"] == ["no anomalies"]


def test_documents_pass(tmp_path):
    documents = [{"sentences": ["하나", "둘"], "origin": ["a.txt:1"]}, {"sentences": ["셋"], "origin": ["a.txt:4"]}]
    anomalies = validate(tmp_path, dict.fromkeys(SPLITS, documents), schemas.resolve("corpus"))
    assert gate(tmp_path, anomalies, "corpus")["warnings"] == []


def test_a_label_outside_the_domain_stops_the_run_and_names_feature_split_and_value(tmp_path):
    anomalies = validate(tmp_path, {"test": [*GOOD, {**GOOD[0], "label": ["보통"]}]}, task_schema())
    with pytest.raises(DataError) as caught:
        gate(tmp_path, anomalies)
    assert str(caught.value) == (
        "1 anomaly in the data of $.task.data\n"
        "  label in test: Examples contain values missing from the schema: 보통 (~33%).\n"
        "  Fix the data, or what it is held against ($.task.labels, $.task.schema)"
    )
    assert not (tmp_path / "report/gate.json").exists()


@pytest.mark.parametrize(
    ("split", "record", "schema", "message"),
    [
        ("train", {"text": ["좋다"], "label": ["긍정"]}, {}, "origin in train: .*fewer examples than expected"),
        ("eval", {**GOOD[0], "text": ["좋다", "별로"]}, {}, "text in eval: The feature has a shape, but"),
        ("train", {**GOOD[0], "city": ["서울"]}, {}, "city in train: New column"),
        ("test", GOOD[0], {"slices": {"city": ()}}, r"city in train: Column is completely missing"),
        ("test", GOOD[0], {"pair": True}, r"text_pair in test: Column is completely missing"),
    ],
)
def test_records_that_do_not_fit_the_schema(tmp_path, split, record, schema, message):
    anomalies = validate(tmp_path, {split: [GOOD[1], record]}, task_schema(**schema))
    with pytest.raises(DataError, match=message):
        gate(tmp_path, anomalies)


def test_warnings_do_not_stop_the_run(tmp_path, caplog):
    found = ANOMALIES()
    info = found.anomaly_info["label"]
    info.severity = info.WARNING
    info.reason.add(short_description="High drift", description="The distance is 0.3. ")
    anomalies = written(tmp_path, eval=found)
    with caplog.at_level(logging.INFO, "tfx_bert"):
        assert gate(tmp_path, anomalies)["warnings"] == ["label in eval: The distance is 0.3."]
    assert [record.message for record in caplog.records] == ["label in eval: The distance is 0.3.", "1 warning"]


def test_faults_of_the_whole_data_set_and_missing_data(tmp_path):
    found = ANOMALIES(data_missing=True)
    found.dataset_anomaly_info.severity = anomalies_pb2.AnomalyInfo.ERROR
    found.dataset_anomaly_info.reason.add(description="too few examples")
    with pytest.raises(DataError) as caught:
        gate(tmp_path, written(tmp_path, train=found), "corpus")
    assert str(caught.value) == (
        "2 anomalies in the data of $.corpus\n"
        "  train: no records\n"
        "  the data set in train: too few examples\n"
        "  Fix the data"
    )


def test_the_component_declares_what_it_reads_and_writes():
    anomalies = channel_utils.as_channel([standard_artifacts.ExampleAnomalies()])
    component = DataGate(anomalies, "corpus")
    assert component.inputs["anomalies"] is anomalies
    assert component.outputs["report"].type_name == "bert.GateReport"
    assert component.exec_properties == {"source_name": "corpus"}
