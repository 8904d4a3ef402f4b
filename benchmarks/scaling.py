"""What ten times the task records cost the data nodes: CPU seconds and memory.

    python -m benchmarks.scaling [EXPERIMENT] [--times 10] [--rounds 3]

The records are copied with a word of their own in each copy: other texts, spread over the splits by their hash. Both
sizes run `tfx-bert run … --to Transform` from nothing, in turn. The import of the libraries is left out.
"""

import argparse
import csv
import functools
from collections.abc import Callable
from pathlib import Path

from benchmarks import pipeline, runs
from benchmarks.measure import BUILD, spread, table
from configs.experiment import Experiment
from pipeline import loader

WORK = BUILD / "scaling"


def multiplied(experiment: Experiment, times: int, rows: int | None) -> Experiment:
    """The experiment on its records, each ``times`` times with another last word."""
    assert experiment.task is not None
    data = experiment.task.data
    (source,) = data.path
    file = WORK / f"times_{times}.csv"
    WORK.mkdir(parents=True, exist_ok=True)
    with (
        Path(source).open(encoding=data.encoding, newline="") as read,
        file.open("w", encoding="utf-8", newline="") as write,
    ):
        records = list(csv.DictReader(read))[:rows]
        writer = csv.DictWriter(write, records[0])
        writer.writeheader()
        for copy in range(times):
            for record in records:
                writer.writerow({**record, data.text: f"{record[data.text]} {copy}"})
    return runs.task_only(experiment, f"{experiment.name}-times-{times}", file)


def report(experiment: str, times: int, once: list[pipeline.Run], more: list[pipeline.Run]) -> None:
    """A row a node, then all of them; memory below."""

    def row(name: str, of: Callable[[pipeline.Run], float], digits: int) -> tuple[str, ...]:
        before, after = [of(each) for each in once], [of(each) for each in more]
        ratios = [b / a for a, b in zip(before, after, strict=True)]
        return name, spread(before, digits), spread(after, digits), spread(ratios, 2)

    rows = [row(name, functools.partial(_cpu, name), 2) for name in once[0].nodes]
    rows.append(row("all of them", lambda each: each.others, 1))
    rows.append(row("peak memory, GB", lambda each: each.whole.peak / 1e9, 2))
    table(
        f"Data nodes of {experiment}, records once and {times} times: CPU seconds over {len(once)} rounds, "
        "median (min–max)",
        ("", "once", f"{times} times", "ratio"),
        rows,
        [f"targets: all of them at most {1.05 * times:.1f}, memory at most 1.2"],
    )


def _cpu(name: str, run: pipeline.Run) -> float:
    return run.nodes[name].cost.cpu


def main() -> None:
    """Runs the rounds, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="sentiment")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="only the first records: tries the script out")
    options = parser.parse_args()
    experiment = loader.load(options.experiment)
    sizes = (1, options.times)
    files = {times: runs.saved(multiplied(experiment, times, options.rows), WORK) for times in sizes}
    found: dict[int, list[pipeline.Run]] = {times: [] for times in sizes}
    for _ in range(options.rounds):
        for times in sizes:
            found[times].append(pipeline.fresh([str(files[times]), "--to", "Transform"], WORK / "runs"))
    report(options.experiment, options.times, found[1], found[options.times])


if __name__ == "__main__":
    main()
