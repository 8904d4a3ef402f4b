"""``tfx-bert ui``: serves the page until Ctrl-C."""

import webbrowser
from pathlib import Path

from rich.console import Console

from pipeline.run.result import RunError

HOST = "127.0.0.1"  # the page shows what a team's data are; who is on the network is not asked


def ui(root: Path, *, port: int, show: bool) -> None:
    """Serves the page on this machine alone.

    Args:
      root: the environment's ``runs`` folder.
      port: to listen on; 0 takes a free one.
      show: whether to open it in the browser.

    Raises:
      RunError: the port is taken.
    """
    from pipeline.ui.app import App
    from serving import config, server

    console = Console(highlight=False, markup=False)

    def announce(address: str) -> None:
        console.print(f"{address} · runs in {root}/ · Ctrl-C ends", soft_wrap=True)
        if show:
            webbrowser.open(address)

    try:
        server.run(App(root), host=HOST, port=port, drain_seconds=1.0, announce=announce)
    except config.ConfigError as error:
        raise RunError(str(error)) from None
