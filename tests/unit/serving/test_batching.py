"""What waits is computed together; nobody suffers for another one's fault."""

import asyncio
import threading

import numpy as np
import pytest

from serving.batching import Batcher
from serving.errors import ApiError
from serving.servable import Signature


class Doubling:
    """Doubles its rows; keeps the batches it was called with; each call waits for a permit."""

    def __init__(self, permits=100):
        self.permits = threading.Semaphore(permits)
        self.batches = []

    def __call__(self, x):
        self.batches.append(x.tolist())
        assert self.permits.acquire(timeout=10)
        if (x < 0).any():
            raise ValueError("negative")
        return [x * 2]

    async def call(self, x):
        return await asyncio.to_thread(self, x)

    def signature(self, batched=True):
        return Signature("double", {"x": "int64"}, ("y",), batched, "", self.call)


def serving(test, *, threads=1, max_rows=8, max_waiting=100):
    async def run():
        batcher = Batcher(threads=threads, max_rows=max_rows, max_waiting=max_waiting)
        try:
            await test(batcher)
        finally:
            await batcher.close()

    asyncio.run(run())


def ask(batcher, signature, *values, timeout=10):
    return asyncio.ensure_future(batcher.run(signature, {"x": np.array(values)}, timeout))


async def held(model, batcher, signature, threads=1):
    """Requests that keep the threads busy until there are permits."""
    first = [ask(batcher, signature, 0) for _ in range(threads)]
    await until(lambda: len(model.batches) == threads)
    return first[0] if threads == 1 else first


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def test_what_waits_is_computed_together_and_each_gets_its_own():
    model = Doubling(permits=0)
    signature = model.signature()

    async def test(batcher):
        first = await held(model, batcher, signature)
        rest = [ask(batcher, signature, number, number + 10) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        assert batcher.waiting == 3
        model.permits.release(10)
        assert [answer["y"].tolist() for answer in await asyncio.gather(first, *rest)] == [
            [0],
            [2, 22],
            [4, 24],
            [6, 26],
        ]
        assert model.batches == [[0], [1, 11, 2, 12, 3, 13]]

    serving(test)


def test_a_batch_has_no_more_rows_than_allowed_and_keeps_the_order_of_arrival():
    model = Doubling(permits=0)
    signature = model.signature()

    async def test(batcher):
        first = await held(model, batcher, signature)
        rest = [ask(batcher, signature, *range(number, number + 3)) for number in (10, 20, 30)]
        await asyncio.sleep(0)
        model.permits.release(10)
        await asyncio.gather(first, *rest)
        assert model.batches == [[0], [10, 11, 12, 20, 21, 22], [30, 31, 32]]

    serving(test)


def test_two_threads_share_what_waits():
    model = Doubling(permits=0)
    signature = model.signature()

    async def test(batcher):
        both = await held(model, batcher, signature, threads=2)
        rest = [ask(batcher, signature, number) for number in range(1, 6)]
        await asyncio.sleep(0)
        model.permits.release()  # one thread is done: of six rows to do it takes half
        await until(lambda: len(model.batches) == 3)
        model.permits.release()
        await until(lambda: len(model.batches) == 4)
        assert model.batches[2:] == [[1, 2, 3], [4, 5]]
        model.permits.release(10)
        await asyncio.gather(*both, *rest)

    serving(test, threads=2)


def test_more_rows_than_fit_are_computed_in_parts():
    model = Doubling()

    async def test(batcher):
        answer = await ask(batcher, model.signature(), *range(20))
        assert answer["y"].tolist() == list(range(0, 40, 2))
        assert [len(batch) for batch in model.batches] == [8, 8, 4]

    serving(test)


def test_signatures_whose_answers_depend_on_the_other_rows_are_asked_alone():
    model = Doubling(permits=0)
    signature = model.signature(batched=False)

    async def test(batcher):
        first = await held(model, batcher, signature)
        rest = [ask(batcher, signature, number) for number in (1, 2)]
        await asyncio.sleep(0)
        model.permits.release(10)
        await asyncio.gather(first, *rest)
        assert model.batches == [[0], [1], [2]]

    serving(test)


def test_one_that_fails_does_not_take_the_others_with_it():
    model = Doubling(permits=0)
    signature = model.signature()

    async def test(batcher):
        first = await held(model, batcher, signature)
        rest = [ask(batcher, signature, number) for number in (1, -1, 3)]
        await asyncio.sleep(0)
        model.permits.release(10)
        answers = await asyncio.gather(first, *rest, return_exceptions=True)
        assert [answers[place]["y"].tolist() for place in (0, 1, 3)] == [[0], [2], [6]]
        assert (answers[2].code, answers[2].message) == ("INTERNAL", "ValueError: negative")

    serving(test)


def test_a_full_queue_turns_the_next_one_away():
    model = Doubling(permits=0)
    signature = model.signature()

    async def test(batcher):
        first = await held(model, batcher, signature)
        rest = [ask(batcher, signature, number) for number in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(ApiError) as caught:
            await ask(batcher, signature, 3)
        assert (caught.value.status, caught.value.headers) == (429, (("Retry-After", "1"),))
        model.permits.release(10)
        await asyncio.gather(first, *rest)

    serving(test, max_waiting=2)


def test_a_deadline_passes_and_what_nobody_waits_for_is_not_computed():
    model = Doubling(permits=0)
    signature = model.signature()

    async def test(batcher):
        first = await held(model, batcher, signature)
        with pytest.raises(ApiError) as caught:
            await ask(batcher, signature, 1, timeout=0.01)
        assert (caught.value.status, caught.value.message) == (504, "no answer within 0.01 seconds")
        gone = ask(batcher, signature, 2)
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        last = ask(batcher, signature, 4)  # behind the two that are gone, and of their shape
        await asyncio.sleep(0)
        model.permits.release(10)
        await first
        assert (await last)["y"].tolist() == [8]
        assert model.batches == [[0], [4]]

    serving(test)


def test_what_waits_at_the_end_is_answered():
    model = Doubling(permits=0)
    signature = model.signature()

    async def test(batcher):
        first = await held(model, batcher, signature)
        rest = [ask(batcher, signature, number) for number in (1, 2)]
        await asyncio.sleep(0)
        ended = asyncio.ensure_future(batcher.close())
        model.permits.release(10)
        await ended
        answers = await asyncio.gather(first, *rest)
        assert [answer["y"].tolist() for answer in answers] == [[0], [2], [4]]

    serving(test)
