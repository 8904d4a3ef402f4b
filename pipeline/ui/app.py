"""The HTTP side of ``tfx-bert ui``: an ASGI application that only reads, and only for pages of its own."""

import asyncio
import dataclasses
import re
import urllib.parse
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from components.evaluate.report import report as document
from configs.yaml.document import read as read_yaml
from pipeline.run import report
from pipeline.run.result import RunError, RunResult
from pipeline.ui import live, pages

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_SCRIPT = Path(__file__).parent / "ui.js"
_RUN = re.compile(r"/runs/(?P<name>[^/]+)/(?P<number>\d+)(?P<report>/report\.html)?")
# A page from elsewhere can point its own name to 127.0.0.1, and its browser then takes this server for that page's.
_HOSTS = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
_HTML, _JS = "text/html; charset=utf-8", "text/javascript; charset=utf-8"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What goes out."""

    body: str
    kind: str = _HTML
    status: int = 200


class App:
    """The ASGI application.

    Args:
      root: the environment's ``runs`` folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the server's own start and end."""
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        answer = await asyncio.to_thread(self.answer, scope)
        body = answer.body.encode("utf-8", "surrogatepass") if answer.body else b""
        headers = {"content-type": answer.kind, "content-length": str(len(body)), **_HEADERS}
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": sent})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def answer(self, scope: Scope) -> Answer:
        """The page that a request asks for, or one that says why there is none."""
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if not _HOSTS.fullmatch(host):
            return _fault(403, "this server answers to 127.0.0.1 and localhost only")
        if scope["method"] not in ("GET", "HEAD"):
            return _fault(405, "this server only reads")
        try:
            return self._found(scope["path"], urllib.parse.parse_qs(scope["query_string"].decode("latin-1")))
        except RunError as error:
            return _fault(404, str(error))

    def _found(self, path: str, query: dict[str, list[str]]) -> Answer:
        if path == "/":
            return Answer(pages.overview(self._root))
        if path == "/ui.js":
            return Answer(_SCRIPT.read_text("utf-8"), _JS)
        if path == "/compare":
            first, second = (self._run(*_named(query.get(name, [""])[-1])) for name in ("a", "b"))
            return Answer(pages.compare(live.read(first), live.read(second), self._names()))
        if match := _RUN.fullmatch(path):
            folder = self._run(match["name"], match["number"])
            return Answer(_report(folder) if match["report"] else pages.run(live.read(folder), _values(folder)))
        return _fault(404, f"nothing is at {path}")

    def _names(self) -> list[str]:
        found = live.experiments(self._root)
        return [f"{name}/{folder.name}" for name, folders in found.items() for folder in reversed(folders)]

    def _run(self, name: str, number: str) -> Path:
        """The folder of a run: one of those that are there, so that no path leads elsewhere.

        Raises:
          RunError: there is none.
        """
        known = live.experiments(self._root).get(name, [])
        for folder in known:
            if folder.name == number:
                return folder
        raise RunError(f"there is no run {name}/{number} in {self._root}/")


def _named(run: str) -> tuple[str, str]:
    name, _, number = run.rpartition("/")
    return name, number


def _values(folder: Path) -> dict[str, Any]:
    path = folder / report.RESOLVED
    return read_yaml(path).values if path.is_file() else {}


def _report(folder: Path) -> str:
    """The report that the run wrote; one that is made now, and not kept, where it wrote none."""
    written = folder / report.FILE
    if written.is_file():
        return written.read_text("utf-8")
    return document.page(report.gathered(folder.absolute(), RunResult.read(folder)))


def _fault(status: int, sentence: str) -> Answer:
    return Answer(pages.fault(status, f"{HTTPStatus(status).phrase}: {sentence}"), status=status)
