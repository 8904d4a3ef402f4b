"""Texts with their translations."""

import json
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.records.bad_records import Report
from components.records.head import Head
from components.records.kind import load
from components.records.record import Counted, LeftOut, Part, key
from components.records.rows import Bad
from configs.pairs import ParallelData
from schemas import DataError

Kind = load("parallel")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def made(slices=(), **options):
    return Kind(ParallelData(**{"path": ["a.jsonl"], "text": "en", "target": "ko", **options}), slices=slices)


def read(rows, slices=(), **options):
    rows = [row if isinstance(row, dict) else dict(zip(("en", "ko"), row, strict=True)) for row in rows]
    Path("a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return list(made(slices, **options).records("a.jsonl"))


def joined(rows, slices=(), **options):
    groups = {}
    for part in read(rows, slices, **options):
        assert isinstance(part, Part), part
        groups.setdefault(part.group, []).append(part)
    items = (item for group in groups.values() for item in made(slices, **options).join(group))
    return [item[1] for item in items if not isinstance(item, Counted)]


def reason(text, target, **options):
    (found,) = read([(text, target)], **options)
    assert isinstance(found, Bad)
    return found.reason


def test_a_pair():
    (record,) = joined([{"en": " Two  words\n", "ko": "두 단어", "part": "ui"}], ["part"])
    assert record.features == {
        "part": [b"ui"],
        "text": [b"Two words"],
        "target": ["두 단어".encode()],
        "origin": [b"a.jsonl:1"],
    }
    assert (record.key, record.file, record.line) == (key(["two words"]), "a.jsonl", 1)


def test_both_sides_are_composed():
    """A model writes NFC: a reference in NFD would never be met."""
    (record,) = joined([(unicodedata.normalize("NFD", "café"), unicodedata.normalize("NFD", "한국어"))])
    assert (record.features["text"], record.features["target"]) == (["café".encode()], ["한국어".encode()])


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("", "빈"), "column 'en' is empty"),
        (("one", " \t"), "column 'ko' is empty"),
        ((None, "빈"), "column 'en' is null, a string is expected"),
        (("one", 1), "column 'ko' is a number, a string is expected"),
        (("one", "a\0b"), "NUL byte in column 'ko'"),
        (("o\x07ne", "하나"), "control character in column 'en'"),
        (("one", "하\x9f나"), "control character in column 'ko'"),
        (("a" * 48, "가가가"), "one side is more than 9 times as long as the other, and 20 characters more"),
        (("가가가", "a" * 48), "one side is more than 9 times as long as the other, and 20 characters more"),
        (("a " * 1001, "가" * 1000), "more than 1,000 words in column 'en'"),
        (("a" * 1000, "가 " * 1001), "more than 1,000 words in column 'ko'"),
    ],
)
def test_faults_of_a_pair(pair, expected):
    assert reason(*pair) == expected


@pytest.mark.parametrize(
    "pair",
    [
        ("a" * 47, "가가가"),
        ("Is Less Than Or Equal To", "이하"),
        ("a " * 1000, "가 " * 1000),
        ("a\tb\u2028", "가\u200d"),
    ],
)
def test_pairs_at_the_bounds(pair):
    assert isinstance(read([pair])[0], Part)


def test_a_text_that_is_its_own_translation():
    assert isinstance(read([("PDF ", "PDF")])[0], LeftOut)
    assert isinstance(read([("PDF", "pdf")])[0], Part)
    assert joined([("PDF", "PDF")], keep_equal=True)[0].features["target"] == [b"PDF"]


def test_of_several_translations_the_most_frequent_one_is_kept():
    rows = [("file", "화일"), ("file", "파일"), ("File", "파일들"), ("file", "파일"), ("file", "문서")]
    file, other = joined(rows)
    assert (file.features["target"], file.features["origin"]) == (["파일".encode()], [b"a.jsonl:2"])
    assert other.features["target"] == ["파일들".encode()]
    assert file.key == other.key, "what differs in its case only is in the same split"
    (first,) = joined([("file", "화일"), ("file", "파일")])
    assert first.features["target"] == ["화일".encode()], "of as many, the first one"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("가나다")), min_size=1), st.randoms())
def test_what_is_kept_is_the_same_in_any_order_of_the_parts(rows, random):
    parts = read(rows)
    counts = Counter(rows)
    for text in {text for text, _ in rows}:
        group = [part for part in parts if part.group == text]
        found = list(made().join(group))
        assert list(made().join(random.sample(group, len(group)))) == found
        record = found[0][1]
        target = record.features["target"][0].decode()
        assert counts[text, target] == max(counts[each] for each in counts if each[0] == text)


def test_what_was_joined_is_told():
    kind = made()
    figures = Counter()
    for text in ("a", "b", "c"):
        rows = {"a": [("a", "가"), ("a", "나"), ("a", "다")], "b": [("b", "가"), ("b", "가")], "c": [("c", "가")]}[text]
        figures.update(each for item in kind.join(read(rows)) if isinstance(item, Counted) for each in item.figures)
    assert kind.line(Report(figures=figures)) == (
        "0 train · 0 eval · 0 test · 0 bad · 1 came more than once · 1 sources with several translations: the most "
        "frequent one is kept"
    )
    assert kind.line(Report()) == "0 train · 0 eval · 0 test · 0 bad"
    assert kind.line(Report(left_out=3)) == "0 train · 0 eval · 0 test · 0 bad · 3 left out as their own translation"


def test_a_column_keeps_documents_in_one_split():
    rows = [{"en": f"{book} {verse}", "ko": "절", "book": book} for book in ("Gen", "Exod") for verse in range(20)]
    kind = made(split={"by": "book"})
    splits = {book: set() for book in ("Gen", "Exod")}
    for record in joined(rows, split={"by": "book"}):
        book = record.features["text"][0].decode().split()[0]
        splits[book].add(kind.split_of(record.key, "path"))
        assert record.key == key([book])
    assert all(len(each) == 1 for each in splits.values())
    assert kind.columns == ["en", "ko", "book"]
    (found,) = read([{"en": "one", "ko": "하나", "book": ""}], split={"by": "book"})
    assert found == Bad("a.jsonl", 1, "column 'book' is empty")
    assert dict(kind.shares) == {"train": 0.8, "eval": 0.1, "test": 0.1}


def test_two_files_of_lines():
    Path("a.en").write_text("one\n\ntwo\nPDF\n")
    Path("a.ko").write_text("하나\n\n\nPDF\n")
    kind = Kind(ParallelData(path=["a.en", "a.ko"]))
    first, bad, equal = kind.records("a.en")
    assert isinstance(first, Part)
    assert bad == Bad("a.en", 3, "column 'target' is empty")
    assert isinstance(equal, LeftOut)
    assert list(kind.records("a.ko")) == []


def test_what_check_says():
    head = Head(rows=4)
    for item in read([("one", "하나"), ("one", "일"), ("two", "둘"), ("삼", "three")]):
        made().add(item, head)
    assert made().summarize(head) == [
        "3 source texts",
        "75 % Latin → Hangul",
        "25 % Hangul → Latin",
        "25 % of column 'en' are in Hangul, which is the script of the other column",
        "25 % of column 'ko' are in Latin, which is the script of the other column",
    ]
    # Of a file of 40 such rows: three of four source texts are different ones.
    head.records = 40
    assert made().records_of(head) == 30
    assert made().lacking(head).startswith("25 % of column 'en' are in Hangul")
    head.labels = Counter({"Latin → Hangul": 3, "Hangul → Latin": 0})
    assert made().lacking(head) is None


# --- scripts ---


def report(**records):
    """A report of 100 records for each script pair, such as ``Latin_Hangul``."""
    counts = {("train", name.replace("_", " → ").replace("0", " ")): number for name, number in records.items()}
    rest = {("eval", "Latin → Hangul"): 1, ("test", "Latin → Hangul"): 1}
    return Report(rows=1000, records=Counter(counts) + Counter(rest))


def test_what_records_are_counted_by():
    (record,) = joined([("Insert a chart", "Writer 차트")])
    assert made().label(record) == "Latin → Hangul"


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            {"Latin_Hangul": 798, "Hangul_Latin": 200},
            "20 % of column 'en' are in Hangul, which is the script of the ot",
        ),
        ({"Latin_Hangul": 498, "Hangul_Latin": 500}, "50 % of column 'en' are in"),
        ({"Latin_Hangul": 700, "Latin_Latin": 298}, "30 % of column 'ko' are in Latin, which is the script of the oth"),
        ({"Latin_Hangul": 700, "Hangul_Hangul": 298}, "30 % of column 'en' are in Hangul"),
    ],
)
def test_swapped_columns_stop_a_run(records, message):
    with pytest.raises(
        DataError, match=rf"^\$\.task\.data\.text: {message}.*swap them back, else leave these pairs out"
    ):
        made().judge(report(**records), "bad_records.csv")


@pytest.mark.parametrize(
    "records",
    [
        {"Latin_Hangul": 900, "none_none": 500, "Latin_none": 400, "Cyrillic_Hangul": 300},
        {"Latin_Latin": 600, "Latin_Greek": 50, "Greek_Latin": 300},  # two languages of one script: nothing is told
        {"none_none": 900},
    ],
)
def test_scripts_that_tell_nothing(records, caplog):
    made().judge(report(**records), "bad_records.csv")
    assert not caplog.records


def test_a_few_in_the_wrong_script_are_told(caplog):
    made().judge(report(Latin_Hangul=900, Latin_Latin=50, Hangul_Latin=5), "bad_records.csv")
    assert [record.message for record in caplog.records] == [
        "6 % of column 'ko' are in Latin, which is the script of the other column"
    ]
