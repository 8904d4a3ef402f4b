import gzip
import json
import logging
from collections import Counter
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts

from components.artifacts import BadRecords
from components.data.example_gen import Executor, RecordExampleGen
from configs.events import CatalogueData, SequenceData
from configs.sources import Corpus, LabelRanges, Split, TaskData
from schemas import DataError
from tests.component.events import Events
from tests.component.tables import reviews, write

SPLITS = ("train", "eval", "test")
COMMON = {"input_digest": "i", "source_digest": "s", "bad_records_path": "runs/reviews/bad_records.csv"}


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(component):
    examples, bad = standard_artifacts.Examples(), BadRecords()
    examples.uri, bad.uri = str(Path("out/examples").absolute()), str(Path("out/bad").absolute())
    Path(bad.uri).mkdir(parents=True, exist_ok=True)
    context = Executor.Context(beam_pipeline_args=["--direct_running_mode=in_memory"], tmp_dir="tmp", unique_id="1")
    Executor(context).Do({}, {"examples": [examples], "bad_records": [bad]}, dict(component.spec.exec_properties))
    return examples


def read(split):
    files = [str(path) for path in Path(f"out/examples/Split-{split}").glob("*.gz")]
    found = []
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        example = tf.train.Example.FromString(record)
        found.append({name: list(feature.bytes_list.value) for name, feature in example.features.feature.items()})
    return found


def everything():
    return [record for split in ("train", "eval", "test") for record in read(split)]


def task(labels=("x", "y"), slices=(), sample=0, **source):
    data = TaskData(**{"path": ["a.csv"], **source})
    return RecordExampleGen("classification", data, labels=labels, slices=slices, sample=sample, **COMMON)


def summary(caplog):
    return [record.message for record in caplog.records if record.name == "tfx_bert"]


def test_records_become_examples_in_three_splits(caplog):
    reviews("a.csv", 200)
    with caplog.at_level(logging.INFO, "tfx_bert"):
        examples = run(task(slices=["city"]))
    sizes = {split: len(read(split)) for split in ("train", "eval", "test")}
    assert sum(sizes.values()) == 200
    assert sizes["train"] > 130
    assert summary(caplog) == [f"{sizes['train']} train · {sizes['eval']} eval · {sizes['test']} test · 0 bad"]
    first = next(record for record in everything() if record["origin"] == [b"a.csv:2"])
    assert first == {"text": [b"review 0"], "label": [b"x"], "city": [b"a"], "origin": [b"a.csv:2"]}
    assert examples.splits == ["train", "eval", "test"]
    assert examples_utils.get_payload_format(examples) == example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE
    assert Path("out/bad/bad_records.csv").read_text().splitlines() == ["file,line,reason"]
    assert not list(Path("out/bad").glob("notes*"))
    assert not Path("runs").exists()


def test_many_files_of_several_formats(tmp_path):
    reviews("a.csv", 100)
    lines = [json.dumps({"text": f"other {n}", "label": "xy"[n % 2]}) for n in range(100)]
    Path("b.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    run(task(path=["*.csv", "*.gz"]))
    origins = Counter(record["origin"][0].rpartition(b":")[0] for record in everything())
    assert origins == {b"a.csv": 100, b"b.jsonl.gz": 100}


def test_duplicates_never_straddle_splits():
    spellings = [str.lower, str.upper, lambda text: f"  {text.replace(' ', chr(9))} ", str.title]
    write(
        "a.csv",
        [("text", "label"), *((spell(f"good film {n}"), "xy"[n % 2]) for spell in spellings for n in range(100))],
    )
    run(task())
    splits = {
        split: {record["text"][0].lower().split()[-1] for record in read(split)} for split in ("train", "eval", "test")
    }
    assert all(splits.values())
    assert sum(len(found) for found in splits.values()) == 100
    assert len(everything()) == 400


def test_the_split_does_not_depend_on_the_file():
    reviews("a.csv", 100)
    run(task())
    before = {record["text"][0]: split for split in ("train", "eval", "test") for record in read(split)}
    reviews("b.csv", 50)
    reviews("c.csv", 50, start=50)
    for path in Path("out/examples").rglob("*.gz"):
        path.unlink()
    run(task(path=["c.csv", "b.csv"]))
    assert before == {record["text"][0]: split for split in ("train", "eval", "test") for record in read(split)}


def test_label_ranges_leave_records_out_and_say_so(caplog):
    write("a.csv", [("text", "score"), *((f"review {n}", (n % 5) - 2) for n in range(100))])
    label = LabelRanges(column="score", ranges={"bad": "< -0.5", "good": "> 0.5"})
    with caplog.at_level(logging.INFO, "tfx_bert"):
        run(task(labels=["bad", "good"], label=label))
    assert Counter(record["label"][0] for record in everything()) == {b"bad": 40, b"good": 40}
    assert summary(caplog)[-1].endswith("0 bad · 20 left out")


# --- bad records ---


def bad_reviews():
    rows = [[f"review {n}", "xy"[n % 2]] for n in range(100)]
    rows[10], rows[20], rows[30], rows[40] = ["only one"], ["", "x"], ["review", "z"], ["review", "z"]
    write("a.csv", [("text", "label"), *rows])


def test_bad_records_stop_the_run_and_are_kept():
    bad_reviews()
    with pytest.raises(DataError) as caught:
        run(task())
    assert str(caught.value) == (
        "4 of 100 rows bad; on_bad_record: fail\n"
        "  2  label 'z', allowed x|y   first a.csv:32\n"
        "  1  1 columns, header has 2  first a.csv:12\n"
        "  1  column 'text' is empty   first a.csv:22\n"
        "  All: runs/reviews/bad_records.csv\n"
        "  Fix them, or --set task.data.on_bad_record=quarantine"
    )
    assert Path("runs/reviews/bad_records.csv").read_text().splitlines() == [
        "file,line,reason",
        'a.csv,12,"1 columns, header has 2"',
        "a.csv,22,column 'text' is empty",
        "a.csv,32,\"label 'z', allowed x|y\"",
        "a.csv,42,\"label 'z', allowed x|y\"",
    ]


def test_quarantine_sets_them_aside(caplog):
    bad_reviews()
    with caplog.at_level(logging.INFO, "tfx_bert"):
        run(task(on_bad_record="quarantine"))
    assert len(everything()) == 96
    assert summary(caplog)[-1].endswith(" · 4 bad")
    assert len(Path("out/bad/bad_records.csv").read_text().splitlines()) == 5
    with pytest.raises(DataError, match=r"4 of 100 rows bad; max_bad_share: 0\.03"):
        run(task(on_bad_record="quarantine", max_bad_share=0.03))


def test_a_fault_deep_in_a_file_keeps_its_message():
    reviews("a.csv", 20_000)
    with Path("a.csv").open("a") as file:
        file.write('"never closed,x,a\n')
    with pytest.raises(DataError, match=r"^a\.csv:20002: a quote opens in this record and is never closed"):
        run(task(on_bad_record="quarantine"))


def test_a_file_in_another_encoding():
    Path("a.csv").write_bytes("text,label\n좋다,x\n".encode("cp949"))
    with pytest.raises(DataError, match=r"^a\.csv:2 is not UTF-8 \(byte 0xc1\); it decodes as CP949\.\n  Fix \$\.task"):
        run(task())


# --- given splits ---


def test_given_splits_are_taken_and_checked_for_leakage(caplog):
    reviews("a.csv", 40)
    reviews("b.csv", 10, start=30)
    write("c.csv", [("text", "label"), *((f"REVIEW  {n}", "x") for n in (1, 2, 35, 90, 91))])
    source = {"eval": ["b.csv"], "test": ["c.csv"], "on_bad_record": "quarantine", "max_bad_share": 0.5}
    with caplog.at_level(logging.INFO, "tfx_bert"):
        run(task(**source))
    # review 30 … 39 are in train and eval; 1, 2 in train and test; 35 in all three.
    assert summary(caplog) == ["28 train · 9 eval · 5 test · 13 bad"]
    assert not {record["text"][0] for record in read("train")} & {
        f"review {n}".encode() for n in (1, 2, *range(30, 40))
    }
    lines = Path("out/bad/bad_records.csv").read_text().splitlines()[1:]
    assert Counter(line.rpartition(",")[2] for line in lines) == {"also in eval": 9, "also in test": 4}
    assert "b.csv,7,also in test" in lines
    with pytest.raises(DataError, match=r"13 of 55 rows bad; on_bad_record: fail\n  9  also in eval  first a\.csv:32"):
        run(task(**{**source, "on_bad_record": "fail"}))


def test_duplicates_inside_one_given_split_are_no_leak():
    for name, start in (("a.csv", 0), ("b.csv", 2), ("c.csv", 4)):
        write(name, [("text", "label"), *((f"review {start + n % 2}", "xy"[n % 2]) for n in range(4))])
    run(task(eval=["b.csv"], test=["c.csv"]))
    assert [len(read(split)) for split in ("train", "eval", "test")] == [4, 4, 4]


# --- too little ---


def test_an_empty_split():
    reviews("a.csv", 10)
    with pytest.raises(DataError, match=r"^the eval split is empty \(10 rows, 0 left out, 0 bad; share 0\.001\); give"):
        run(task(split=Split(train=0.998, eval=0.001, test=0.001)))


def test_one_class_only():
    write("a.csv", [("text", "label"), *((f"review {n}", "x") for n in range(100))])
    with pytest.raises(
        DataError, match=r"^\$\.task\.data\.label: all \d+ records of train are 'x'; a classifier needs two"
    ):
        run(task())


# --- corpora ---


def corpus(sample=0, **source):
    return RecordExampleGen("corpus", Corpus(**source), sample=sample, **COMMON)


def test_files_of_plain_text_as_documents():
    for number in range(60):
        Path(f"{number}.txt").write_text(f"first {number}\n\nsecond {number}\n")
    run(corpus(path=["*.txt"], document="file"))
    found = everything()
    assert len(found) == 60
    assert {"sentences": [b"first 7", b"second 7"], "origin": [b"7.txt:1"]} in found


def test_plain_text_documents():
    Path("a.txt").write_text("\n\n".join(f"first {n}\nsecond {n}" for n in range(100)))
    run(corpus(path=["a.txt"]))
    found = everything()
    assert len(found) == 100
    assert {"sentences": [b"first 1", b"second 1"], "origin": [b"a.txt:4"]} in found


def test_rows_of_several_files_joined_into_documents():
    messages = [{"room": n % 50, "at": at, "text": f"{n % 50} at {at}"} for at in (2, 10, 1) for n in range(50)]
    Path("a.jsonl").write_text("\n".join(map(json.dumps, messages[:70])))
    Path("b.jsonl").write_text("\n".join(map(json.dumps, messages[70:])))
    run(corpus(path=["*.jsonl"], document="room", order="at"))
    found = {record["sentences"][0]: record["sentences"] for record in everything()}
    assert len(found) == 50
    assert found[b"7 at 1"] == [b"7 at 1", b"7 at 2", b"7 at 10"]


def test_a_sample_has_every_split_and_is_the_same_every_time():
    reviews("a.csv", 1000)
    reviews("b.csv", 20, start=5000)
    run(task(test=["b.csv"], sample=100))
    first = everything()
    assert [len(read(split)) for split in ("train", "eval", "test")] == [80, 10, 10]
    for path in Path("out/examples").rglob("*.gz"):
        path.unlink()
    run(task(test=["b.csv"], sample=100))
    assert sorted(map(str, everything())) == sorted(map(str, first))


# --- what the cache sees ---


def test_the_component_carries_all_that_decides_its_output():
    reviews("a.csv", 3)
    properties = task(slices=["city"], sample=5).spec.exec_properties
    assert properties["input_digest"] == "i"
    assert (properties["labels"], properties["slices"], properties["sample"]) == ('["x", "y"]', '["city"]', 5)
    assert TaskData.model_validate_json(properties["source"]) == TaskData(path=["a.csv"])


def test_data_in_s3_is_read_there_and_its_bad_records_are_kept_there(s3):
    """The files of ``test_many_files_of_several_formats`` and one more; the same examples."""
    reviews("a.csv", 60)
    reviews("b.csv", 60, start=60)
    Path("c.csv.gz").write_bytes(gzip.compress(Path("b.csv").read_bytes().replace(b"review", b"late")))
    run(task(path=["*.csv", "c.csv.gz"]))
    here = sorted(record["text"] for record in everything())
    for name in ("a.csv", "b.csv", "c.csv.gz"):
        s3.upload_file(name, "bucket", f"data/{name}")
    kept = "s3://bucket/runs/reviews/bad_records.csv"
    there = RecordExampleGen(
        "classification",
        TaskData(path=["s3://bucket/data/*.csv", "s3://bucket/data/c.csv.gz"]),
        labels=["x", "y"],
        **{**COMMON, "bad_records_path": kept},
    )
    run(there)
    assert sorted(record["text"] for record in everything()) == here
    s3.put_object(
        Bucket="bucket", Key="data/a.csv", Body=b"text,label,city\r\n,x,a\r\n" + Path("a.csv").read_bytes()[17:]
    )
    with pytest.raises(DataError, match=rf"1  column 'text' is empty +first s3://bucket/data/a\.csv:2\n  All: {kept}"):
        run(there)
    found = s3.get_object(Bucket="bucket", Key="runs/reviews/bad_records.csv")["Body"].read().decode()
    assert found.splitlines()[1:] == ["s3://bucket/data/a.csv,2,column 'text' is empty"]


# --- kinds that live elsewhere ---


def test_rows_of_a_user_are_records_in_three_splits(caplog):
    """One key has a record in each split, which is no leak; what makes no record is left out, or bad."""
    rows = [(f"u{user}", f"i{time}", time) for time in range(5) for user in range(50)]
    rows += [("few", "i1", 1), *(("bored", "i1", time) for time in range(5))]
    write("a.csv", [("user", "item", "time"), *rows])
    source = Events(path=["a.csv"], on_bad_record="quarantine")
    with caplog.at_level(logging.INFO, "tfx_bert"):
        run(RecordExampleGen("tests.component.events", source, **COMMON))
    assert summary(caplog) == ["50 train · 50 eval · 50 test · 1 bad · 1 left out"]
    found = {split: next(each for each in read(split) if each["origin"] == [b"a.csv:9"]) for split in SPLITS}
    assert found == {
        "train": {"items": [b"i0", b"i1"], "next": [b"i2"], "origin": [b"a.csv:9"]},
        "eval": {"items": [b"i0", b"i1", b"i2"], "next": [b"i3"], "origin": [b"a.csv:9"]},
        "test": {"items": [b"i0", b"i1", b"i2", b"i3"], "next": [b"i4"], "origin": [b"a.csv:9"]},
    }
    assert Path("out/bad/bad_records.csv").read_text().splitlines()[1:] == ["a.csv,253,a user of one item"]
    for path in Path("out/examples").rglob("*.gz"):
        path.unlink()
    run(RecordExampleGen("tests.component.events", source, sample=50, **COMMON))
    sizes = {split: {record["origin"][0] for record in read(split)} for split in SPLITS}
    assert [len(users) for users in sizes.values()] == [40, 5, 5]
    assert sizes["eval"] == sizes["test"] < sizes["train"]  # the same users in each


def test_events_of_any_file_and_order_become_users_histories(caplog):
    """Two files and formats, the later events in the first; half of the neighbours share their time."""
    events = [(f"u{user}", f"i{user}-{n}", n // 2) for user in range(40) for n in range(6)]
    late, early = ([event for event in events if (event[2] == 2) == is_late] for is_late in (True, False))
    write("a.csv", [("user", "item", "time"), *late, ("u1", "a|b", 1)])
    rows = [{"user": user, "item": item, "time": time} for user, item, time in early]
    Path("b.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    source = SequenceData(path=["a.csv", "b.jsonl"], time="time", on_bad_record="quarantine")
    with caplog.at_level(logging.INFO, "tfx_bert"):
        run(RecordExampleGen("sequence", source, **COMMON))
    assert summary(caplog) == [
        "60% of neighbouring events share their time: their order is that of the file",
        "40 users · 240 events · 40 train · 40 eval · 40 test · 1 bad · 60% of neighbours share their time",
    ]
    found = next(record for record in read("test") if record["user"] == [b"u7"])
    assert found["history"] == [f"i7-{n}".encode() for n in range(5)]
    assert (found["target"], found["origin"]) == ([b"i7-5"], [b"a.csv:17"])
    reason = Path("out/bad/bad_records.csv").read_text().splitlines()[1]
    assert reason == "a.csv,82,\"column 'item' holds |, which separates the items of a request\""


def test_a_catalogue_has_each_item_once(caplog):
    rows = [("1", "Heat"), ("2", ""), ("1", "Heat"), ("3", "Ran"), ("3", "Rashomon")]
    write("a.csv", [("item", "title", "genre"), *((*row, "Crime") for row in rows)])
    source = CatalogueData(path=["a.csv"], about=["genre"], on_bad_record="quarantine", max_bad_share=0.5)
    with caplog.at_level(logging.INFO, "tfx_bert"):
        run(RecordExampleGen("catalogue", source, **COMMON))
    assert summary(caplog) == ["1 items · 1 bad · 1 left out"]
    assert read("catalogue") == [
        {"item": [b"1"], "title": [b"Heat"], "about": [b"Heat, Crime"], "origin": [b"a.csv:2"]}
    ]
    assert "a.csv,5,\"an item with several texts in 'title', 'genre'" in Path("out/bad/bad_records.csv").read_text()
