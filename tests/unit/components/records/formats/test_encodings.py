import codecs
import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.records.formats.encodings import decodes_as, open_bytes, recognised, undecodable
from components.records.readers import files, rows
from components.records.rows import Row
from configs.sources import TaskData
from schemas import DataError


def file(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    ("content", "encoding", "expected"),
    [
        ("좋은 영화".encode("cp949"), "utf-8", "cp949"),
        ("좋은 영화".encode("cp949"), "utf-8-sig", "cp949"),
        ("좋은 영화".encode(), "cp949", "utf-8"),
        ("좋은 영화".encode("utf-16"), "utf-8", "utf-16"),
        (codecs.BOM_UTF16_BE + "ab".encode("utf-16-be"), "cp949", "utf-16"),
        ("abcd".encode("utf-16-le"), "utf-8", "utf-16"),
        ("élan à la carte".encode("latin-1"), "utf-8", None),
        ("Ähnlich schön übel".encode("latin-1"), "utf-8", None),
        (b"\xff\xff\xff\xff", "utf-8", None),
    ],
)
def test_the_encoding_that_makes_sense(tmp_path, content, encoding, expected):
    assert decodes_as(file(tmp_path, content), encoding) == expected


def test_the_whole_file_counts(tmp_path):
    korean = "좋은 영화\n".encode("cp949") * 300_000
    assert decodes_as(file(tmp_path, korean), "utf-8") == "cp949"
    assert decodes_as(file(tmp_path, korean + b"\xff\xff"), "utf-8") is None


def test_gzip_is_unpacked_on_request(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"text"))
    with open_bytes(str(path)) as stream:
        assert stream.read() == b"text"
    with open_bytes(str(path), unpack=False) as stream:
        assert stream.read(2) == b"\x1f\x8b"


def test_files_elsewhere_are_read_through_beam(tmp_path):
    """A file system that Beam knows, such as gs://, here one over a local folder."""
    from apache_beam.io.filesystem import FileMetadata
    from apache_beam.io.localfilesystem import LocalFileSystem

    class Elsewhere(LocalFileSystem):
        @classmethod
        def scheme(cls):
            return "elsewhere"

        def open(self, path, *args, **kwargs):
            return super().open(path.removeprefix("elsewhere:/"), *args, **kwargs)

        def match(self, patterns, limits=None):
            found = super().match([pattern.removeprefix("elsewhere:/") for pattern in patterns], limits)
            for result in found:
                result.metadata_list = [FileMetadata(f"elsewhere:/{each.path}", 0) for each in result.metadata_list]
            return found

    content = "text,label\n좋다,긍정\n".encode("cp949")
    (tmp_path / "a.csv").write_bytes(content)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(content))
    source = TaskData(path=[f"elsewhere:/{tmp_path}/*"], encoding="cp949")
    paths = files(source)["path"]
    assert paths == [f"elsewhere:/{tmp_path}/a.csv", f"elsewhere:/{tmp_path}/b.csv.gz"]
    for path in paths:
        assert list(rows(path, source, ["text", "label"])) == [Row(2, {"text": "좋다", "label": "긍정"})]
        assert decodes_as(path, "utf-8") == "cp949"


def test_an_address_of_nobody():
    with pytest.raises(ValueError, match="Unable to get filesystem from specified path"):
        open_bytes("nowhere://bucket/a.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "cp949", "euc-kr"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=20))
def test_what_did_not_decode_is_found_and_nothing_else(encoding, content):
    text = content.decode(encoding, errors="surrogateescape")
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        reason = undecodable({"text": text}, encoding)
        assert reason
        assert reason.startswith(f"not {encoding.upper()} (byte 0x")
    else:
        assert undecodable({"text": text}, encoding) is None


def test_lists_are_searched():
    assert undecodable({"sentences": ["a", "b\udcff"]}, "utf-8") == "not UTF-8 (byte 0xff)"
    assert undecodable({"number": 5, "text": "좋다"}, "utf-8") is None


ENGLISH = (
    "text,label\nit\u2019s true that I didn\u2019t like the \u201ccaf\u00e9\u201d \u2014 \u00a35 a cup \u2026,neg\n"
    "the soup was cold when it came and nobody asked whether we were pleased with anything at all,neg\n"
)


@pytest.mark.parametrize(
    ("content", "encoding", "expected"),
    [
        (ENGLISH, "cp1252", "cp1252"),
        ("it\u2019s true, i didn\u2019t\n", "cp1252", "cp1252"),  # would decode as rare syllables of CP949
        ("AÇÃO E EMOÇÃO, SÃO PAULO\n", "cp1252", None),  # and this as common ones between letters
        ("Über müde Bären, größer\n", "cp1252", None),  # or 1250, 1254, 1257 …
        ("Очень хороший фильм, всем советую\n", "cp1251", None),
        ("Очень хороший фильм, всем советую\n", "koi8-r", None),
        ("çok güzel bir film değil mi şimdi\n", "cp1254", None),
        ("zażółć gęślą jaźń\n", "cp1250", None),
        ("这部电影真的很好看\n剧情无聊浪费时间\n", "gbk", None),
        ("この映画はとても面白かった\n", "cp932", None),
        ("この映画はとても面白かった\n", "euc-jp", None),
        ("這部電影真的很好看\n", "big5", None),
        ("영화가 정말 좋다, A형 배우들의 연기\n", "cp949", "cp949"),
    ],
)
def test_an_encoding_is_recognised_or_left_open(tmp_path, content, encoding, expected):
    assert recognised(file(tmp_path, content.encode(encoding))) == expected


def test_a_damaged_letter_leaves_utf8_what_it_is(tmp_path):
    path = file(tmp_path, ENGLISH.encode() + b"caf\xe9\n")
    assert recognised(path) == "utf-8"
    assert decodes_as(path, "utf-8") is None  # its rows are bad, and no other encoding is the cure


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("UTF8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("UTF-16LE", "utf-16"),
        ("latin-1", "cp1252"),
        ("ISO-8859-1", "cp1252"),
        ("Windows-1252", "cp1252"),
        ("windows-1251", "cp1251"),
        ("EUC_KR", "euc-kr"),
        ("GB2312", "gb18030"),
        ("Shift_JIS", "cp932"),
        ("iso-8859-15", "iso8859-15"),
        ("mac_roman", "mac-roman"),
    ],
)
def test_names_of_encodings(name, expected):
    assert TaskData(path=["a.csv"], encoding=name).encoding == expected


@pytest.mark.parametrize(
    "name",
    ["utf-7", "utf-32", "idna", "rot13", "unicode_escape", "hz", "iso2022_jp", "cp037", "undefined", "x", "", "\0"],
)
def test_encodings_that_no_file_of_records_is_in(name):
    with pytest.raises(ValueError, match="allowed utf-8, utf-16, cp1252"):
        TaskData(path=["a.csv"], encoding=name)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1251", "koi8-r", "cp932", "gb18030", "big5", "euc-jp"])
def test_files_in_other_encodings(tmp_path, encoding):
    text = {"cp1252": "it\u2019s déjà", "latin-1": "it\u2019s déjà", "cp1251": "фильм", "koi8-r": "фильм"}.get(
        encoding, "電影"
    )
    path = file(tmp_path, f"text,label\n{text},x\n".encode("cp1252" if encoding == "latin-1" else encoding))
    assert list(rows(path, TaskData(path=[path], encoding=encoding), ["text"])) == [Row(2, {"text": text})]


@pytest.mark.parametrize("encoding", ["cp1252", "cp1251", "koi8-r"])
def test_one_letter_of_utf8_is_told_where_a_byte_is_a_letter(tmp_path, encoding):
    path = file(tmp_path, "text,label\ncafé,x\n".encode())
    with pytest.raises(DataError, match=f"is UTF-8, not {encoding.upper()}"):
        list(rows(path, TaskData(path=[path], encoding=encoding), ["text"]))
