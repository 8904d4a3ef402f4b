"""The worker process: sends it calls, and restarts it when it ends."""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typing_extensions import override

from serving import messages
from serving.errors import ApiError
from serving.servable import Signature

log = logging.getLogger(__name__)

_PAUSE = 2.0  # seconds until the next start, when it ended within as many of the last one


class Lost(ApiError):
    """The worker process ended or has not started yet."""

    def __init__(self) -> None:
        super().__init__(
            "UNAVAILABLE",
            "the process that computes has ended, and is started again; try again later",
            headers=(("Retry-After", "1"),),
        )


class Lane(asyncio.Protocol):
    """A connection to the worker: one call at a time."""

    def __init__(self) -> None:
        self._reader = messages.Reader()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Any] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    @override
    def data_received(self, data: bytes) -> None:
        message = self._reader.feed(data)
        if message is not None and self._answer and not self._answer.done():
            self._answer.set_result(message)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer and not self._answer.done():
            self._answer.set_exception(Lost())

    @property
    def usable(self) -> bool:
        """Whether the lane is free: no abandoned call is still being answered."""
        return not (self._answer and self._answer.cancelled())

    async def ask(self, *message: Any) -> Any:
        """Sends ``message`` to the process; its answer. Raises ``Lost`` when the process has ended."""
        packed = messages.pack(message)
        if not self._transport:
            raise Lost
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(packed)
        code, answer = await self._answer
        if code != "ok":
            raise ApiError(code, answer)
        return answer


class Process:
    """One that answers several questions at a time. On the event loop only.

    Args:
      lanes: so many.
      ended: is told that it ended, before it is started again.
    """

    def __init__(self, lanes: int, ended: Callable[[], None]) -> None:
        self._count, self._ended = lanes, ended
        self._free: asyncio.Queue[Lane]
        self._stopping = False
        self._process: subprocess.Popen[bytes]

    async def start(self) -> None:
        """Starts the process and watches it."""
        await self._spawn()
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Ends it. Nobody may be asking."""
        self._stopping = True
        self._process.kill()
        await self._watching

    async def ask(self, *message: Any) -> Any:
        """What ``Worker``'s method of that name returns.

        Raises:
          Lost: it ended before it answered.
          ApiError: what it raised.
        """
        free = self._free
        lane = await free.get()
        try:
            return await lane.ask(*message)
        finally:
            if lane.usable:
                free.put_nowait(lane)  # a broken lane reports that at once

    async def _spawn(self) -> None:
        pairs = [socket.socketpair() for _ in range(self._count)]
        theirs = [there.fileno() for _, there in pairs]
        # -P: no file in the working folder is taken for a module. A process group of its own: Ctrl-C is the server's.
        # Not a session: Linux shares a processor out by sessions.
        command = [sys.executable, "-P", "-m", "serving.worker", *map(str, theirs)]
        self._process = subprocess.Popen(command, pass_fds=theirs, stdout=sys.stderr, process_group=0)
        loop = asyncio.get_running_loop()
        self._free = asyncio.Queue()
        for here, there in pairs:
            there.close()
            _, lane = await loop.create_unix_connection(Lane, sock=here)
            self._free.put_nowait(lane)

    async def _watch(self) -> None:
        while True:
            started = time.monotonic()
            code = await asyncio.to_thread(self._process.wait)
            if self._stopping:
                return
            reason = signal.Signals(-code).name if code < 0 else f"exit {code}"
            log.error("the process that computes ended: %s; it is started again", reason)
            self._ended()
            if time.monotonic() - started < _PAUSE:
                await asyncio.sleep(_PAUSE)
            await self._spawn()


_numbers = itertools.count()


class Servable:
    """A version that the process has loaded.

    Attributes:
      folder: of the SavedModel.
      signatures: by name.
      metadata: their definitions as JSON.
      users: requests that are being answered; the event loop counts them.

    """

    def __init__(self, process: Process, folder: Path) -> None:
        self.folder, self.users = folder, 0
        self._process, self._number = process, next(_numbers)
        self.signatures: dict[str, Signature] = {}
        self.metadata = b""

    async def load(self) -> int:
        """Loads it, and answers the requests that it carries; how many there were.

        Raises:
          ApiError: TensorFlow's, for a folder that holds no SavedModel or half of one; or the process ended.
        """
        described, self.metadata = await self._process.ask("load", self._number, os.fspath(self.folder))
        self.signatures = {
            name: Signature(name, inputs, outputs, batched, text, self._call(name))
            for name, inputs, outputs, batched, text in described
        }
        count: int = await self._process.ask("warm_up", self._number)
        return count

    def _call(self, name: str) -> Callable[..., Any]:
        async def call(*inputs: Any) -> Any:
            return await self._process.ask("call", self._number, name, inputs)

        return call

    async def close(self) -> None:
        """Frees it. No call may be running."""
        with contextlib.suppress(Lost):  # it ended with the process
            await self._process.ask("close", self._number)
