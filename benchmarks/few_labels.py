"""Accuracy against the number of records a label: our fine-tuning, and logistic regression on the frozen vectors.

    python -m benchmarks.few_labels [EXPERIMENT] [--counts 8 32 128 512 0] [--seeds 3] [--set KEY=VALUE …]

For each count and seed the same records are drawn for both, so many of each label; 0: all. The eval split, which
chooses the epoch, is cut to as many. The vectors are the means of the checkpoint's last layer, as sentence-transformers
has them, in scikit-learn's ``LogisticRegression`` as it is. Both answer the whole test split. Finished ones stay in
build/few_labels.jsonl; one is measured again when data, settings or source change.
"""

import argparse
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import runs
from benchmarks.measure import BUILD, Results, mean_sd, table, timed
from components import digest
from configs.experiment import Experiment
from pipeline import loader

WORK = BUILD / "few_labels"
AT_ONCE = 64  # rows a call


def drawn(data: runs.Prepared, split: str, count: int, seed: int) -> list[str]:
    """A file of ``count`` transformed records of each label; the split itself for 0."""
    import tensorflow as tf

    if not count:
        return data.files(split)
    records = list(tf.data.TFRecordDataset(data.files(split), "GZIP").as_numpy_iterator())
    labels = np.array(
        [tf.train.Example.FromString(each).features.feature["label_id"].int64_list.value[0] for each in records]
    )
    draws = np.random.default_rng(seed)
    chosen = np.concatenate([draws.permutation(np.flatnonzero(labels == label))[:count] for label in np.unique(labels)])
    path = WORK / f"{split}-{count}-{seed}.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for place in chosen:
            writer.write(records[place])
    return [str(path)]


def ours(experiment: Experiment, data: runs.Prepared, base: Path, count: int, seed: int) -> float:
    """Fine-tunes as the Trainer does; the accuracy of the best epoch on the test split."""
    from tfx.components.trainer.fn_args_utils import FnArgs

    from components.train import preparation, trainer, training
    from models.judging import eval_rows

    assert experiment.task is not None
    shutil.rmtree(WORK / "base", ignore_errors=True)
    (WORK / "base" / "assets.extra").mkdir(parents=True)
    (WORK / "base" / "assets.extra" / "checkpoint").symlink_to(base.absolute())
    config = {
        "task": {"type": experiment.task.type, "config": experiment.task.own()},
        "train": experiment.train.own(),
        "encoder": None,
        "seed": seed,
        "source_digest": "",
    }
    arguments = FnArgs(
        train_files=drawn(data, "train", count, seed),
        eval_files=drawn(data, "eval", count, seed),
        transform_output=str(data.graph),
        base_model=str(WORK / "base"),
        serving_model_dir=str(WORK / "model"),
        model_run_dir=str(WORK / "logs"),
        custom_config=config,
    )
    with training.checkpointing(str(WORK / "checkpoints"), 600, resume=False):
        prepared = preparation.prepare(arguments, config)
        model, state = trainer.train_once(arguments, config, prepared, "")
        state.restore_best()
    test = eval_rows.batches(prepared.task, rows_of(data, data.files("test")), AT_ONCE)
    return prepared.task.headline(eval_rows.of_split(prepared.task, model, test)())


def rows_of(data: runs.Prepared, files: list[str]) -> Any:
    """Transformed records as a dataset."""
    import tensorflow_transform as tft

    from models.training import reading

    return reading.rows(files, tft.TFTransformOutput(str(data.graph)).transformed_feature_spec())


def frozen(data: runs.Prepared, base: Path, files: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The mean vectors of records, float32 (N, D), and their labels."""
    import tensorflow as tf

    from models import task
    from models.bert.encoder import BertEncoder
    from models.checkpoints import checkpoint
    from models.families import text

    encoder = BertEncoder(**checkpoint.read(base).encoder)
    checkpoint.load(base, encoder)
    mean = tf.function(lambda batch: text.vectors(encoder, batch)["mean"], reduce_retracing=True, autograph=False)
    names = ("token_ids", "segment_ids", "label_id")
    batches = task.pad(rows_of(data, files).map(lambda row: {name: row[name] for name in names}), AT_ONCE)
    parts = [(mean(batch).numpy(), batch["label_id"].numpy()) for batch in batches]
    return np.concatenate([each[0] for each in parts]), np.concatenate([each[1] for each in parts])


def linear(data: runs.Prepared, base: Path, count: int, seed: int) -> float:
    """Logistic regression on the vectors of the same records."""
    from sklearn.linear_model import LogisticRegression

    kept = WORK / "test.npz"
    if not kept.exists():
        vectors, labels = frozen(data, base, data.files("test"))
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, vectors=vectors, labels=labels)
    test = np.load(kept)
    model = LogisticRegression(max_iter=2000).fit(*frozen(data, base, drawn(data, "train", count, seed)))
    return float(model.score(test["vectors"], test["labels"]))


def main() -> None:
    """Measures what is missing, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="sentiment")
    parser.add_argument("--counts", type=int, nargs="+", default=[8, 32, 128, 512, 0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    logging.getLogger("tfx_bert").setLevel(logging.ERROR)
    experiment = runs.task_only(loader.load(options.experiment, options.overrides), options.experiment)
    assert isinstance(experiment.checkpoint, str)
    base, results, rows = Path(experiment.checkpoint), Results("few_labels"), []
    (WORK / "test.npz").unlink(missing_ok=True)  # of another experiment's
    data = runs.prepare(experiment)
    common = {"experiment": experiment.dump(), "records": digest.of_files([f"{data.examples}/*/*"])}
    common["source"] = digest.of_source("components.train.trainer")
    for count in options.counts:
        found: dict[str, list[float]] = {"ours": [], "linear": []}
        for seed in range(1, options.seeds + 1):
            for arm, scores in found.items():
                key = {**common, "arm": arm, "count": count, "seed": seed}
                if (known := results.find(key)) is None:
                    with timed() as cost:
                        asked = (data, base, count, seed)
                        accuracy = ours(experiment, *asked) if arm == "ours" else linear(*asked)
                    known = results.add(key, accuracy=accuracy, cpu=cost.cpu)
                scores.append(known["accuracy"])
        gains = [100 * (a - b) for a, b in zip(found["ours"], found["linear"], strict=True)]
        rows.append((str(count or "all"), *map(mean_sd, found.values()), mean_sd(gains, 1)))
    table(
        f"{options.experiment}: test accuracy over {options.seeds} seeds, mean ± sd",
        ("records a label", "fine-tuned", "logistic regression, frozen", "points"),
        rows,
        [f"train: {experiment.train.epochs} epochs at {experiment.train.learning_rate}"],
    )


if __name__ == "__main__":
    main()
