"""The HTTP side, an ASGI application: limits, health, metrics, the access log, the page, the API below ``/v1/``."""

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import re
import secrets
import sys
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import orjson

from serving import openapi, page
from serving.api import PATH, Api, Asked
from serving.batching import Batcher
from serving.config import ModelConfig
from serving.errors import ApiError, invalid
from serving.json import json_responses
from serving.metrics import Metrics
from serving.process import Process
from serving.versions import Models

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# AddCORSHeaders in tensorflow/serving's model_servers/http_rest_api_util.cc.
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
)
_ORIGIN = re.compile(rb"https?://")
METRICS_PATH = "/monitoring/prometheus/metrics"  # kPrometheusPath in its util/prometheus_exporter.cc
_LOG_SECONDS = 0.2  # between two writes of the access log
_PROCESS = secrets.token_hex(6).encode()  # begins the ids of requests that bring none
_JSON = (b"content-type", b"application/json")


class ClientGone(Exception):
    """The client closed the connection before the answer."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
      threads: that compute, one core each.
      max_batch_rows: computed in one call.
      max_waiting: requests; the next one gets 429.
      timeout: seconds until an answer, then 504; and for the body to arrive, then 408.
      max_body: bytes, compressed or not, then 413.
      poll: seconds between two looks at the models' folders and the configuration.
      metrics: whether Prometheus is answered.
      cors: whether pages from elsewhere may ask.
      access_log: whether every request is logged.
    """

    threads: int
    max_batch_rows: int = 64
    max_waiting: int = 1000
    timeout: float = 30.0
    max_body: int = 16 * 2**20
    poll: float = 1.0
    metrics: bool = False
    cors: bool = False
    access_log: bool = True


@dataclasses.dataclass(frozen=True)
class Response:
    """What goes out."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = (_JSON,)


class App:
    """The ASGI application.

    Args:
      configure: reads which models are served; called at every poll.
      settings: how.
    """

    def __init__(self, configure: Callable[[], Sequence[ModelConfig]], settings: Settings) -> None:
        self._settings = settings
        self.metrics = Metrics()
        # One loads.
        self._process = Process(settings.threads + 1, self._process_ended)
        self.models = Models(configure, self._process)
        self._ui = page.Ui(self.models)
        self._ids = itertools.count()
        self._log: list[bytes] | None = [] if settings.access_log else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the server's own start and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            with contextlib.suppress(ClientGone):
                await self._respond(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        settings = self._settings
        await self._process.start()
        batcher = Batcher(threads=settings.threads, max_rows=settings.max_batch_rows, max_waiting=settings.max_waiting)
        self._api = Api(self.models, batcher, self.metrics, settings.timeout)
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await batcher.close()
            await self._process.close()
            self._write_log()

    def _process_ended(self) -> None:
        self.metrics.restart()
        self.models.lost()

    async def _watch(self) -> None:
        while True:
            try:
                await self.models.refresh()
            except Exception:  # keep polling: the next poll may succeed
                log.exception("looking for versions failed")
            await asyncio.sleep(self._settings.poll)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, asked = time.perf_counter(), Asked()
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")[:64] or b"%s-%d" % (_PROCESS, next(self._ids))
        code = "OK"
        try:
            response = await self._answer(scope, headers, receive, asked)
        except ApiError as error:
            code, response = error.code, _refused(error)
        except ClientGone:
            raise
        except Exception as error:
            log.exception("request %s failed", request_id.decode("latin-1"))
            fault = ApiError("INTERNAL", f"{type(error).__name__} in the server; its log says more")
            code, response = fault.code, _refused(fault)
        await _send(send, response, request_id, _CORS if self._settings.cors else ())
        seconds = time.perf_counter() - started
        if PATH.fullmatch(scope["raw_path"].decode("latin-1")):
            # Unknown model names would grow the metrics without bound.
            known = asked.model if asked.model in self.models.names else ""
            self.metrics.request(known, asked.method, code, seconds)
        if self._log is not None:
            if not self._log:
                asyncio.get_running_loop().call_later(_LOG_SECONDS, self._write_log)
            line = {
                "time": time.time(),
                "id": request_id.decode("latin-1"),
                "method": scope["method"],
                "path": scope["path"],
                "status": response.status,
                "ms": round(seconds * 1000, 3),
                "bytes": len(response.body),
                "version": asked.version,
            }
            self._log.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def _write_log(self) -> None:
        """Writes many lines at once: a system call per line would double the cost of the log."""
        if self._log:
            sys.stdout.buffer.write(b"".join(self._log))
            sys.stdout.buffer.flush()
            self._log.clear()

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, asked: Asked) -> Response:
        path = scope["raw_path"].decode("latin-1")
        verb = "GET" if scope["method"] == "HEAD" else scope["method"]  # the server sends the headers alone
        if PATH.fullmatch(path):
            if verb == "OPTIONS":
                if not _ORIGIN.search(headers.get(b"origin", b"")):
                    raise ApiError("FAILED_PRECONDITION", "Origin header is missing in CORS preflight")
                return Response(200, b"", ())
            body = await self._body(headers, receive) if verb == "POST" else b""
            return Response(200, await self._api.answer(verb, path, body, asked))
        if verb != "GET":
            raise ApiError("NOT_FOUND", f"nothing is at {path} for {verb}")
        return self._beside_the_api(path)

    def _beside_the_api(self, path: str) -> Response:
        if path == "/healthz":
            return Response(200, b'{"status": "alive"}')
        if path == "/readyz":
            if self.models.ready:
                return Response(200, b'{"status": "ready"}')
            raise ApiError("UNAVAILABLE", "not every model is AVAILABLE")
        if path == METRICS_PATH and self._settings.metrics:
            return Response(200, self.metrics.page(), ((b"content-type", b"text/plain"),))
        if path == "/openapi.json":
            return Response(200, orjson.dumps(openapi.describe()))
        if found := page.file(path):
            return Response(200, found.content, found.headers)
        if path.startswith("/ui/"):
            return Response(200, self._ui.answer(path))
        raise ApiError("NOT_FOUND", f"nothing is at {path}")

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """All of it, within the limits of size and time, decompressed."""
        limit = self._settings.max_body
        if int(headers.get(b"content-length", b"0")) > limit:
            raise _too_large(limit)
        chunks, size, more = [], 0, True
        try:
            async with asyncio.timeout(self._settings.timeout):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    if size > limit:
                        raise _too_large(limit)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise _closing(408, "DEADLINE_EXCEEDED", "the body did not arrive in time") from None
        body = b"".join(chunks)
        # As evhttp_request.cc finds it, but in any case of letters (RFC 9110, 8.4.1); x-gzip is the same coding.
        return _unzipped(body, limit) if b"gzip" in headers.get(b"content-encoding", b"").lower() else body


def _unzipped(body: bytes, limit: int) -> bytes:
    """Of one member or several (RFC 1952, 2.2)."""
    texts: list[bytes] = []
    size = 0
    while body or not texts:
        unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            texts.append(unzip.decompress(body, limit - size + 1))
        except zlib.error as error:
            raise invalid(f"the body is no gzip: {error}") from None
        size += len(texts[-1])
        if size > limit:
            raise _too_large(limit)
        if not unzip.eof:
            raise invalid("the body is no gzip: it ends too early")
        body = unzip.unused_data.lstrip(b"\0")  # gzip pads with them
    return b"".join(texts)


def _too_large(limit: int) -> ApiError:
    return _closing(413, "INVALID_ARGUMENT", f"a body may have {limit} bytes")


def _closing(status: int, code: str, message: str) -> ApiError:
    """The rest of the body is not read, so the connection can be of no more use."""
    return ApiError(code, message, status=status, headers=(("Connection", "close"),))


def _refused(error: ApiError) -> Response:
    extra = tuple((name.lower().encode(), value.encode()) for name, value in error.headers)
    return Response(error.status, json_responses.error(error.message), (_JSON, *extra))


async def _send(send: Send, response: Response, request_id: bytes, extra: tuple[tuple[bytes, bytes], ...]) -> None:
    length = b"%d" % len(response.body)
    headers = [*response.headers, (b"content-length", length), (b"x-request-id", request_id), *extra]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
