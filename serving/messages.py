"""Messages between the server and the process that computes: pickles, their length before them."""

import pickle
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("<Q")
_CHUNK = 2**18  # bytes


def pack(message: object) -> bytes:
    """What is sent."""
    packed = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(packed)) + packed


class Reader:
    """Puts a message together."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Any:
        """The message where ``data`` is the end of it, else None. Nobody sends the next one before it is answered."""
        self._data += data
        if len(self._data) < _LENGTH.size or len(self._data) < _LENGTH.size + _LENGTH.unpack_from(self._data)[0]:
            return None
        whole, self._data = self._data, bytearray()
        return pickle.loads(memoryview(whole)[_LENGTH.size :])


def receive(connection: socket.socket) -> Any:
    """Blocks until a message is there.

    Raises:
      EOFError: none comes any more.
      OSError: the same.
    """
    reader = Reader()
    while (message := reader.feed(data := connection.recv(_CHUNK))) is None:
        if not data:
            raise EOFError
    return message
