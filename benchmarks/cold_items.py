"""Items without one event: how often those of MovieLens-100k are found by what the catalogue says of them.

``python -m benchmarks.recommendation titles``: a tenth of the films loses its events, all but those that are the last
of a person. Without the catalogue no model can name these targets of the test split. Another tenth a seed. They are
ranked twice: among the whole catalogue, where films that people have seen stand before them, and among each other, as
``recommend`` answers when these are its candidates.
"""

import csv
import random
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import recommenders, runs
from benchmarks.measure import ROOT, Results, table
from models.vocabularies.items import SEPARATOR
from pipeline import loader

SHARE = 0.1  # of the items
LEAST = 3  # times chance
CUT = 10
HEAD = 0.5  # of the events
ABOUT = "task.data.catalogue.about=[class:token_seq, release_year:token]"
MODELS = {
    "title, genres, year": ("task.titles=data/minilm", ABOUT),
    "title": ("task.titles=data/minilm",),
    "id": (),
}


def hidden(events: Path, folder: Path, seed: int) -> tuple[Path, set[str]]:
    """The table without the events of a tenth of its items, but those that are a user's last; and these items."""
    with events.open(encoding="utf-8", newline="") as read:
        header, *rows = csv.reader(read, delimiter="\t")
    user, item, time = (header.index(name) for name in ("user_id:token", "item_id:token", "timestamp:float"))
    names = sorted({row[item] for row in rows})
    cold = set(random.Random(seed).sample(names, round(SHARE * len(names))))
    # Equal times are in the order of the file, as the pipeline reads them.
    last = {row[user]: place for place, row in sorted(enumerate(rows), key=lambda each: float(each[1][time]))}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"hidden-{seed}.inter"
    with file.open("w", encoding="utf-8", newline="") as write:
        lines = csv.writer(write, delimiter="\t", lineterminator="\n")
        lines.writerow(header)
        lines.writerows(row for place, row in enumerate(rows) if row[item] not in cold or last[row[user]] == place)
    return file, cold


def _measured(results: Results, seed: int, model: str) -> dict[str, Any]:
    """Shares of the test targets among the first ten: of hidden items in both rankings, and of the head."""
    file, cold = hidden(ROOT / "data" / "ml-100k.inter", recommenders.WORK, seed)
    overrides = (f"task.data.path={file}", f"name=cold-{seed}-{list(MODELS).index(model)}", *MODELS[model])
    experiment = loader.load("movies", overrides)
    data = runs.prepare(experiment)
    config = recommenders.config_of(experiment)
    key = recommenders.key_of(data, config, model, seed)
    if found := results.find(key):
        return found
    cost = recommenders.trained(data, config, seed)
    rank, _, _, catalogue, *_ = recommenders.judged(data).T
    hits = (rank > 0) & (rank <= CUT)
    train = Counter(
        each for record in recommenders.records(data, "train") for each in (*record["history"], *record["target"])
    )
    before, head = 0, set[bytes]()
    for name, count in train.most_common():
        if before < HEAD * train.total():
            head.add(name)
        before += count
    test, cold = list(recommenders.records(data, "test")), {each.encode() for each in cold}
    targets = [record["target"].item() for record in test]
    new, often = (np.array([each in names for each in targets]) for names in (cold, head))
    among = _found([record for record, asked in zip(test, new, strict=True) if asked], sorted(cold))
    shares = {"hidden": hits[new].mean(), "among": among, "head": hits[often].mean()}
    return results.add(key, **shares, items=int(catalogue[0]), candidates=len(cold), n=int(new.sum()), **cost)


def _found(records: list[dict[str, np.ndarray]], candidates: list[bytes]) -> float:
    """Share of the records whose target is among the first ten candidates that ``recommend`` answers."""
    import tensorflow as tf

    answer = tf.saved_model.load(str(recommenders.MODEL)).signatures["recommend"]
    asked = [SEPARATOR.encode().join(record["history"]) for record in records]
    among = [SEPARATOR.encode().join(candidates)] * len(records)
    found = answer(history=tf.constant(asked), exclude=tf.constant([b""] * len(asked)), candidates=tf.constant(among))
    shown = found["items"].numpy()[:, :CUT]
    return float(np.mean([record["target"].item() in row for record, row in zip(records, shown, strict=True)]))


def report(seeds: int) -> None:
    """Trains what is missing and prints a row a model."""
    results = Results("cold_items")
    found = {model: [_measured(results, seed, model) for seed in range(1, seeds + 1)] for model in MODELS}
    mean = {
        model: {name: statistics.fmean(each[name] for each in seen) for name in ("among", "hidden", "head", "cpu_all")}
        for model, seen in found.items()
    }
    best, *_ = MODELS
    one = found[best][0]
    chance = CUT / one["candidates"]
    times = mean[best]["among"] / chance
    table(
        f"MovieLens-100k, a tenth of the films without an event, {seeds} draw{'s' * (seeds > 1)}, "
        f"{sum(each['n'] for each in found[best])} targets without an event: hit_{CUT}",
        ("items known by", "among each other", "among all", "targets of the head, among all", "CPU s"),
        [
            (model, *(f"{of[name]:.3f}" for name in ("among", "hidden", "head")), f"{of['cpu_all']:.0f}")
            for model, of in mean.items()
        ],
        [
            f"chance: {chance:.3f} among each other, {CUT / one['items']:.3f} among all",
            f"by {best}: {times:.1f} times chance; at least {LEAST}: {'yes' if times >= LEAST else 'NO'}",
            "head: the items of half of the events",
        ],
    )
