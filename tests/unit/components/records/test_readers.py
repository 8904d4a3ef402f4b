import gzip
import io
import itertools
import json
import re
import tarfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.records.readers import check, digest, files, names, rows
from components.records.rows import MAX_LINE, Bad, Row
from configs.base import ConfigError
from configs.sources import Corpus, TaskData
from schemas import DataError


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(name, content, columns=("text", "label"), **options):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(rows(name, TaskData(path=[name], **options), columns))


def fault(name, content, columns=("text", "label"), **options):
    with pytest.raises((DataError, ConfigError)) as caught:
        read(name, content, columns, **options)
    return str(caught.value)


# --- what is read ---


def test_csv_quotes_commas_and_line_ends_inside_quotes():
    assert read("a.csv", 'id,text,label\n1,"a ""b"", c\nd",x\n2,e,y\n') == [
        Row(2, {"text": 'a "b", c\nd', "label": "x"}),
        Row(4, {"text": "e", "label": "y"}),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_numbers_with_every_line_end(end):
    assert [row.line for row in read("a.csv", f"text,label{end}a,x{end}{end}b,y{end}")] == [2, 4]


def test_tsv_takes_quotes_as_letters():
    assert read("a.tsv", 'text\tlabel\n"a\tx\nb "c"\ty\n') == [
        Row(2, {"text": '"a', "label": "x"}),
        Row(3, {"text": 'b "c"', "label": "y"}),
    ]


def test_jsonl_keeps_types_and_skips_blank_lines():
    assert read("a.jsonl", '{"text": "a", "label": 1}\n\n{"label": null, "text": ["b"]}') == [
        Row(1, {"text": "a", "label": 1}),
        Row(3, {"text": ["b"], "label": None}),
    ]


def test_an_array_of_objects_with_the_lines_where_they_begin():
    """As KLUE's files are: laid out over many lines."""
    content = (
        '\ufeff \n[\n  {\n    "text": "a, [b]",\n    "label": 1\n  }, {"text": "c"},\n\n [2], '
        '{"text": "d", "label": 3}\n]\n'
    )
    assert read("a.json", content) == [
        Row(3, {"text": "a, [b]", "label": 1}),
        Bad("a.json", 6, "no key 'label'"),
        Bad("a.json", 8, "a list, a JSON object is expected"),
        Row(8, {"text": "d", "label": 3}),
    ]
    assert read("b.json", '[{"text": "가", "label": 1}]'.encode("utf-16"), encoding="utf-16")[0].values["text"] == "가"


def test_keys_of_objects_within_objects():
    first = {"text": "a", "labels": {"score": 4.5, "by": {"whom": "b"}}, "labels.score": 1}
    second = {"text": "a", "labels": {"score": 4.5, "by": {"whom": "c"}}}
    found = read("a.jsonl", f"{json.dumps(first)}\n{json.dumps(second)}", ["labels.score", "labels.by.whom"])
    assert [tuple(row.values.values()) for row in found] == [(1, "b"), (4.5, "c")]
    assert read("a.jsonl", '{"labels": 3}\n{"labels": {"score": 1, "score": 2}}', ["labels.score"]) == [
        Bad("a.jsonl", 1, "no key 'labels.score'"),
        Bad("a.jsonl", 2, "key 'labels.score' twice"),
    ]


def test_a_table_that_begins_with_a_record():
    """As CoLA's does."""
    header = ["source", "label", "mark", "text"]
    assert read("a.tsv", 'gj04\t1\t\tThe "book" fell.\ngj04\t0\t*\n', header=header) == [
        Row(1, {"text": 'The "book" fell.', "label": "1"}),
        Bad("a.tsv", 2, "3 columns, header has 4"),
    ]
    assert read("a.csv", "a,x\n", header=["text", "label"]) == [Row(1, {"text": "a", "label": "x"})]
    assert fault("a.csv", "a,x\n", header=["txt", "label"]) == (
        "$.task.data.header has no column 'text', which $.task.data.text names; did you mean 'txt'?"
    )


def test_parquet():
    table = pyarrow.table({"text": ["a", "b", None], "label": [1, 2, 3], "more": [0, 0, 0]})
    pyarrow.parquet.write_table(table, "a.parquet")
    assert list(rows("a.parquet", TaskData(path=["a.parquet"]), ["text", "label"])) == [
        Row(1, {"text": "a", "label": 1}),
        Row(2, {"text": "b", "label": 2}),
        Row(3, {"text": None, "label": 3}),
    ]


@pytest.mark.parametrize("kind", [pyarrow.binary(), pyarrow.large_binary(), pyarrow.large_string()])
def test_parquet_text_of_every_type(kind):
    """As bytes: Hive and Impala write so. A categorical column of pandas is a dictionary."""
    label = pyarrow.array(["x", "y", "x"]).dictionary_encode()
    text = pyarrow.array([b"a", "가".encode(), None], pyarrow.binary()).cast(kind)
    pyarrow.parquet.write_table(pyarrow.table({"text": text, "label": label}), "a.parquet")
    found = list(rows("a.parquet", TaskData(path=["a.parquet"]), ["text", "label"]))
    assert [tuple(row.values.values()) for row in found] == [("a", "x"), ("가", "y"), (None, "x")]


def test_parquet_structs_and_bytes_that_are_no_text():
    table = pyarrow.table(
        {
            "doc": [{"text": "a", "more": {"tags": [b"B", b"O"]}}, None],
            "a.b": [1, 2],
            "image": [b"\xff\xd8", b"\xff\xd8"],
            "late": pyarrow.array([2**62, 1], pyarrow.timestamp("us")),
        }
    )
    pyarrow.parquet.write_table(table, "a.parquet")
    source = TaskData(path=["a.parquet"])
    assert names("a.parquet", source) == ["doc.more.tags", "doc.text", "a.b", "image", "late"]
    assert list(rows("a.parquet", source, ["a.b", "doc.text", "doc.more.tags", "late"])) == [
        Row(1, {"a.b": 1, "doc.text": "a", "doc.more.tags": ["B", "O"], "late": f"<value out of range: {2**62}>"}),
        Bad("a.parquet", 2, "no key 'doc.text'"),
    ]
    assert next(rows("a.parquet", source, ["image"])) == Row(1, {"image": b"\xff\xd8"})


def test_parquet_text_that_is_no_utf8_is_a_bad_value():
    damaged = pyarrow.array([b"a", b"\xff"], pyarrow.binary()).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"text": damaged}), "a.parquet")
    found = list(rows("a.parquet", TaskData(path=["a.parquet"]), ["text"]))
    assert [row.values["text"] for row in found] == ["a", b"\xff"]


def test_parquet_columns_of_one_name_that_nobody_reads():
    table = pyarrow.table([["a"], ["x"], [1], [2]], names=["text", "label", "n", "n"])
    pyarrow.parquet.write_table(table, "a.parquet")
    assert list(rows("a.parquet", TaskData(path=["a.parquet"]), ["text", "label"])) == [
        Row(1, {"text": "a", "label": "x"})
    ]


@pytest.mark.parametrize(
    ("name", "first"), [("a.csv", "sep=,"), ("a.csv", "SEP=,\r"), ("a.csv", '"sep=,"'), ("a.tsv", "sep=\t")]
)
def test_the_line_that_names_the_separator_is_no_header(name, first):
    between = "," if name == "a.csv" else "\t"
    content = f"{first}\ntext{between}label\na{between}x\n"
    assert read(name, content) == [Row(3, {"text": "a", "label": "x"})]
    assert names(name, TaskData(path=[name])) == ["text", "label"]
    assert read(name, f"{first}\na{between}x\n", header=["text", "label"]) == [Row(2, {"text": "a", "label": "x"})]


def test_a_line_that_names_another_separator():
    sentence = "a.csv:1 says that its columns are separated by ';'; save it with commas or tabs."
    assert fault("a.csv", "sep=;\ntext;label\na;x\n") == sentence
    assert read("a.csv", "sep=1,text\na,b\n", ["text"]) == [Row(2, {"text": "b"})]


def test_plain_text_documents_are_separated_by_blank_lines():
    Path("a.txt").write_text("\n one \ntwo\n\n \n\nthree\n")
    assert list(rows("a.txt", Corpus(path=["a.txt"]), [])) == [
        Row(2, {"sentences": ["one", "two"]}),
        Row(7, {"sentences": ["three"]}),
    ]


def test_a_plain_text_file_can_be_one_document():
    Path("novel.txt").write_text("one\n\ntwo\n\n\nthree\n")
    source = Corpus(path=["novel.txt"], document="file")
    assert list(rows("novel.txt", source, [])) == [Row(1, {"sentences": ["one", "two", "three"]})]


@pytest.mark.parametrize("name", ["a.csv.gz", "A.CSV.GZ"])
def test_gzip_by_ending(name):
    assert read(name, gzip.compress(b"text,label\na,x\n")) == [Row(2, {"text": "a", "label": "x"})]


def test_a_name_that_a_glob_would_read_is_a_name_where_there_is_such_a_file():
    Path("re[1].csv").write_text("text,label\na,x\n")
    Path("re1.csv").write_text("text,label\na,x\n")
    assert files(TaskData(path=["re[1].csv"])) == {"path": ["re[1].csv"]}
    assert files(TaskData(path=["re[12].csv"])) == {"path": ["re1.csv"]}


def test_a_few_syllables_that_are_letters_of_utf8_too_are_korean():
    assert read("a.csv", "text,label\nfilm,커\nshow,크\n".encode("cp949"), encoding="cp949")[0].values["label"] == "커"


def test_plain_text_takes_no_column_to_join_by():
    Path("a.txt").write_text("one\n\ntwo\n")
    message = r"\$\.corpus\.document: plain text takes document: file, or neither. Received: 'chapter'"
    with pytest.raises(ConfigError, match=message):
        check(Corpus(path=["a.txt"], document="chapter"), [])
    check(Corpus(path=["a.txt"], document="file"), [])


def test_what_would_decode_by_accident_is_refused():
    french = "text,label\ndéjà vu à l'été, où ça a été créé,x\n".encode()
    message = "a.csv is UTF-8, not CP949.\n  Fix $.task.data.encoding: utf-8"
    assert fault("a.csv", french, encoding="cp949") == message
    assert fault("a.csv", gzip.compress(french)) == "a.csv is gzip; give it the ending .gz, or unpack it."
    assert fault("a.csv", "\ntext,label\na,x\n") == "a.csv:1 is blank; a header line with the column names is expected."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949", "euc-kr"])
def test_encodings(encoding):
    content = "text,label\n영화가 좋다,긍정\n".encode(encoding)
    assert read("a.csv", content, encoding=encoding) == [Row(2, {"text": "영화가 좋다", "label": "긍정"})]


def test_a_byte_order_mark_is_no_part_of_the_first_column():
    assert read("a.csv", b"\xef\xbb\xbftext,label\na,x\n")[0].values["text"] == "a"


def test_globs_are_resolved_in_name_order_once():
    for name in ("b.csv", "a.csv", ".hidden.csv"):
        Path(name).write_text("text,label\n")
    assert files(TaskData(path=["*.csv", "a.csv"], test=None)) == {"path": ["a.csv", "b.csv"]}


# --- faults of a record ---


def test_wrong_column_count():
    assert read("a.csv", "text,label\na\nb,x\nc,x,y\n") == [
        Bad("a.csv", 2, "1 columns, header has 2"),
        Row(3, {"text": "b", "label": "x"}),
        Bad("a.csv", 4, "3 columns, header has 2"),
    ]


def test_a_quote_that_is_not_doubled_is_one_bad_record():
    assert read("a.csv", 'text,label\n"a "b" c",x\nd,y\n') == [
        Bad("a.csv", 2, "a quote inside a quoted field is not doubled"),
        Row(3, {"text": "d", "label": "y"}),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON (Expecting property name enclosed in double quotes)"),
        ('["a"]', "a list, a JSON object is expected"),
        ("null", "null, a JSON object is expected"),
        ('{"text": "b"}', "no key 'label'"),
        ('{"text": "b", "text": "c", "label": "x"}', "key 'text' twice"),
        ("[" * 100_000, "JSON nested too deep, or a number too long"),
        ('{"text": ' + "9" * 5000 + "}", "JSON nested too deep, or a number too long"),
        ('{"text": "\\ud800", "label": "x"}', "lone surrogate U+D800"),
    ],
)
def test_jsonl_faults(line, reason):
    first = '{"text": "a", "label": "x"}'
    assert read("a.jsonl", f"{first}\n{line}\n{first}\n")[1:] == [
        Bad("a.jsonl", 2, reason),
        Row(3, {"text": "a", "label": "x"}),
    ]


def test_an_escaped_surrogate_says_nothing_of_the_encoding():
    assert read("a.jsonl", '{"text": "\\ud800"}', ["text"], encoding="cp949") == [
        Bad("a.jsonl", 1, "lone surrogate U+D800")
    ]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_read(encoding):
    assert read("a.csv", "text,label\na,x\n".encode(encoding), encoding="utf-16") == [
        Row(2, {"text": "a", "label": "x"})
    ]


def test_bytes_that_are_no_utf8_make_one_bad_record_where_no_encoding_fits():
    # Latin-1: one byte above 0x7f followed by a space decodes neither as UTF-8 nor as CP949.
    found = read("a.csv", "text,label\ncafé au lait,x\n가,y\n".encode().replace("é".encode(), b"\xe9"))
    assert found == [Bad("a.csv", 2, "not UTF-8 (byte 0xe9)"), Row(3, {"text": "가", "label": "y"})]


def test_a_damaged_cell_of_a_column_that_nobody_reads_does_no_harm():
    assert read("a.csv", b"text,label,note\na,x,\xff\n") == [Row(2, {"text": "a", "label": "x"})]


def test_a_long_line_is_read():
    text = "a" * 10_000_000
    assert read("a.csv", f"text,label\n{text},x\n")[0].values["text"] == text


def test_a_field_past_the_limit_is_one_bad_record(monkeypatch):
    monkeypatch.setattr("components.records.rows.MAX_LINE", 100)
    assert read("a.csv", f'text,label\n"{"a" * 90}",x\nb,y\n')[1] == Row(3, {"text": "b", "label": "y"})
    assert "a.csv:2 is longer than" in fault("a.csv", f"text,label\n{'a' * 101},x\nb,y\n")


# --- faults of a file ---


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "a.csv is empty; a header line with the column names is expected."),
        ("a.csv", "text,label\n", "a.csv holds no record below its header; remove the file, or fill it."),
        ("a.jsonl", "\n", "a.jsonl holds no record; remove the file, or fill it."),
        (
            "a.csv",
            "txt,label\na,x\n",
            "a.csv:1 has no column 'text', which $.task.data.text names; did you mean 'txt'?",
        ),
        ("a.csv", "a;b\nx;y\n", "a.csv:1 has no column 'text', which $.task.data.text names; it has 'a;b'."),
        ("a.csv", "text,label,text\na,x,b\n", "a.csv:1 has 2 columns 'text'; rename all but one."),
        (
            "a.csv",
            'text,label\na,x\n"b,y\nc,x\n',
            "a.csv:3: a quote opens in this record and is never closed, or closes amid a field; "
            "close it, or double it if it belongs to the text.",
        ),
        (
            "a.jsonl",
            '[\n{"text": "a"},\n{"text": }]',
            "a.jsonl:3 is not JSON (Expecting value), and the file begins an array.",
        ),
        (
            "a.csv.gz",
            b"\x1f\x8b\x08\x00",
            "a.csv.gz: the gzip stream is damaged or cut short after line 0; copy it again.",
        ),
        (
            "a.dat",
            "text,label\n",
            "$.task.data.format: the ending of a.dat does not tell it; give csv, tsv, jsonl, parquet or text.",
        ),
        (
            "a.csv",
            b"\xff\xfe\x00",
            "a.csv:1 is not UTF-8 (byte 0xff); it decodes as UTF-16.\n  Fix $.task.data.encoding: utf-16",
        ),
    ],
)
def test_faults_of_a_file(name, content, message):
    assert fault(name, content) == message


def test_a_file_in_another_encoding_names_the_right_one():
    message = "a.csv:1 is not UTF-8 (byte 0xb8); it decodes as CP949.\n  Fix $.task.data.encoding: cp949"
    assert fault("a.csv", "리뷰,감성\n좋다,긍정\n".encode("cp949"), ["리뷰", "감성"]) == message
    assert fault("a.csv", "text,label\nabc,x\n영화가 좋다,x\n".encode(), encoding="cp949").endswith("encoding: utf-8")
    assert fault("a.csv", "text,label\n똠방각하,x\n".encode("cp949"), encoding="euc-kr").endswith("encoding: cp949")
    assert fault("a.csv", "text,label\na,x\n".encode("utf-16-le")).endswith("encoding: utf-16")
    assert fault("a.csv", "text,label\n좋다,x\n".encode(), encoding="utf-16") == (
        "a.csv:1 is not UTF-16; it decodes as UTF-8.\n  Fix $.task.data.encoding: utf-8"
    )
    assert fault("a.jsonl", '{"text": "a"}'.encode("utf-16")).endswith("encoding: utf-16")


def test_truncated_gzip_says_how_far_it_got():
    content = "text,label\n" + "".join(f"{number},x\n" for number in range(200_000))
    packed = gzip.compress(content.encode())
    assert fault("a.csv.gz", packed[: len(packed) // 2]).startswith(
        "a.csv.gz: the gzip stream is damaged or cut short after line"
    )


def test_truncated_utf16():
    content = "text,label\na,x\n".encode("utf-16")
    assert fault("a.csv", content[:-1], encoding="utf-16").startswith("a.csv: not UTF-16 after line")


def test_damaged_parquet():
    assert fault("a.parquet", b"PAR1 and no more").startswith("a.parquet is not a whole Parquet file (")


def test_parquet_without_the_column():
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), "a.parquet")
    with pytest.raises(DataError, match="has no column 'label', which \\$\\.task\\.data\\.label names"):
        list(rows("a.parquet", TaskData(path=["a.parquet"]), ["text", "label"]))


def test_no_file_matches():
    with pytest.raises(DataError, match=r"^\$\.corpus\.path: no file matches 'x/\*\.txt'\.$"):
        files(Corpus(path=["x/*.txt"]))


def test_one_file_in_two_splits():
    Path("a.csv").touch()
    with pytest.raises(ConfigError, match=r"\$\.task\.data\.test: a\.csv is among the files of path too"):
        files(TaskData(path=["*.csv"], test=["a.csv"]))


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        (
            "a.csv",
            b"PK\x03\x04\x14\0\6\0",
            "a ZIP archive, as Excel's workbooks are; unpack it, or save its table as CSV",
        ),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "a workbook of Excel; save its table as CSV"),
        ("a.parquet", b"PK\x03\x04", "a ZIP archive, as Excel's workbooks are; unpack it, or save its table as CSV"),
        ("a.csv", b"PAR1\x15", "Parquet; give it the ending .parquet, or say format: parquet"),
        ("a.jsonl", b"ARROW1\0\0\xff", "Arrow; write it as Parquet"),
        ("a.jsonl", b"\x28\xb5\x2f\xfd\x04", "packed with Zstandard; unpack it"),
        (
            "a.csv",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a pointer of Git LFS; git lfs pull brings the file itself",
        ),
        (
            "a.tsv",
            b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html>",
            "a page of HTML or XML, not a file of records; download the file itself",
        ),
        ("a.csv.gz", b"<html>", "a page of HTML or XML, not a file of records; download the file itself"),
        ("a.csv.gz", b"text,label\n", "not gzip, though its name says so; take the ending .gz away"),
    ],
)
def test_a_file_that_is_something_else_than_its_name_says(name, content, cause):
    assert fault(name, content) == f"{name} is {cause}."


def test_a_tar_archive_under_gzip():
    packed = io.BytesIO()
    Path("b.csv").write_text("text,label\na,x\n")
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add("b.csv")
    assert fault("a.csv.gz", packed.getvalue()) == "a.csv.gz is a tar archive; unpack it."


def test_json_that_is_one_object():
    sentence = "a.json is one JSON object; an object a line is expected, or an array of objects."
    assert fault("a.json", '{\n "text": "a",\n "label": "x"\n}\n') == sentence
    found = read("a.json", '{"text": "a", "label": "x"},\n{"text": "b", "label": "y"}\n')
    assert found == [Bad("a.json", 1, "not JSON (Extra data)"), Row(2, {"text": "b", "label": "y"})]


def test_tables_that_were_put_together():
    content = "\ufefftext,label\na,x\n" * 2 + "text,label\nb,text\n"
    assert read("a.csv", content) == [
        Row(2, {"text": "a", "label": "x"}),
        Bad("a.csv", 3, "the header again"),
        Row(4, {"text": "a", "label": "x"}),
        Bad("a.csv", 5, "the header again"),
        Row(6, {"text": "b", "label": "text"}),
    ]


def test_names_of_columns():
    """Those that nine of ten objects have; objects give their keys."""
    for name, content in {
        "a.csv": ",text,note,note,\n1,a,b,c,\n",
        "a.jsonl": '{"a": {"b": 1, "c": {"d": 2}}, "e": null, "e": 1, "f": []}\n[]\n' * 9 + '{"a": {"b": 1, "c": {}}}',
    }.items():
        Path(name).write_text(content)
    assert names("a.csv", TaskData(path=["a.csv"])) == ["", "text", "note", "note", ""]
    assert names("a.jsonl", TaskData(path=["a.jsonl"])) == ["a.b", "a.c.d", "f"]


def test_an_address_of_no_file_system():
    with pytest.raises(
        DataError, match=r"^\$\.task\.data\.path: 'nowhere://bucket/a\.csv' cannot be read: Unable to get"
    ):
        files(TaskData(path=["nowhere://bucket/a.csv"]))


def test_a_folder_cannot_be_read():
    Path("a.csv").mkdir()
    with pytest.raises(DataError, match=r"^a\.csv cannot be read: Is a directory\.$"):
        check(TaskData(path=["a.csv"]), ["text"])


def test_plain_text_has_no_labels():
    Path("a.txt").write_text("a\n")
    with pytest.raises(ConfigError, match=r"\$\.task\.data\.format: a\.txt is plain text"):
        check(TaskData(path=["a.txt"]), ["text"])


def test_check_reads_heads_only():
    Path("a.csv").write_text("text,label\n" + "a,x\n" * 20_000 + '"')
    check(TaskData(path=["a.csv"]), ["text"])
    with pytest.raises(DataError, match="a quote opens"):
        list(rows("a.csv", TaskData(path=["a.csv"]), ["text"]))


# --- properties ---

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_slow = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def _quoted(cell):
    return '"' + cell.replace('"', '""') + '"'


@_slow
@given(st.lists(st.tuples(_texts, _texts), min_size=1, max_size=10), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_csv_gives_back_what_was_written(cells, encoding):
    lines = [f"{_quoted(text)},{_quoted(label)}\r\n" for text, label in [("text", "label"), *cells]]
    found = read("a.csv", "".join(lines).encode(encoding), encoding=encoding)
    assert [(row.values["text"], row.values["label"]) for row in found] == cells
    ends = itertools.accumulate(len(re.findall("\r\n|\r|\n", line)) for line in lines)
    assert [row.line for row in found] == [1 + end for end in ends][:-1]


@_slow
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["text", "label"]), _texts | st.integers() | st.none(), min_size=2), min_size=1
    )
)
def test_jsonl_gives_back_what_was_written(records):
    found = read("a.jsonl", "\n".join(map(json.dumps, records)))
    assert [dict(row.values) for row in found] == records


@settings(_slow, max_examples=1000)
@given(
    st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.csv.gz"]),
    st.sampled_from(["utf-8", "utf-16", "cp949", "euc-kr"]),
    st.binary(max_size=60) | st.text('text,label"{}:[]\\\n\r\t\0é가', max_size=60).map(str.encode),
    st.booleans(),
)
def test_any_bytes_give_records_or_one_clear_sentence(name, encoding, content, headed):
    header = {"a.csv": "text,label\n", "a.tsv": "text\tlabel\n"}.get(name, "") if headed else ""
    content = header.encode(encoding) + content
    Path(name).write_bytes(gzip.compress(content) if name.endswith(".gz") and headed else content)
    try:
        found = list(rows(name, TaskData(path=[name], encoding=encoding), ["text", "label"]))
    except DataError as error:
        assert str(error).startswith(name)
        return
    assert found
    for row in found:
        if isinstance(row, Row):
            assert set(row.values) == {"text", "label"}
            assert all(value.encode() is not None for value in row.values.values() if isinstance(value, str))
    assert [row.line for row in found] == sorted(row.line for row in found)


def test_the_limit_is_far_above_the_longest_sensible_line():
    assert MAX_LINE > 10_000_000


def test_every_format_is_read_from_s3_as_from_this_machine(s3):
    Path("a.csv").write_text("text,label\nfine,good\n")
    Path("a.csv.gz").write_bytes(gzip.compress(Path("a.csv").read_bytes()))
    Path("a.tsv").write_text("text\tlabel\nfine\tgood\n", "utf-16")
    Path("a.jsonl").write_text('{"text": "fine", "label": "good"}\n')
    Path("a.json").write_text('[{"text": "fine",\n"label": "good"}]')
    pyarrow.parquet.write_table(pyarrow.table({"text": ["fine"], "label": ["good"]}), "a.parquet")
    for path in Path().iterdir():
        s3.upload_file(str(path), "bucket", f"data/{path.name}")
        encoding = "utf-16" if path.suffix == ".tsv" else "utf-8"
        found = [
            list(rows(name, TaskData(path=[name], encoding=encoding), ["text", "label"]))
            for name in (str(path), f"s3://bucket/data/{path}", f"minio://bucket/data/{path}")
        ]
        assert found[0] == found[1] == found[2]
        assert [row.values for row in found[0]] == [{"text": "fine", "label": "good"}]
    source = TaskData(path=["s3://bucket/data/*.csv"], eval=["s3://bucket/data/**/*.tsv"])
    assert files(source) == {"path": ["s3://bucket/data/a.csv"], "eval": ["s3://bucket/data/a.tsv"]}
    remote = TaskData(path=["s3://bucket/data/a.csv"])
    assert digest(remote) != digest(TaskData(path=["s3://bucket/data/a.csv.gz"]))
    with pytest.raises(DataError, match=r"\$\.task\.data\.path: no file matches 's3://bucket/data/b\*\.csv'"):
        files(TaskData(path=["s3://bucket/data/b*.csv"]))
    with pytest.raises(
        DataError, match=r"\$\.task\.data\.path: s3://nowhere/a\.csv cannot be read: there is no bucket"
    ):
        files(TaskData(path=["s3://nowhere/a.csv"]))
