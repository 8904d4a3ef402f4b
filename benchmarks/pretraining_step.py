"""A packed pretraining step on real text: plain, compiled by XLA, in bfloat16, and both.

    python -m benchmarks.pretraining_step [ENCODER] [--rounds 7] [--steps 10]

The text is ``data/movie_dialogues.csv`` in the pieces of ``data/minilm``; rows of 128 tokens, 32 a step. Rounds take
turns, the first is not counted. ``models.training.Loop`` is what the Pretrainer runs.
"""

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from benchmarks.measure import ROOT, Cost, spread, table, timed
from configs import document, loader
from configs.experiment import Encoder
from models import checkpoint, pretraining_data
from models.encoder import BertEncoder
from models.heads import PretrainingModel, pretraining_loss
from models.masking import Ids
from models.optimizer import AdamW, LinearSchedule
from models.resume import TrainingState
from models.text import TextRules, Tokenizer
from models.training import Loop, Precision

WAYS: dict[str, tuple[bool, Precision]] = {
    "plain": (False, "float32"),
    "jit_compile": (True, "float32"),
    "bfloat16": (False, "bfloat16"),
    "both": (True, "bfloat16"),
}
SPEC = {"token_ids": tf.io.RaggedFeature(tf.int64, "values", [tf.io.RaggedFeature.RowLengths("lengths")])}


def corpus(path: Path, tokenizer: Tokenizer, count: int = 20_000) -> None:
    """Writes ``count`` dialogues as Transform does: documents of two sentences."""
    with (ROOT / "data/movie_dialogues.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(count), strict=False)]
    ids = [tokenizer.tokenize([row[side] or "" for row in rows]).to_list() for side in ("statement", "reply")]
    with tf.io.TFRecordWriter(str(path), options="GZIP") as writer:
        for first, second in zip(*ids, strict=True):
            record = tf.train.Example()
            record.features.feature["values"].int64_list.value.extend([*first, *second])
            record.features.feature["lengths"].int64_list.value.extend([len(first), len(second)])
            writer.write(record.SerializeToString())


def prepared(way: str, encoder: Encoder, tokenizer: Tokenizer, files: str, steps: int, folder: str) -> tuple[Loop, Any]:
    """The loop at its first step, and ``steps`` batches in memory."""
    jit_compile, precision = WAYS[way]
    keras.utils.set_random_seed(1)
    model = PretrainingModel(BertEncoder(vocabulary_size=tokenizer.size, **encoder.arguments()), next_sentence=False)
    optimizer = AdamW(LinearSchedule(1e-4, 10, 1_000_000))
    optimizer.build(model.trainable_variables)
    state, many = TrainingState(f"{folder}/{way}", model, optimizer), 1_000_000
    loop = Loop(
        model, pretraining_loss, optimizer, state, steps=many, checkpoint_seconds=float("inf"), logs=f"{folder}/{way}",
        jit_compile=jit_compile, precision=precision,
    )  # fmt: skip
    ids = Ids.of(tokenizer.vocabulary)
    recipe = pretraining_data.Recipe(ids, ["mlm"], 32, 128, pack=True, jit_compile=jit_compile)
    batches = pretraining_data.batches([files], SPEC, recipe).take(steps).cache()
    list(batches)  # fills the cache: reading the records is not a step
    return loop, batches


def main() -> None:
    """Runs the rounds, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", nargs="?", default="bert_small", choices=loader.encoder_names())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="in a round")
    options = parser.parse_args()
    values = document.read(loader.ENCODERS / f"{options.encoder}.yaml").values
    tokenizer = Tokenizer(checkpoint.read(ROOT / "data/minilm").vocabulary, TextRules("bert_uncased"))
    found: dict[str, list[Cost]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        corpus(Path(folder) / "corpus.gz", tokenizer)
        given = (Encoder.model_validate(values), tokenizer, f"{folder}/corpus.gz", options.steps, folder)
        loops = {way: prepared(way, *given) for way in WAYS}
        for _ in range(options.rounds + 1):
            for way, (loop, batches) in loops.items():
                with timed() as cost:
                    loop.run(batches, "benchmark")
                found[way].append(cost)
    rows = [
        (
            way,
            f"{costs[0].wall:.0f}",
            spread([1000 * cost.wall / options.steps for cost in costs[1:]], 0),
            spread([1000 * cost.cpu / options.steps for cost in costs[1:]], 0),
            spread([a.cpu / b.cpu for a, b in zip(found["plain"][1:], costs[1:], strict=True)], 2),
        )
        for way, costs in found.items()
    ]
    table(
        f"A packed pretraining step of {options.encoder}, 32 x 128: {options.rounds} rounds of {options.steps} steps; "
        "median (min–max)",
        ("", "first round s", "wall ms", "CPU ms", "plain / this, CPU"),
        rows,
        [],
    )


if __name__ == "__main__":
    main()
