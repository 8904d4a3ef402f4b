"""Starts servers, and asks them."""

import contextlib
import http.client
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).parent
COMMAND = [str(pathlib.Path(sys.executable).parent / "tfx-bert"), "serve"]


class Client:
    """Asks one server.

    Attributes:
      process: where it is ours.
      log: what it wrote to standard error; to standard output it wrote the access log.
    """

    def __init__(self, address, process=None, log=None):
        self.address, self.process, self.log = address, process, log

    def ask(self, verb, path, body=None, headers=None):
        """Status, headers in lower case, and the body as it came."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(verb, path, body, headers or {})
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def get(self, path):
        status, _, body = self.ask("GET", path)
        return status, json.loads(body)

    def post(self, path, body):
        """``body`` as JSON text, or as what becomes it; Python's JSON knows NaN and Infinity too."""
        text = body if isinstance(body, str) else json.dumps(body)
        status, _, answer = self.ask("POST", path, text.encode())
        return status, json.loads(answer)

    def until(self, condition, seconds=120):
        """Waits for what ``condition`` asks this client."""
        end = time.monotonic() + seconds
        while not (found := condition(self)):
            assert time.monotonic() < end, self.log and self.log.read_text()
            time.sleep(0.05)
        return found

    def ready(self):
        return self.until(lambda each: each.ask("GET", "/readyz")[0] == 200)


@contextlib.contextmanager
def started(folder, *arguments, warm=True):
    """A server of ours; it must end with 0 when it is told to.

    Its processes are forks (tests/warm_python.py). Where ``warm`` is false, ``client.process`` is the server itself.
    """
    log = folder / "server.log"
    with log.open("w") as errors, (folder / "access.log").open("w") as out:
        python = [os.environ["WARM_PYTHON"]] if warm else []
        command = [*python, *COMMAND, "--port", "0", *map(str, arguments)]
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=errors)
    client = Client("", process, log)
    try:
        shown = client.until(lambda _: process.poll() is not None or "http://" in (folder / "access.log").read_text())
        assert shown and process.poll() is None, log.read_text()
        text = (folder / "access.log").read_text()
        client.address = text.partition("http://")[2].split()[0]
        yield client
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0, log.read_text()


@pytest.fixture(scope="session")
def start():
    """``with start(folder, *arguments) as client``."""
    return started


@pytest.fixture(scope="session")
def models():
    """The functions of models.py."""
    spec = importlib.util.spec_from_file_location("serving_models", HERE / "models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def client(tmp_path_factory, models):
    """Of the server that the conformance tests ask: ours, or CONFORMANCE_SERVER=host:port (``make conformance``)."""
    if address := os.environ.get("CONFORMANCE_SERVER"):
        yield Client(address)
        return
    folder = tmp_path_factory.mktemp("models")
    with started(folder, "--config", models.write(folder), "--cors", "--metrics", warm=False) as ours:
        ours.ready()
        yield ours
