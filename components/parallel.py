"""The elements of a Beam bundle on this machine's cores.

Beam's DirectRunner works on one element after another. Its own ways to use more cores are no help: several processes
give one file to one of them, and each imports TensorFlow again.
"""

import collections
import concurrent.futures
import functools
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import apache_beam as beam
import loky
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue
from typing_extensions import override

from components.processes import end_with, in_folder
from models.progress import Meter

CORES = "TFX_BERT_CORES"
_HERE = uuid.uuid4().hex  # this process


def cores(options: PipelineOptions) -> int:
    """How many elements a worker handles at once: what the variable ``TFX_BERT_CORES`` says, if it is set.

    Otherwise every core on DirectRunner, and 1 on other runners, which start a worker for each core themselves.

    A container has as many cores as its CPU limit allows (``loky.cpu_count`` reads the limit of its cgroup).

    Args:
      options: of the pipeline.

    Raises:
      ValueError: the variable is set to anything but a whole number from 1.
    """
    if asked := os.environ.get(CORES):
        if not asked.isdecimal() or int(asked) < 1:
            raise ValueError(f"the variable {CORES} takes a whole number from 1, received {asked!r}")
        return int(asked)
    runner = options.view_as(StandardOptions).runner
    return loky.cpu_count() if runner in (None, StandardOptions.DEFAULT_RUNNER) else 1


class InParallel(beam.DoFn):
    """Calls ``work`` for several elements of a bundle at once. Gives the results in the order of the elements.

    At most ``2 * cores`` results wait in memory. Elements and results should be few: each should stand for thousands
    of records.

    Args:
      work: from an element to its result. With ``processes`` it must be importable by name, from a module that imports
        neither TensorFlow nor Beam, and element and result are pickled. What it raises reaches the caller.
      cores: how many at once; see ``cores``.
      by: ``threads`` where most of the work releases Python's lock, as TensorFlow and zlib do; else ``processes``.
      counted: from an element and its result to the records in it, and its share of all that is to be done (None where
        that is not known). Whoever runs the node in this very process is told how far it is.
    """

    def __init__(
        self,
        work: Callable[[Any], Any],
        cores: int,
        by: Literal["threads", "processes"],
        counted: Callable[[Any, Any], tuple[int, float | None]] | None = None,
    ) -> None:
        self.work = work
        self.cores = cores
        self.by = by
        self.counted = counted
        self.made_in = _HERE

    @override
    def setup(self) -> None:
        self.meter = Meter()

    @override
    def start_bundle(self) -> None:
        self.waiting: collections.deque[tuple[Any, concurrent.futures.Future[Any]]] = collections.deque()
        self.pool = None if self.cores == 1 else _pool(self.by, self.cores)

    @override
    def process(self, element: Any) -> Iterator[Any]:
        if self.pool is None:
            yield self._told(element, self.work(element))
            return
        work = functools.partial(in_folder, str(Path.cwd()), self.work) if self.by == "processes" else self.work
        self.waiting.append((element, self.pool.submit(work, element)))
        if len(self.waiting) > 2 * self.cores:
            yield self._oldest()

    @override
    def finish_bundle(self) -> Iterator[Any]:
        window = GlobalWindow()
        while self.waiting:
            yield WindowedValue(self._oldest(), window.max_timestamp(), [window])
        if self.by == "threads" and self.pool:
            self.pool.shutdown()

    def _oldest(self) -> Any:
        """The result that was asked for first. Where there is none, what has begun is ended where that is possible."""
        element, future = self.waiting.popleft()
        try:
            return self._told(element, future.result())
        except BaseException:
            for _, later in self.waiting:
                later.cancel()
            if self.pool and self.by == "processes":
                self.pool.shutdown(kill_workers=True)  # type: ignore[call-arg]  # loky's own
            raise

    def _told(self, element: Any, result: Any) -> Any:
        """The result, once it is counted."""
        if self.counted and self.made_in == _HERE:
            self.meter.add(*self.counted(element, result))
        return result


def _pool(by: Literal["threads", "processes"], cores: int) -> concurrent.futures.Executor:
    """Threads of this bundle's own, or processes that stay for the next one."""
    if by == "threads":
        return concurrent.futures.ThreadPoolExecutor(cores)
    pool: concurrent.futures.Executor = loky.get_reusable_executor(cores, initializer=end_with, initargs=(os.getpid(),))
    return pool
