import codecs
import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.encodings import decodes_as, open_bytes, undecodable
from components.readers import Row, files, rows
from configs.experiment import TaskData


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
