"""The process that computes: python -m serving.worker DESCRIPTOR …, started by serving/process.py.

All of TensorFlow is here. What ends a process in there, ends this one, and not the server.
"""

import gc
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving import errors, messages
from serving.errors import ApiError
from serving.servable import Servable


def main(descriptors: Sequence[int]) -> None:
    """Answers on each of the sockets, in a thread of its own, until they are closed."""
    # the server ends first and answers what it has accepted
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    import tensorflow_text  # noqa: F401 (and TensorFlow with it)

    gc.freeze()  # modules stay for good: exclude them from garbage collection
    worker = Worker()
    threads = [
        threading.Thread(target=_answer, args=(socket.socket(fileno=each), worker), daemon=True) for each in descriptors
    ]
    for thread in threads:
        thread.start()
    threads[0].join()


def _answer(connection: socket.socket, worker: "Worker") -> None:
    """A message is the name of a method and its arguments; the answer what it returns, or a code and a sentence."""
    while True:
        try:
            name, *arguments = messages.receive(connection)
        except (EOFError, OSError):
            return
        try:
            answer = ("ok", getattr(worker, name)(*arguments))
        except Exception as error:
            fault = errors.of(error)
            answer = (fault.code, fault.message)
        connection.sendall(messages.pack(answer))


class Worker:
    """What the server can ask for."""

    def __init__(self) -> None:
        self._servables: dict[int, Servable] = {}

    def load(self, number: int, folder: str) -> tuple[list[tuple[Any, ...]], bytes]:
        """Loads the SavedModel in ``folder``, to be called ``number``.

        Returns:
          The signatures, without what calls them; and their definitions as JSON.
        """
        try:
            servable = self._servables[number] = Servable(Path(folder))
        except Exception as error:
            raise errors.of(error, "NOT_FOUND" if isinstance(error, OSError) else "UNKNOWN") from error
        described = [
            (each.name, dict(each.inputs), each.outputs, each.batched, each.text)
            for each in servable.signatures.values()
        ]
        return described, servable.metadata

    def warm_up(self, number: int) -> int:
        """How many requests the model carried."""
        return self._servables[number].warm_up()

    def call(self, number: int, signature: str, inputs: Sequence[Any]) -> Sequence[Any]:
        """The outputs of a signature, in its order."""
        servable = self._servables.get(number)
        if servable is None:  # loaded by an earlier process
            raise ApiError("UNAVAILABLE", "the model is being loaded again")
        outputs: Sequence[Any] = servable.signatures[signature].call(*inputs)
        return outputs

    def close(self, number: int) -> None:
        """Frees a model that nobody calls any more."""
        servable = self._servables.pop(number, None)
        if servable:
            servable.close()
            del servable
            gc.collect()  # reference cycles keep a graph alive until a collection


if __name__ == "__main__":
    main([int(each) for each in sys.argv[1:]])
