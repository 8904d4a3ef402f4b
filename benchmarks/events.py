"""Events through the data nodes: ``python -m benchmarks.recommendation events [--events 1000000]``.

MovieLens-100k over and over, the users of each copy under other names. A tenth of the events goes first, and each size
behind a run of 10,000 events in the same process, which did all the imports.
"""

import itertools
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks import recorded, runs
from benchmarks.measure import BUILD, ROOT, Cost, execute, table

SOURCE = ROOT / "data" / "ml-100k.inter"
FOLDER = BUILD / "events"
FIRST = 10_000  # events of the run that imports
LIMIT, AT = 60.0, 1_000_000  # CPU seconds, of so many events
RATIO = 10.5  # of ten times the events


def written(events: int) -> Path:
    """A table of so many events, as ``data/ml-100k.inter``."""
    file = FOLDER / f"{events}.inter"
    if not file.is_file():
        head, *rows = SOURCE.read_text("utf-8").splitlines()
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".tmp")
        with unfinished.open("w", encoding="utf-8") as target:
            target.write(f"{head}\n")
            for number, row in zip(range(events), itertools.cycle(rows), strict=False):
                target.write(f"{number // len(rows)}-{row}\n")
        unfinished.rename(file)
    return file


def measured(events: int) -> dict[str, Cost]:
    """What each node of ``tfx-bert run movies --to Transform`` costs, without imports."""
    shutil.rmtree(FOLDER / "runs", ignore_errors=True)
    environment, clocks = str(runs.environment(FOLDER / "runs")), FOLDER / "clocks.jsonl"
    clocks.unlink(missing_ok=True)

    def command(count: int) -> list[str]:
        sets = (f"name=events-{count}", f"task.data.path={written(count)}")
        each = itertools.chain.from_iterable(("--set", pair) for pair in sets)
        return ["run", "movies", "--env", environment, "--to", "Transform", *each]

    words = [sys.executable, "-m", "benchmarks.recorded", str(clocks), *command(FIRST), "+", *command(events)]
    execute(words, FOLDER / "events.log")
    return {name: node.cost for name, node in recorded.read(clocks)[1].items()}


def _all(nodes: Mapping[str, Cost]) -> float:
    return sum(cost.cpu for cost in nodes.values())


def report(events: int) -> None:
    """A row a node, then all of them."""
    sizes = (events // 10, events)
    few, many = (measured(size) for size in sizes)
    rows = [(node, f"{few[node].cpu:.2f}", f"{many[node].cpu:.2f}", f"{many[node].wall:.1f}") for node in many]
    rows.append(("all of them", f"{_all(few):.2f}", f"{_all(many):.2f}", f"{sum(c.wall for c in many.values()):.1f}"))
    ratio, limit = _all(many) / _all(few), LIMIT * max(events / AT, 1)
    table(
        "Events through the data nodes, without imports",
        ("", *(f"{size:,}: CPU s" for size in sizes), "wall s"),
        rows,
        [
            f"{events:,} events in at most {limit:,.0f} CPU s: {'yes' if _all(many) <= limit else 'NO'}",
            f"ten times the events: {ratio:.2f} times the CPU s; at most {RATIO}: {'yes' if ratio <= RATIO else 'NO'}",
        ],
    )
