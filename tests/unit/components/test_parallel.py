"""Elements of a bundle at once: the results and their order do not depend on how many."""

import itertools
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import apache_beam as beam
import cloudpickle
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from components import parallel
from models import progress

_LOCAL = PipelineOptions(["--runner=DirectRunner", "--direct_running_mode=in_memory"])
# A program of its own, whose __main__ cannot be imported twice: it waits for its second element.
_PROGRAM = """
import sys, time
from components import parallel
assert __name__ == "__main__"
work = parallel.InParallel(time.sleep, 2, "processes")
work.start_bundle()
list(work.process(0.0)), list(work.process(600.0))
work.waiting.popleft()[1].result()
print(*work.pool._processes, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("by", ["threads", "processes"])
@pytest.mark.parametrize("cores", [1, 2, 3])
def test_results_come_in_the_order_of_the_elements(cores: int, by: str) -> None:
    numbers = [b"%d" % (n * 7919 % 101) for n in range(40)]
    with beam.Pipeline(options=_LOCAL) as pipeline:
        results = (
            pipeline
            | beam.Create([numbers])
            | beam.FlatMap(list)
            | beam.ParDo(parallel.InParallel(int, cores, by))  # type: ignore[arg-type]
            | beam.combiners.ToList()  # keeps the order of one bundle
        )
        assert_that(results, equal_to([[int(n) for n in numbers]]))


@pytest.mark.parametrize("by", ["threads", "processes"])
def test_what_the_work_raises_reaches_the_caller(by: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"), beam.Pipeline(options=_LOCAL) as pipeline:
        pipeline | beam.Create(["1", "a", "2"]) | beam.ParDo(parallel.InParallel(int, 2, by))  # type: ignore[arg-type]


@pytest.mark.parametrize("cores", [1, 2])
def test_how_far_it_is_is_told_in_the_process_that_asked(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    seconds = itertools.count(100.0, 2.0)  # between two looks at the clock
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    caplog.set_level(logging.INFO, "tfx_bert")
    work = cloudpickle.loads(
        cloudpickle.dumps(parallel.InParallel(int, cores, "threads", lambda element, result: (result, 0.25)))
    )

    def told(work: parallel.InParallel) -> list[progress.Records]:
        caplog.clear()
        work.setup()
        work.start_bundle()
        for element in ("10", "20", "30", "40"):
            list(work.process(element))
        list(work.finish_bundle())
        return [record.event for record in caplog.records]  # type: ignore[attr-defined]

    assert told(work) == [
        progress.Records(30, 60, 7.5, 4.0),  # nothing after two seconds
        progress.Records(60, 80, 10.0, 2.0),
        progress.Records(100, 100, 12.5, 0.0),
    ]
    monkeypatch.setattr(parallel, "_HERE", "a worker elsewhere")
    assert told(work) == []


def test_every_core_on_this_machine_and_one_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(parallel.CORES, raising=False)
    usable = len(os.sched_getaffinity(0))
    assert 1 <= parallel.cores(_LOCAL) <= usable  # fewer where a container has fewer
    assert parallel.cores(PipelineOptions(["--runner=DataflowRunner"])) == 1
    monkeypatch.setenv(parallel.CORES, "3")
    assert parallel.cores(_LOCAL) == 3


@pytest.mark.parametrize("asked", ["0", "-1", "2.5", "all"])
def test_a_number_of_cores_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv(parallel.CORES, asked)
    with pytest.raises(ValueError, match=f"TFX_BERT_CORES takes a whole number from 1, received '{asked}'"):
        parallel.cores(_LOCAL)


@pytest.mark.parametrize(("limit", "cores"), [("max 100000", 8), ("200000 100000", 2), ("250000 100000", 3)])
def test_the_limit_of_a_container_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, cores: int
) -> None:
    """The kernel's own format, ``/sys/fs/cgroup/cpu.max``: microseconds of CPU in so many microseconds."""
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    monkeypatch.delenv(parallel.CORES, raising=False)
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(
        "builtins.open",
        lambda file, *more, real=open: real(tmp_path / "cpu.max" if file == "/sys/fs/cgroup/cpu.max" else file, *more),
    )
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/sys/fs/cgroup/cpu.max" or exists(path))
    assert parallel.cores(_LOCAL) == cores


def test_processes_end_with_a_killed_program() -> None:
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", _PROGRAM], cwd=root, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        pids = [int(pid) for pid in program.stdout.readline().split()]
        assert len(pids) == 2
        program.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.2)
