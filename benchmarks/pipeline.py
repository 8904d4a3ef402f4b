"""What a whole run costs, node by node; what repeating it costs; what asking for help costs.

    python -m benchmarks.pipeline [EXPERIMENT] [--rounds 3]

Each round is `tfx-bert run EXPERIMENT` in an empty runs folder, then the same again with nothing changed. CPU seconds
of a node are those of the process between the node's start and its end, with the children it waited for.
"""

import argparse
import dataclasses
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import recorded, runs
from benchmarks.measure import BUILD, Cost, Finished, execute, spread, table
from pipeline.run.result import RunResult, find

TRAINERS = ("Pretrainer", "Trainer")
FINISHED = (0, 4)  # blessed or done; not blessed: it ran all the same


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of the command.

    Attributes:
      whole: the process.
      start: what it spent before the first node.
      nodes: in order.
      result: the command's own record.
    """

    whole: Finished
    start: Cost
    nodes: dict[str, recorded.Node]
    result: RunResult

    @property
    def others(self) -> float:
        """CPU seconds of all the nodes but the trainers."""
        return sum(node.cost.cpu for name, node in self.nodes.items() if name not in TRAINERS)


def run(arguments: Sequence[str], folder: Path) -> Run:
    """Runs `tfx-bert run ARGUMENTS` with ``folder`` as its runs folder."""
    clocks = folder / "clocks.jsonl"
    clocks.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.recorded", str(clocks), "run", *arguments]
    environment = str(runs.environment(folder))
    whole = execute([*command, "--env", environment], folder / "output.log", FINISHED)
    start, nodes = recorded.read(clocks)
    return Run(whole, start, nodes, RunResult.read(find(folder, None)))


def fresh(arguments: Sequence[str], folder: Path) -> Run:
    """A run from nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    return run(arguments, folder)


def report(experiment: str, rounds: list[tuple[Run, Run]], helps: list[Finished]) -> None:
    """One table: a row a node, then the totals."""
    cold, warm = [pair[0] for pair in rounds], [pair[1] for pair in rounds]

    def row(name: str, costs: Sequence[Cost]) -> tuple[str, str, str]:
        return name, spread([cost.wall for cost in costs]), spread([cost.cpu for cost in costs])

    rows = [row("imports, set-up", [each.start for each in cold])]
    rows += [row(name, [each.nodes[name].cost for each in cold]) for name in cold[0].nodes]
    rows.append(row("whole", [each.whole.cost for each in cold]))
    rows.append(row("repeated, unchanged", [each.whole.cost for each in warm]))
    rows.append(row("tfx-bert --help", [each.cost for each in helps]))
    reused = {node.state for each in warm for node in each.nodes.values()}
    reported = {node.node: node.seconds for node in cold[-1].result.nodes}
    notes = [
        f"nodes but the trainers: {spread([each.others for each in cold])} CPU s (target: at most 60, and the import)",
        f"peak memory: {spread([each.whole.together / 1e9 for each in cold], 2)} GB, all processes together; "
        f"the largest {spread([each.whole.peak / 1e9 for each in cold], 2)} (target: at most 4)",
        f"whole: {spread([each.whole.cost.wall / 60 for each in cold])} min (target: at most 8); "
        f"repeated: {spread([each.whole.cost.wall for each in warm])} s (target: at most 20; nodes: {sorted(reused)})",
        f"slowest nodes by result.json of the last round: {_slowest(reported)}",
        *(f"{cold[-1].result.verdict}: {name} {value:.4f}" for name, value in cold[-1].result.metrics.items()),
        *(f"{node.node}: {node.summary}" for node in cold[-1].result.nodes if node.node in TRAINERS),
    ]
    table(
        f"tfx-bert run {experiment}: seconds over {len(rounds)} rounds, median (min–max)",
        ("", "wall s", "CPU s"),
        rows,
        notes,
    )


def _slowest(seconds: dict[str, float]) -> str:
    first = sorted(seconds, key=lambda name: -seconds[name])[:4]
    return " · ".join(f"{name} {seconds[name]:.1f} s" for name in first)


def main() -> None:
    """Runs the rounds, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="sentiment")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sample", type=int, metavar="N", help="only N records: tries the script out")
    options = parser.parse_args()
    arguments = [options.experiment, *(["--sample", str(options.sample)] if options.sample else [])]
    folder = BUILD / "pipeline"
    rounds = [(fresh(arguments, folder), run(arguments, folder)) for _ in range(options.rounds)]
    command = str(Path(sys.executable).with_name("tfx-bert"))
    helps = [execute([command, "--help"], BUILD / "help.log") for _ in range(5)]
    report(options.experiment, rounds, helps)


if __name__ == "__main__":
    main()
