"""What a request costs: our server, its peers, and a bare loop over the same SavedModel.

    python -m benchmarks.serving [FOLDER] --peer-python PATH [--rounds 3] [--seconds 4] [--concurrency 1,8,32,128]

FOLDER is a pushed version, the newest one of sentiment where not given. Real snippets, one a request, over loopback;
servers take turns, a few seconds each. CPU is that of the server's process alone. The client shares the cores.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import psutil
import uvloop
from typing_extensions import override

from benchmarks.measure import BUILD, ROOT, spread, table
from models.export import golden
from pipeline.inference.predict import newest

PEERS = {"torch": ["torch"], "torch, tuned": ["torch", "--tuned"], "onnxruntime, tuned": ["onnx", "--tuned"]}
OURS = "tfx-bert serve"
_START_SECONDS = 120.0


@dataclasses.dataclass(frozen=True)
class Server:
    """One that runs.

    Attributes:
      process: of it.
      port: on loopback.
      path: that takes a text.
    """

    process: subprocess.Popen[str]
    port: int
    path: str

    def cpu(self) -> float:
        """Seconds so far, all threads, and those of the processes that it started."""
        server = psutil.Process(self.process.pid)
        times = [each.cpu_times() for each in (server, *server.children(recursive=True))]
        return sum(each.user + each.system for each in times)

    def request(self, text: str) -> bytes:
        """The bytes that ask about ``text``."""
        body = json.dumps({"instances": [text]}).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        return f"{head}\r\n\r\n".encode() + body


@dataclasses.dataclass(frozen=True)
class Load:
    """What a server did for some seconds.

    Attributes:
      cpu: milliseconds a request.
      rate: requests a second.
      p50: milliseconds.
      p99: milliseconds.
    """

    cpu: float
    rate: float
    p50: float
    p99: float


class Connection(asyncio.Protocol):
    """Asks again as soon as it is answered, until the end."""

    def __init__(self, requests: Sequence[bytes], first: int, end: float, times: list[float]) -> None:
        self._requests, self._next, self._end, self._times = requests, first, end, times
        self._buffer = b""
        self.done = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, gap, body = self._buffer.partition(b"\r\n\r\n")
        if not gap or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        now, self._buffer = time.perf_counter(), b""
        self._times.append(now - self._began)
        self.answered(self._next - 1, head[9:12], body)
        if now < self._end:
            self._ask()
        else:
            self._transport.close()
            self.done.set_result(body)

    def answered(self, number: int, status: bytes, body: bytes) -> None:
        """Is told what request ``number`` was answered."""
        assert status == b"200", (number, status, body)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed before the answer"))


async def _asked(server: Server, requests: Sequence[bytes], concurrency: int, seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    connections = [
        (
            await loop.create_connection(
                lambda number=number: Connection(requests, number * 97, end, times), "127.0.0.1", server.port
            )
        )[1]
        for number in range(concurrency)
    ]
    await asyncio.gather(*(connection.done for connection in connections))
    return times


def load(server: Server, texts: Sequence[str], concurrency: int, seconds: float) -> Load:
    """Asks for ``seconds`` over ``concurrency`` connections."""
    requests = [server.request(text) for text in texts]
    cpu, wall = server.cpu(), time.perf_counter()
    times = uvloop.run(_asked(server, requests, concurrency, seconds))
    cpu, wall = server.cpu() - cpu, time.perf_counter() - wall
    p50, p99 = np.percentile(times, (50, 99)) * 1000
    return Load(1000 * cpu / len(times), len(times) / wall, float(p50), float(p99))


def answer(server: Server, text: str) -> Any:
    """What one text is answered; None while there is no answer yet."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    try:
        connection.request("POST", server.path, json.dumps({"instances": [text]}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
    except OSError:
        return None
    finally:
        connection.close()
    return json.loads(body)["predictions"][0] if response.status == 200 else None


@contextlib.contextmanager
def started(command: Sequence[str], path: str) -> Iterator[Server]:
    """A server that says its address on standard output."""
    with (BUILD / "serving.log").open("a") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout
    address = next(line for line in process.stdout if "http://" in line).partition("http://")[2].split()[0]
    # What it writes from now on goes nowhere, or the pipe fills and it stops.
    threading.Thread(target=lambda: [None for _ in process.stdout or ()], daemon=True).start()
    server, end = Server(process, int(address.rpartition(":")[2]), path), time.perf_counter() + _START_SECONDS
    try:
        while answer(server, "ready?") is None:
            assert process.poll() is None and time.perf_counter() < end, f"no answer: see {BUILD / 'serving.log'}"
            time.sleep(0.2)
        yield server
    finally:
        process.terminate()
        process.wait()


def ours(folder: Path) -> tuple[list[str], str]:
    """The command that serves a pushed version, and the path that takes a text."""
    served = BUILD / "served" / "model"
    shutil.rmtree(served.parent, ignore_errors=True)
    served.mkdir(parents=True)
    (served / "1").symlink_to(folder)
    command = [str(Path(sys.executable).parent / "tfx-bert"), "serve", "--model", f"model={served}", "--port", "0"]
    return command, "/v1/models/model:predict"


def for_peers(folder: Path) -> Path:
    """The weights of a pushed version as the peers take them."""
    import tensorflow as tf

    out = BUILD / "serving_peers"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder / "assets.extra" / "checkpoint", out)
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    shapes = reader.get_variable_to_shape_map()
    width = json.loads((out / "config.json").read_text())["hidden_size"]
    labels = len(golden.read(folder / "assets.extra")["outputs"]["labels"][0])
    # The file names no layers; only the classifier's have these shapes.
    (kernel,) = [name for name, shape in shapes.items() if shape == [width, labels]]
    (bias,) = [name for name, shape in shapes.items() if shape == [labels]]
    np.savez(out / "classifier.npz", kernel=reader.get_tensor(kernel), bias=reader.get_tensor(bias))
    return out


def bare(folder: Path, texts: Sequence[str], batch: int, threads: int, seconds: float) -> tuple[float, float]:
    """CPU milliseconds a row, and rows a second, of a loop over the SavedModel in a process of its own."""
    code = f"""
import json, sys, threading, time
from pathlib import Path
import numpy as np
from serving.servable import Servable
texts = [text.encode() for text in json.loads(sys.stdin.read())]
servable = Servable(Path({str(folder)!r}))
call = servable.signatures["serving_default"].call
done = [0] * {threads}
def work(number):
    at = number * 977
    while time.perf_counter() < end:
        call(np.array([texts[(at + i) % len(texts)] for i in range({batch})], object))
        at, done[number] = at + {batch}, done[number] + {batch}
servable.warm_up()
end = time.perf_counter() + {seconds}
wall, cpu = time.perf_counter(), time.process_time()
threads = [threading.Thread(target=work, args=(number,)) for number in range({threads})]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps([1000 * (time.process_time() - cpu) / sum(done), sum(done) / (time.perf_counter() - wall)]))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(list(texts)),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    cpu, rate = json.loads(ran.stdout.splitlines()[-1])
    return cpu, rate


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="a pushed version")
    parser.add_argument("--peer-python", metavar="PATH", help="an interpreter with what the peers need")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument(
        "--concurrency", default="1,8,32,128", type=lambda text: [int(each) for each in text.split(",")]
    )
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    folder = (options.folder or newest(ROOT / "runs", "sentiment")).absolute()
    snippets = pandas.read_csv(ROOT / "data" / "movie_reviews.csv")["text"].tolist()
    texts = snippets[:: len(snippets) // 1000][:1000]
    threads = len(os.sched_getaffinity(0))
    commands = {OURS: ours(folder)}
    if options.peer_python:
        weights = for_peers(folder)
        script = str(ROOT / "benchmarks" / "peers" / "http_server.py")
        commands |= {
            name: ([options.peer_python, script, str(weights), *arguments], "/predict")
            for name, arguments in PEERS.items()
        }
    found: dict[tuple[str, int], list[Load]] = {}
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(started(*command)) for name, command in commands.items()}
        for text in texts[:8]:
            answers = [answer(server, text)["scores"] for server in servers.values()]
            assert all(np.allclose(each, answers[0], atol=1e-4) for each in answers), answers
        for server in servers.values():
            load(server, texts, 8, 2.0)
        for _ in range(options.rounds):
            for concurrency in options.concurrency:
                for name, server in servers.items():
                    found.setdefault((name, concurrency), []).append(load(server, texts, concurrency, options.seconds))
    loops = {
        batch: bare(folder, texts, batch, min(threads, concurrency), options.seconds)
        for concurrency in options.concurrency
        if (batch := max(1, min(64, concurrency // threads)))
    }
    _report(found, loops, options.concurrency, list(commands), threads)


def _report(
    found: dict[tuple[str, int], list[Load]],
    loops: dict[int, tuple[float, float]],
    concurrencies: Sequence[int],
    names: Sequence[str],
    threads: int,
) -> None:
    rows = []
    for concurrency in concurrencies:
        base = found[OURS, concurrency]
        for name in names:
            loads = found[name, concurrency]
            ratio = [each.cpu / own.cpu for each, own in zip(loads, base, strict=True)]
            rate = [own.rate / each.rate for each, own in zip(loads, base, strict=True)]
            rows.append(
                (
                    f"{concurrency} · {name}",
                    spread([each.cpu for each in loads], 2),
                    spread(ratio, 2) if name != OURS else "",
                    spread([each.rate for each in loads], 0),
                    spread(rate, 2) if name != OURS else "",
                    spread([each.p50 for each in loads]),
                    spread([each.p99 for each in loads]),
                )
            )
    notes = []
    for concurrency in concurrencies:
        batch = max(1, min(64, concurrency // threads))
        cpu, rate = loops[batch]
        own = found[OURS, concurrency]
        share = statistics.median(each.rate for each in own) / rate
        more = statistics.median(each.cpu for each in own) - cpu
        notes.append(
            f"bare loop, batches of {batch}: {cpu:.2f} CPU ms a row, {rate:,.0f} rows a second; "
            f"at {concurrency} the server reaches {share:.0%} of it with {more:+.2f} CPU ms a request"
        )
    columns = ("concurrency · server", "CPU ms", "÷ ours", "requests/s", "ours ÷", "p50 ms", "p99 ms")
    table("a request: one real snippet", columns, rows, notes)


if __name__ == "__main__":
    main()
