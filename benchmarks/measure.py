"""What every benchmark measures with: CPU seconds beside wall seconds, medians with their spread, one table."""

import contextlib
import dataclasses
import functools
import json
import os
import platform
import resource
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "benchmarks"


def cpu_seconds() -> float:
    """Of this process, all threads, and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@dataclasses.dataclass
class Cost:
    """Seconds."""

    wall: float = 0.0
    cpu: float = 0.0


@contextlib.contextmanager
def timed() -> Iterator[Cost]:
    """The cost of a block, complete when the block is left."""
    cost, wall, cpu = Cost(), time.perf_counter(), cpu_seconds()
    try:
        yield cost
    finally:
        cost.wall, cost.cpu = time.perf_counter() - wall, cpu_seconds() - cpu


@dataclasses.dataclass(frozen=True)
class Finished:
    """A process that ended.

    Attributes:
      code: its exit code.
      cost: of it and of the children it waited for.
      peak: the largest resident memory of any one of these processes, bytes.
      together: the most that all of them held at once, bytes; what they share counts once.
    """

    code: int
    cost: Cost
    peak: int
    together: int


def execute(
    command: Sequence[str],
    log: Path,
    allowed: Sequence[int] = (0,),
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Runs a command in ``folder``; its output goes to ``log``. ``environment`` adds variables to this process's own.

    Raises:
      RuntimeError: its exit code is not ``allowed``.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=folder, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
        )
        with sampled(functools.partial(_held, process.pid)) as seen:
            _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # reaped here, so that Popen does not wait for it
    if process.returncode not in allowed:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}: see {log}")
    cost = Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)
    return Finished(process.returncode, cost, usage.ru_maxrss * 1024, max(seen, default=0))


@contextlib.contextmanager
def sampled(look: Callable[[], int]) -> Iterator[list[int]]:
    """What ``look`` gives, every second of the block; what vanishes under it is looked at the next time."""
    seen: list[int] = []
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(1.0):
            with contextlib.suppress(psutil.Error, OSError):
                seen.append(look())

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _held(pid: int) -> int:
    """Bytes that a process and its children hold."""
    process = psutil.Process(pid)
    return sum(each.memory_full_info().pss for each in (process, *process.children(recursive=True)))


def spread(values: Sequence[float], digits: int = 1) -> str:
    """``12.3 (11.9–13.0)``: median, smallest and largest."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def mean_sd(values: Sequence[float], digits: int = 4) -> str:
    """``0.8812 ± 0.0031``: mean and sample standard deviation."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.fmean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> None:
    """Prints a table under the machine it was measured on, and lines below it."""
    drawn = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        drawn.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        drawn.add_row(*row)
    console = Console(width=160, highlight=False, markup=False)
    console.print(f"\n{title}\n{machine()}\n")
    console.print(drawn)
    console.print("\n".join(["", *notes]))


def machine() -> str:
    """Cores this process may use, the processor, its load before now."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    return f"{cores} cores · {model or platform.machine()} · {memory:.0f} GB · load {load:.1f}"


class Results:
    """Finished measurements, a JSON object a line: an interrupted benchmark goes on where it stopped.

    Args:
      name: of the file under ``build/``.
    """

    def __init__(self, name: str) -> None:
        self.path = ROOT / "build" / f"{name}.jsonl"
        self.rows: list[dict[str, Any]] = []
        if self.path.is_file():
            self.rows = [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]

    def find(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """The measurement made under the same ``key``."""
        return next((row for row in self.rows if row["key"] == key), None)

    def add(self, key: Mapping[str, Any], **values: Any) -> dict[str, Any]:
        """Appends a measurement."""
        row = {"key": dict(key), **values}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.rows.append(row)
        return row
