"""What the page at ``/`` is made of: its files, and what it asks beside TensorFlow Serving's API, below ``/ui/``."""

import dataclasses
import re
import urllib.parse
from pathlib import Path

import orjson

from serving.errors import ApiError
from serving.process import Servable
from serving.versions import Models

_FOLDER = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Everything from here, nothing inline, nothing framed.
_POLICY = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self'"),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    )
)
_HEAD = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_VERSION = re.compile(r"/ui/models/(?P<name>[^/]+)/versions/(?P<version>\d+)")


@dataclasses.dataclass(frozen=True)
class File:
    """A file of the page, and how it is sent."""

    content: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def _read() -> dict[str, File]:
    found = {}
    for path in sorted(_FOLDER.iterdir()):
        headers = {
            "content-type": _TYPES[path.suffix],
            "content-security-policy": _POLICY,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
        }
        sent = tuple((name.encode(), value.encode()) for name, value in headers.items())
        found["/" if path.name == "index.html" else f"/{path.name}"] = File(path.read_bytes(), sent)
    return found


_FILES = _read()


def file(path: str) -> File | None:
    """What the page's browser asks for; None where it is not part of the page."""
    return _FILES.get(path)


class Ui:
    """Answers the page.

    Args:
      models: that are served.
    """

    def __init__(self, models: Models) -> None:
        self._models = models

    def answer(self, path: str) -> bytes:
        """JSON.

        - ``/ui/models``: ``[{"name", "versions": [{"version", "state"}], "labels"}]``, the highest version first.
        - ``/ui/models/NAME/versions/N``: ``{"card": text or null, "pieces": [...] or null}``; the pieces of the
          vocabulary by token id.

        Raises:
          ApiError: there is no such thing.
        """
        if path == "/ui/models":
            return orjson.dumps([self._model(name) for name in self._models.names])
        if match := _VERSION.fullmatch(path):
            _, servable = self._models.find(urllib.parse.unquote(match["name"]), int(match["version"]))
            vocabulary = _text(servable, "checkpoint/vocab.txt")
            return orjson.dumps(
                {
                    "card": _card(_text(servable, "model_card.md")),
                    # Not splitlines: a piece may be U+2028 or U+0085, and all after it would have a wrong id.
                    "pieces": vocabulary.removesuffix("\n").split("\n") if vocabulary else None,
                }
            )
        raise ApiError("NOT_FOUND", f"nothing is at {path}")

    def _model(self, name: str) -> dict[str, object]:
        try:
            known = self._models.versions(name)
        except ApiError:
            known = {}
        versions = [{"version": number, "state": version.state.name} for number, version in known.items()]
        return {"name": name, "versions": versions, "labels": self._models.labels(name)}


def _card(text: str | None) -> str | None:
    """Without its head, which is for the Hugging Face Hub."""
    return _HEAD.sub("", text, count=1) if text else text


def _text(servable: Servable, name: str) -> str | None:
    try:
        return (servable.folder / "assets.extra" / name).read_text("utf-8")
    except OSError:
        return None
