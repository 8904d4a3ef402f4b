import json
import logging
from collections import Counter

import pytest

from components.records.bad_records import Report, gather
from components.records.kind import load
from configs.sources import Corpus, Split, TaskData
from schemas import DataError

Classification, Documents = load("classification"), load("corpus")
SOURCE = TaskData(path=["reviews.csv"])


def report(tmp_path, *notes):
    path = tmp_path / "notes"
    path.write_text("".join(f"{json.dumps(note)}\n" for note in notes))
    return gather([str(path)], str(tmp_path / "bad_records.csv"))


def good(**changes):
    records = {(split, label): 5 for split in ("train", "eval", "test") for label in ("neg", "pos")}
    return Report(rows=30, records=records | changes.pop("records", {}), **changes)


def refusal(found, source=SOURCE, kind=Classification, path="runs/reviews/3/bad_records.csv"):
    with pytest.raises(DataError) as caught:
        kind(source, ["neg", "pos"]).judge(found, path)
    return str(caught.value)


def test_notes_are_summed_and_every_bad_record_is_written(tmp_path):
    found = report(
        tmp_path,
        ["count", "rows", 8],
        ["count", "rows", 4],
        ["count", "left out", 2],
        ["bad", "b.csv", 9, "empty, at last"],
        ["bad", "a.csv", 12, "empty, at last"],
        ["bad", "a.csv", 3, "empty, at last"],
        ["records", "train", "pos", 6],
        ["records", "train", "pos", 1],
        ["records", "test", "neg", 1],
        ["fault", "a.csv is empty"],
    )
    assert (found.rows, found.left_out, found.bad) == (12, 2, 3)
    assert found.records == {("train", "pos"): 7, ("test", "neg"): 1}
    assert found.first == {"empty, at last": ("a.csv", 3)}
    assert found.faults == ["a.csv is empty"]
    assert (tmp_path / "bad_records.csv").read_text().splitlines() == [
        "file,line,reason",
        'b.csv,9,"empty, at last"',
        'a.csv,12,"empty, at last"',
        'a.csv,3,"empty, at last"',
    ]


def test_millions_of_reasons_stay_few_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("components.records.bad_records._KEPT", 2)
    found = report(tmp_path, *(["bad", "a.csv", line, f"label {line}"] for line in range(2, 7)))
    assert found.reasons == {"label 2": 1, "label 3": 1, "other reasons": 3}


def test_the_summary():
    assert str(good(left_out=1562)) == "10 train · 10 eval · 10 test · 0 bad · 1,562 left out"
    assert str(good(records={("train", "pos"): 8029})) == "8,034 train · 10 eval · 10 test · 0 bad"


def test_bad_records_stop_the_run():
    label, count = "label '보통', allowed 부정|긍정", "3 columns, header has 4"
    found = good(reasons=Counter({label: 12, count: 1025}))
    found.rows, found.first = 52_104, {label: ("reviews.csv", 4410), count: ("reviews.csv", 118)}
    assert refusal(found) == (
        "1,037 of 52,104 rows bad; on_bad_record: fail\n"
        "  1,025  3 columns, header has 4          first reviews.csv:118\n"  # Hangul takes two cells
        "     12  label '보통', allowed 부정|긍정  first reviews.csv:4410\n"
        "  All: runs/reviews/3/bad_records.csv\n"
        "  Fix them, or --set task.data.on_bad_record=quarantine"
    )


def test_quarantine_has_a_limit(tmp_path):
    notes = [["count", "rows", 100], *(["bad", "a.csv", line, f"label {line}"] for line in range(1, 12))]
    notes += [["records", split, label, 5] for split in ("train", "eval", "test") for label in ("neg", "pos")]
    found = report(tmp_path, *notes)
    source = TaskData(path=["a.csv"], on_bad_record="quarantine", max_bad_share=0.1)
    assert refusal(found, source) == "\n".join(
        [
            "11 of 100 rows bad; max_bad_share: 0.1",
            *(f"  1  label {line}  first a.csv:{line}" for line in range(1, 9)),
            "  and 3 other kinds",
            "  All: runs/reviews/3/bad_records.csv",
            "  Fix them, or --set task.data.max_bad_share=0.111",
        ]
    )
    source = source.model_copy(update={"max_bad_share": 0.11})
    Classification(source, ["neg", "pos"]).judge(found, "")


def test_the_way_out_raises_the_limit_too_where_quarantine_alone_would_not_do():
    found = good(reasons=Counter({"label 'x'": 10}))
    found.rows, found.first = 40, {"label 'x'": ("a.csv", 2)}
    assert refusal(found).endswith(
        "Fix them, or --set task.data.on_bad_record=quarantine --set task.data.max_bad_share=0.251"
    )


def test_faults_of_files_come_first():
    assert refusal(good(faults=["b.csv is empty", "a.csv is empty"])) == "a.csv is empty\nb.csv is empty"


def test_an_empty_split():
    found = good(records={("eval", "neg"): 0, ("eval", "pos"): 0}, left_out=3)
    where = "the eval split is empty (30 rows, 3 left out, 0 bad; share 0.1)"
    assert refusal(found) == f"{where}; give more records, or change $.task.data.split."
    corpus = Corpus(path=["a.txt"], eval=["b.txt"], split=Split(train=0.9, eval=0, test=0.1))
    assert "no record of b.txt is usable" in refusal(found, corpus, Documents)


def test_one_class_only():
    assert refusal(good(records={("train", "pos"): 0})) == (
        "$.task.data.label: all 5 records of train are 'neg'; a classifier needs two labels at least. Check the column."
    )


def test_a_label_that_train_lacks_is_a_notice(caplog):
    with caplog.at_level(logging.WARNING, "tfx_bert"):
        Classification(SOURCE, ["neg", "pos", "neutral"]).judge(good(), "")
    assert [record.message for record in caplog.records] == ["no record of train has the label 'neutral'"]


def test_a_corpus_has_no_labels():
    found = Report(rows=3, records={(split, ""): 1 for split in ("train", "eval", "test")})
    Documents(Corpus(path=["a"])).judge(found, "")
