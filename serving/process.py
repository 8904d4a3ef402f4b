"""Keeps the process that computes: asks it, and starts it again when it ends."""

import itertools
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving import messages
from serving.errors import ApiError
from serving.servable import Signature

log = logging.getLogger(__name__)

_PAUSE = 2.0  # seconds until the next start, when it ended within as many of the last one


class Lost(ApiError):
    """The process ended, or is not there yet."""

    def __init__(self) -> None:
        super().__init__(
            "UNAVAILABLE",
            "the process that computes has ended, and is started again; try again later",
            headers=(("Retry-After", "1"),),
        )


class Process:
    """One that answers from several threads at a time.

    Args:
      threads: of ours that ask at the same time.
      ended: is told that it ended, with the reason, before it is started again. Any thread.
    """

    def __init__(self, threads: int, ended: Callable[[str], None]) -> None:
        self._threads, self._ended = threads, ended
        self._free: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Starts it, and a thread that watches it."""
        self._spawn()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def close(self) -> None:
        """Ends it. Nobody may be asking."""
        self._stopping.set()
        self._process.kill()
        self._process.wait()

    def ask(self, *message: Any) -> Any:
        """What ``Worker``'s method of that name returns.

        Raises:
          Lost: it ended before it answered.
          ApiError: what it raised.
        """
        free = self._free
        connection = free.get()
        try:
            messages.send(connection, message)
            code, answer = messages.receive(connection)
        except (EOFError, OSError):
            raise Lost from None
        finally:
            free.put(connection)  # a broken one too: it says so at once
        if code != "ok":
            raise ApiError(code, answer)
        return answer

    def _spawn(self) -> None:
        pairs = [socket.socketpair() for _ in range(self._threads)]
        theirs = [there.fileno() for _, there in pairs]
        # -P: no file in the working folder is taken for a module. A session of its own: Ctrl-C is the server's.
        command = [sys.executable, "-P", "-m", "serving.worker", *map(str, theirs)]
        self._process = subprocess.Popen(command, pass_fds=theirs, stdout=sys.stderr, start_new_session=True)
        free: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        for here, there in pairs:
            there.close()
            free.put(here)
        self._free = free

    def _watch(self) -> None:
        while True:
            started = time.monotonic()
            code = self._process.wait()
            if self._stopping.is_set():
                return
            reason = signal.Signals(-code).name if code < 0 else f"exit {code}"
            log.error("the process that computes ended: %s; it is started again", reason)
            self._ended(reason)
            if time.monotonic() - started < _PAUSE and self._stopping.wait(_PAUSE):
                return
            self._spawn()


_numbers = itertools.count()


class Servable:
    """A version that the process has loaded.

    Args:
      process: that loads it.
      folder: of the SavedModel.

    Attributes:
      folder: the same.
      signatures: by name.
      metadata: their definitions as JSON.
      users: requests that are being answered; the event loop counts them.

    Raises:
      ApiError: TensorFlow's, for a folder that holds no SavedModel or half of one; or the process ended.
    """

    def __init__(self, process: Process, folder: Path) -> None:
        self.folder, self.users = folder, 0
        self._process, self._number = process, next(_numbers)
        described, self.metadata = process.ask("load", self._number, os.fspath(folder))
        self.signatures = {
            name: Signature(name, inputs, outputs, batched, text, self._call(name))
            for name, inputs, outputs, batched, text in described
        }

    def _call(self, name: str) -> Callable[..., Any]:
        def call(*inputs: Any) -> Any:
            return self._process.ask("call", self._number, name, inputs)

        return call

    def warm_up(self) -> int:
        """Answers the requests that the model carries; how many there were."""
        count: int = self._process.ask("warm_up", self._number)
        return count

    def close(self) -> None:
        """Frees it. No call may be running."""
        try:
            self._process.ask("close", self._number)
        except Lost:
            return  # and it with the process
