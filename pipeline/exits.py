"""Exit codes, and the sentence for every exception that reaches the command line.

``deploy/`` and docs/cli.md name these numbers.
"""

import errno
import logging
import select
from pathlib import Path
from typing import Any

import click
from typing_extensions import override

FAILED, CONFIG, DATA, NOT_BLESSED, INTERRUPTED = 1, 2, 3, 4, 130
OF_VERDICT = {
    "done": 0,
    "blessed": 0,
    "failed": FAILED,
    "running": FAILED,
    "not_blessed": NOT_BLESSED,
    "interrupted": INTERRUPTED,
}


class Group(click.Group):
    """Turns every exception into one sentence and an exit code."""

    @override
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as stopped:
            told = str(stopped) or "interrupted; what is done is kept, the next run goes on from there"
            _print(told, INTERRUPTED)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _is_unread():
                raise  # click ends quietly
            sentence, code = explain(error)
            _print(sentence, code)
            ctx.exit(code)


def _is_unread() -> bool:
    """Whether what this command prints goes into a pipe that nobody reads any more, as behind ``| head``."""
    outputs = select.poll()
    for descriptor in (1, 2):
        outputs.register(descriptor, 0)  # errors are always told
    return any(event & select.POLLERR for _, event in outputs.poll(0))


def explain(error: BaseException) -> tuple[str, int]:
    """The sentence and the exit code for ``error``, or for what caused it."""
    from components.storage.s3_errors import StoreError
    from configs.base import ConfigError
    from pipeline.run.result import RunError
    from pipeline.start.download import FetchError
    from schemas import DataError

    codes: dict[type[BaseException], int] = {ConfigError: CONFIG, DataError: DATA}
    codes |= dict.fromkeys((RunError, FetchError, StoreError), FAILED)
    cause: BaseException | None = error
    while cause is not None:
        for kind, code in codes.items():
            if isinstance(cause, kind):
                return str(cause), code
        # TensorFlow, SQLite and Beam say it in words only.
        words = str(cause).lower()
        full = "no space left on device" in words or "disk is full" in words
        if full or (isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)):
            return (
                f"the disk is full ({getattr(cause, 'filename', '') or 'while writing'}); free space and run again",
                FAILED,
            )
        if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EROFS):
            return f"{cause.filename}: {cause.strerror}; change its permissions, or use another folder", FAILED
        cause = cause.__cause__ or cause.__context__
    log = getattr(error, "log", None) or _crash_log(error)
    told = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    # TensorFlow tells the path through the code first and the fault last.
    name, last = type(error).__name__, told[-1] if told[0].endswith(":") else told[0]
    what = f"{name}: {last.removeprefix(f'{name}: ')}"[:300]
    node = getattr(error, "node", "")
    return f"{f'{node} failed: ' if node else ''}{what}\n  The traceback: {log}", FAILED


def _crash_log(error: BaseException) -> Path:
    """Keeps the traceback of a failure that nobody foresaw."""
    log = Path("runs/crash.log")
    log.parent.mkdir(exist_ok=True)
    handler = logging.FileHandler(log, encoding="utf-8")
    handler.emit(logging.makeLogRecord({"msg": "crash", "exc_info": (type(error), error, error.__traceback__)}))
    handler.close()
    return log


def _print(message: str, code: int) -> None:
    """One ✗ a fault; indented lines belong to the one above."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, markup=False)
    lines = message.rstrip().split("\n")
    for number, line in enumerate(lines, start=1):
        text = Text.assemble(("" if line.startswith(" ") else "✗ ", "red"), line)
        if number == len(lines):
            text.append(f"   (exit {code})", "dim")
        console.print(text, soft_wrap=True)
