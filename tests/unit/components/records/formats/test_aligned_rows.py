import gzip
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.records.readers import check, rows
from components.records.rows import MAX_LINE, Bad, Row
from configs.base import ConfigError
from configs.pairs import ParallelData
from schemas import DataError

COLUMNS = ("text", "target")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, content):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


def read(sources, targets, **options):
    write("a.en", sources)
    write("a.ko", targets)
    return list(rows("a.en", ParallelData(path=["a.en", "a.ko"], **options), COLUMNS))


def test_line_n_of_one_file_goes_with_line_n_of_the_other():
    found = read("\ufeffone\n\n\ntwo\r\nthree", "하나\n\n빈\n둘\n셋\n\n\n")
    assert found == [
        Row(1, {"text": "one", "target": "하나"}),
        Row(3, {"text": "", "target": "빈"}),
        Row(4, {"text": "two", "target": "둘"}),
        Row(5, {"text": "three", "target": "셋"}),
    ]


def test_either_file_gives_the_rows_of_both():
    source = ParallelData(path=["a.en", "a.ko"])
    assert read("one\ntwo\n", "하나\n둘\n") == list(rows("a.ko", source, COLUMNS))
    check(source, COLUMNS)


def test_only_a_line_feed_ends_a_line():
    """As for wc, Moses and OPUS: other ends that Python knows would move all lines behind them."""
    text = "one\rhalf\u2028\u0085\x0b\x0c\x1cend\r\ntwo\n"
    assert [row.values["text"] for row in read(text, "하나\n둘\n")] == ["one\rhalf\u2028\u0085\x0b\x0c\x1cend", "two"]


@given(st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0\ufeff"))] * 2)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_pair_keeps_its_line(pairs):
    pairs = [("first", "one"), *pairs]
    found = read(*("".join(f"{pair[side]}\n" for pair in pairs) for side in (0, 1)))
    assert [(row.line, *row.values.values()) for row in found] == [
        (line, *pair) for line, pair in enumerate(pairs, 1) if "".join(pair).strip()
    ]


@pytest.mark.parametrize(("more", "fewer"), [("one\ntwo\nthree\n", "하나\n둘\n"), ("one\ntwo", "하나\n")])
def test_files_of_different_length(more, fewer):
    count = len(more.split())
    for given_, counts in (((more, fewer), (count, count - 1)), ((fewer, more), (count - 1, count))):
        with pytest.raises(DataError, match=rf"^a\.en has {counts[0]} lines and a\.ko has {counts[1]}: line n of"):
            read(*given_)


def test_a_line_that_does_not_decode_is_told_of_its_file():
    lines = [f"가{random.Random(n).choice('이다는을')}\n".encode() for n in range(50)]
    found = read("one\n" * 50, b"".join([*lines[:3], b"\xff\n", *lines[4:]]))
    assert found[3] == Bad("a.ko", 4, "not UTF-8 (byte 0xff)")
    assert sum(isinstance(row, Bad) for row in found) == 1
    with pytest.raises(DataError, match=r"^a\.ko:1 is not UTF-8 .*; it decodes as CP949\.\n  Fix \$\.task\.data\.enc"):
        read("one\n" * 50, "".join(line.decode() for line in lines).encode("cp949"))
    assert read("one\n", "하나\n".encode("cp949"), encoding="cp949") == [Row(1, {"text": "one", "target": "하나"})]


def test_gzip_and_the_ending_txt():
    for name, content in (("a.en.txt.gz", b"one\n"), ("a.ko.txt.gz", "하나\n".encode())):
        Path(name).write_bytes(gzip.compress(content))
    source = ParallelData(path=["a.en.txt.gz", "a.ko.txt.gz"])
    assert list(rows("a.en.txt.gz", source, COLUMNS)) == [Row(1, {"text": "one", "target": "하나"})]


def test_files_without_a_line_and_with_a_line_without_end():
    with pytest.raises(DataError, match=r"^a\.en holds no record; remove the file, or fill it\."):
        read("", "\n\n")
    with pytest.raises(DataError, match=r"^a\.ko has a line of more than 16 M characters"):
        read("one\n", f"{'a' * 9999}\r" * (MAX_LINE // 10_000 + 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": ["*.en", "*.ko"]}, r"\$\.task\.data\.path: a\.en is a file of lines: name it as it is, not by a"),
        ({"split": {"by": "book"}}, r"\$\.task\.data\.split\.by: a\.en is a file of lines and has no columns\. Rec"),
    ],
)
def test_what_files_of_lines_cannot_have(options, message):
    write("a.en", "one\n")
    write("a.ko", "하나\n")
    source = ParallelData(**{"path": ["a.en", "a.ko"], **options})
    for look in (check, lambda *given: list(rows("a.en", *given))):
        with pytest.raises(ConfigError, match=message):
            look(source, COLUMNS)


def test_a_column_that_files_of_lines_do_not_have():
    write("a.en", "one\n")
    write("a.ko", "하나\n")
    with pytest.raises(DataError, match=r"a\.en:1 has no column 'city', which \$\.evaluate\.slices names; it has 'te"):
        check(ParallelData(path=["a.en", "a.ko"]), (*COLUMNS, "city"))


@pytest.mark.parametrize(
    "options",
    [
        {"path": ["a.txt"]},
        {"path": "a.txt"},
        {"path": ["a.txt", "b.csv"]},
        {"path": ["a.en", "a.ko", "a.es"], "format": "aligned"},
        {"path": ["a.en", "a.ko"], "test": ["b.en"]},
        {"path": ["a.en", "a.ko"], "eval": ["b.en", "b.ko", "c.en"]},
    ],
)
def test_files_of_lines_come_in_twos(options):
    with pytest.raises(ValueError, match="must be two files of lines, one of the source texts and one of their"):
        ParallelData(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": ["a.en", "a.en"]}, r"path must be two different files\. Received: a\.en twice"),
        (
            {"path": "a.csv", "text": "en", "target": "en"},
            r"text and target must be two different columns\. .*'en' for",
        ),
    ],
)
def test_a_side_is_not_its_own_translation(options, message):
    with pytest.raises(ValueError, match=message):
        ParallelData(**options)


def test_tables_are_tables():
    for path in (["a.csv", "b.csv"], ["a.tsv"], ["a.data"], ["a.csv", "b.jsonl.gz"]):
        assert ParallelData(path=path).format is None
    assert ParallelData(path=["a.en", "a.ko"], format="csv").format == "csv"
    assert ParallelData(path=["a.en", "a.ko"]).format == "aligned"
