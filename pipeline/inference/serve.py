"""``tfx-bert serve``: pushed models, by the embedded server. For development and tests."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pipeline.inference.predict import newest
from pipeline.run.result import RunError
from pipeline.terminal import noise


def serve(
    root: Path,
    name: str | None,
    models: Sequence[str],
    *,
    config_file: Path | None,
    host: str,
    port: int,
    threads: int | None,
    timeout: float,
    cors: bool,
    metrics: bool,
) -> None:
    """Serves until Ctrl-C or SIGTERM.

    Args:
      root: the environment's ``runs`` folder.
      name: of the experiment whose pushed model is served; None is the one pushed last. Only where the next two are
        not given.
      models: ``NAME=DIR`` each.
      config_file: TensorFlow Serving's model config file, read again when it changes.
      host: address to listen on.
      port: to listen on.
      threads: that compute; None: one a core.
      timeout: seconds until an answer.
      cors: whether pages from elsewhere may ask.
      metrics: whether Prometheus is answered.

    Raises:
      RunError: nothing can be served so.
    """
    noise.hush()
    from serving import config, server
    from serving.app import Settings

    try:
        if config_file:
            configured = config.read(config_file)
        elif models:
            configured = [config.of_flag(each) for each in models]
        else:
            folder = newest(root, name).parent
            configured = [config.ModelConfig(folder.name, folder)]
        settings = Settings(
            threads=threads or len(os.sched_getaffinity(0)),
            timeout=timeout,
            cors=cors,
            metrics=metrics,
            access_log=not sys.stdout.isatty(),
        )
        _log()
        console = Console(highlight=False, markup=False)
        for model in configured:
            console.print(f"{model.name}: {model.base_path}", style="dim", soft_wrap=True)

        def announce(address: str) -> None:
            console.print(f"{address} · page at / · API at /v1/models/{configured[0].name} · Ctrl-C ends")
            production = "for development and tests; production is stock TensorFlow Serving: docs/serving.md"
            console.print(production, soft_wrap=True)

        server.serve(
            lambda: config.read(config_file) if config_file else configured,
            settings,
            host=host,
            port=port,
            announce=announce,
        )
    except config.ConfigError as error:
        raise RunError(str(error)) from None


def _log() -> None:
    """What happens to the models goes to standard error, and nothing of TensorFlow's."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # the address, for who reads it from a pipe
    log = logging.getLogger("serving")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    log.propagate = False
