"""Batches requests that are waiting; no request waits for others to arrive.

Who is free takes the oldest request and, with it, those behind it that ask the same signature for rows of the
same shape: its fair share of them. In order of arrival; nothing is sorted by length, which would starve long texts.
"""

import asyncio
import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serving import errors
from serving.errors import ApiError
from serving.servable import Signature

Array = Any  # np.ndarray


@dataclasses.dataclass(eq=False, slots=True)
class _Job:
    """A waiting request.

    Attributes:
      key: jobs with the same one can be computed together; None: with no other.
      rows: of the inputs.
    """

    signature: Signature
    inputs: Sequence[Array]
    key: object
    rows: int
    answer: "asyncio.Future[dict[str, Array]]"


class Batcher:
    """Computes. On the event loop only.

    Args:
      threads: so many batches at the same time, one core each.
      max_rows: computed in one call.
      max_waiting: requests; the next one is turned away.
    """

    def __init__(self, *, threads: int, max_rows: int, max_waiting: int) -> None:
        self._max_rows, self._max_waiting = max_rows, max_waiting
        self._loop = asyncio.get_running_loop()
        self._jobs: collections.deque[_Job] = collections.deque()
        self._computing = 0  # rows
        self._threads = self._free = threads
        self._running: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """The number of requests in the queue."""
        return len(self._jobs)

    async def run(self, signature: Signature, inputs: Mapping[str, Array], timeout: float) -> dict[str, Array]:
        """The outputs by name.

        Args:
          signature: which to ask.
          inputs: by name.
          timeout: seconds until the answer, from now.

        Raises:
          ApiError: the queue is full, the time is over, or the model fails.
        """
        if len(self._jobs) >= self._max_waiting:
            raise ApiError(
                "RESOURCE_EXHAUSTED",
                f"{self._max_waiting} requests are waiting already; try again later",
                headers=(("Retry-After", "1"),),
            )
        job = self._job(signature, [inputs[name] for name in signature.inputs])
        self._jobs.append(job)
        self._loop.call_soon(self._start)  # on the next iteration, so that requests that arrived together share a batch
        timer = self._loop.call_later(timeout, _expire, job.answer, timeout)
        try:
            return await job.answer
        finally:
            timer.cancel()

    def _job(self, signature: Signature, inputs: list[Array]) -> _Job:
        rows = {len(value) if value.ndim else 0 for value in inputs}
        together = signature.batched and len(rows) == 1 and 0 not in rows
        key = (signature, *(value.shape[1:] for value in inputs)) if together else None
        return _Job(signature, inputs, key, rows.pop() if together else 0, self._loop.create_future())

    async def close(self) -> None:
        """Waits until the queue is empty."""
        self._start()
        while self._running:
            await asyncio.wait(self._running)

    def _start(self) -> None:
        while self._free and (batch := self._take()):
            self._free -= 1
            task = self._loop.create_task(self._work(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _work(self, batch: Sequence[_Job]) -> None:
        rows = sum(job.rows for job in batch)
        self._computing += rows
        try:
            answers = await self._answers(batch)
        finally:
            self._computing -= rows
            self._free += 1
        _settle(batch, answers)
        self._start()

    def _take(self) -> list[_Job]:
        """The oldest request with a waiting client, and a fair share of those that can join its batch."""
        while self._jobs and self._jobs[0].answer.done():  # timed out, or the client is gone
            self._jobs.popleft()
        if not self._jobs:
            return []
        first = self._jobs.popleft()
        if first.key is None or not self._jobs:
            return [first]
        alike = [job for job in self._jobs if job.key == first.key and not job.answer.done()]
        # The share counts rows that other threads compute already; otherwise each thread would leave half to the next.
        total = self._computing + first.rows + sum(job.rows for job in alike)
        share = min(self._max_rows, -(-total // self._threads))
        batch, rows = [first], first.rows
        for job in alike:
            if rows + job.rows > share:
                break
            batch.append(job)
            rows += job.rows
        taken = set(map(id, batch))
        self._jobs = collections.deque(job for job in self._jobs if id(job) not in taken)
        return batch

    async def _answers(self, batch: Sequence[_Job]) -> list[dict[str, Array] | ApiError]:
        """An answer or a fault for each."""
        try:
            return await self._computed(batch)
        except Exception as error:
            fault = errors.of(error)
            if len(batch) == 1 or fault.code == "UNAVAILABLE":
                return [fault] * len(batch)
            # One request is at fault: run each alone, so that the others succeed.
            return [answer for job in batch for answer in await self._answers([job])]

    async def _computed(self, batch: Sequence[_Job]) -> list[dict[str, Array] | ApiError]:
        signature = batch[0].signature
        inputs = batch[0].inputs
        if len(batch) > 1:
            inputs = [np.concatenate(parts) for parts in zip(*(job.inputs for job in batch), strict=True)]
        outputs = await self._called(signature, inputs, sum(job.rows for job in batch))
        if len(batch) == 1:
            return [dict(zip(signature.outputs, outputs, strict=True))]
        ends = np.cumsum([job.rows for job in batch])
        if any(len(output) != ends[-1] for output in outputs):
            raise ApiError("INTERNAL", f"signature {signature.name} answered another number of rows than it was asked")
        return [
            dict(zip(signature.outputs, (output[end - job.rows : end] for output in outputs), strict=True))
            for job, end in zip(batch, ends, strict=True)
        ]

    async def _called(self, signature: Signature, inputs: Sequence[Array], rows: int) -> Sequence[Array]:
        """Splits batches above the row limit, because memory grows with rows."""
        if rows <= self._max_rows:
            answer: Sequence[Array] = await signature.call(*inputs)
            return answer
        starts = range(0, rows, self._max_rows)
        parts = [await signature.call(*(value[start : start + self._max_rows] for value in inputs)) for start in starts]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _settle(batch: Sequence[_Job], answers: Sequence[dict[str, Array] | ApiError]) -> None:
    for job, answer in zip(batch, answers, strict=True):
        if job.answer.done():
            continue
        if isinstance(answer, ApiError):
            job.answer.set_exception(answer)
        else:
            job.answer.set_result(answer)


def _expire(answer: "asyncio.Future[dict[str, Array]]", timeout: float) -> None:
    if not answer.done():
        answer.set_exception(ApiError("DEADLINE_EXCEEDED", f"no answer within {timeout:g} seconds"))
