"""What a process of ``components.parallel`` runs first: apart from it, because such a process does not import Beam."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any


def in_folder(folder: str, work: Callable[[Any], Any], element: Any) -> Any:
    """What ``work`` makes of an element, with relative paths as the caller has them: its folder may have changed."""
    os.chdir(folder)
    return work(element)


def end_with(parent: int) -> None:
    """Ends this process when its parent is gone, even if that was killed; Ctrl-C is for the parent alone.

    Args:
      parent: its process id.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
