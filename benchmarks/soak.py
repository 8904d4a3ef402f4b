"""Full load for minutes while versions are swapped: is an answer missing or wrong, does memory grow?

    python -m benchmarks.soak [FOLDER] [--minutes 10] [--concurrency 32] [--swap 5]

FOLDER is a pushed version, the newest one of sentiment where not given; it is pushed again under the next number every
few seconds, and the one before is removed. Ends with 1 where an answer failed or was wrong.
"""

import argparse
import asyncio
import itertools
import json
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
import psutil
import uvloop

from benchmarks.measure import BUILD, ROOT, table
from benchmarks.serving import Connection, Server, answer, started
from pipeline.inference.predict import newest

_TOLERANCE = 1e-4  # of a score: batches of other sizes take other kernels


class _Checked(Connection):
    """Compares each answer with what is right."""

    def __init__(self, right: Sequence[Sequence[float]], wrong: list[str], *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self._right, self._wrong = right, wrong

    def answered(self, number: int, status: bytes, body: bytes) -> None:
        """Notes what is not as it should be."""
        right = self._right[number % len(self._right)]
        if status != b"200" or not np.allclose(
            json.loads(body)["predictions"][0]["scores"], right, rtol=0, atol=_TOLERANCE
        ):
            self._wrong.append(f"{status.decode()} {body[:200].decode()}")


def _swap(source: Path, served: Path, seconds: float, ended: threading.Event, swaps: list[int]) -> None:
    for number in itertools.count(2):
        if ended.wait(seconds):
            return
        staged = served / f".staged-{number}"
        shutil.copytree(source, staged)
        staged.rename(served / str(number))
        swaps.append(number)
        if ended.wait(seconds / 2):
            return
        shutil.rmtree(served / str(number - 1), ignore_errors=True)


def _memory(server: Server, ended: threading.Event, seen: list[float]) -> None:
    while not ended.wait(1.0):
        process = psutil.Process(server.process.pid)
        seen.append(sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) / 2**20)


async def _load(
    server: Server, requests: Sequence[bytes], right: Sequence[Sequence[float]], concurrency: int, seconds: float
) -> tuple[list[float], list[str]]:
    times: list[float] = []
    wrong: list[str] = []
    end, loop = time.perf_counter() + seconds, asyncio.get_running_loop()
    connections = [
        (
            await loop.create_connection(
                lambda number=number: _Checked(right, wrong, requests, number * 97, end, times),
                "127.0.0.1",
                server.port,
            )
        )[1]
        for number in range(concurrency)
    ]
    await asyncio.gather(*(connection.done for connection in connections))
    return times, wrong


def _quarters(values: Sequence[float]) -> list[Sequence[float]]:
    ends = [round(len(values) * part / 4) for part in range(5)]
    return [values[start:end] for start, end in itertools.pairwise(ends) if end > start]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="a pushed version")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--swap", type=float, default=5.0, metavar="SECONDS")
    options = parser.parse_args()
    folder = (options.folder or newest(ROOT / "runs", "sentiment")).absolute()
    served = BUILD / "soak" / "model"
    shutil.rmtree(served.parent, ignore_errors=True)
    shutil.copytree(folder, served / "1")
    texts = pandas.read_csv(ROOT / "data" / "movie_reviews.csv")["text"].tolist()[:200]
    command = [str(Path(sys.executable).parent / "tfx-bert"), "serve", "--model", f"model={served}", "--port", "0"]
    ended, swaps, memory = threading.Event(), [], []  # type: ignore[var-annotated]
    with started(command, "/v1/models/model:predict") as server:
        right = [answer(server, text) or [] for text in texts]
        threads = [
            threading.Thread(target=_swap, args=(folder, served, options.swap, ended, swaps)),
            threading.Thread(target=_memory, args=(server, ended, memory)),
        ]
        for thread in threads:
            thread.start()
        requests = [server.request(text) for text in texts]
        times, wrong = uvloop.run(_load(server, requests, right, options.concurrency, options.minutes * 60))
        ended.set()
        for thread in threads:
            thread.join()
    shutil.rmtree(served.parent)
    p50, p99 = np.percentile(times, (50, 99)) * 1000
    rows = [
        ("requests", f"{len(times):,}"),
        ("failed or wrong", f"{len(wrong):,}"),
        ("versions", f"{1 + len(swaps):,}"),
        ("p50, p99 ms", f"{p50:.0f}, {p99:.0f}"),
        ("MiB, median of each quarter", " ".join(f"{statistics.median(part):,.0f}" for part in _quarters(memory))),
    ]
    title = f"{options.minutes:g} minutes, {options.concurrency} at a time, a version every {options.swap:g} s"
    table(title, ("", ""), rows, wrong[:5])
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
