"""Pairs of texts from two files of lines, through ExampleGen."""

import logging
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.artifacts import BadRecords
from components.data.example_gen import Executor, RecordExampleGen
from configs.pairs import ParallelData
from schemas import DataError

SOURCE = ParallelData(path=["a.en", "a.ko"], on_bad_record="quarantine")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(pairs):
    for name, side in (("a.en", 0), ("a.ko", 1)):
        Path(name).write_text("".join(f"{pair[side]}\n" for pair in pairs))


def run():
    examples, bad = standard_artifacts.Examples(), BadRecords()
    examples.uri, bad.uri = str(Path("out/examples").absolute()), str(Path("out/bad").absolute())
    Path(bad.uri).mkdir(parents=True, exist_ok=True)
    context = Executor.Context(beam_pipeline_args=["--direct_running_mode=in_memory"], tmp_dir="tmp", unique_id="1")
    node = RecordExampleGen(
        "parallel", SOURCE, input_digest="i", source_digest="s", bad_records_path="runs/pairs/bad_records.csv"
    )
    Executor(context).Do({}, {"examples": [examples], "bad_records": [bad]}, dict(node.spec.exec_properties))


def found(split):
    files = [str(path) for path in Path(f"out/examples/Split-{split}").glob("*.gz")]
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        yield tuple(feature[name].bytes_list.value[0].decode() for name in ("text", "target", "origin"))


def test_each_source_is_one_record(caplog):
    write(
        [
            *((f"row {number % 90}", f"행 {number % 90 + number // 60}") for number in range(120)),
            ("PDF", "PDF"),
            ("", "빈"),
        ]
    )
    with caplog.at_level(logging.INFO, "tfx_bert"):
        run()
    pairs = {split: list(found(split)) for split in ("train", "eval", "test")}
    sources = [text for split in pairs.values() for text, *_ in split]
    assert sorted(sources) == sorted({f"row {number}" for number in range(90)})
    lines = dict(enumerate(zip(*(Path(name).read_text().splitlines() for name in SOURCE.path), strict=True), start=1))
    for text, target, origin in (pair for split in pairs.values() for pair in split):
        assert lines[int(origin.removeprefix("a.en:"))] == (text, target)
    assert Path("runs/pairs/bad_records.csv").read_text().splitlines()[1:] == ["a.en,122,column 'text' is empty"]
    (line,) = [record.message for record in caplog.records if record.name == "tfx_bert"]
    assert line.endswith(
        "1 bad · 1 left out as their own translation · "
        "30 sources with several translations: the most frequent one is kept"
    )


def test_swapped_sides_stop_it():
    pairs = [(f"row {number}", f"행 {number}") for number in range(100)]
    write([*pairs[:70], *(pair[::-1] for pair in pairs[70:])])
    with pytest.raises(DataError, match=r"column 'text' are in Hangul, which is the script of the other column"):
        run()
