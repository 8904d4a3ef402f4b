"""Whatever a client does, the server answers the others."""

import gzip
import json
import resource
import signal
import socket
import threading
import time

import psutil
import pytest

HALF, ECHO = "/v1/models/half_plus_two:predict", "/v1/models/echo:predict"
GOOD = b'{"instances": [1.0]}'
SLOW = {"signature_name": "count_down", "inputs": 1_000_000}


@pytest.fixture(scope="module")
def client(start, models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    config = models.write(folder)
    with start(folder, "--config", config, "--timeout", "2", "--threads", "1", warm=False) as client:
        client.ready()
        yield client


@pytest.fixture(autouse=True)
def others_are_answered(client):
    yield
    assert client.post(HALF, {"instances": [2.0]}) == (200, {"predictions": [5.0]})


def connected(client):
    host, port = client.address.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def head(length, path=HALF):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(GOOD[:-2], "JSON Parse error: Missing a comma or ']'", id="truncated"),
        pytest.param(b"\x01" * 100, "JSON Parse error: Invalid value", id="control"),
        pytest.param(b'{"instances": ["\xff\xfe"]}', 'JSON Value: "\udcff\udcfe" Type: String', id="no UTF-8"),
        pytest.param(b'{"instances": ' + b"[" * 1_500_000, "nested deeper than 1000000 levels", id="deep"),
        pytest.param(b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}", "more than 254 dimensions", id="less deep"),
        pytest.param(b'{"instances": [' + b"9" * 100_000 + b"]}", "Number too big", id="digits"),
    ],
)
def test_bodies_that_are_no_request(client, body, message):
    status, _, answer = client.ask("POST", HALF, body)
    assert status == 400
    assert message in json.loads(answer.decode("utf-8", "surrogateescape"))["error"]


@pytest.mark.parametrize(
    ("signature", "body", "message"),
    [
        ("string", b'"inputs": ' + b"[" * 33 + b'"a"' + b"]" * 33, "33 dimensions; strings may have 32"),
        ("string", b'"instances": [' + b"[" * 32 + b'"a"' + b"]" * 32 + b"]", "33 dimensions; strings may have 32"),
        ("float32", b'"instances": [' + b"[" * 64 + b"1" + b"]" * 64 + b"]", "65 dimensions"),
        ("float32", b'"instances": [' + b"9" * 310 + b"]", "Number too big"),
    ],
)
def test_what_tensorflow_and_numpy_cannot_hold(client, signature, body, message):
    status, _, answer = client.ask("POST", ECHO, b'{"signature_name": "%b", %b}' % (signature.encode(), body))
    assert (status, message in json.loads(answer)["error"]) == (400, True), answer


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client):
    with connected(client) as raw:
        raw.sendall(head(17 * 2**20))
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_unknown_length_is_refused_when_it_is_too_large(client):
    with connected(client) as raw:
        raw.sendall(f"POST {HALF} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"100000\r\n" + b" " * 2**20 + b"\r\n"
        try:
            for _ in range(20):
                raw.sendall(chunk)
        except OSError:  # closed while we were still sending
            pass
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_small_body_that_unpacks_to_a_large_one(client):
    packed = gzip.compress(b" " * (17 * 2**20))
    assert client.ask("POST", HALF, packed, {"Content-Encoding": "gzip"})[0] == 413


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "gzip ", "identity, gzip"])
def test_a_content_coding_in_any_case(client, coding):  # RFC 9110, 8.4.1
    status, _, answer = client.ask("POST", HALF, gzip.compress(GOOD), {"Content-Encoding": coding})
    assert (status, json.loads(answer)) == (200, {"predictions": [4.5]})


def test_gzip_in_several_members(client):  # RFC 1952, 2.2
    packed = gzip.compress(GOOD[:5]) + gzip.compress(GOOD[5:]) + b"\0" * 7
    status, _, answer = client.ask("POST", HALF, packed, {"Content-Encoding": "gzip"})
    assert (status, json.loads(answer)) == (200, {"predictions": [4.5]})
    members = gzip.compress(b" " * 2**20) * 17
    assert client.ask("POST", HALF, members, {"Content-Encoding": "gzip"})[0] == 413


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/", "/openapi.json", "/ui/models", "/v1/models/echo", "/none"]
)
def test_head_where_get_is(client, path):  # RFC 9110, 9.3.2
    status, headers, body = client.ask("GET", path)
    found, same, nothing = client.ask("HEAD", path)
    assert (found, same["content-length"], same["content-type"]) == (status, str(len(body)), headers["content-type"])
    assert nothing == b""


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(GOOD, mtime=0)[:-6]])
def test_what_is_no_gzip(client, body):
    status, _, answer = client.ask("POST", HALF, body, {"Content-Encoding": "gzip"})
    assert (status, "the body is no gzip" in json.loads(answer)["error"]) == (400, True)


def test_a_body_that_does_not_come(client):
    with connected(client) as raw:
        raw.sendall(head(len(GOOD)) + GOOD[:5])
        assert raw.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_comes_slowly(client):
    with connected(client) as raw:
        raw.sendall(head(len(GOOD)))
        for byte in GOOD:
            raw.sendall(bytes([byte]))
            time.sleep(0.01)
        assert raw.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("line", [b"RUBBISH\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_no_http(client, line):
    with connected(client) as raw:
        raw.sendall(line)
        assert raw.recv(100)[:12] in (b"HTTP/1.1 400", b"")


def test_clients_that_vanish(client):
    """They leave nothing behind: no open connection, no error, and no answer that another client gets."""
    server = psutil.Process(client.process.pid)
    before, logged = server.num_fds(), client.log.stat().st_size
    for number in range(50):
        body = json.dumps({"instances": [float(number)]}).encode()
        raw = connected(client)
        raw.sendall(head(len(body)) + body)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        raw.close()  # with a reset
    for _ in range(50):
        with connected(client) as raw:
            raw.sendall(head(len(GOOD)) + GOOD[:5])
    for number in range(50, 60):
        rows = [float(number), -0.5, float(-number)]
        assert client.post(HALF, {"instances": rows}) == (200, {"predictions": [row / 2 + 4 for row in rows]})
    client.until(lambda _: server.num_fds() <= before)
    assert client.log.read_bytes()[logged:] == b""


def test_an_answer_that_takes_too_long(client):
    started = time.monotonic()
    status, answer = client.post(ECHO, {**SLOW, "inputs": 3_000_000})
    assert (status, answer) == (504, {"error": "no answer within 2 seconds"})
    assert time.monotonic() - started < 4
    # The thread is still at it; when it is done, the next ones are answered.
    client.until(lambda each: each.post(HALF, {"instances": [0.0]})[0] == 200, seconds=60)


def test_the_model_fails(client):
    for _ in range(20):
        status, answer = client.post(HALF, {"signature_name": "raises", "instances": [200.0]})
        assert (status, "too much" in answer["error"]) == (400, True)


def test_many_connections(client):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10_000, hard - 200)
    open_ones = [connected(client) for _ in range(count)]
    try:
        assert client.post(HALF, {"instances": [2.0]}) == (200, {"predictions": [5.0]})
        for raw in open_ones[:: max(1, count // 100)]:
            raw.sendall(head(len(GOOD)) + GOOD)
            assert raw.recv(100).startswith(b"HTTP/1.1 200 ")
    finally:
        for raw in open_ones:
            raw.close()
    assert count >= 1000, f"only {hard} open files are allowed here"


def computing(client):
    """The process that computes."""
    (worker,) = psutil.Process(client.process.pid).children()
    return worker


def test_the_process_that_computes_dies_and_is_started_again(start, models, tmp_path):
    with start(tmp_path, "--config", models.write(tmp_path), "--threads", "2", "--metrics", warm=False) as client:
        client.ready()
        answers = []
        asked = [threading.Thread(target=lambda: answers.append(client.post(ECHO, SLOW))) for _ in range(3)]
        for thread in asked:
            thread.start()
        time.sleep(0.2)
        before = computing(client)
        before.send_signal(signal.SIGSEGV)
        for thread in asked:
            thread.join()
        lost = {"error": "the process that computes has ended, and is started again; try again later"}
        assert answers == [(503, lost)] * 3  # the third one had not been taken
        status, headers, _ = client.ask("POST", HALF, GOOD)
        assert (status, headers["retry-after"]) == (503, "1")
        assert client.ask("GET", "/healthz")[0] == 200
        client.until(lambda each: each.post(HALF, {"instances": [2.0]}) == (200, {"predictions": [5.0]}))
        client.ready()
        assert computing(client) != before
        assert "the process that computes ended: SIGSEGV; it is started again" in client.log.read_text()
        metrics = client.ask("GET", "/monitoring/prometheus/metrics")[2].decode()
        assert ":tensorflow:serving:compute_process_restarts{} 1\n" in metrics


def test_told_to_end_it_answers_what_it_has_accepted(start, models, tmp_path):
    config = models.write(tmp_path)
    with start(tmp_path, "--config", config, "--threads", "2") as client:
        client.ready()
        answers = []
        asked = [
            threading.Thread(target=lambda: answers.append(client.post(ECHO, {**SLOW, "inputs": 250_000})))
            for _ in range(4)
        ]
        for thread in asked:
            thread.start()
        time.sleep(0.3)
        client.process.send_signal(signal.SIGTERM)
        for thread in asked:
            thread.join()
        assert answers == [(200, {"outputs": 0})] * 4
        assert client.process.wait(30) == 0
        with pytest.raises(OSError):
            connected(client)
