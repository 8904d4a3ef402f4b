"""A headless Chromium, driven over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol)."""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import ClientConnection, connect

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0"),
)
_WAIT = 60.0  # seconds
# Key, code and text of the keys that are pressed here; the text is what the key does in a page.
_KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "ArrowDown": (40, ""), "ArrowUp": (38, ""), " ": (32, " ")}
CTRL, SHIFT = 2, 8


def binary() -> str | None:
    """Of Chromium: ``$CHROMIUM``, or what the PATH has."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return os.environ.get("CHROMIUM") or next(filter(None, found), None)


class Page:
    """A tab.

    Attributes:
      complaints: what the browser wrote to the console as an error, or reports as against the content policy.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._count, self._session = socket, 0, ""
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Audits"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a command; events that come before it are looked through for complaints."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        self._socket.send(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        while True:
            reply = json.loads(self._socket.recv(timeout=_WAIT))
            if reply.get("id") == self._count:
                assert "error" not in reply, (method, reply)
                return dict(reply["result"])
            self._note(reply["method"], reply.get("params", {}))

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]["exception"].get("description")))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.complaints.append(str(params["args"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif event == "Audits.issueAdded" and params["issue"]["code"] == "ContentSecurityPolicyIssue":
            self.complaints.append(str(params["issue"]["details"]))

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, (script, result["exceptionDetails"])
        return result["result"].get("value")

    def wait(self, script: str) -> None:
        """Returns as soon as the expression is true."""
        end = time.monotonic() + _WAIT
        while not self.run(f"(async () => Boolean(await ({script})))()"):
            assert time.monotonic() < end, (
                f"never true: {script}",
                self.complaints,
                self.run("document.body.innerText"),
            )
            time.sleep(0.02)

    def open(self, url: str) -> None:
        """Loads the page from nothing."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        self.wait(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    def press(self, key: str, modifiers: int = 0) -> None:
        """A key down and up."""
        code, text = _KEYS[key]
        event = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, modifiers=modifiers, **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", modifiers=modifiers, **event)

    def type(self, text: str) -> None:
        """Into what has the focus, as a keyboard or an input method does."""
        self.call("Input.insertText", text=text)

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """The window; CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    def prefer(self, **features: str) -> None:
        """Media features, such as ``prefers_color_scheme="dark"``."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=listed)

    def screenshot(self, path: pathlib.Path) -> None:
        """The whole page, as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def started(executable: str, profile: pathlib.Path) -> Iterator[Page]:
    """A browser with one tab; it ends with the block. ``profile`` is an empty folder."""
    command = [executable, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            # "DevTools listening on ws://127.0.0.1:PORT/devtools/browser/ID"
            address = next(line.split()[-1] for line in process.stderr if line.startswith("DevTools listening"))
            with connect(address, max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.communicate()
