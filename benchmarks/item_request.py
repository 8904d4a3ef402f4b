"""What a request costs over a catalogue of 100,000 items: ``python -m benchmarks.recommendation request``.

Networks of the shape ``items_small`` with random weights, with and without titles, and counts of random walks. They are
exported as the Trainer does it and called as the server calls them, in this process: what JSON and sockets add is
``benchmarks.serving``'s.
"""

import itertools
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import BUILD, Cost, spread, table
from models.vocabularies.items import FIRST, SEPARATOR, Items
from serving.servable import Servable, Signature

ITEMS = 100_000
HISTORY = 50  # items of a request
TITLE = 384  # numbers of MiniLM's vector of a title
WALKS = 20_000  # of ``HISTORY`` items, a million events
ASKED = 20  # histories that the constants of counts are chosen by: any will do here
ROUNDS, CALLS = 5, 10
BATCHES = (1, 32)
LIMIT = 5.0  # CPU milliseconds of one request
FOLDER = BUILD / "item_request"
KINDS: dict[str, dict[str, Any]] = {
    "causal": {},
    "causal, titles": {"titles": "random vectors"},
    "counts": {"objective": "counts"},
}


def exported(kind: str) -> Path:
    """The SavedModel of one of ``KINDS``."""
    import keras
    import tensorflow as tf

    from models import families, task
    from models.export import saved_model
    from pipeline import loader

    keras.utils.set_random_seed(1)
    generator, config = np.random.default_rng(1), KINDS[kind]
    often = np.ceil(1e6 / np.arange(1, ITEMS + 1) ** 0.9).astype(np.int64)  # a few items have most of the events
    names = list(map(name_of, range(ITEMS)))
    vectors = generator.normal(size=(ITEMS, TITLE)).astype(np.float32) if "titles" in config else None
    items = Items(names, often.tolist(), [f"The title of {name}" for name in names], vectors)
    walks = FIRST + generator.choice(ITEMS, (WALKS, HISTORY), p=often / often.sum())
    of_rows = tf.data.Dataset.from_tensor_slices
    asked = of_rows({"item_ids": walks[:ASKED, :-1], "target_id": walks[:ASKED, -1]})
    the_task = task.load("next_item")(config).fitted(of_rows({"sequence": walks}), asked, items)
    shape = loader.load("movies").encoder
    assert shape is not None
    network = None if "objective" in config else families.load("items").network(shape.arguments(), items, None)
    feature = tf.io.RaggedFeature(tf.string, row_splits_dtype=tf.int64)
    folder = FOLDER / kind.replace(", ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    saved_model.write(
        str(folder),
        family="items",
        model=the_task.build(network),
        the_task=the_task,
        featurize=lambda record: the_task.featurize(record, items),
        raw_spec={"history": feature},
        gold_spec={"target": feature},
    )
    return folder


def name_of(item: int) -> str:
    """What an item is called."""
    return f"item-{item:06d}"


def requests(signature: Signature, batch: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Arguments of a signature: histories of random items, an item, no item to leave out."""
    histories = [SEPARATOR.join(map(name_of, generator.integers(0, ITEMS, HISTORY))).encode() for _ in range(batch)]
    given = {"history": histories, "item": [each.partition(b"|")[0] for each in histories]}
    return [np.array(given.get(name, [b""] * batch), object) for name in signature.inputs]


def costs(signature: Signature, batch: int) -> list[Cost]:
    """Milliseconds of a request, in each round."""
    generator, found = np.random.default_rng(2), []
    for number in range(ROUNDS + 1):
        calls = [requests(signature, batch, generator) for _ in range(CALLS)]
        wall, cpu = time.perf_counter(), time.process_time()
        for each in calls:
            signature.call(*each)
        share = 1000 / CALLS / batch
        cost = Cost((time.perf_counter() - wall) * share, (time.process_time() - cpu) * share)
        found += [cost] if number else []  # the first round warms up
    return found


def report() -> None:
    """A row a signature and batch."""
    rows, slow = [], []
    for kind in KINDS:
        servable = Servable(exported(kind))
        for name, batch in itertools.product(("serving_default", "recommend", "item", "embed"), BATCHES):
            if name not in servable.signatures:
                continue
            found = costs(servable.signatures[name], batch)
            cpu, wall = [each.cpu for each in found], [each.wall for each in found]
            rows.append((f"{kind} · {name}", str(batch), spread(cpu, 2), spread(wall, 2)))
            slow += [f"{kind} · {name}"] if batch == 1 and np.median(cpu) > LIMIT else []
        servable.close()
    table(
        f"a request over {ITEMS:,} items, a history of {HISTORY}: milliseconds, median (min–max) of {ROUNDS} rounds",
        ("model · signature", "at once", "CPU ms", "wall ms"),
        rows,
        [f"one request in at most {LIMIT:.0f} CPU ms: {'yes' if not slow else 'NOT ' + ', '.join(slow)}"],
    )
