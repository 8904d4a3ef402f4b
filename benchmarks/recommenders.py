"""Trainings of ``benchmarks.recommendation``: ours as the pipeline's Trainer does them, RecBole's beside them."""

import dataclasses
import json
import logging
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import runs
from benchmarks.measure import BUILD, ROOT, Results, cpu_seconds
from components import digest
from configs.experiment import Experiment
from models.progress import Step
from models.recommendation import baselines, figures
from pipeline import loader

OURS = {
    "causal": ("movies", ()),
    "cloze": ("movies_cloze", ()),
    "counts": ("movies", ("task.objective=counts", "encoder=")),
}
PEERS = {"SASRec": 10, "BERT4Rec": 20, "GRU4Rec": 10}  # epochs without a better one, as ours of that kind
PEER = ROOT / "benchmarks" / "peers" / "recbole_models.py"
WORK = BUILD / "recommendation"
MODEL = WORK / "trained" / "model"
RATINGS = "::"  # between the columns of MovieLens-1M
HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
AT_ONCE = 256  # records answered in a call


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all are trained on.

    Attributes:
      title: of the data.
      published: whether it is MovieLens-1M.
      overrides: of the experiments.
      data: split and transformed; the same for all objectives.
    """

    title: str
    published: bool
    overrides: tuple[str, ...]
    data: runs.Prepared

    def experiment(self, name: str) -> Experiment:
        """The experiment behind one of ``OURS``."""
        base, own = OURS[name]
        return loader.load(base, (*own, *self.overrides))


@dataclasses.dataclass(frozen=True)
class Limits:
    """Where a peer's training ends though its early stopping does not: epochs, and CPU seconds, 0 for none."""

    epochs: int
    seconds: float


def rewritten(ratings: Path, folder: Path) -> Path:
    """MovieLens-1M's ``ratings.dat`` as a table that ``movies`` reads: every rating is an event, in the file's order.

    Raises:
      ValueError: a line is not ``user::item::rating::time``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f"{ratings.stem}.inter"
    with ratings.open(encoding="latin-1") as read, table.open("w", encoding="utf-8") as write:
        write.write(f"{HEADER}\n")
        for number, line in enumerate(read, 1):
            fields = line.strip().split(RATINGS)
            if len(fields) != len(HEADER.split("\t")):
                raise ValueError(f"{ratings}:{number}: not user::item::rating::time. Received: {line.strip()[:80]!r}")
            write.write("\t".join(fields) + "\n")
    return table


def setting(ratings: Path | None) -> Setting:
    """The data, split and transformed once; MovieLens-100k where no file is given."""
    if ratings is None:
        return Setting("MovieLens-100k", False, (), runs.prepare(loader.load("movies")))
    table = rewritten(ratings, WORK)
    # As the published figures: rows of 200. The catalogue of MovieLens-100k is another one.
    overrides = (f"task.data.path={table}", "task.data.catalogue=", "task.max_length=200", "name=ratings")
    return Setting(f"{ratings.name}", True, overrides, runs.prepare(loader.load("movies", overrides)))


def records(data: runs.Prepared, split: str) -> Iterator[dict[str, np.ndarray]]:
    """``user``, ``history`` and ``target`` of every raw record of a split, arrays of bytes."""
    import tensorflow as tf

    files = sorted(str(path) for path in (data.examples / f"Split-{split}").glob("*"))
    for serialized in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        found = tf.train.Example.FromString(serialized).features.feature
        yield {name: np.array(list(found[name].bytes_list.value), object) for name in ("user", "history", "target")} | {
            "serialized": np.array(serialized, object)
        }


# --- ours -----------------------------------------------------------------------------------------------------------


class Clocks(logging.Handler):
    """CPU seconds at every report of the training loop, from now on."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._began = cpu_seconds()
        self.seen: list[tuple[int, float]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Reads the clock."""
        event = getattr(record, "event", None)
        if isinstance(event, Step):
            self.seen.append((event.step, cpu_seconds() - self._began))

    def behind(self, judged: int) -> float:
        """What was spent when a step behind the one that was ``judged`` was reported, so that this judging is in it."""
        return next((cpu for step, cpu in self.seen if step > judged), self.seen[-1][1])


def ours(results: Results, setting: Setting, name: str, seed: int) -> dict[str, Any]:
    """One of ``OURS``, trained and exported by the Trainer's function, judged by the SavedModel's answers."""
    config = config_of(setting.experiment(name))
    key = key_of(setting.data, config, name, seed)
    if found := results.find(key):
        return found
    cost = trained(setting.data, config, seed)
    return results.add(key, **dict(figures.of(judged(setting.data)).values), **cost)


def key_of(data: runs.Prepared, config: Mapping[str, Any], who: str, seed: int) -> dict[str, Any]:
    """What a finished training of ours is found by."""
    return {
        "who": who,
        "seed": seed,
        "records": digest.of_files([f"{data.examples}/*/*"]),
        "source": digest.of_source("components.train.trainer"),
        **config,
    }


def config_of(experiment: Experiment) -> dict[str, Any]:
    """What the pipeline gives to the Trainer."""
    assert experiment.task is not None
    return {
        "task": {"type": experiment.task.type, "config": experiment.task.own()},
        "train": experiment.train.model_dump(mode="json", exclude_none=True),
        "encoder": experiment.encoder.arguments() if experiment.encoder else None,
    }


def trained(data: runs.Prepared, config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Trains and exports to ``MODEL`` as the Trainer does: its best epoch, that one's figure, and CPU seconds."""
    from tfx.components.trainer.fn_args_utils import FnArgs

    from components.train import trainer, training
    from models.training import curve

    shutil.rmtree(WORK / "trained", ignore_errors=True)
    arguments = FnArgs(
        train_files=data.files("train"),
        eval_files=data.files("eval"),
        transform_output=str(data.graph),
        serving_model_dir=str(MODEL),
        model_run_dir=str(WORK / "trained" / "logs"),
        custom_config={**config, "seed": seed, "source_digest": ""},
    )
    logger, began, clocks = logging.getLogger("tfx_bert"), cpu_seconds(), Clocks()
    logger.setLevel(logging.INFO)
    logger.addHandler(clocks)
    try:
        with training.checkpointing(str(WORK / "trained" / "checkpoints"), 60):
            trainer.run_fn(arguments)
    finally:
        logger.removeHandler(clocks)
    whole = cpu_seconds() - began
    (epochs,) = curve.read(MODEL / "assets.extra")[f"seed {seed}"].figures.values()
    epoch, (step, score) = max(enumerate(epochs, 1), key=lambda each: each[1][1])
    stepped = bool(clocks.seen)  # counts learn nothing by steps: their cost is all of it, the export included
    return {
        "epoch": epoch,
        "eval": score,
        "cpu": clocks.behind(step) if stepped else whole,
        "cpu_all": clocks.seen[-1][1] if stepped else whole,
        "ended": True,
    }


def judged(data: runs.Prepared) -> np.ndarray:
    """What ``figures.of`` counts, a row a record of the test split, by the ranks of the SavedModel in ``MODEL``."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (registers the model's operations)

    answer = tf.saved_model.load(str(MODEL)).signatures["serving_examples"]
    examples = [record["serialized"].item() for record in records(data, "test")]
    rows = []
    for start in range(0, len(examples), AT_ONCE):
        found = {name: value.numpy() for name, value in answer(tf.constant(examples[start : start + AT_ONCE])).items()}
        for place in range(len(found["rank"])):
            ranks = [found[name][place] for name in ("rank", "best_rank", "popularity_rank")]
            rows.append(figures.noted(ranks, found["catalogue"][place], found["shown"][place]))
    return np.array(rows)


# --- theirs ---------------------------------------------------------------------------------------------------------


def peer(results: Results, setting: Setting, name: str, seed: int, python: str, limits: Limits) -> dict[str, Any]:
    """One of ``PEERS``, in a process of its own, on the same events in the same order; its scores by our ranks."""
    own = setting.experiment("causal").task
    assert own is not None
    key = {
        "who": name,
        "seed": seed,
        "records": digest.of_files([f"{setting.data.examples}/*/*"]),
        "source": digest.of_files([str(PEER)]),
        "max_length": own.own()["max_length"],
        **dataclasses.asdict(limits),
    }
    if found := results.find(key):
        return found
    folder = WORK / "recbole"
    _write_events(setting.data, folder / "events")
    job = {
        "model": name,
        "folder": str(folder),
        "seed": seed,
        "max_length": own.own()["max_length"],
        "epochs": limits.epochs,
        "patience": PEERS[name],
        "cpu_limit": limits.seconds,
        "scores": str(folder / "scores.npz"),
    }
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    with (folder / f"{name}.log").open("a") as log:
        command = [python, str(PEER), str(folder / "job.json")]
        told = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True, check=True).stdout
    return results.add(key, **by_our_ranks(setting, folder / "scores.npz"), **json.loads(told.splitlines()[-1]))


def _write_events(data: runs.Prepared, folder: Path) -> None:
    """Our order as RecBole's time, so that both split at the same events. Users who are not tested are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "events.inter").open("w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for record in records(data, "test"):
            user = record["user"].item().decode()
            for place, item in enumerate((*record["history"], *record["target"])):
                file.write(f"{user}\t{item.decode()}\t{place}\n")


def by_our_ranks(setting: Setting, scores: Path) -> dict[str, float]:
    """The figures of a peer's scores: over the items of our train split, seen ones excluded, ties against it.

    Raises:
      ValueError: the peer was asked for other items than our test split asks for.
    """
    with np.load(scores) as kept:
        theirs = dict(kept)
    places = {name.encode(): place for place, name in enumerate(theirs["items"])}
    rows_of = {user.encode(): row for row, user in enumerate(theirs["users"])}
    test = list(records(setting.data, "test"))
    # It answers with the catalogue, what is eligible, and popularity: only the scores are replaced.
    answers = baselines.answers("popularity", list(records(setting.data, "train")), test, exclude_seen=True)
    noted, order = [], None
    for record, answer in zip(test, answers, strict=True):
        row = rows_of[record["user"].item()]
        if theirs["targets"][row].encode() != record["target"].item():
            asked = record["target"].item().decode()
            raise ValueError(f"the peer tests {theirs['targets'][row]} of a user, we {asked}")
        if order is None:
            order = np.array([places.get(name, len(places)) for name in answer["names"]])
        scored = np.append(theirs["scores"][row].astype(np.float64), -np.inf)[order]  # of what it does not know
        noted.append(figures.row_of({**answer, "all_scores": scored}, record["target"].item()))
    return dict(figures.of(np.array(noted)).values)
