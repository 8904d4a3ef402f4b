"""What ExampleGen, StatisticsGen and Transform cost, beside `datasets` and `tokenizers`, and beside an older checkout.

    python -m benchmarks.data_nodes [--records 212100] [--rounds 3] [--peer-python PATH] [--before FOLDER]

The file: the snippets of ``data/movie_reviews.csv`` over and over, each time with another number behind them, so that
no two are equal; the label is a number. In each round every candidate takes its turn with ``tfx-bert run ratings --to
Transform``: once as it is, once behind the same run of 1,000 records in the same process, which did all the imports.
FOLDER is another checkout with its own ``.venv``. The peer reads the same file and tokenizes by the same vocabulary.
"""

import argparse
import csv
import dataclasses
import itertools
import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks import recorded, runs
from benchmarks.measure import BUILD, ROOT, Cost, Finished, execute, sampled, spread, table

NODES = ("ExampleGen", "StatisticsGen", "Transform")
PEER = ROOT / "benchmarks" / "peers" / "datasets_tokens.py"
FOLDER = BUILD / "data_nodes"


@dataclasses.dataclass(frozen=True)
class Round:
    """One turn of a candidate of ours.

    Attributes:
      whole: the command with its imports.
      cold: by node, in that command.
      warm: by node, where everything is imported.
      disk: the most that artifacts and temporary files took in the first command, bytes.
    """

    whole: Finished
    cold: dict[str, Cost]
    warm: dict[str, Cost]
    disk: int

    def together(self) -> Cost:
        """The three nodes without imports."""
        return Cost(sum(self.warm[name].wall for name in NODES), sum(self.warm[name].cpu for name in NODES))


def written(records: int) -> Path:
    """A CSV file of so many records with the columns ``text`` and ``sentiment``, no two of them equal."""
    file = FOLDER / f"{records}.csv"
    if not file.is_file():
        with (ROOT / "data" / "movie_reviews.csv").open(encoding="utf-8", newline="") as source:
            rows = [(row["text"], row["sentiment"]) for row in csv.DictReader(source)]
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".tmp")
        with unfinished.open("w", encoding="utf-8", newline="") as target:
            writer = csv.writer(target)
            writer.writerow(("text", "sentiment"))
            for number, (text, label) in zip(range(records), itertools.cycle(rows), strict=False):
                writer.writerow((f"{text} {number // len(rows)}", label))
        unfinished.rename(file)
    return file


def ours(checkout: Path, name: str, file: Path, cores: int | None) -> Round:
    """A turn of the checkout's own command."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    environment = str(runs.environment(folder))
    clocks = folder / "clocks.jsonl"

    def arguments(experiment: str, data: Path) -> list[str]:
        given = {"name": experiment, "task.data.path": str(data)}
        sets = itertools.chain.from_iterable(("--set", f"{key}={value}") for key, value in given.items())
        return ["run", "ratings", "--env", environment, "--to", "Transform", *sets]

    def turn(*words: str) -> tuple[Finished, dict[str, Cost]]:
        clocks.unlink(missing_ok=True)
        # -P: the script's own folder is this checkout's, its imports are the other one's.
        command = [str(checkout / ".venv/bin/python"), "-P", str(ROOT / "benchmarks/recorded.py"), str(clocks), *words]
        variables = {"PYTHONPATH": str(checkout)} | ({"TFX_BERT_CORES": str(cores)} if cores else {})
        finished = execute(command, FOLDER / f"{name}.log", folder=checkout, environment=variables)
        nodes = recorded.read(clocks)[1]
        return finished, {node: nodes[node].cost for node in NODES}

    with sampled(lambda: held(folder / "cold/artifacts") + held(folder / "cold/tmp")) as disk:
        whole, cold = turn(*arguments("cold", file))
    _, warm = turn(*arguments("first", written(1000)), "+", *arguments("warm", file))
    return Round(whole, cold, warm, max(disk))


def held(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def peer(python: str, file: Path, processes: int) -> Cost:
    """A turn of the peer, without its imports."""
    folder = FOLDER / "peer"
    shutil.rmtree(folder, ignore_errors=True)
    command = [python, str(PEER), str(file), str(ROOT / "data/minilm/vocab.txt"), str(folder), str(processes)]
    line = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
    told = json.loads(line)
    return Cost(told["wall"], told["cpu"])


def costs(title: str, of: Sequence[Cost]) -> tuple[str, str, str]:
    """A row of the table."""
    return title, spread([cost.cpu for cost in of]), spread([cost.wall for cost in of])


def rows_of(name: str, rounds: Sequence[Round], file: Path) -> tuple[list[tuple[str, str, str]], list[str]]:
    """The rows of a candidate of ours, and its notes."""
    rows = [costs(f"{name}: {node}, without imports", [each.warm[node] for each in rounds]) for node in NODES]
    rows.append(costs(f"{name}: the three, without imports", [each.together() for each in rounds]))
    rows += [costs(f"{name}: {node}", [each.cold[node] for each in rounds]) for node in NODES]
    rows.append(costs(f"{name}: tfx-bert run ratings --to Transform", [each.whole.cost for each in rounds]))
    busy = [each.together().cpu / each.together().wall for each in rounds]
    notes = [
        f"{name}: peak memory {spread([each.whole.together / 1e9 for each in rounds], 2)} GB, all processes together · "
        f"disk {spread([each.disk / file.stat().st_size for each in rounds], 2)} times the input · "
        f"{spread(busy, 2)} cores busy in the three nodes",
    ]
    return rows, notes


def main() -> None:
    """Runs the rounds, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=212_100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, help="at most so many; all where not given")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="an older checkout with its own .venv")
    parser.add_argument("--peer-python", metavar="PATH", help="an interpreter with datasets and tokenizers")
    options = parser.parse_args()
    file = written(options.records)
    checkouts = {"ours": ROOT} | ({"before": options.before.absolute()} if options.before else {})
    turns: dict[str, list[Round]] = {name: [] for name in checkouts}
    processes = (1, len(os.sched_getaffinity(0))) if options.peer_python else ()
    peers: dict[int, list[Cost]] = {number: [] for number in processes}
    for _ in range(options.rounds):
        for name, checkout in checkouts.items():
            turns[name].append(ours(checkout, name, file, options.cores))
        for number in peers:
            peers[number].append(peer(options.peer_python, file, number))
    rows, notes = [], []
    for name, rounds in turns.items():
        more, lines = rows_of(name, rounds, file)
        rows, notes = rows + more, notes + lines
    for number, found in peers.items():
        rows.append(costs(f"datasets + tokenizers, num_proc={number}, without imports", found))
        ratio = statistics.median(each.together().cpu for each in turns["ours"]) / statistics.median(
            each.cpu for each in found
        )
        notes.append(f"our three nodes take {ratio:.2f} times the CPU seconds of num_proc={number}")
    title = (
        f"{options.records:,} records, {file.stat().st_size / 1e6:.0f} MB, {options.rounds} rounds, median (min–max)"
    )
    table(title, ("", "CPU s", "wall s"), rows, notes)


if __name__ == "__main__":
    main()
