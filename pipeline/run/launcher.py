"""A view into both local runners: each node's start, end and failure.

LocalDagRunner and BeamDagRunner call ``launcher.Launcher(...).launch()`` for every node and offer no other hook that
both have.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.portable import data_types, launcher

from models import progress


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Records Ctrl-C. Python drops a KeyboardInterrupt that arrives inside a C library's callback."""
    asked = threading.Event()

    def interrupt(signum: int, frame: Any) -> None:
        asked.set()
        signal.default_int_handler(signum, frame)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def watched(interrupted: threading.Event) -> Iterator[list[BaseException]]:
    """Announces nodes while the block runs. Yields the failures, because Beam's wrapping loses an exception's type.

    Args:
      interrupted: when set, no further node starts.
    """
    failures: list[BaseException] = []

    class Watched(launcher.Launcher):
        def launch(self) -> data_types.ExecutionInfo | None:
            node = self._pipeline_node.node_info.id
            progress.emit(progress.NodeStarted(node))
            began = time.monotonic()
            try:
                if interrupted.is_set():
                    raise KeyboardInterrupt
                info = super().launch()
                # A resolver's exception is only logged by TFX, which then goes on without a baseline.
                if info and info.execution_id and _state(self._mlmd_connection, info.execution_id) == "failed":
                    raise RuntimeError(f"{node} failed; the log says why")
            except BaseException as error:
                failures.append(error)
                progress.emit(progress.NodeFinished(node, "failed", time.monotonic() - began))
                raise
            cached = info is None or _state(self._mlmd_connection, info.execution_id) == "cached"
            progress.emit(progress.NodeFinished(node, "cached" if cached else "ran", time.monotonic() - began))
            return info

    original = launcher.Launcher
    launcher.Launcher = Watched
    try:
        yield failures
    finally:
        launcher.Launcher = original


def _state(connection: metadata.Metadata, execution_id: int) -> str:
    with connection as handle:
        (execution,) = handle.store.get_executions_by_id([execution_id])
    states = metadata_store_pb2.Execution
    return {states.CACHED: "cached", states.COMPLETE: "ran"}.get(execution.last_known_state, "failed")
