"""Test accuracy of an experiment's fine-tuning over seeds, beside its peers on the same split.

    python -m benchmarks.accuracy --peer-python PATH [--base minilm=data/minilm --base continued=runs/sentiment]

Peers: TF-IDF with logistic regression (scikit-learn), and the same weights fine-tuned by transformers and torch with
the hyper-parameters of the experiment's YAML, in an environment of its own (``pip install torch transformers``).
Seeds are paired and take turns. Ours is ``components.train.trainer.run_fn``, judged by the answers of the SavedModel it
exports. Seconds run from building the model to the last optimizer step. Finished seeds stay in build/accuracy.jsonl;
one is measured again when data, settings or source change. A base is a Hugging Face folder, or the folder of an
experiment's runs: then it is what the newest run's Pretrainer made.
"""

import argparse
import json
import logging
import shutil
import statistics
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import runs
from benchmarks.measure import BUILD, ROOT, Cost, Results, cpu_seconds, mean_sd, spread, table, timed
from components import digest
from configs.experiment import Experiment
from models.checkpoints import checkpoint
from models.progress import Step
from pipeline import loader

PEER = Path(__file__).parent / "peers" / "torch_bert.py"
WORK = BUILD / "accuracy"
# Inverse strengths of logistic regression's L2 penalty; the eval split chooses.
STRENGTHS = (1.0, 3.0, 10.0, 30.0)
AT_ONCE = 64  # rows answered in a call


class LastStep(logging.Handler):
    """The cost up to the last optimizer step; the last judgement and the export come after it."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()
        self.cost = Cost()

    def emit(self, record: logging.LogRecord) -> None:
        """Reads the clocks when the training loop reports its end."""
        event = getattr(record, "event", None)
        if isinstance(event, Step) and event.step == event.steps:
            self.cost = Cost(time.perf_counter() - self._wall, cpu_seconds() - self._cpu)


def ours(experiment: Experiment, data: runs.Prepared, base: Path, seed: int) -> dict[str, float]:
    """Fine-tunes and exports as the pipeline's Trainer does, then answers the test split from the SavedModel."""
    from tfx.components.trainer.fn_args_utils import FnArgs

    from components.train import trainer, training

    assert experiment.task is not None
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "base" / "assets.extra").mkdir(parents=True)
    (WORK / "base" / "assets.extra" / "checkpoint").symlink_to(base.absolute())
    arguments = FnArgs(
        train_files=data.files("train"),
        eval_files=data.files("eval"),
        transform_output=str(data.graph),
        base_model=str(WORK / "base"),
        serving_model_dir=str(WORK / "model"),
        model_run_dir=str(WORK / "logs"),
        custom_config={
            "task": {"type": experiment.task.type, "config": experiment.task.own()},
            "train": experiment.train.model_dump(mode="json", exclude_none=True),
            "encoder": None,
            "seed": seed,
            "source_digest": "",
        },
    )
    clock = LastStep()
    logger = logging.getLogger("tfx_bert")
    logger.setLevel(logging.INFO)
    logger.addHandler(clock)
    try:
        with training.checkpointing(str(WORK / "checkpoints"), 60):
            trainer.run_fn(arguments)
    finally:
        logger.removeHandler(clock)
    found = served_accuracy(WORK / "model", data.records("test"))
    return {"accuracy": found, "wall": clock.cost.wall, "cpu": clock.cost.cpu}


def served_accuracy(model: Path, records: list[tuple[str, str]]) -> float:
    """Share of raw records that the SavedModel labels right."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (registers the model's operations)

    answer = tf.saved_model.load(str(model)).signatures["serving_default"]
    right = 0
    for start in range(0, len(records), AT_ONCE):
        texts, labels = zip(*records[start : start + AT_ONCE], strict=True)
        given = answer(text=tf.constant(texts))["label"].numpy()
        right += sum(label == each.decode() for label, each in zip(labels, given, strict=True))
    return right / len(records)


def torch(experiment: Experiment, data: runs.Prepared, base: Path, seed: int, python: str) -> dict[str, Any]:
    """The peer, in a process of its own."""
    assert experiment.task is not None
    own = experiment.task.own()
    job = {
        "mode": "finetune",
        "base": str(base.absolute()),
        "seed": seed,
        "settings": experiment.train.model_dump(mode="json"),
        "labels": own["labels"],
        "max_length": own["max_length"],
        "dropout": own["dropout"],
        "splits": {split: data.records(split) for split in ("train", "eval", "test")},
    }
    file = BUILD / "torch_job.json"
    file.write_text(json.dumps(job), "utf-8")
    process = subprocess.run([python, str(PEER), str(file)], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(process.stdout)
    return found


def tfidf(data: runs.Prepared) -> dict[str, float]:
    """TF-IDF over words and pairs of words with logistic regression. There is nothing random in it."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    with timed() as cost:
        texts, labels = zip(*data.records("train"), strict=True)
        vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        train = vectors.fit_transform(texts)
        fitted = [LogisticRegression(C=strength, max_iter=1000).fit(train, labels) for strength in STRENGTHS]
        held_out, held_out_labels = zip(*data.records("eval"), strict=True)
        best = max(fitted, key=lambda model: model.score(vectors.transform(held_out), held_out_labels))
        texts, labels = zip(*data.records("test"), strict=True)
        accuracy = float(best.score(vectors.transform(texts), labels))
    return {"accuracy": accuracy, "wall": cost.wall, "cpu": cost.cpu, "C": best.C}


def measure(
    results: Results, experiment: Experiment, data: runs.Prepared, base: Path, seed: int, peer: str | None
) -> dict[str, dict[str, Any]]:
    """One seed of ours, and of the peer if there is one."""
    assert experiment.task is not None
    common = {
        "records": digest.of_files([f"{data.examples}/*/*"]),
        "task": experiment.task.own(),
        "train": experiment.train.model_dump(mode="json", exclude_none=True),
        "base": checkpoint.read(base).digest,
        "seed": seed,
    }
    found = {}
    key: Mapping[str, Any] = {"who": "ours", **common, "source": digest.of_source("components.train.trainer")}
    found["ours"] = results.find(key) or results.add(key, **ours(experiment, data, base, seed))
    if peer:
        key = {"who": "torch", **common, "source": digest.of_files([str(PEER)])}
        found["torch"] = results.find(key) or results.add(key, **torch(experiment, data, base, seed, peer))
    return found


def report(name: str, seeds: list[dict[str, dict[str, Any]]], floor: dict[str, float]) -> None:
    """A table for one base model."""
    rows = []
    for who in seeds[0]:
        mine = [seed[who] for seed in seeds]
        accuracy, cpu, wall = ([each[figure] for each in mine] for figure in ("accuracy", "cpu", "wall"))
        rows.append((f"{who}, {name}", mean_sd(accuracy), spread(cpu, 0), spread(wall, 0)))
    figures = (f"{floor['accuracy']:.4f}", f"{floor['cpu']:.0f}", f"{floor['wall']:.0f}")
    rows.append(("TF-IDF + logistic regression", *figures))
    mean = statistics.fmean(seed["ours"]["accuracy"] for seed in seeds)
    notes = [f"ours − TF-IDF: {100 * (mean - floor['accuracy']):+.2f} points (target: at least +5; mean at least 0.87)"]
    if "torch" in seeds[0]:
        differences = [100 * (seed["ours"]["accuracy"] - seed["torch"]["accuracy"]) for seed in seeds]
        notes.append(f"ours − torch, paired: {mean_sd(differences, 2)} points (target: not below 0)")
        for cost in ("cpu", "wall"):
            notes.append(f"torch / ours, {cost}: {spread([s['torch'][cost] / s['ours'][cost] for s in seeds], 2)}")
    table(
        f"Test accuracy over {len(seeds)} seeds: mean ± sd; seconds of training: median (min–max)",
        ("", "accuracy", "CPU s", "wall s"),
        rows,
        notes,
    )


def base_model(folder: Path) -> Path:
    """The Hugging Face folder that ``folder`` is, or that its newest run pretrained."""
    if (folder / "config.json").is_file():
        return folder
    return runs.artifact(folder, "Pretrainer", "model") / "Format-Serving" / "assets.extra" / "checkpoint"


def main() -> None:
    """Measures what is missing, prints a table for each base model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="sentiment")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--base", action="append", metavar="NAME=FOLDER", help="what to start from; repeatable")
    parser.add_argument("--peer-python", metavar="PATH", help="an interpreter with torch and transformers")
    parser.add_argument("--sample", type=int, metavar="N", help="only N records: tries the script out")
    options = parser.parse_args()
    experiment = loader.load(options.experiment)
    given = options.base or [f"{Path(str(experiment.checkpoint)).name}={experiment.checkpoint}"]
    bases = {name: base_model(ROOT / folder) for name, folder in (each.split("=", 1) for each in given)}
    data = runs.prepare(experiment, options.sample)
    results = Results("accuracy")
    found: dict[str, list[dict[str, dict[str, Any]]]] = {name: [] for name in bases}
    for seed in range(1, options.seeds + 1):
        for name, base in bases.items():
            found[name].append(measure(results, experiment, data, base, seed, options.peer_python))
    floor = tfidf(data)
    for name, seeds in found.items():
        report(name, seeds, floor)


if __name__ == "__main__":
    main()
