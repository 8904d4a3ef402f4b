"""StatisticsGen, TFX's ExampleValidator, then the gate."""

import json
import logging

import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.components.example_validator.executor import DEFAULT_FILE_NAME
from tfx.components.example_validator.executor import Executor as ExampleValidator
from tfx.components.statistics_gen.executor import Executor as OfTFX
from tfx.types import channel_utils, standard_artifacts

import schemas
from components import parallel
from components.artifacts import GateReport
from components.data import statistics_gen
from components.data.data_gate import DataGate, Executor
from models import progress
from models.recommendation import order
from schemas import DataError
from tests.unit.models.recommendation import test_order

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


def feature(values):
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    if values and isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    encoded = [value if isinstance(value, bytes) else value.encode() for value in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded)) if values else tf.train.Feature()


def validate(folder, records, schema, count=statistics_gen.Executor, shards=1):
    """The anomalies that TFX finds in ``records`` (by split), by the statistics that ``count`` makes of their files."""
    examples = artifact(standard_artifacts.Examples, folder / "examples")
    for split in SPLITS:
        (folder / f"examples/Split-{split}").mkdir()
        given = records.get(split, GOOD)
        for shard in range(shards):
            path = folder / f"examples/Split-{split}/data_tfrecord-{shard:05}-of-{shards:05}.gz"
            with tf.io.TFRecordWriter(str(path), options="GZIP") as writer:
                for record in given[len(given) * shard // shards : len(given) * (shard + 1) // shards]:
                    features = tf.train.Features(feature={name: feature(values) for name, values in record.items()})
                    writer.write(tf.train.Example(features=features).SerializeToString())
    imported = artifact(standard_artifacts.Schema, folder / "schema")
    (folder / "schema/schema.pbtxt").write_text(schemas.dump(schema))
    statistics = artifact(standard_artifacts.ExampleStatistics, folder / "statistics")
    anomalies = artifact(standard_artifacts.ExampleAnomalies, folder / "anomalies")
    context = count.Context(beam_pipeline_args=["--direct_running_mode=in_memory"], tmp_dir=str(folder), unique_id="1")
    count(context).Do({"examples": [examples]}, {"statistics": [statistics]}, {})
    ExampleValidator().Do({"statistics": [statistics], "schema": [imported]}, {"anomalies": [anomalies]}, {})
    return anomalies


def statistics_of(folder, split):
    content = (folder / f"statistics/Split-{split}/FeatureStats.pb").read_bytes()
    (found,) = statistics_pb2.DatasetFeatureStatisticsList.FromString(content).datasets
    return found.num_examples, {each.path.step[0]: each for each in found.features}


def anomalies_of(folder, split):
    return ANOMALIES.FromString((folder / f"anomalies/Split-{split}" / DEFAULT_FILE_NAME).read_bytes())


def of_every_kind(number, label):
    """A record with every type of column: missing here and there, empty, of several values, of more than 1,024."""
    return {
        "text": [f"text {number}"],
        "label": [label],
        "city": [f"city {number % 1500}"] if number % 3 else [],
        "tags": ["a", "b", "a"][: number % 4],
        "starts": [number % 5, -number][: number % 3],
        "score": [number / 7],
        "name": [b"\xff\xfe" if number == 11 else "Ünï"],
        **({"rare": ["once"]} if number == 1999 else {}),
        "origin": [f"a.csv:{number}"],
    }


@pytest.mark.parametrize("cores", ["1", "2"])
def test_statistics_and_anomalies_are_those_of_tfx(tmp_path, monkeypatch, of_tfx, cores):
    monkeypatch.setenv(parallel.CORES, cores)
    folder, records, schema = of_tfx
    found = validate(tmp_path, records, schema, shards=3)
    for split in SPLITS:
        (count, features), (expected_count, expected_features) = (
            statistics_of(tmp_path, split),
            statistics_of(folder, split),
        )
        assert count == expected_count
        assert features.keys() == expected_features.keys()
        for name, wanted in expected_features.items():
            for field in ("mean", "std_dev") if wanted.HasField("num_stats") else ():  # sums in another order
                assert getattr(features[name].num_stats, field) == pytest.approx(getattr(wanted.num_stats, field))
                setattr(features[name].num_stats, field, getattr(wanted.num_stats, field))
            if name == "origin":
                for field in ("unique", "top_values", "rank_histogram"):
                    wanted.string_stats.ClearField(field)
            assert features[name] == wanted, (split, name)
        assert anomalies_of(tmp_path, split) == anomalies_of(folder, split)
    with pytest.raises(DataError, match="label in eval: Examples contain values missing from the schema: 보통"):
        gate(tmp_path, found)


@pytest.fixture(scope="module")
def of_tfx(tmp_path_factory):
    """What TFX's own StatisticsGen finds."""
    folder = tmp_path_factory.mktemp("of_tfx")
    records = {
        "train": [of_every_kind(number, "긍정") for number in range(2000)],
        "eval": [of_every_kind(number, "보통" if number == 33 else "부정") for number in range(40)],
        "test": GOOD[:1],
    }
    schema = task_schema(slices={"city": ()})
    validate(folder, records, schema, OfTFX)
    return folder, records, schema


def test_a_column_of_very_many_values_has_a_rank_histogram_and_no_top_values(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics_gen, "EXACT", 64)
    records = [{"text": [f"{n}"], "label": ["긍정"], "origin": ["a.csv:2"]} for n in range(400)]
    validate(tmp_path, {"train": records}, task_schema())
    _, features = statistics_of(tmp_path, "train")
    text, label = features["text"].string_stats, features["label"].string_stats
    assert text.unique == pytest.approx(400, rel=0.5)
    assert text.rank_histogram.buckets
    assert not text.top_values
    assert [(each.value, each.frequency) for each in label.top_values] == [("긍정", 400)]


def written(folder, **splits):
    """Anomalies that TFX would not find in such small data."""
    found = artifact(standard_artifacts.ExampleAnomalies, folder / "anomalies")
    for split in SPLITS:
        (folder / f"anomalies/Split-{split}").mkdir()
        content = splits.get(split, ANOMALIES()).SerializeToString()
        (folder / f"anomalies/Split-{split}" / DEFAULT_FILE_NAME).write_bytes(content)
    return found


def gate(folder, anomalies, source_name="task.data", kind=None, **inputs):
    report = artifact(GateReport, folder / "report")
    properties = {"source_name": source_name} | ({"kind": kind} if kind else {})
    Executor().Do({"anomalies": [anomalies], **inputs}, {"report": [report]}, properties)
    return json.loads((folder / "report/gate.json").read_text())


def told(caplog):
    """Without what is told of nodes that take long."""
    return [each.message for each in caplog.records if not isinstance(getattr(each, "event", None), progress.Records)]


def task_schema(**options):
    return schemas.resolve("classification", labels=["부정", "긍정"], **options)


def test_good_records_pass(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "tfx_bert"):
        assert gate(tmp_path, validate(tmp_path, {}, task_schema())) == {"splits": list(SPLITS), "warnings": []}
    assert told(caplog) == ["no anomalies"]


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


@pytest.mark.parametrize("ordered", [True, False])
def test_histories_without_an_order_are_told_and_do_not_stop_the_run(tmp_path, caplog, ordered):
    walks = test_order.walks(ordered, count=120)
    records = {
        split: [
            {"history": each[:end], "target": [each[end]], "user": [b"u%d" % n], "event_time": [9], "origin": ["f:1"]}
            for n, each in enumerate(walks)
        ]
        for split, end in (("train", -3), ("eval", -2), ("test", -1))
    }
    anomalies = validate(tmp_path, records, schemas.resolve("sequence"))
    examples = artifact(standard_artifacts.Examples, tmp_path / "examples")
    with caplog.at_level(logging.INFO, "tfx_bert"):
        found = gate(tmp_path, anomalies, examples=[examples], kind="sequence")
    wanted = order.measure([each[:-2] for each in walks], [(each[:-2], each[-2]) for each in walks])
    assert wanted.matters == ordered
    assert found["warnings"] == ([] if ordered else [str(wanted)])
    assert told(caplog) == ([f"no anomalies · {wanted}"] if ordered else [str(wanted), "1 warning"])


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
