"""``tfx-bert run``: a quiet terminal around ``pipeline.run.runner``, or around ``pipeline.cluster.submit``."""

import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from configs.base import ConfigError
from configs.environment import Environment, Local
from configs.experiment import Experiment
from configs.yaml.document import near
from models.progress import RunStarted
from pipeline import exits
from pipeline.run.result import RunError
from pipeline.start.check import access
from pipeline.terminal import noise, summary, view
from schemas import DataError


def execute(
    experiment: Experiment,
    environment: Environment,
    *,
    from_nodes: Sequence[str],
    to_nodes: Sequence[str],
    cache: bool,
    sample: int | None,
) -> int:
    """Runs ``experiment`` and prints the summary.

    Returns:
      The exit code.

    Raises:
      Exception: whatever stopped the run; its traceback is in the log.
    """
    access(experiment, environment)
    root = Path(environment.runs)
    try:
        root.mkdir(parents=True, exist_ok=True)
        log = root / f".log-{os.getpid()}"
        log.touch()
    except OSError as error:
        raise RunError(f"{root} cannot be written ({error.strerror}); --env FILE with another runs: moves it") from None
    noise.hush()
    with noise.captured(log) as terminal:
        console = Console(file=terminal, highlight=False, markup=False)
        mover = _LogMover(log)
        screen = view.attach(console)
        logging.getLogger("tfx_bert").addHandler(mover)
        try:
            # TensorFlow and TFX take seconds to import, and talk while they do.
            if isinstance(environment, Local):
                from pipeline.run import runner

                go = functools.partial(runner.run, experiment, environment)
            else:
                from pipeline.cluster import submit

                go = functools.partial(submit.run, experiment, environment)
            result = go(from_nodes=from_nodes, to_nodes=to_nodes, cache=cache, sample=sample)
        except BaseException as error:
            logging.getLogger("tfx_bert").exception("the run stopped")
            error.log, error.node = mover.log, screen.failed  # type: ignore[attr-defined]
            if mover.log == log and isinstance(error, (ConfigError, DataError, RunError, KeyboardInterrupt)):
                log.unlink()  # the run never began, and the sentence says why
            raise
        finally:
            logging.getLogger("tfx_bert").removeHandler(mover)
            view.detach(screen)
        summary.verdict(console, result, experiment, root)
    return exits.OF_VERDICT[result.verdict]


class _LogMover(logging.Handler):
    """Moves the log into the run's folder once that exists. The open descriptor stays valid."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Moves the log at ``RunStarted``."""
        event = getattr(record, "event", None)
        if isinstance(event, RunStarted):
            self.log = self.log.rename(near(Path(event.folder)) / "run.log")
