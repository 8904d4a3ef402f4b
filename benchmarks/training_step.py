"""A fine-tuning step on real snippets: our training loop beside transformers and torch.

    python -m benchmarks.training_step --peer-python PATH [--rounds 7] [--steps 30]

Both sides train the same weights on the same batches, padded to their longest row, with the hyper-parameters of the
experiment's YAML; rounds take turns, the first is not counted. Ours is ``models.training.Loop`` over the task's own
batches. Tokens are real ones: padding does not count.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow_transform as tft

from benchmarks import runs
from benchmarks.accuracy import PEER
from benchmarks.measure import BUILD, ROOT, Cost, spread, table, timed
from components import training
from configs import loader
from configs.experiment import Experiment
from models import checkpoint, task
from models.training import Loop, rows


def ours(experiment: Experiment, given: task.Task, base: Path, steps: int, folder: str) -> Loop:
    """The loop that the Trainer runs, at its first step; ``steps`` in all."""
    keras.utils.set_random_seed(experiment.seed)
    encoder = training.encoder(base, None, len(checkpoint.read(base).vocabulary))
    model = given.build(encoder)
    checkpoint.load(base, encoder)
    settings = experiment.train.model_dump(mode="json")
    with training.checkpointing(f"{folder}/checkpoints", float("inf")):
        return training.loop(model, given.loss, settings, steps=steps, key="benchmark", logs=f"{folder}/logs")


class Peer:
    """The peer's process: answers a line with the seconds of one round over the same batches."""

    def __init__(self, python: str, experiment: Experiment, base: Path, batches: list[Any], steps: int) -> None:
        assert experiment.task is not None
        own = experiment.task.own()
        arrays = {f"{name}_{i}": batch[name] for i, batch in enumerate(batches) for name in batch}
        np.savez(BUILD / "batches.npz", **arrays)
        job = {
            "mode": "steps",
            "base": str(base.absolute()),
            "seed": experiment.seed,
            "settings": experiment.train.model_dump(mode="json"),
            "labels": own["labels"],
            "dropout": own["dropout"],
            "batches": str(BUILD / "batches.npz"),
            "count": len(batches),
            "steps": steps,
        }
        (BUILD / "steps_job.json").write_text(json.dumps(job), "utf-8")
        self._process = subprocess.Popen(
            [python, str(PEER), str(BUILD / "steps_job.json")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def round(self) -> Cost:
        """One pass over the batches."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Cost(answer["wall"], answer["cpu"])

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def report(experiment: str, found: dict[str, list[Cost]], steps: int, tokens: int, padded: int) -> None:
    """A row a side, and the ratios of the rounds."""
    table_rows = [
        (
            who,
            spread([1000 * cost.wall / steps for cost in costs], 0),
            spread([1000 * cost.cpu / steps for cost in costs], 0),
            spread([tokens / cost.wall for cost in costs], 0),
            spread([tokens / cost.cpu for cost in costs], 0),
        )
        for who, costs in found.items()
    ]
    notes = []
    if "torch" in found:
        pairs = list(zip(found["torch"], found["ours"], strict=True))
        notes = [
            f"torch / ours: wall {spread([a.wall / b.wall for a, b in pairs], 2)}, "
            f"CPU {spread([a.cpu / b.cpu for a, b in pairs], 2)}"
        ]
    table(
        f"A fine-tuning step of {experiment}: {len(found['ours'])} rounds of {steps} steps, "
        f"{tokens / steps:.0f} real tokens a step, {100 * tokens / padded:.0f} % of the batch; median (min–max)",
        ("", "wall ms", "CPU ms", "tokens per s", "tokens per CPU s"),
        table_rows,
        notes,
    )


def main() -> None:
    """Runs the rounds, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="sentiment")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=30, help="in a round")
    parser.add_argument("--peer-python", metavar="PATH", help="an interpreter with torch and transformers")
    parser.add_argument("--sample", type=int, metavar="N", help="only N records: tries the script out")
    options = parser.parse_args()
    experiment = loader.load(options.experiment)
    assert experiment.task is not None
    base = ROOT / str(experiment.checkpoint)
    data = runs.prepare(experiment, options.sample)
    given = task.load(experiment.task.type)(experiment.task.own())
    spec = tft.TFTransformOutput(str(data.graph)).transformed_feature_spec()
    dataset = given.batches(
        rows(data.files("train"), spec), batch_size=experiment.train.batch_size, seed=experiment.seed, epoch=0
    )
    dataset = dataset.take(options.steps).cache()
    batches = list(dataset.as_numpy_iterator())  # fills the cache: reading the records is not a step
    steps = len(batches) * (options.rounds + 1)
    found: dict[str, list[Cost]] = {"ours": []}
    with tempfile.TemporaryDirectory() as folder:
        loop = ours(experiment, given, base, steps, folder)
        peer = Peer(options.peer_python, experiment, base, batches, steps) if options.peer_python else None
        for _ in range(options.rounds + 1):
            with timed() as cost:
                loop.run(dataset, "benchmark")
            found["ours"].append(cost)
            if peer:
                found.setdefault("torch", []).append(peer.round())
        if peer:
            peer.close()
    masks = [batch["padding_mask"] for batch in batches]
    counted = {who: costs[1:] for who, costs in found.items()}
    report(options.experiment, counted, len(batches), sum(int(m.sum()) for m in masks), sum(m.size for m in masks))


if __name__ == "__main__":
    main()
