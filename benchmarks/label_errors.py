"""Whether `tfx-bert errors --labels` finds labels that were flipped on purpose.

    python -m benchmarks.label_errors [EXPERIMENT] [--records 2500] [--share 0.1] [--seed 1]

The experiment must classify texts without a pair. Its records are read as a run reads them, shuffled, and so many kept;
of these the share gets another label, drawn evenly, wherever the record will be: in the train, eval or test split.
The run goes to the Trainer; recall and precision are those of the records of the train split. Labels that were wrong
before count as if they were right, so the precision is too low by as much.
"""

import argparse
import csv
import random
from pathlib import Path

from benchmarks import runs
from benchmarks.measure import BUILD, table
from components.records import readers
from components.records.record import Record
from configs.experiment import Experiment
from configs.sources import TaskData
from pipeline import loader
from pipeline.review import label_errors
from pipeline.run import sources
from pipeline.run.result import RunResult, find

WORK = BUILD / "label_errors"


def flipped(experiment: Experiment, file: Path, records: int, share: float, seed: int) -> tuple[Experiment, set[str]]:
    """The experiment on records of ``file``, which is written; and the origins (``file:line``) of the flipped ones."""
    assert experiment.task is not None
    kind, labels = sources.of(experiment)["task"], experiment.task.own()["labels"]
    texts = dict[str, str]()
    for path in (path for group in readers.files(kind.source).values() for path in group):
        for record in kind.records(path):
            if isinstance(record, Record):
                text, label = (record.features[name][0] for name in ("text", "label"))
                assert isinstance(text, bytes)
                assert isinstance(label, bytes)
                texts[" ".join(text.decode().split())] = label.decode()
    chance = random.Random(seed)
    rows = sorted(texts.items())
    chance.shuffle(rows)
    wrong = set[str]()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(("text", "label"))
        for line, (text, label) in enumerate(rows[:records], start=2):
            if chance.random() < share:
                wrong.add(f"{file}:{line}")
                label = chance.choice([other for other in labels if other != label])
            writer.writerow((text, label))
    data = TaskData(path=[str(file)])
    task = experiment.task.model_copy(update={"data": data})
    given = runs.task_only(experiment, f"{experiment.name}-flipped")
    return given.model_copy(update={"task": task, "seed": seed}), wrong


def main() -> None:
    """Trains, asks, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="sentiment")
    parser.add_argument("--records", type=int, default=2500)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    given = loader.load(options.experiment)
    file = WORK / f"{given.name}-{options.records}-{options.share}-{options.seed}.csv"
    experiment, wrong = flipped(given, file, options.records, options.share, options.seed)
    root = WORK / "runs"
    command = ["run", str(runs.saved(experiment, WORK)), "--env", str(runs.environment(root)), "--to", "Trainer"]
    runs.tfx_bert(*command, log=WORK / "run.log")
    folder = find(root, experiment.name)
    records, found = label_errors.doubts(folder, RunResult.read(folder))
    there = wrong & label_errors.origins(folder, RunResult.read(folder))
    right = [doubt.origin in there for doubt in found]
    rows = [
        ("records of the train split", f"{records:,}"),
        ("labels that were flipped", f"{len(there):,}"),
        ("labels that are doubted", f"{len(found):,}"),
        ("recall", f"{sum(right) / len(there):.3f}"),
        ("precision", f"{sum(right) / max(1, len(found)):.3f}"),
        ("precision of the first tenth", f"{sum(right[: len(right) // 10]) / max(1, len(right) // 10):.3f}"),
    ]
    table(f"{given.name}: {options.share:.0%} of {options.records:,} labels flipped", ("", ""), rows)


if __name__ == "__main__":
    main()
