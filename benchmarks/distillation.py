"""What a small model saves: CPU time of a request, of MiniLM's shape and of shapes that a student may have.

    python -m benchmarks.distillation

Networks with random weights, for weights decide no time, exported as the Trainer does it and called as the server calls
them, in this process, with snippets of the demo's reviews. What a student keeps of its teacher's accuracy, a run says:
``tfx-bert run sentiment && tfx-bert run sentiment_small``.
"""

import csv
import shutil
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import BUILD, ROOT, Cost, spread, table
from serving.servable import Servable, Signature

TEACHER = ROOT / "data" / "minilm"
# Layers and width: the teacher's, then students'. bert_tiny is (2, 128), bert_mini (4, 256).
SHAPES = ((6, 384), (2, 128), (2, 256), (4, 256), (3, 384))
ROUNDS, CALLS = 5, 40
FOLDER = BUILD / "distillation"


def exported(layers: int, width: int) -> Path:
    """The SavedModel of a classifier of two labels."""
    import keras
    import tensorflow as tf

    from models import task
    from models.bert.encoder import BertEncoder
    from models.checkpoints import checkpoint, smaller
    from models.export import saved_model
    from models.text.tokenization import TextRules, Tokenizer

    keras.utils.set_random_seed(1)
    read = checkpoint.read(TEACHER)
    the_task = task.load("classification")({"labels": ["negative", "positive"], "max_length": 64})
    tokenizer = Tokenizer(read.vocabulary, TextRules.load(read.rules))
    folder = FOLDER / f"{layers}-{width}"
    shutil.rmtree(folder, ignore_errors=True)
    saved_model.write(
        str(folder),
        family="text",
        model=the_task.build(BertEncoder(**smaller.shape_of(read.encoder, layers, width))),
        the_task=the_task,
        featurize=lambda record: the_task.featurize(record, tokenizer),
        raw_spec={"text": tf.io.FixedLenFeature([], tf.string)},
    )
    return folder


def snippets() -> list[bytes]:
    """As many texts as a round asks for, spread over the reviews."""
    with (ROOT / "data" / "movie_reviews.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text"].encode() for row in csv.DictReader(file)]
    return texts[:: len(texts) // CALLS][:CALLS]


def costs(signature: Signature, texts: list[bytes]) -> list[Cost]:
    """Milliseconds of a request of one text, in each round."""
    found = []
    for number in range(ROUNDS + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        for text in texts:
            signature.call(np.array([text], object))
        share = 1000 / len(texts)
        cost = Cost((time.perf_counter() - wall) * share, (time.process_time() - cpu) * share)
        found += [cost] if number else []  # the first round warms up
    return found


def main() -> None:
    """Prints a row a shape."""
    rows, whole, texts = [], 0.0, snippets()
    for layers, width in SHAPES:
        servable = Servable(exported(layers, width))
        found = costs(servable.signatures["serving_default"], texts)
        servable.close()
        cpu = [each.cpu for each in found]
        whole = whole or float(np.median(cpu))
        ratio = f"{whole / np.median(cpu):.1f}"
        rows.append((f"{layers} layers, {width} wide", spread(cpu, 2), spread([each.wall for each in found], 2), ratio))
    table(
        f"a request of one snippet: milliseconds, median (min–max) of {ROUNDS} rounds of {CALLS}",
        ("shape", "CPU ms", "wall ms", "times less CPU"),
        rows,
    )


if __name__ == "__main__":
    main()
