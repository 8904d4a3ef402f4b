"""For every test."""

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest

# A shell's background job ignores Ctrl-C, and hands that down: tests that press it, here or in a process of theirs,
# would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
