"""A Python that has imported TensorFlow and TFX once: a process that a test starts with it is a fork of that one.

To import them takes ten seconds of a core, and the tests start a hundred such processes. ``conftest.py`` starts the
server with the tests; it imports when it is first asked. ``$WARM_PYTHON`` is called as ``python`` is, with ``-m``,
``-c`` or a file. It hands its arguments, folder, environment and open files to the server, passes signals on, and ends
as the fork does. What Python reads at its start, such as PYTHONHASHSEED, changes nothing.
"""

import contextlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def started() -> Iterator[None]:
    """Sets ``$WARM_PYTHON``, which can be called within the block."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        python = Path(folder, "python")
        python.write_text(f"#!/bin/sh\nexec '{sys.executable}' -I -S '{__file__}' '{folder}/socket' \"$@\"\n")
        python.chmod(0o700)
        listening.bind(f"{folder}/socket")
        listening.listen(64)
        command = [sys.executable, "-P", __file__, str(python), str(listening.fileno())]
        # It ends when its standard input does: at the latest when this process ends, however that is.
        server = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            pass_fds=[listening.fileno()],
            process_group=0,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},  # as pipeline/terminal/noise.py sets it
        )
        os.environ["WARM_PYTHON"] = str(python)
        yield
        server.communicate()


# --- the caller ----------------------------------------------------------------------------------------------------


def ask(address: str, *arguments: str) -> NoReturn:
    """Has a fork made; ends as it does."""
    files = [
        number for number in sorted(int(each.name) for each in Path("/proc/self/fd").iterdir()) if _is_open(number)
    ]
    wanted = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ), "files": files}
    text = json.dumps(wanted).encode()
    server = socket.socket(socket.AF_UNIX)
    server.connect(address)
    for number in _FORWARDED:
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    socket.send_fds(server, [len(text).to_bytes(8, "big")], files)
    server.sendall(text)
    status = int(server.recv(16) or 1 << 8)  # nothing: the server is gone
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) in _FORWARDED:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def _is_open(number: int) -> bool:
    with contextlib.suppress(OSError):  # the folder that was listed is closed by now
        os.fstat(number)
        return True
    return False


# --- the server ----------------------------------------------------------------------------------------------------


def serve(listening: socket.socket) -> dict[str, Any]:
    """Makes forks until standard input ends.

    Returns:
      In a fork: what the caller wants.
    """
    events = selectors.DefaultSelector()
    events.register(0, selectors.EVENT_READ)
    events.register(listening, selectors.EVENT_READ)
    children: dict[int, socket.socket] = {}
    while True:
        for key, _ in events.select():
            if key.fileobj == 0:
                for child in children:
                    os.kill(child, signal.SIGKILL)
                os._exit(0)
            elif key.fileobj == listening:
                caller, _ = listening.accept()
                wanted = _received(caller)
                _warm()
                child = os.fork()
                if child == 0:
                    events.close()
                    for each in (caller, *children.values()):
                        each.close()
                    return wanted
                for number in wanted["files"].values():
                    os.close(number)  # they are the fork's
                children[child] = caller
                events.register(caller, selectors.EVENT_READ, child)
                events.register(os.pidfd_open(child), selectors.EVENT_READ, child)
            elif key.data not in children:
                pass  # it ended, and its caller, in one round
            elif key.fileobj == children[key.data]:
                asked = children[key.data].recv(1)
                os.kill(key.data, asked[0] if asked else signal.SIGKILL)  # nothing: the caller was killed
                if not asked:
                    events.unregister(key.fileobj)
            else:
                _, status = os.waitpid(key.data, 0)
                events.unregister(key.fileobj)
                os.close(key.fd)
                with children.pop(key.data) as caller, contextlib.suppress(KeyError, OSError):
                    events.unregister(caller)
                    caller.sendall(str(status).encode())


def _received(caller: socket.socket) -> dict[str, Any]:
    """What it wants; ``files`` are our numbers by its own."""
    length, numbers, _, _ = socket.recv_fds(caller, 8, 250)
    text = b""
    while len(text) < int.from_bytes(length, "big"):
        text += caller.recv(1 << 20)
    wanted: dict[str, Any] = json.loads(text)
    return wanted | {"files": dict(zip(wanted["files"], numbers, strict=True))}


def _warm() -> None:
    """Imports what is heavy, and nothing of ours."""
    import gc

    gc.disable()
    kept = os.dup(2)
    with open(os.devnull, "w") as null:  # noqa: PTH123 (that no GPU is found)
        os.dup2(null.fileno(), 2)
    try:
        import apache_beam  # noqa: F401
        import kfp  # noqa: F401
        import tensorflow_data_validation  # noqa: F401
        import tensorflow_model_analysis  # noqa: F401
        import tensorflow_text  # noqa: F401
        import tfx.v1  # noqa: F401
        from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    gc.enable()
    gc.freeze()


def become(wanted: dict[str, Any], python: str) -> None:
    """Runs what the caller wants, in this fork."""
    high = {number: os.dup2(mine, 500 + number) for number, mine in wanted["files"].items()}
    os.closerange(0, 500)
    for number, kept in high.items():
        os.dup2(kept, number)
        os.close(kept)
    os.setpgid(0, 0)
    os.chdir(wanted["folder"])
    environment = wanted["environment"]
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    buffering = 1 if environment.get("PYTHONUNBUFFERED") else -1
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (here and below: to the end of the process)
    sys.stdout = open(1, "w", buffering=buffering, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    first, *arguments = wanted["arguments"]
    is_safe = first == "-P" or bool(environment.get("PYTHONSAFEPATH"))
    if first == "-P":
        first, *arguments = arguments
    sys.executable, sys.argv = python, [first, *arguments]
    if first in ("-m", "-c"):
        sys.path[:0] = [] if is_safe else [""]
        del sys.argv[1]
        if first == "-m":
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.path[:0] = [] if is_safe else [str(Path(first).resolve().parent)]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    if sys.argv[2].isdecimal():
        with socket.socket(fileno=int(sys.argv[2])) as shared:
            asked_for = serve(shared)
        become(asked_for, sys.argv[1])
    else:
        ask(*sys.argv[1:])
