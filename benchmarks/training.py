"""Training steps beside their peers: the same weights, batches and hyper-parameters, real text.

    python -m benchmarks.training pretraining|short|fine_tuning [--torch PYTHON] [--keras-hub PYTHON] [--rounds 5]

``pretraining``: a masked language model on full rows, as many tokens hidden in each. Peers: transformers with torch,
the vocabulary's projection on the hidden tokens only (gathered) or on all (stock: ``BertForMaskedLM``), and KerasHub
compiled by XLA. ``short``: the same on texts of 27 tokens, ours packed, torch's padded to the longest of its batch.
``fine_tuning``: sentiment, torch's batches padded to their longest row, random or grouped by length.

A peer runs in an environment of its own: PYTHON has torch and transformers, or tensorflow and keras-hub. Rounds take
turns, the first is not counted. Tokens are real ones: padding does not count. Ours is
``models.training.training_loop.Loop``, which the Pretrainer and the Trainer run. The peak is the best single-precision
matrix product of a round; a peer's own is printed beside it, for on AMD's processors torch's library leaves AVX-512
out (docs/speed.md).
"""

import argparse
import csv
import dataclasses
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import profile
from benchmarks.measure import BUILD, ROOT, Cost, spread, table, timed
from configs.encoder import Encoder
from configs.yaml import document
from models.bert.encoder import BertEncoder
from models.bert.heads import PretrainingModel, pretraining_loss
from models.checkpoints import checkpoint
from models.pretraining import pretraining_data
from models.pretraining.masking import Ids
from models.pretraining.pretraining_data import Recipe
from models.text.tokenization import TextRules, Tokenizer
from models.training import reading, training_loop
from models.training.optimizer import AdamW, LinearSchedule
from models.training.resume import TrainingState
from pipeline import loader

PEERS = Path(__file__).parent / "peers"
ROWS, LENGTH = 32, 128
# transformers' LengthGroupedSampler sorts so many batches at once.
GROUPED = 50
SETTINGS = {"learning_rate": 1e-4, "weight_decay": 0.01, "clip_norm": 1.0, "warmup": 0.01}
SPEC = {"token_ids": tf.io.RaggedFeature(tf.int64, "values", [tf.io.RaggedFeature.RowLengths("lengths")])}
Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass
class Side:
    """One that takes part.

    Attributes:
      name: as in the table.
      round: trains on every batch once.
      tokens: real ones of a round.
      products: operations of a round's matrix products that it computes, forward and backward.
      peak: of its library, operations a second; None where it is TensorFlow's, which ``peak`` measures.
      costs: of the rounds, so far.
    """

    name: str
    round: Callable[[], Cost]
    tokens: int
    products: float
    peak: float | None = None
    costs: list[Cost] = dataclasses.field(default_factory=list)


# --- the two ways to take part --------------------------------------------------------------------------------------


def ours(
    name: str, loop: training_loop.Loop, batches: tf.data.Dataset, products: float, counted: str = "padding_mask"
) -> Side:
    """Our loop over batches that are in memory; ``counted`` is the mask of the tokens that count."""
    tokens = sum(int(batch[counted].sum()) for batch in batches.as_numpy_iterator())  # fills the cache

    def once() -> Cost:
        with timed() as cost:
            loop.run(batches, "benchmark")
        return cost

    return Side(name, once, tokens, products)


class Peer:
    """A peer's process: it answers a line with the seconds of a round over its batches.

    Attributes:
      ready: what it said before the first round, its ``peak`` among it.
      said: what it said of the last round.
    """

    def __init__(self, python: str, script: str, job: Mapping[str, Any], batches: Sequence[Arrays]) -> None:
        BUILD.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=BUILD))
        np.savez(
            folder / "batches.npz", **{f"{name}_{i}": batch[name] for i, batch in enumerate(batches) for name in batch}
        )
        given = {
            "mode": "steps",
            **job,
            "batches": str(folder / "batches.npz"),
            "count": len(batches),
            "steps": 1_000_000,
        }
        (folder / "job.json").write_text(json.dumps(given), "utf-8")
        command = [python, str(PEERS / script), str(folder / "job.json")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.ready: dict[str, Any] = json.loads(self._process.stdout.readline())
        self.said: dict[str, Any] = {}

    def round(self) -> Cost:
        """One pass over the batches."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.said = json.loads(self._process.stdout.readline())
        return Cost(self.said["wall"], self.said["cpu"])


def peer(name: str, process: Peer, batches: Sequence[Arrays], products: float, counted: str = "padding_mask") -> Side:
    """A peer over its batches; ``counted`` as for ``ours``."""
    tokens = sum(int(batch[counted].sum()) for batch in batches)
    return Side(name, process.round, tokens, products, process.ready["peak"])


# --- what they train on ---------------------------------------------------------------------------------------------


def column(file: str, name: str) -> list[str]:
    """Of a demo data set."""
    with (ROOT / "data" / file).open(encoding="utf-8", newline="") as opened:
        return [row[name] or "" for row in csv.DictReader(opened)]


def write(path: str, documents: Iterable[Sequence[int]]) -> None:
    """Documents of one sentence each, as Transform writes them."""
    with tf.io.TFRecordWriter(path, options="GZIP") as writer:
        for ids in documents:
            record = tf.train.Example()
            record.features.feature["values"].int64_list.value.extend(ids)
            record.features.feature["lengths"].int64_list.value.append(len(ids))
            writer.write(record.SerializeToString())


def full_rows(tokenizer: Tokenizer) -> Iterator[Sequence[int]]:
    """Dialogues one after another, cut into documents that fill a row each."""
    ids = tokenizer.tokenize(column("movie_dialogues.csv", "statement")[:20_000]).flat_values.numpy()
    return iter(ids[: len(ids) // (LENGTH - 2) * (LENGTH - 2)].reshape(-1, LENGTH - 2).tolist())


def made(file: str, recipe: Recipe, steps: int) -> tf.data.Dataset:
    """Batches in memory."""
    return pretraining_data.batches([file], SPEC, recipe).take(steps).cache()


def products(encoder: Mapping[str, Any], batch: Arrays, vocabulary: int, *, all_tokens: bool, head: str) -> float:
    """Operations of the matrix products of a step: two a multiplication, the backward pass has twice the forward's.

    Args:
      encoder: arguments of ``BertEncoder``.
      batch: padded; with ``masked_ids`` where it pretrains.
      vocabulary: pieces.
      all_tokens: whether everything is computed on padding too.
      head: over the vocabulary: of the ``masked`` tokens, of ``all``, or ``none``. Ours, without ``all_tokens``,
        leaves what the head does not read out of the last block.
    """
    rows, length = batch["token_ids"].shape
    tokens = rows * length if all_tokens else int(batch["padding_mask"].sum())
    d, layers = encoder["hidden_dim"], encoder["num_layers"]
    f = encoder.get("intermediate_dim") or 4 * d
    masked = len(batch["masked_ids"]) if "masked_ids" in batch else 0
    last = tokens if all_tokens else masked + rows
    dense = layers * 3 * d * d * tokens + (d * d + 2 * d * f) * ((layers - 1) * tokens + last)
    attention = 2 * layers * rows * length * length * d
    predicted = {"masked": masked, "all": rows * length, "none": 0}[head]
    return 6.0 * (dense + attention + predicted * (d * d + d * vocabulary))


def peak() -> float:
    """Operations a second: the best of many products of two shapes, 2048 × 2048 × 2048 and a layer's."""
    best = 0.0
    for rows, inner, columns in ((2048, 2048, 2048), (4096, 512, 2048)):
        a, b = tf.ones([rows, inner]), tf.ones([inner, columns])
        for _ in range(10):
            began = time.perf_counter()
            tf.matmul(a, b).numpy()
            best = max(best, 2 * rows * inner * columns / (time.perf_counter() - began))
    return best


# --- the three comparisons ------------------------------------------------------------------------------------------


class Pretraining:
    """Of ``configs/encoders/NAME.yaml`` with the pieces of ``data/minilm``."""

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        self.options, self.folder = options, folder
        values = document.read(loader.ENCODERS / f"{options.encoder}.yaml").values
        self.arguments = Encoder.model_validate(values).arguments()
        self.tokenizer = Tokenizer(checkpoint.read(ROOT / "data/minilm").vocabulary, TextRules("bert_uncased"))

    def recipe(self, **changes: Any) -> Recipe:
        """Of the batches."""
        return Recipe(Ids.of(self.tokenizer.vocabulary), ["mlm"], ROWS, LENGTH, **changes)

    def loop(self, name: str, recipe: Recipe, precision: training_loop.Precision = "float32") -> training_loop.Loop:
        """At its first step."""
        keras.utils.set_random_seed(1)
        encoder = BertEncoder(vocabulary_size=self.tokenizer.size, **self.arguments)
        model = PretrainingModel(encoder, next_sentence=False)
        optimizer = AdamW(LinearSchedule(SETTINGS["learning_rate"], 10_000, 1_000_000))
        optimizer.build(model.trainable_variables)
        logs = f"{self.folder}/{name}"
        return training_loop.Loop(
            model, pretraining_loss, optimizer, TrainingState(logs, model, optimizer), steps=1_000_000, logs=logs,
            checkpoint_seconds=float("inf"), jit_compile=recipe.jit_compile, precision=precision,
        )  # fmt: skip

    def ours(self, file: str, recipe: Recipe, precision: training_loop.Precision = "float32") -> Callable[[str], Side]:
        """Our loop over batches of a recipe."""

        def build(name: str) -> Side:
            batches = made(file, recipe, self.options.steps)
            work = [self._products(batch, all_tokens=False) for batch in batches.as_numpy_iterator()]
            return ours(name, self.loop(name, recipe, precision), batches, sum(work))

        return build

    def torch(self, file: str, recipe: Recipe) -> dict[str, Callable[[str], Side]]:
        """With the projection of the hidden tokens, and of all."""
        heads = {"torch, gathered": "masked", "torch, stock": "all"}
        return {
            name: self.peer(self.options.torch, "torch_bert.py", file, recipe, head) for name, head in heads.items()
        }

    def peer(self, python: str, script: str, file: str, recipe: Recipe, head: str = "masked") -> Callable[[str], Side]:
        """A peer over batches of a recipe."""

        def build(name: str) -> Side:
            batches = list(made(file, recipe, self.options.steps).as_numpy_iterator())
            job = {"encoder": self.arguments, "vocabulary": self.tokenizer.size, "settings": SETTINGS, "seed": 1}
            process = Peer(python, script, {**job, "head": head}, batches)
            return peer(name, process, batches, sum(self._products(batch, head=head) for batch in batches))

        return build

    def _products(self, batch: Arrays, *, all_tokens: bool = True, head: str = "masked") -> float:
        return products(self.arguments, batch, self.tokenizer.size, all_tokens=all_tokens, head=head)

    def full(self) -> dict[str, Callable[[str], Side]]:
        """Full rows."""
        file = f"{self.folder}/full.gz"
        write(file, full_rows(self.tokenizer))
        packed, compiled = self.recipe(pack=True), self.recipe(pack=True, jit_compile=True)
        sides = {
            "ours": self.ours(file, self.recipe()),
            "ours, packed": self.ours(file, packed),
            "ours, packed, XLA": self.ours(file, compiled),
            "ours, packed, bfloat16": self.ours(file, packed, "bfloat16"),
        }
        if self.options.torch:
            sides |= self.torch(file, self.recipe())
        if python := self.options.keras_hub:
            sides["KerasHub, XLA"] = self.peer(python, "keras_hub_bert.py", file, self.recipe())
        return sides

    def short(self) -> dict[str, Callable[[str], Side]]:
        """Snippets of film reviews."""
        file = f"{self.folder}/short.gz"
        write(file, self.tokenizer.tokenize(column("movie_reviews.csv", "text")).to_list())
        sides = {
            "ours, packed": self.ours(file, self.recipe(pack=True)),
            "ours, padding-free": self.ours(file, self.recipe()),
        }
        if self.options.torch:
            sides |= self.torch(file, self.recipe())
            many = dataclasses.replace(self.recipe(), batch_size=150)  # the real tokens of a packed batch
            sides["torch, gathered, 150 texts"] = self.peer(self.options.torch, "torch_bert.py", file, many)
        return sides


def by_length(records: tf.data.Dataset) -> tf.data.Dataset:
    """As transformers' ``LengthGroupedSampler``: shuffled, then the longest first in every ``GROUPED`` batches."""
    shuffled = records.shuffle(20_000, seed=1, reshuffle_each_iteration=False)
    blocks = shuffled.ragged_batch(GROUPED * ROWS)

    def longest_first(block: Mapping[str, Any]) -> tf.data.Dataset:
        order = tf.argsort(-block["token_ids"].row_lengths(), stable=True)
        return tf.data.Dataset.from_tensor_slices({name: tf.gather(value, order) for name, value in block.items()})

    return blocks.flat_map(longest_first)


def fine_tuning(options: argparse.Namespace, folder: str) -> dict[str, Callable[[str], Side]]:
    """``configs/experiments/sentiment.yaml`` from ``data/minilm``."""
    import tensorflow_transform as tft

    from benchmarks import runs
    from components.train import training as nodes
    from models import task

    experiment = loader.load("sentiment")
    assert experiment.task is not None
    base, own = ROOT / str(experiment.checkpoint), experiment.task.own()
    data = runs.prepare(experiment)
    given = task.load(experiment.task.type)(own)
    records = reading.rows(data.files("train"), tft.TFTransformOutput(str(data.graph)).transformed_feature_spec())
    chosen = {"batch_size": experiment.train.batch_size, "seed": experiment.seed}
    batches = given.batches(records, epoch=0, **chosen).take(options.steps).cache()
    grouped = list(task.pad(by_length(given.training_rows(records)), ROWS).as_numpy_iterator())
    picked = np.random.default_rng(1).choice(len(grouped), min(options.steps, len(grouped)), replace=False)
    keras.utils.set_random_seed(experiment.seed)
    encoder = BertEncoder(**checkpoint.read(base).encoder)
    model = given.build(encoder)
    checkpoint.load(base, encoder)
    settings = experiment.train.model_dump(mode="json")
    with nodes.checkpointing(f"{folder}/checkpoints", float("inf")):
        loop = nodes.loop(model, given.loss, settings, steps=1_000_000, key="benchmark", logs=f"{folder}/logs")
    shape = checkpoint.read(base).encoder

    def work(many: Iterable[Arrays], all_tokens: bool) -> float:
        return sum(products(shape, batch, 0, all_tokens=all_tokens, head="none") for batch in many)

    random = list(batches.as_numpy_iterator())
    sides = {"ours": lambda name: ours(name, loop, batches, work(random, False))}
    if options.torch:
        job = {"base": str(base.absolute()), "seed": experiment.seed, "settings": settings}
        job |= {"labels": own["labels"], "dropout": own["dropout"]}

        def torch(batches: Sequence[Arrays]) -> Callable[[str], Side]:
            return lambda name: peer(
                name, Peer(options.torch, "torch_bert.py", job, batches), batches, work(batches, True)
            )

        sides |= {"torch": torch(random), "torch, by length": torch([grouped[i] for i in picked])}
    return sides


# --- rounds ---------------------------------------------------------------------------------------------------------


def report(options: argparse.Namespace, sides: list[Side], peaks: list[float], unit: str = "real tokens") -> None:
    """A row a side; ``unit`` is what counts."""
    first = sides[0]

    def ratio(side: Side, cost: str) -> list[float]:
        """What a real token costs there, in units of what it costs the first."""
        pairs = zip(side.costs[1:], first.costs[1:], strict=True)
        return [getattr(a, cost) / side.tokens / (getattr(b, cost) / first.tokens) for a, b in pairs]

    rows = [
        (
            side.name,
            spread([1000 * cost.wall / options.steps for cost in side.costs[1:]], 0),
            spread([1000 * cost.cpu / options.steps for cost in side.costs[1:]], 0),
            spread([side.tokens / cost.wall for cost in side.costs[1:]], 0),
            spread(ratio(side, "wall"), 2),
            spread(ratio(side, "cpu"), 2),
            f"{side.products / options.steps / 1e9:.0f}",
            spread([side.products / c.wall / rate for c, rate in zip(side.costs[1:], peaks[1:], strict=True)], 2),
        )
        for side in sides
    ]
    theirs = "".join(f"; {side.name}: {side.peak / 1e9:.0f}" for side in sides if side.peak)
    table(
        f"{options.what}: {options.rounds} rounds of {options.steps} steps; median (min–max); "
        f"{first.tokens / options.steps:.0f} {unit} a step of {first.name}",
        ("", "wall ms", "CPU ms", "tokens per s", "× ours, wall", "× ours, CPU", "GFLOP", "of the peak"),
        rows,
        [
            f"GFLOP: a step's matrix products. Peak: {spread([rate / 1e9 for rate in peaks[1:]], 0)} GFLOP/s{theirs}",
            f"× ours: what one of the {unit} costs, over {first.name}; its first round: {first.costs[0].wall:.0f} s",
        ],
    )


def rounds(sides: Sequence[Side], number: int) -> list[float]:
    """The sides take turns, ``number`` times after a first one that does not count; returns each turn's peak."""
    peaks = []
    for _ in range(number + 1):
        peaks.append(peak())
        for side in sides:
            side.costs.append(side.round())
    return peaks


def main() -> None:
    """Runs the rounds, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pretraining", "short", "fine_tuning"))
    parser.add_argument("--encoder", default="bert_small", choices=loader.encoder_names())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="in a round")
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter with torch and transformers")
    parser.add_argument("--keras-hub", metavar="PYTHON", help="an interpreter with tensorflow and keras-hub")
    parser.add_argument("--only", metavar="NAME", action="append", help="only these sides; repeatable")
    parser.add_argument("--profile", action="store_true", help="what our step spends its time on, instead of rounds")
    options = parser.parse_args()
    if options.profile:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "fine_tuning":
            sides = fine_tuning(options, folder)
        else:
            compared = Pretraining(options, folder)
            sides = compared.full() if options.what == "pretraining" else compared.short()
        chosen = [build(name) for name, build in sides.items() if name in (options.only or sides)]
        if options.profile:
            chosen[0].round()
            print(profile.text(profile.of(chosen[0].round, folder)))
            return
        peaks = rounds(chosen, options.rounds)
    report(options, chosen, peaks)


if __name__ == "__main__":
    main()
