"""What the cache sees of a source: a digest of its files, here and in buckets."""

import hashlib
import json
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.data import source_digest
from components.data.source_digest import SourceDigest
from components.records import readers
from configs.sources import TaskData
from schemas import DataError
from tests.component import gcs
from tests.component.tables import reviews


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_input_digest_sees_names_contents_and_splits():
    reviews("a.csv", 3)
    source = TaskData(path=["*.csv"])
    before = readers.digest(source)
    content = hashlib.sha256(Path("a.csv").read_bytes()).hexdigest()
    assert before == hashlib.sha256(json.dumps(["path", "a.csv", content]).encode()).hexdigest()
    assert before == readers.digest(source)
    reviews("b.csv", 3)
    more = readers.digest(source)
    Path("b.csv").write_text("text,label,city\n")
    edited = readers.digest(source)
    as_test = readers.digest(TaskData(path=["a.csv"], test=["b.csv"]))
    assert len({before, more, edited, as_test}) == 4


def test_the_digest_of_what_lies_in_a_bucket_is_by_its_checksums(monkeypatch):
    """Google's own client, which Beam uses: no object is read, and what was written again as it was is the same."""
    source = TaskData(path=["gs://bucket/data/*.csv"])
    with gcs.emulated() as (bucket, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        bucket.objects |= {"data/a.csv": b"text,label\ngood,x\n", "data/b.csv": b"text,label\nbad,y\n"}
        monkeypatch.setattr(readers, "open_bytes", None)
        before = readers.digest(source)
        bucket.objects["data/b.csv"] = bytes(bucket.objects["data/b.csv"])
        assert readers.digest(source) == before
        bucket.objects["data/b.csv"] = b"text,label\nbad,x\n"  # a label of the same length
        edited = readers.digest(source)
        del bucket.objects["data/b.csv"]
        assert len({before, edited, readers.digest(source)}) == 3


def test_the_digest_of_what_lies_in_s3_is_by_its_etags(s3, monkeypatch):
    source = TaskData(path=["s3://bucket/data/*.csv"])

    def put(name, text):
        s3.put_object(Bucket="bucket", Key=f"data/{name}.csv", Body=text)
        return readers.digest(source)

    monkeypatch.setattr(readers, "open_bytes", None)
    first = put("a", b"text,label\ngood,x\n")
    assert put("a", b"text,label\ngood,x\n") == first
    assert len({first, put("a", b"text,label\ngood,y\n"), put("b", b"text,label\ngood,y\n")}) == 3


def test_a_node_finds_the_digest_that_this_machine_would_find(tmp_path):
    reviews("a.csv", 3)
    source = TaskData(path=["a.csv"])
    node, digest = SourceDigest(source, "classification"), standard_artifacts.String()
    digest.uri = str(tmp_path / "digest")
    source_digest.Executor().Do({}, {"digest": [digest]}, dict(node.spec.exec_properties))
    assert Path(digest.uri).read_text() == readers.digest(source)
    Path("a.csv").unlink()
    with pytest.raises(DataError, match=r"no file matches 'a\.csv'"):
        source_digest.Executor().Do({}, {"digest": [digest]}, dict(node.spec.exec_properties))
