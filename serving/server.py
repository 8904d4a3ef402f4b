"""Starts and ends the embedded server. For development and tests: production is stock TensorFlow Serving."""

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn

from serving.app import App, Settings
from serving.config import ConfigError, ModelConfig

_BACKLOG = 2048  # connections that wait to be accepted


def serve(
    configure: Callable[[], Sequence[ModelConfig]],
    settings: Settings,
    *,
    host: str,
    port: int,
    drain_seconds: float = 30.0,
    announce: Callable[[str], None] = lambda _: None,
) -> None:
    """Serves until SIGINT or SIGTERM, then answers what it has accepted, and returns.

    Args:
      configure: reads which models are served; called at every poll.
      settings: how.
      host: address to listen on.
      port: 0 takes any that is free.
      drain_seconds: at most, for the answers that are due at the end.
      announce: is told the address, once connections are taken.

    Raises:
      ConfigError: the address cannot be listened on.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    configure()  # says what is wrong with it before anything is started
    run(App(configure, settings), host=host, port=port, drain_seconds=drain_seconds, announce=announce)


def run(app: Any, *, host: str, port: int, drain_seconds: float, announce: Callable[[str], None]) -> None:
    """Serves an ASGI application as ``serve`` does."""
    listening = _listen(host, port)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=max(1, round(drain_seconds)),
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    address, actual, *_ = listening.getsockname()
    announce(f"http://{f'[{address}]' if ':' in address else address}:{actual}")
    _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Ends when it is told to; uvicorn's own raises the signal again afterwards, and the process seems to be killed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; --port takes another one") from None
    return listening
