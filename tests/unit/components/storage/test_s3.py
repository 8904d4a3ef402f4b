"""S3 by its own client, against a server that speaks its protocol; what that server never says, in AWS's own words."""

import contextlib
import glob
import http.server
import io
import itertools
import os
import pathlib
import socket
import threading
import urllib.parse
import urllib.request

import pytest

from components.storage import files, s3_client, s3_streams
from components.storage import s3 as s3_module
from components.storage.files import fileio
from components.storage.s3 import S3
from components.storage.s3_errors import Closed, Missing, StoreError

CONTENT = bytes(range(256)) * 4096  # a megabyte


def put(client, **objects):
    for key, content in objects.items():
        client.put_object(Bucket="bucket", Key=key.replace("__", "/"), Body=content)


def keys(client):
    return {each["Key"]: client.get_object(Bucket="bucket", Key=each["Key"])["Body"].read() for each in
            client.list_objects_v2(Bucket="bucket").get("Contents", [])}  # fmt: skip


# --- a file system ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["s3", "minio"])
def test_text_and_bytes_go_there_and_come_back(s3, scheme):
    with fileio.open(f"{scheme}://bucket/a/text", "w") as file:
        file.write("é\r\nü\n")
    with fileio.open(f"{scheme}://bucket/a/bytes", "wb") as file:
        file.write(CONTENT)
    assert keys(s3) == {"a/bytes": CONTENT, "a/text": "é\r\nü\n".encode()}
    with fileio.open(f"{scheme}://bucket/a/text") as file:
        assert file.read() == "é\r\nü\n"
    with fileio.open(f"{scheme}://bucket/a/bytes", "rb") as file:
        assert (file.seek(-3, io.SEEK_END), file.read()) == (len(CONTENT) - 3, CONTENT[-3:])
        assert (file.seek(5), file.read(4), file.tell()) == (5, CONTENT[5:9], 9)
        assert file.read() == CONTENT[9:]


def test_what_fails_while_it_is_written_is_not_written(s3):
    for mode in ("w", "wb"):
        with contextlib.suppress(KeyError), fileio.open("s3://bucket/a", mode) as file:
            file.write("half" if mode == "w" else b"half")
            raise KeyError
    assert keys(s3) == {}


def test_folders_are_what_keys_have_in_common(s3):
    put(s3, a__b__c=b"1", a__b__d=b"2", a__e=b"3", ab=b"4")
    s3.put_object(Bucket="bucket", Key="a/empty/", Body=b"")  # as consoles make a folder
    assert [fileio.exists(f"s3://bucket/{key}") for key in ("a", "a/", "a/b", "a/e", "ab", "a/f", "b")] == [
        True, True, True, True, True, False, False,
    ]  # fmt: skip
    assert [fileio.isdir(f"s3://bucket/{key}") for key in ("a", "a/e", "ab", "a/b/")] == [True, False, False, True]
    assert fileio.listdir("s3://bucket/a") == ["b", "e"]
    assert fileio.listdir("s3://bucket") == ["a", "ab"]
    assert list(fileio.walk("s3://bucket/a/")) == [
        ("s3://bucket/a", ["b"], ["e"]),
        ("s3://bucket/a/b", [], ["c", "d"]),
    ]
    assert list(files.below("s3://bucket/a")) == ["b/c", "b/d", "e"]
    fileio.rename("s3://bucket/a/e", "s3://bucket/f")
    fileio.rmtree("s3://bucket/a")
    fileio.remove("s3://bucket/never")
    assert keys(s3) == {"a/empty/": b"", "ab": b"4", "f": b"3"}
    with pytest.raises(Missing, match=r"^s3://bucket/a/b: there is no such object$"):
        fileio.listdir("s3://bucket/a/b")


def test_more_objects_than_one_answer_has(s3, monkeypatch):
    monkeypatch.setattr(s3_module, "PAGE", 2)
    for number in range(5):
        put(s3, **{f"many/{number}": b""})
    assert fileio.listdir("s3://bucket/many") == ["0", "1", "2", "3", "4"]
    fileio.rmtree("s3://bucket/many")
    assert not fileio.exists("s3://bucket/many")


@pytest.mark.parametrize(
    "pattern",
    ["a.csv", "*.csv", "x/*.csv", "x/y/?.csv", "**/*.csv", "x/**/*.csv", "x/[a-b].csv", "x/[!a].csv", "[1].csv", "*/*",
     "**", "n*/a.csv", "x*", "q=1/part-?.csv"],
)  # fmt: skip
def test_globs_are_those_of_this_machine(s3, tmp_path, pattern):
    names = ["a.csv", "b.tsv", "[1].csv", "x/a.csv", "x/b.csv", "x/c.csv", "x/y/a.csv", "x/y/z/b.csv", "q=1/part-0.csv"]
    for name in names:
        put(s3, **{name: b"1"})
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    here = [pattern] if (tmp_path / pattern).is_file() else glob_here(tmp_path, pattern)
    assert S3.glob(f"s3://bucket/{pattern}") == sorted(f"s3://bucket/{name}" for name in here)


def glob_here(folder, pattern):
    found = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207 (what the readers glob with)
    return [name for name in found if (folder / name).is_file()]


def test_copies_between_this_machine_s3_and_tensorflows_file_systems(s3, tmp_path):
    (tmp_path / "from/deep").mkdir(parents=True)
    (tmp_path / "from/deep/a").write_bytes(CONTENT)
    (tmp_path / "from/last").write_bytes(b"z")
    places = [str(tmp_path / "from"), "s3://bucket/one", "minio://bucket/two", "ram://three", "s3://bucket/four",
              str(tmp_path / "to")]  # fmt: skip
    for source, target in itertools.pairwise(places):
        assert files.copy(source, target, last="last") == 2
    assert (tmp_path / "to/deep/a").read_bytes() == CONTENT
    assert {path.name for path in (tmp_path / "to").rglob("*")} == {"deep", "a", "last"}
    assert fileio.stat("s3://bucket/four/deep/a").length == len(CONTENT)


def test_a_mirror_names_nothing_that_is_not_there(s3, monkeypatch):
    put(s3, t__state=b"1", t__old=b"1", t__both=b"1")
    mirror = files.Mirror("s3://bucket/t")
    place = pathlib.Path(mirror.folder)
    (place / "old").unlink()
    (place / "new").write_bytes(b"2")
    (place / "both").write_bytes(b"1")  # anew: who wrote it meant it
    (place / "state").write_bytes(b"2")
    seen = []
    noted(monkeypatch, seen)
    mirror.push(last="state")
    assert seen == ["+both", "+new", "+state", "-old"]
    assert keys(s3) == {"t/state": b"2", "t/both": b"1", "t/new": b"2"}
    seen.clear()
    mirror.push(last="state")
    assert seen == []
    del mirror
    assert not place.exists()


def noted(monkeypatch, seen):
    upload, remove = s3_module.upload, S3.remove
    monkeypatch.setattr(s3_module, "upload", lambda a, b: (seen.append(f"+{pathlib.Path(b).name}"), upload(a, b)))
    monkeypatch.setattr(S3, "remove", staticmethod(lambda a: (seen.append(f"-{pathlib.Path(a).name}"), remove(a))))


# --- where, and who -------------------------------------------------------------------------------------------------


def test_where_the_store_is(s3, monkeypatch):
    given = os.environ["AWS_ENDPOINT_URL"]
    assert (s3_client.endpoint("s3"), s3_client.endpoint("minio")) == (given, given)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://store:1")
    assert s3_client.client("s3").meta.endpoint_url == "http://store:1"
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert s3_client.client("minio").meta.endpoint_url == "http://minio-service.kubeflow:9000"
    monkeypatch.setenv("MINIO_SERVICE_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("MINIO_SERVICE_SERVICE_PORT", "9001")
    assert s3_client.client("minio").meta.endpoint_url == "http://10.0.0.1:9001"
    for variable in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.setenv(variable, "eu-west-1")
        assert s3_client.client("s3").meta.endpoint_url == "https://s3.eu-west-1.amazonaws.com"
        monkeypatch.delenv(variable)


def test_no_credentials(s3, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Closed, match=r"half of the credentials is missing \(AWS_SECRET_ACCESS_KEY\); set AWS_ACCESS"):
        fileio.exists("s3://bucket/a")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(
        Closed,
        match=r"^s3://bucket/a: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY .*AWS_PROFILE; on a "
        r"cluster .*AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE\)$",
    ):
        fileio.exists("s3://bucket/a")
    monkeypatch.setenv("AWS_PROFILE", "nlp")
    with pytest.raises(Closed, match=r"there is no profile 'nlp' \(AWS_PROFILE\)"):
        fileio.exists("s3://bucket/a")


def test_a_role_by_web_identity_as_on_eks(s3, monkeypatch, tmp_path):
    put(s3, a=b"1")
    (tmp_path / "token").write_text("a.b.c")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/tfx-bert")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert fileio.exists("s3://bucket/a")
    assert s3_client.client("s3")._request_signer._credentials.method == "assume-role-with-web-identity"


@pytest.fixture
def guarded(s3, monkeypatch):
    """The server asks IAM from now on; a user without any policy has signed in."""
    import boto3

    put(s3, a=b"1")
    iam = boto3.client("iam", region_name="us-east-1")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]

    def ask_iam(after):
        address = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
        asked = urllib.request.Request(address, after, {"Content-Type": "text/plain"}, method="POST")
        urllib.request.urlopen(asked).close()

    ask_iam(b"0")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    yield
    ask_iam(b"inf")


@pytest.mark.parametrize(
    ("call", "action"),
    [
        (lambda: fileio.open("s3://bucket/a", "rb"), "GetObject"),
        (lambda: fileio.stat("s3://bucket/a"), "GetObject"),
        (lambda: fileio.listdir("s3://bucket/a"), "ListBucket"),
        (lambda: fileio.open("s3://bucket/a", "w").close(), "PutObject"),
        (lambda: fileio.remove("s3://bucket/a"), "DeleteObject"),
        (lambda: s3_module.upload(__file__, "s3://bucket/a"), "PutObject"),
    ],
)
def test_no_permission_names_what_it_takes(guarded, call, action):
    with pytest.raises(
        Closed, match=rf"^s3://bucket/a: no permission \(AccessDenied\); the credentials need s3:{action} there$"
    ):
        call()


def test_credentials_that_the_store_does_not_know(guarded, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
    with pytest.raises(Closed, match=r"the store does not know these credentials \(InvalidAccessKeyId\) at http"):
        fileio.open("s3://bucket/a")


# --- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: fileio.exists("s3://no-bucket/a"),
        lambda: fileio.open("s3://no-bucket/a"),
        lambda: fileio.open("s3://no-bucket/a", "w").close(),
        lambda: S3.glob("s3://no-bucket/*.csv"),
        lambda: s3_module.upload(__file__, "s3://no-bucket/a"),
        lambda: s3_module.download("s3://no-bucket/a", "a"),
        lambda: fileio.rmtree("s3://no-bucket/a"),
        lambda: fileio.copy("s3://bucket/a", "s3://no-bucket/a", overwrite=True),
    ],
)
def test_no_such_bucket(s3, monkeypatch, tmp_path, call):
    monkeypatch.chdir(tmp_path)
    put(s3, a=b"1")
    with pytest.raises(
        StoreError, match=r": there is no bucket no-bucket at http://.*; create it, or mend the address"
    ):
        call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        (
            "s3://",
            "takes s3://BUCKET/KEY, a bucket of 3 to 63 lower-case letters, digits, - and .; received the bucket ''",
        ),
        ("s3:///a", "takes s3://BUCKET/KEY,.* received the bucket ''"),
        ("minio://My_Bucket/a", "takes minio://BUCKET/KEY,.* received the bucket 'My_Bucket'"),
        ("s3://key:secret@bucket/a", "keys and options have no place in an address; set AWS_ACCESS_KEY_ID"),
        ("s3://bucket/a?region=x&endpoint_override=y", "keys and options have no place in an address"),
    ],
)
def test_an_address_that_is_none(s3, address, sentence):
    with pytest.raises(StoreError, match=sentence) as error:
        fileio.exists(address)
    assert "secret" not in str(error.value).replace("secret,", "")


# --- what AWS says and the server above does not ---------------------------------------------------------------------

# Amazon S3 API Reference, "Error responses"; the regions and tokens are examples.
_ANSWERS = {
    "ExpiredToken": (400, "<Message>The provided token has expired.</Message><Token-0>x</Token-0>"),
    "SignatureDoesNotMatch": (403, "<Message>The request signature we calculated does not match.</Message>"),
    "RequestTimeTooSkewed": (403, "<Message>The difference between the request time and the server's time is too "
                                  "large.</Message>"),
    "SlowDown": (503, "<Message>Please reduce your request rate.</Message>"),
    "PermanentRedirect": (301, "<Message>The bucket you are attempting to access must be addressed using the specified "
                               "endpoint.</Message><Endpoint>bucket.s3.eu-west-1.amazonaws.com</Endpoint>"),
    "XMinioStorageFull": (507, "<Message>Storage backend has reached its minimum free drive threshold.</Message>"),
}  # fmt: skip


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        code = next(
            (code for code in _ANSWERS if code in self.path), "AccessDenied"
        )  # the client may ask for the region
        status, more = _ANSWERS.get(code, (403, "<Message>Access Denied</Message>"))
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>{more}</Error>'.encode()
        self.send_response(status)
        if status == 301:
            self.send_header("x-amz-bucket-region", "eu-west-1")
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture(scope="module")
def answers():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        ("ExpiredToken", Closed, "the credentials have expired; log in again, or set AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", Closed, "the signature does not match; check AWS_SECRET_ACCESS_KEY and AWS_REGION"),
        ("RequestTimeTooSkewed", Closed, "the clock of this machine is wrong by more than 15 minutes; set it"),
        ("SlowDown", StoreError, r"the store is overloaded \(SlowDown\), in every attempt; try again later"),
        ("PermanentRedirect", Closed, "the bucket bucket is in the region eu-west-1; set AWS_REGION=eu-west-1"),
        ("XMinioStorageFull", StoreError, r"the store refused \w+ \(XMinioStorageFull: Storage backend has reached"),
    ],
)
def test_what_the_store_says_is_told_with_its_cure(s3, answers, monkeypatch, code, kind, sentence):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", answers)
    for call in (fileio.open, fileio.exists, fileio.listdir):
        with pytest.raises(kind, match=f"^s3://bucket/{code}: {sentence}"):
            call(f"s3://bucket/{code}")


class Relay:
    """Hands connections on to the server, and breaks or stalls the first answers of objects amid their content."""

    def __init__(self, server, breaks, *, after=300_000, stall=False):
        self.to, self.breaks = urllib.parse.urlsplit(server), breaks
        self.after, self.stall = after, stall
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.relay, args=[self.listening.accept()[0]], daemon=True).start()

    def relay(self, here):
        there = socket.create_connection((self.to.hostname, self.to.port))
        threading.Thread(target=self.pump, args=[here, there], daemon=True).start()
        passed = 0
        with contextlib.suppress(OSError), here, there:
            while chunk := there.recv(65536):
                passed += len(chunk)
                if passed > self.after and self.breaks:
                    self.breaks -= 1
                    if self.stall:
                        threading.Event().wait(3)
                    return
                here.sendall(chunk)

    @staticmethod
    def pump(here, there):
        with contextlib.suppress(OSError):
            while chunk := here.recv(65536):
                there.sendall(chunk)


@pytest.fixture
def relayed(s3, s3_server, monkeypatch):
    put(s3, a=CONTENT)
    monkeypatch.setattr(s3_client, "READ", 0.5)
    monkeypatch.setattr(s3_streams, "PAUSE", 0.01)
    s3_client._made.cache_clear()

    def started(breaks, **how):
        relay = Relay(s3_server, breaks, **how)
        monkeypatch.setenv("AWS_ENDPOINT_URL", relay.address)
        return relay

    yield started
    s3_client._made.cache_clear()


@pytest.mark.parametrize("stall", [False, True])
def test_a_connection_that_breaks_is_taken_up_where_it_broke(relayed, stall):
    relay = relayed(2, stall=stall)
    with fileio.open("s3://bucket/a", "rb") as file:
        assert file.read() == CONTENT
    assert relay.breaks == 0


def test_one_that_always_breaks_ends(relayed, tmp_path):
    relayed(10**6)
    with pytest.raises(Closed, match=r"s3://bucket/a: the store does not answer, in every attempt"):
        s3_module.download("s3://bucket/a", str(tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_replaced_meanwhile_is_not_read_half_and_half(s3, relayed):
    put(s3, a=4 * CONTENT)
    relayed(1, after=2 * len(CONTENT))
    with fileio.open("s3://bucket/a", "rb") as file:
        file.read(10)
        put(s3, a=b"other" * len(CONTENT))
        with pytest.raises(StoreError, match=r"it was replaced while it was read; begin again"):
            file.read()


def test_a_store_that_is_not_there(s3, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(
        Closed, match=r"the store does not answer, in every attempt \(.*127\.0\.0\.1:1.*\); check AWS_END"
    ):
        fileio.open("s3://bucket/a")
    with pytest.raises(
        Closed, match=r"kubectl port-forward -n kubeflow svc/minio-service 9000, and set AWS_ENDPOINT_URL="
    ):
        fileio.open("minio://bucket/a")
