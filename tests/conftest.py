"""For every test."""

import contextlib
import logging
import os
import signal
import urllib.request
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests import warm_python

# A shell's background job ignores Ctrl-C, and hands that down: tests that press it, here or in a process of theirs,
# would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


_with_the_tests = contextlib.ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """One for all workers of xdist."""
    if not hasattr(config, "workerinput"):
        _with_the_tests.enter_context(warm_python.started())


def pytest_unconfigure() -> None:
    _with_the_tests.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """In CI a test that is skipped is a failure, unless it needs an accelerator."""
    gpu = item.get_closest_marker("gpu")
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail") and not gpu:
        report.outcome, report.longrepr = "failed", f"skipped in CI: {report.longrepr[2]}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """The same for a file that skips itself."""
    report = yield
    if os.environ.get("CI") and report.skipped:
        report.outcome, report.longrepr = "failed", f"skipped in CI: {report.longrepr[2]}"
    return report


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3's protocol."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """AWS's client of an empty store with the one bucket ``bucket``, which the environment names too."""
    from components.storage.s3_client import client

    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/moto-api/reset", method="POST")).close()
    for name in [name for name in os.environ if name.startswith(("AWS_", "MINIO_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # no role of the machine that the tests run on
    made = client("s3")
    made.create_bucket(Bucket="bucket")
    return made
