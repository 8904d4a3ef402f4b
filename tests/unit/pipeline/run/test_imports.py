"""Checkpoints in buckets, read by the real clients from a server that answers as S3 and as Google Cloud Storage do."""

import email.utils
import http.server
import json
import pathlib
import re
import threading
import urllib.parse

import pytest
import yaml
from click.testing import CliRunner

from configs import environment
from configs.base import ConfigError
from configs.clusters.kubeflow import Kubeflow
from configs.pairs import ParallelData
from models.checkpoints import layout
from pipeline import cli, loader
from pipeline.run import imports, sources
from pipeline.start import preview
from schemas import DataError

TINY = pathlib.Path(__file__).parents[3] / "data" / "bert_tiny"
# How each client is led to the server; keys and options are no part of what a person is told.
ADDRESSES = {
    "s3": "s3://bucket/models/tiny",
    "minio": "minio://bucket/models/tiny",
    "gs": "gs://anonymous@bucket/models/tiny?scheme=http&retry_limit_seconds=1&endpoint_override=127.0.0.1:{port}",
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Both APIs, as far as reading a file of a known name goes."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    read: list[str]
    time = 1_700_000_000
    forbidden = False

    def log_message(self, *_):
        pass

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        path, asked = urllib.parse.unquote(url.path), dict(urllib.parse.parse_qsl(url.query))
        name = path.removeprefix("/storage/v1/b/bucket/o").removeprefix("/bucket").removeprefix("/")
        time = {"updated": "2023-11-14T22:13:20Z", "timeCreated": "2023-11-14T22:13:20Z"}
        if self.time != Handler.time:
            time = dict.fromkeys(time, "2024-01-01T00:00:00Z")
        if self.forbidden:
            return self.send(403, b"")
        if "list-type" in asked:
            keys = sorted(key for key in self.objects if key.startswith(asked["prefix"]))
            told = "".join(
                f"<Contents><Key>{key}</Key><Size>1</Size><LastModified>2023-11-14T22:13:20.000Z</LastModified>"
                "<ETag>e</ETag></Contents>"
                for key in keys
            )
            return self.send(200, f"<ListBucketResult>{told}</ListBucketResult>".encode())
        if not name:
            return self.send(200, b'{"items": []}')
        if name not in self.objects:
            return self.send(404, b"")
        content = self.objects[name]
        if path.startswith("/storage/") and asked.get("alt") != "media":
            about = {"name": name, "bucket": "bucket", "size": str(len(content)), "generation": "1", **time}
            return self.send(200, json.dumps(about).encode())
        if self.command == "GET":
            self.read.append(name.rpartition("/")[2])
        if found := self.headers.get("range"):
            first, last = found.removeprefix("bytes=").split("-")
            return self.send(206, content[int(first) : int(last) + 1])
        return self.send(200, content)

    do_GET = do_HEAD = answer  # noqa: N815

    def send(self, code, content):
        self.send_response(code)
        self.send_header("content-length", str(len(content)))
        self.send_header("etag", '"e"')
        self.send_header("last-modified", email.utils.formatdate(self.time, usegmt=True))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture(params=ADDRESSES)
def bucket(request, tmp_path, monkeypatch):
    """The handler, and the address of a folder behind it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    objects = {f"models/tiny/{path.name}": path.read_bytes() for path in TINY.iterdir()}
    handler = type("Handler", (Handler,), {"objects": objects, "read": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    yield handler, ADDRESSES[request.param].format(port=server.server_port)
    server.shutdown()
    server.server_close()


def experiment(address):
    rows = "".join(f"a text of number {number},{'good' if number % 2 else 'bad'}\n" for number in range(40))
    pathlib.Path("r.csv").write_text(f"text,label\n{rows}")
    task = {"type": "classification", "data": {"path": "r.csv"}, "labels": ["bad", "good"], "max_length": 16}
    pathlib.Path("x.yaml").write_text(yaml.safe_dump({"name": "x", "checkpoint": address, "task": task}))
    return loader.load("x.yaml", ())


def test_a_folder_in_a_bucket_comes_in_by_content(bucket):
    handler, address = bucket
    given, where = experiment(address), environment.load("local")
    placed = imports.checkpoint(given, where)
    assert placed.parent == pathlib.Path("runs/x/imports").absolute()
    came = placed / "Format-Serving/assets.extra/checkpoint"
    assert {path.name: path.read_bytes() for path in came.iterdir()} == {
        path.name: path.read_bytes() for path in TINY.iterdir()
    }
    assert imports.start(given, where).name == f"{address.partition('://')[0]}://bucket/models/tiny"
    # The same again is not fetched again; what changed is, and comes in under another digest.
    assert set(handler.read) == {path.name for path in TINY.iterdir()}
    handler.read.clear()
    assert imports.checkpoint(given, where) == placed
    assert handler.read == []
    handler.time, handler.objects["models/tiny/config.json"] = 1_704_067_200, b'{"model_type": "bert"}'
    assert imports.checkpoint(given, where) != placed
    assert "config.json" in handler.read


def test_weights_of_torch_are_fetched_where_there_are_no_others(bucket):
    handler, address = bucket
    given, where = experiment(address), environment.load("local")
    handler.objects["models/tiny/pytorch_model.bin"] = (TINY.parent / "bert_tiny.bin").read_bytes()
    assert layout.weights_file(imports.start(given, where).folder).name == "model.safetensors"
    assert "pytorch_model.bin" not in handler.read
    del handler.objects["models/tiny/model.safetensors"]
    folder = imports.start(given, where).folder
    assert layout.weights_file(folder).read_bytes() == handler.objects["models/tiny/pytorch_model.bin"]


def test_check_names_the_address_without_its_keys(bucket):
    handler, address = bucket
    experiment(address)
    result = CliRunner().invoke(cli.main, ["check", "x.yaml"])
    assert f"✓ {address.partition('://')[0]}://bucket/models/tiny: BERT of 3 layers, 24 wide" in result.output
    handler.objects.clear()
    result = CliRunner().invoke(cli.main, ["check", "x.yaml"])
    assert result.exit_code == 2
    assert f"$.checkpoint: {address.partition('://')[0]}://bucket/models/tiny has no config.json" in result.output
    assert "secret" not in result.output


def test_a_bucket_that_cannot_be_read_is_one_sentence(bucket):
    handler, address = bucket
    handler.forbidden = True
    scheme, refused = address.partition("://")[0], r"(no permission \(|PERMISSION_DENIED|403)"
    told = rf"^\$\.checkpoint: {scheme}://bucket/models/tiny cannot be read: .*{refused}"
    with pytest.raises(ConfigError, match=told) as error:
        imports.start(experiment(address), environment.load("local"))
    assert "secret" not in str(error.value)
    with pytest.raises(
        ConfigError,
        match=r"^\$\.checkpoint: s3://bucket/a cannot be read: keys and options have no place in an address",
    ) as error:
        imports.start(experiment("s3://key:secret@bucket/a?region=eu-west-1"), environment.load("local"))
    assert "key:secret" not in str(error.value)
    with pytest.raises(
        ConfigError, match=r"^\$\.checkpoint: ftp://host/bert cannot be read: Unrecognized filesystem type"
    ):
        imports.start(experiment("ftp://host/bert"), environment.load("local"))


def test_a_file_without_a_span_is_told_alike_by_check_and_run(tmp_path, monkeypatch):
    """Labels that are left out are those of the data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(
        "name: a\nencoder: bert_tiny\nvocabulary: {learn: 100}\n"
        "task: {type: token_classification, data: {path: a.conll}}\n"
    )
    for content, cause in {
        "Anna O\nwins O\n": "a.conll: no record has a span, so there is nothing to learn",
        "Anna PER\nwins O\n": "1 of 1 rows bad; on_bad_record: fail\n  1  tag 'PER' says no B or I beside its label",
    }.items():
        (tmp_path / "a.conll").write_text(content)
        experiment = loader.load("a.yaml")
        with pytest.raises(DataError, match=f"^{re.escape(cause)}"):
            preview.look(sources.of(experiment)["task"])
        with pytest.raises(DataError, match=f"^{re.escape(cause)}"):
            imports.labelled(experiment, environment.Local(runs=str(tmp_path)))


def test_files_keep_their_order_on_a_cluster(tmp_path, monkeypatch):
    """Of two files of lines the first one has the source texts, wherever the two lie."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.en").write_text("one\n")
    place = Kubeflow(kind="kubeflow", image="x", pipeline_root="gs://bucket/runs")
    (tmp_path / "a.yaml").write_text(
        "name: a\nencoder: bert_tiny\nvocabulary: {learn: 100}\ncorpus: {path: a.en, format: text}\n"
        "pretrain: {steps: 1}\n"
    )
    source = ParallelData(path=["a.en", "gs://bucket/a.ko"])
    moved, known = imports.data(loader.load("a.yaml"), place, source)
    assert moved.path[0].endswith("/a.en")
    assert moved.path[1] == "gs://bucket/a.ko"
    assert known is None
