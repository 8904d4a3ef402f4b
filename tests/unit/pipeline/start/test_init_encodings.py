"""Encodings of files that ``init`` reads: those that it recognises, and those that a person must name."""

import pytest

from pipeline import loader
from tests.unit.pipeline.start.initializing import ENGLISH, KOREAN, checked, init, table


def test_a_korean_csv_in_cp949_learns_its_own_vocabulary(folder):
    table(folder / "reviews.csv", KOREAN * 30, ("번호", "리뷰", "감성"), "cp949")
    output = init("reviews.csv")
    assert "CP949 · Korean" in output
    assert "a BERT folder for this language does better: --checkpoint FOLDER" in output
    found = loader.load("reviews.yaml")
    assert found.checkpoint is None
    assert found.text.mode == "uncased_nfc"
    assert found.vocabulary.learn == 1000
    assert found.task.labels == ["부정", "긍정"]
    assert found.task.data.encoding == "cp949"
    assert found.task.data.text == "리뷰"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings(folder, encoding):
    table(folder / "r.csv", KOREAN * 5, encoding=encoding)
    init("r.csv")
    assert loader.load("r.yaml").task.data.encoding == {"utf-8-sig": "utf-8", "utf-16": "utf-16"}[encoding]


def test_windows_1252_is_read_and_told(folder):
    """Excel's apostrophe, a byte that CP949 has a rare syllable for."""
    table(folder / "r.csv", [(f"it\u2019s {text}", label) for text, label in ENGLISH * 30], encoding="cp1252")
    output = init("r.csv")
    assert "CP1252 · English" in output
    assert "assumed  the encoding is CP1252: it is no UTF-8, and nearly all ASCII; --encoding names another" in output
    assert loader.load("r.yaml").task.data.encoding == "cp1252"
    assert "60 records" in checked("r.yaml")


def test_an_encoding_that_the_bytes_do_not_tell(folder):
    table(folder / "r.csv", [("очень хороший фильм", "good"), ("скучный и долгий фильм", "bad")] * 9, encoding="cp1251")
    output = init("r.csv", code=3)
    assert (
        "r.csv:2 is not UTF-8 (byte 0xee), and nothing else shows the encoding; name it with --encoding: cp1252 ("
        in output
    )
    assert "allowed utf-8, utf-16" in init("r.csv", "--encoding", "cp12", code=2)
    assert "CP1251 · not English" in init("r.csv", "--encoding", "windows-1251")
    assert loader.load("r.yaml").task.data.encoding == "cp1251"
    bad = checked("r.yaml", "--set", "task.data.encoding=utf-8", code=3)
    assert "18 of 18 rows bad" in bad
    assert "Is the file in another encoding? $.task.data.encoding: cp1252 (Western European)" in bad


def test_a_damaged_letter_is_one_bad_row(folder):
    table(folder / "r.csv", [(f"{text} \u201cagain\u201d", label) for text, label in ENGLISH * 30])
    with (folder / "r.csv").open("ab") as file:
        file.write(b"60,caf\xe9,good\n")
    assert "1 × not UTF-8 (byte 0xe9): set aside" in init("r.csv")
    assert "60 records" in checked("r.yaml")


def test_unicode_text_of_excel(folder):
    table(folder / "r.txt", ENGLISH * 30, encoding="utf-16", delimiter="\t")
    assert "60 records · " in init("r.txt")
    assert (loader.load("r.yaml").task.data.format, loader.load("r.yaml").task.data.encoding) == ("tsv", "utf-16")
    assert "60 records" in checked("r.yaml")
