import logging

import pytest

from models import progress


@pytest.mark.parametrize(
    "event",
    [
        progress.Records(120_000, 212_100, 31_250.5, 2.9),
        progress.Records(120_000, None, 31_250.5, None),
        progress.Step(61, 100, 0.38, 2.1e-5, 3100.0, 125.0, "epoch 1/2"),
        progress.Summary("8,034 train · 0 bad", "ExampleGen"),
    ],
)
def test_what_a_container_logs_is_read_back(event: progress.Event) -> None:
    record = logging.LogRecord("tfx_bert", logging.INFO, "", 0, "%s", (event,), None)
    record.event = event
    assert progress.read(progress.Json().format(record)) == event


def test_short_work_is_not_told_and_long_work_once_a_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tfx_bert")
    clock = iter([10.0, 10.5, 12.9, 13.0, 13.4, 14.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    meter = progress.Meter()
    for _ in range(6):
        meter.add(1000, 1 / 8)
    told = [record.event for record in caplog.records]  # type: ignore[attr-defined]
    assert [(event.done, event.total) for event in told] == [(3000, 8000), (5000, 8000), (6000, 8000)]
    assert [event.per_second for event in told] == [1000.0, 1250.0, 600.0]
    assert [event.seconds_left for event in told] == pytest.approx([5.0, 2.4, 10 / 3])


def test_where_the_whole_is_not_known_neither_is_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tfx_bert")
    clock = iter([0.0, 4.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    meter = progress.Meter()
    meter.add(1000, None)
    assert [record.event for record in caplog.records] == [  # type: ignore[attr-defined]
        progress.Records(1000, None, 250.0, None)
    ]
