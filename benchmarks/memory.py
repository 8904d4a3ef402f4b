"""Memory of a pretraining: over its steps, and over a corpus ten times larger.

    python -m benchmarks.memory [--steps 400]

Lines of ``data/movie_dialogues.csv``, a tenth of them and all, packed in rows of 128, 32 a step, from disk; as many
steps for both, an epoch of the larger. A process each.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil

from benchmarks.measure import ROOT, spread, table

QUARTERS = 4


def trained(file: str, steps: int) -> list[list[float]]:
    """Megabytes that this process held, twice a second, by quarter of the steps."""
    from benchmarks import training

    options = argparse.Namespace(encoder="bert_tiny", steps=steps)
    with tempfile.TemporaryDirectory() as folder:
        compared = training.Pretraining(options, folder)
        loop = compared.loop("ours", compared.recipe(pack=True))
        batches = training.pretraining_data.batches([file], training.SPEC, compared.recipe(pack=True)).take(steps)
        loop.steps = steps
        seen: list[list[float]] = [[] for _ in range(QUARTERS)]
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.5):
                done = int(loop.state.step)
                if done:  # what tracing takes is no matter of the data
                    seen[min(QUARTERS - 1, QUARTERS * done // steps)].append(psutil.Process().memory_info().rss / 1e6)

        thread = threading.Thread(target=look)
        thread.start()
        loop.run(batches, "benchmark")
        ended.set()
        thread.join()
    return seen


def main() -> None:
    """Runs both, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.file:
        print(json.dumps(trained(options.file, options.steps)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        from benchmarks import training

        compared = training.Pretraining(argparse.Namespace(encoder="bert_tiny", steps=1), folder)
        lines = training.column("movie_dialogues.csv", "statement")
        for count in (len(lines) // 10, len(lines)):
            file = str(Path(folder) / f"{count}.gz")
            training.write(file, compared.tokenizer.tokenize(lines[:count]).to_list())
            command = [sys.executable, "-m", "benchmarks.memory", "--steps", str(options.steps), "--file", file]
            out = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
            quarters = json.loads(out.splitlines()[-1])
            rows.append((f"{count:,} lines", *(spread(each, 0) for each in quarters)))
    table(
        f"Megabytes of a pretraining process (bert_tiny) in the quarters of {options.steps} steps: median (min–max)",
        ("", *(f"quarter {i + 1}" for i in range(QUARTERS))),
        rows,
    )


if __name__ == "__main__":
    main()
