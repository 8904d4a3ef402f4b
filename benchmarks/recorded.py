"""The ``tfx-bert`` command with its clocks noted at every event of a run.

    python -m benchmarks.recorded CLOCKS.jsonl run sentiment --env FILE [+ run ratings --env FILE]

It is the command itself, in one process, with one more handler beside the screen's. Nodes run one after another
(orchestrator ``local``), so what the process and its children spend between a node's start and its end is that node's.
Behind a ``+`` stands another command for the same process: it finds every module imported.
"""

import contextlib
import dataclasses
import itertools
import json
import logging
import sys
import time
from pathlib import Path

import psutil

from benchmarks.measure import Cost, cpu_seconds


def living_seconds() -> float:
    """CPU of this process's children that have not ended, and of those that they waited for."""
    spent = 0.0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = child.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


class Clocks(logging.Handler):
    """Appends a line for every node that starts or ends: which, seconds of wall and CPU since the process began.

    Args:
      file: of JSON lines.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(logging.INFO)
        self._file, self._began = file, time.perf_counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Reads the clocks first: writing is not the node's."""
        wall, cpu = time.perf_counter() - self._began, cpu_seconds() + living_seconds()
        event = getattr(record, "event", None)
        if node := getattr(event, "node", None):
            state = getattr(event, "state", None)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"node": node, "state": state, "wall": wall, "cpu": cpu}) + "\n")


@dataclasses.dataclass(frozen=True)
class Node:
    """What one node of one run cost."""

    state: str
    cost: Cost


def read(file: Path) -> tuple[Cost, dict[str, Node]]:
    """What was spent before the first node (imports, set-up), and by each node of the last command, in order."""
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    started = {line["node"]: line for line in lines if line["state"] is None}
    nodes = {
        end["node"]: Node(
            end["state"],
            Cost(end["wall"] - started[end["node"]]["wall"], end["cpu"] - started[end["node"]]["cpu"]),
        )
        for end in lines
        if end["state"] is not None
    }
    return Cost(lines[0]["wall"], lines[0]["cpu"]), nodes


def main() -> None:
    """Takes the place of ``tfx-bert``."""
    logging.getLogger("tfx_bert").addHandler(Clocks(Path(sys.argv[1])))
    from pipeline import cli

    commands = [list(words) for plus, words in itertools.groupby(sys.argv[2:], "+".__eq__) if not plus]
    code = 0
    for command in commands:
        try:
            cli.main(command, prog_name="tfx-bert")
        except SystemExit as ended:
            code = ended.code
    sys.exit(code)


if __name__ == "__main__":
    main()
