"""What every download of demo data shares: its error, and the call of another program."""

import subprocess
from collections.abc import Sequence
from pathlib import Path


class FetchError(OSError):
    """The demo data could not be had: no network, a changed package, a folder that cannot be written. Exit code 1."""


def run(command: Sequence[str | Path], what: str, advice: str, cwd: Path | None = None) -> None:
    """Calls a program that brings ``what``.

    Raises:
      FetchError: it is not installed, or failed; ``advice`` says what to do.
    """
    try:
        subprocess.run(command, check=True, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        raise FetchError(f"{what} could not be fetched, {command[0]} is not installed: {advice}.") from None
    except subprocess.CalledProcessError as error:
        last = (error.stdout.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        raise FetchError(
            f"{what} could not be fetched: {advice}. The last words of {Path(command[0]).name}: {last}"
        ) from None
