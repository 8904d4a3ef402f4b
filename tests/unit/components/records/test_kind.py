import datetime
import hashlib
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.records.kind import load
from components.records.record import LeftOut, Part, Record, key, normalize
from components.records.rows import Bad
from components.records.text_kind import texts_of
from configs.sources import AnswerData, Corpus, LabelRanges, SpanData, Split, TaskData, Unlabelled
from schemas import DataError

Classification, Documents = load("classification"), load("corpus")
RANGES = LabelRanges(column="score", ranges={"bad": "< -0.5", "good": "> 0.5"})


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def task(content, labels=("x", "y"), slices=(), **options):
    Path("a.jsonl").write_text("\n".join(json.dumps(row) for row in content))
    return list(Classification(TaskData(path=["a.jsonl"], **options), labels, slices).records("a.jsonl"))


def corpus(content, **options):
    Path("a.jsonl").write_text("\n".join(json.dumps(row) for row in content))
    return list(Documents(Corpus(path=["a.jsonl"], **options)).records("a.jsonl"))


def join(parts):
    ((split, document),) = Documents(Corpus(path=["a.jsonl"], document="room")).join(parts)
    assert split is None
    return document


def reason(row, **options):
    (found,) = task([row], **options)
    assert isinstance(found, Bad)
    assert (found.file, found.line) == ("a.jsonl", 1)
    return found.reason


def test_a_labelled_record():
    (found,) = task([{"text": " 좋다 ", "label": "x", "city": "서울", "size": 3}], slices=["city", "size"])
    assert found == Record(
        {
            "text": [" 좋다 ".encode()],
            "label": [b"x"],
            "city": ["서울".encode()],
            "size": [b"3"],
            "origin": [b"a.jsonl:1"],
        },
        hashlib.sha256("좋다".encode()).digest()[:16],
        "a.jsonl",
        1,
    )


def test_a_pair():
    (found,) = task([{"a": "p", "b": "q", "label": "y"}], text="a", text_pair="b")
    assert found.features == {"text": [b"p"], "text_pair": [b"q"], "label": [b"y"], "origin": [b"a.jsonl:1"]}
    assert found.key == key(["p", "q"])


def test_labels_may_be_numbers_or_booleans_in_json():
    found = task([{"text": "a", "label": 1}, {"text": "b", "label": True}], labels=["1", "true"])
    assert [record.features["label"] for record in found] == [[b"1"], [b"true"]]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": " \t", "label": "x"}, "column 'text' is empty"),
        ({"text": 5, "label": "x"}, "column 'text' is a number, a string is expected"),
        ({"text": None, "label": "x"}, "column 'text' is null, a string is expected"),
        ({"text": ["a"], "label": "x"}, "column 'text' is a list, a string is expected"),
        ({"text": {"a": 1}, "label": "x"}, "column 'text' is an object, a string is expected"),
        ({"text": True, "label": "x"}, "column 'text' is true or false, a string is expected"),
        ({"text": "a\0b", "label": "x"}, "NUL byte in column 'text'"),
        ({"text": "a" * 1_000_001, "label": "x"}, "more than 1,000,000 characters in column 'text'"),
        ({"text": "a", "label": "보통"}, "label '보통', allowed x|y"),
        ({"text": "a", "label": "z" * 40}, f"label '{'z' * 30}…', allowed x|y"),
        ({"text": "a", "label": ""}, "column 'label' is empty"),
        ({"text": "a", "label": None}, "column 'label' is empty"),
        ({"text": "a", "label": ["x"]}, "column 'label' is a list, one value is expected"),
    ],
)
def test_faults_of_a_record(row, expected):
    assert reason(row) == expected


def test_a_long_list_of_labels_is_cut():
    assert (
        reason({"text": "a", "label": "z"}, labels=list("abcdefghijkl")) == "label 'z', allowed a|b|c|d|e|f|g|h|i|j|…"
    )


@pytest.mark.parametrize(
    ("score", "label"),
    [(-0.51, b"bad"), ("-3.9", b"bad"), (0.6, b"good"), (" 1e0 ", b"good"), (0.5, None), (-0.5, None), ("0", None)],
)
def test_labels_cut_from_a_number(score, label):
    (found,) = task([{"text": "a", "score": score}], labels=["bad", "good"], label=RANGES)
    assert isinstance(found, LeftOut) if label is None else found.features["label"] == [label]


@pytest.mark.parametrize("score", ["", "high", None, True, "nan", "inf", "1_000", [1]])
def test_a_score_that_is_no_number(score):
    assert reason({"text": "a", "score": score}, label=RANGES) == "column 'score' is not a number"


def test_ranges_that_overlap():
    label = LabelRanges(column="score", ranges={"a": "<= 1", "b": ">= 1"})
    assert reason({"text": "a", "score": 1}, label=label) == "a number in the ranges of a and b at once"


def test_columns_that_are_read():
    assert Classification(TaskData(path=["a"], text_pair="b", label=RANGES), slices=["city"]).columns == [
        "text",
        "b",
        "score",
        "city",
    ]
    assert Documents(Corpus(path=["a"], text=["q", "a"], document="room", order="at")).columns == [
        "q",
        "a",
        "room",
        "at",
    ]


# --- documents ---


def test_several_columns_are_the_sentences_of_a_document():
    (found,) = corpus([{"q": "one", "a": "two"}], text=["q", "a"])
    assert found.features == {"sentences": [b"one", b"two"], "origin": [b"a.jsonl:1"]}


def test_running_text_is_split_into_sentences():
    (found,) = corpus([{"q": "One. Two?", "a": "three"}], text=["q", "a"], sentences="split")
    assert found.features["sentences"] == [b"One.", b"Two?", b"three"]
    Path("a.txt").write_text("A line that\ngoes on. It\nends.\n\nNext. One.\n")
    found = Documents(Corpus(path=["a.txt"], sentences="split")).records("a.txt")
    assert [record.features["sentences"] for record in found] == [
        [b"A line that goes on.", b"It ends."],
        [b"Next.", b"One."],
    ]


def test_an_empty_sentence_is_a_bad_record():
    assert corpus([{"q": "one", "a": ""}], text=["q", "a"]) == [Bad("a.jsonl", 1, "column 'a' is empty")]


def test_rows_joined_by_document_in_their_order():
    rows = [("r", 10, "third"), ("r", "9", "second"), ("r", 1.5, "first")]
    parts = corpus([{"text": text, "room": room, "at": at} for room, at, text in rows], document="room", order="at")
    assert parts[0] == Part("r", 10, "a.jsonl", 1, ("third",))
    assert join(parts).features["sentences"] == [b"first", b"second", b"third"]
    assert join(parts).line == 3


def test_times_sort_as_text_and_nanoseconds_keep_their_order():
    assert [join([part("2024-02-01", "b"), part("2024-01-31", "a")]).features["sentences"]] == [[b"a", b"b"]]
    late, early = 1_700_000_000_000_000_001, 1_700_000_000_000_000_000
    rows = [{"text": "b", "room": 1, "at": str(late)}, {"text": "a", "room": 1, "at": early}]
    assert join(corpus(rows, document="room", order="at")).features["sentences"] == [b"a", b"b"]  # type: ignore[arg-type]


def test_without_order_rows_keep_the_order_of_their_files():
    parts = [part(0, "c", "b.csv", 1), part(0, "b", "a.csv", 10), part(0, "a", "a.csv", 9)]
    assert join(parts).features["sentences"] == [b"a", b"b", b"c"]


def part(order, text, file="a.csv", line=2):
    return Part("r", order, file, line, (text,))


@pytest.mark.parametrize("name", ["room", "at"])
def test_a_row_without_document_or_order_is_bad(name):
    row = {"text": "a", "room": "r", "at": 1, name: ""}
    assert corpus([row], document="room", order="at") == [Bad("a.jsonl", 1, f"column '{name}' is empty")]


def test_typed_values_of_parquet():
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(
        {
            "text": ["b", "a"],
            "score": [Decimal("0.9"), Decimal("0.1")],
            "at": [datetime.date(2024, 1, 2), datetime.date(2024, 1, 1)],
        }
    )
    pyarrow.parquet.write_table(table, "a.parquet")
    source = TaskData(path=["a.parquet"], label=RANGES)
    found = list(Classification(source, ["bad", "good"], ["at"]).records("a.parquet"))
    assert found[0].features["at"] == [b"2024-01-02"]
    assert isinstance(found[1], LeftOut)


def test_plain_text_with_a_fault_is_bad_as_a_document():
    Path("a.txt").write_bytes(b"one\ntwo\n\nth\0ree\nfour\n")
    found = list(Documents(Corpus(path=["a.txt"])).records("a.txt"))
    assert found[0].features["sentences"] == [b"one", b"two"]
    assert found[1:] == [Bad("a.txt", 4, "NUL byte in the document")]


def test_faults_of_a_file_are_raised():
    with pytest.raises(DataError, match=r"^a\.jsonl holds no record"):
        task([])


# --- splits ---


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A  Good\tFilm", "a good film"),
        ("ＡＢＣ", "abc"),
        ("가", "가"),  # NFD, NFC
        ("Straße", "STRASSE"),
        ("a\u00a0b\u3000c", "a b c"),
    ],
)
def test_texts_that_a_reader_would_call_the_same(one, other):
    assert key([one]) == key([other])


def test_texts_that_differ():
    assert len({key(texts) for texts in (["a b"], ["a", "b"], ["ab"], ["b", "a"])}) == 4


def test_the_split_is_pinned():
    """A new hash would move every record, and with it every published figure."""
    source = TaskData(path=["a"])
    # Leading 64 bits of SHA-256, as shares of 2**64: a .791, g .801, 5 between .9 and 1.
    assert [Classification(source).split_of(key([text]), "path") for text in ("a", "g", "5")] == [
        "train",
        "eval",
        "test",
    ]


def test_shares():
    source = TaskData(path=["a"], split=Split(train=0.6, eval=0.3, test=0.1))
    counts = Counter(Classification(source).split_of(key([str(number)]), "path") for number in range(20_000))
    assert counts["train"] == pytest.approx(12_000, abs=280)  # 4 σ
    assert counts["eval"] == pytest.approx(6_000, abs=260)
    assert counts["test"] == pytest.approx(2_000, abs=170)


def test_files_of_a_split_are_that_split_and_path_shares_the_rest():
    both = TaskData(path=["a"], eval=["b"], test=["c"])
    one = TaskData(path=["a"], test=["c"])
    keys = [key([str(number)]) for number in range(2_000)]
    assert {Classification(both).split_of(each, "path") for each in keys} == {"train"}
    assert {Classification(both).split_of(each, "eval") for each in keys} == {"eval"}
    counts = Counter(Classification(one).split_of(each, "path") for each in keys)
    assert counts["eval"] == pytest.approx(2_000 / 9, abs=60)
    assert counts["test"] == 0


@given(st.text())
def test_normalizing_folds_space_and_ascii_takes_the_same_way(text):
    assert normalize(f"  {text}\n") == normalize(text)
    assert "  " not in normalize(text)
    if text.isascii():
        assert normalize(text) == normalize(f"{text} é").removesuffix("é").strip()


# --- any record ---


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).filter(str.strip),
    st.sampled_from([Unlabelled, TaskData, SpanData, AnswerData]),
)
def test_a_text_stays_as_it_was_given(text, kind):
    """Answers count its characters, white space at its ends included."""
    found = texts_of({"a": text, "b": f" {text}\n"}, kind(path=["x.jsonl"], text="a", text_pair="b"))
    assert found == [text, f" {text}\n"]


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["x", "y", "0.7"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(("text", "label", "city"), _values)), min_size=1, max_size=5))
def test_whatever_json_holds_every_row_is_accounted_for(content):
    for label in ("label", LabelRanges(column="label", ranges={"x": "< 0", "y": ">= 0"})):
        found = task(content, slices=["city"], label=label)
        assert len(found) == len(content)
        for record in found:
            if isinstance(record, Record):
                assert all(value[0].strip() != b"" for name, value in record.features.items() if name != "city")
                assert record.features["label"][0] in (b"x", b"y")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(("text", "room", "at"), _values)), min_size=1, max_size=5))
def test_every_row_of_a_document_is_joined_or_told(content):
    found = corpus(content, document="room", order="at")
    assert len(found) == len(content)
    parts = [item for item in found if isinstance(item, Part)]
    if parts:
        assert len(join(parts).features["sentences"]) == len(parts)
