"""The elements of a Beam bundle on this machine's cores.

Beam's DirectRunner works on one element after another. Its own ways to use more cores are no help: several processes
give one file to one of them, and each imports TensorFlow again.
"""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterator
from typing import Any, Literal

import apache_beam as beam
import loky
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue
from typing_extensions import override

from components.processes import end_with

CORES = "TFX_BERT_CORES"


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
    """

    def __init__(self, work: Callable[[Any], Any], cores: int, by: Literal["threads", "processes"]) -> None:
        self.work = work
        self.cores = cores
        self.by = by

    @override
    def start_bundle(self) -> None:
        self.waiting: collections.deque[concurrent.futures.Future[Any]] = collections.deque()
        self.pool = None if self.cores == 1 else _pool(self.by, self.cores)

    @override
    def process(self, element: Any) -> Iterator[Any]:
        if self.pool is None:
            yield self.work(element)
            return
        self.waiting.append(self.pool.submit(self.work, element))
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
        """The result that was asked for first. Where there is none, what has not begun is not begun."""
        try:
            return self.waiting.popleft().result()
        except BaseException:
            for future in self.waiting:
                future.cancel()
            raise


def _pool(by: Literal["threads", "processes"], cores: int) -> concurrent.futures.Executor:
    """Threads of this bundle's own, or processes that stay for the next one."""
    if by == "threads":
        return concurrent.futures.ThreadPoolExecutor(cores)
    pool: concurrent.futures.Executor = loky.get_reusable_executor(cores, initializer=end_with, initargs=(os.getpid(),))
    return pool
