"""Requests that wait are computed together, on threads of their own; nobody waits for others to come.

A thread that is free takes the oldest request and, with it, those behind it that ask the same signature for rows of the
same shape: its fair share of them. In order of arrival; nothing is sorted by length, which would starve long texts.
"""

import asyncio
import collections
import dataclasses
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serving import errors
from serving.errors import ApiError
from serving.servable import Signature

Array = Any  # np.ndarray


@dataclasses.dataclass(eq=False, slots=True)
class _Job:
    """A request that waits.

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
    """Threads that compute.

    Args:
      threads: that compute at the same time, one core each.
      max_rows: computed in one call.
      max_waiting: requests; the next one is turned away.
    """

    def __init__(self, *, threads: int, max_rows: int, max_waiting: int) -> None:
        self._max_rows, self._max_waiting = max_rows, max_waiting
        self._loop = asyncio.get_running_loop()
        self._jobs: collections.deque[_Job] = collections.deque()
        self._filled = threading.Condition()
        self._computing = 0  # rows
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"compute-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Requests that no thread has taken yet."""
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
        with self._filled:
            self._jobs.append(job)
            self._filled.notify()
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

    def close(self) -> None:
        """Ends the threads, once they have done what waits."""
        with self._filled:
            self._stopping = True
            self._filled.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._filled:
                while not self._jobs:
                    if self._stopping:
                        return
                    self._filled.wait()
                batch = self._take()
                if not batch:
                    continue
                rows = sum(job.rows for job in batch)
                self._computing += rows
            answers = self._answers(batch)
            with self._filled:
                self._computing -= rows
            try:
                self._loop.call_soon_threadsafe(_settle, batch, answers)
            except RuntimeError:  # the loop is closed: nobody waits for these
                return

    def _take(self) -> list[_Job]:
        """The oldest request that is waited for, and a share of those that can be computed with it."""
        while self._jobs and self._jobs[0].answer.done():  # timed out, or the client is gone
            self._jobs.popleft()
        if not self._jobs:
            return []
        first = self._jobs.popleft()
        if first.key is None or not self._jobs:
            return [first]
        alike = [job for job in self._jobs if job.key == first.key and not job.answer.done()]
        # Of all there is to do, what others compute already included: else each would leave half to the next.
        total = self._computing + first.rows + sum(job.rows for job in alike)
        share = min(self._max_rows, -(-total // len(self._threads)))
        batch, rows = [first], first.rows
        for job in alike:
            if rows + job.rows > share:
                break
            batch.append(job)
            rows += job.rows
        taken = set(map(id, batch))
        self._jobs = collections.deque(job for job in self._jobs if id(job) not in taken)
        return batch

    def _answers(self, batch: Sequence[_Job]) -> list[dict[str, Array] | ApiError]:
        """An answer or a fault for each."""
        try:
            return self._computed(batch)
        except Exception as error:
            if len(batch) == 1:
                return [errors.of(error)]
            # One of them is at fault; the others need not suffer for it.
            return [answer for job in batch for answer in self._answers([job])]

    def _computed(self, batch: Sequence[_Job]) -> list[dict[str, Array] | ApiError]:
        signature = batch[0].signature
        inputs = batch[0].inputs
        if len(batch) > 1:
            inputs = [np.concatenate(parts) for parts in zip(*(job.inputs for job in batch), strict=True)]
        outputs = self._called(signature, inputs, sum(job.rows for job in batch))
        if len(batch) == 1:
            return [dict(zip(signature.outputs, outputs, strict=True))]
        ends = np.cumsum([job.rows for job in batch])
        if any(len(output) != ends[-1] for output in outputs):
            raise ApiError("INTERNAL", f"signature {signature.name} answered another number of rows than it was asked")
        return [
            dict(zip(signature.outputs, (output[end - job.rows : end] for output in outputs), strict=True))
            for job, end in zip(batch, ends, strict=True)
        ]

    def _called(self, signature: Signature, inputs: Sequence[Array], rows: int) -> Sequence[Array]:
        """In parts where there are too many rows: memory grows with them."""
        if rows <= self._max_rows:
            return signature.call(*inputs)
        starts = range(0, rows, self._max_rows)
        parts = [signature.call(*(value[start : start + self._max_rows] for value in inputs)) for start in starts]
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
