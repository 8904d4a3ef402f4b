"""What an explanation costs beside the answer, and what cut heads save: ``python -m benchmarks.explain``.

A classifier over MiniLM with random weights in its head, whole and with 30 % of the heads cut, exported as the Trainer
does it and called as the server calls it, in this process. The signatures take turns, a text of nine words a call.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import BUILD, Cost, spread, table
from serving.servable import Servable

TEXT = "A gorgeous , witty and seductive film for everyone"  # nine words, ten pieces
ROUNDS, CALLS = 9, 10
LIMIT = 6.0  # times the CPU of an answer
PRUNED = 0.3
SIGNATURES = ("serving_default", "explain")
FOLDER = BUILD / "explain"


def exported(share: float) -> Path:
    """The SavedModel of MiniLM without this share of its heads: which ones does not matter to its speed."""
    import keras
    import tensorflow as tf

    from components.train import pruning
    from models import families, task
    from models.analysis import importance
    from models.checkpoints import checkpoint
    from models.export import saved_model
    from models.text.tokenization import TextRules, Tokenizer

    keras.utils.set_random_seed(1)
    start, family = Path("data/minilm"), families.load("text")
    read = checkpoint.read(start)
    tokenizer = Tokenizer(read.vocabulary, TextRules.load(read.rules))
    network: Any = family.network(None, tokenizer, start)
    family.load(start, network)
    the_task = task.load("classification")({"labels": ["negative", "positive"]})
    model = the_task.build(network)
    if share:
        values = np.random.default_rng(1).random((network.num_layers, network.num_heads))
        _, model = pruning.without(importance.lowest(values, share), the_task, model, tokenizer)
    folder = FOLDER / f"{share:g}"
    shutil.rmtree(folder, ignore_errors=True)
    saved_model.write(
        str(folder),
        family="text",
        model=model,
        the_task=the_task,
        featurize=lambda record: the_task.featurize(record, tokenizer),
        raw_spec={"text": tf.io.FixedLenFeature([], tf.string)},
        explained_by=tokenizer,
    )
    return folder


def costs(servable: Servable) -> dict[str, list[Cost]]:
    """Milliseconds of a call by signature, in each round."""
    found: dict[str, list[Cost]] = {name: [] for name in SIGNATURES}
    given = np.array([TEXT.encode()], object)
    for number in range(ROUNDS + 1):
        for name in SIGNATURES:
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(CALLS):
                servable.signatures[name].call(given)
            share = 1000 / CALLS
            cost = Cost((time.perf_counter() - wall) * share, (time.process_time() - cpu) * share)
            found[name] += [cost] if number else []  # the first round warms up
    return found


def report() -> None:
    """A row a model."""
    rows, ratios = [], []
    for said, share in (("whole", 0.0), (f"{PRUNED:.0%} of the heads cut", PRUNED)):
        servable = Servable(exported(share))
        cpu = {name: [each.cpu for each in found] for name, found in costs(servable).items()}
        servable.close()
        ratio = [b / a for a, b in zip(cpu[SIGNATURES[0]], cpu[SIGNATURES[1]], strict=True)]
        ratios.append(float(np.median(ratio)))
        rows.append((said, *(spread(cpu[name], 2) for name in SIGNATURES), spread(ratio, 2)))
    table(
        f"MiniLM, a text of nine words: CPU milliseconds, median (min–max) of {ROUNDS} rounds of {CALLS} calls",
        ("model", "predict", "explain", "explain / predict"),
        rows,
        [f"an explanation in at most {LIMIT:.0f} times its answer: {'yes' if max(ratios) <= LIMIT else 'NO'}"],
    )


if __name__ == "__main__":
    report()
