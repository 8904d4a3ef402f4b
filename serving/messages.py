"""Messages between the server and the process that computes: pickles, their length before them."""

import pickle
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("<Q")
_CHUNK = 2**18  # bytes


def send(connection: socket.socket, message: object) -> None:
    """Blocks until it is sent.

    Raises:
      OSError: nobody reads it.
    """
    packed = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    connection.sendall(_LENGTH.pack(len(packed)) + packed)


def receive(connection: socket.socket) -> Any:
    """Blocks until a message is there.

    Raises:
      EOFError: none comes any more.
      OSError: the same.
    """
    data = bytearray()
    end = _LENGTH.size
    while len(data) < end:
        more = connection.recv(_CHUNK)
        if not more:
            raise EOFError
        data += more
        if len(data) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    return pickle.loads(memoryview(data)[_LENGTH.size :])
