"""What the benchmark of translation measures: verses in batches, a network with known weights, and its export."""

import csv
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from benchmarks.measure import BUILD
from models import families, task
from models.export import saved_model
from models.text import wordpiece
from models.text.reserved import RESERVED
from models.text.tokenization import TextRules, Tokenizer
from models.training.optimizer import AdamW, LinearSchedule
from models.training.resume import TrainingState
from models.training.training_loop import Loop
from models.translation import checkpoint
from models.translation.transformer import Transformer
from pipeline import loader

FOLDER = BUILD / "translation"
RULES = TextRules("spaced", reserve=RESERVED)
PIECES = 8000
WORDS = 25  # of each sentence that is translated
STEPS = 1_000_000  # of a schedule that a benchmark does not reach the end of
Arrays = Mapping[str, np.ndarray]


class Translators:
    """Networks of ``configs/encoders/NAME.yaml`` for ``configs/experiments/bible_es.yaml``.

    Args:
      encoder: its name.
      given: a folder of trained weights and their vocabulary; None: random weights.
    """

    def __init__(self, encoder: str, given: Path | None) -> None:
        experiment = loader.load("bible_es", (f"encoder={encoder}",))
        assert experiment.task is not None and experiment.encoder is not None
        with Path(experiment.task.data.path[0]).open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            self.pairs = list(dict.fromkeys((row["en"], row["es"]) for row in rows))
        random.Random(1).shuffle(self.pairs)
        self.given, self.settings = given, experiment.train.model_dump(mode="json")
        self.shape = experiment.encoder.arguments()
        self.tokenizer = Tokenizer(self._vocabulary(), RULES)
        self.task = task.load("translation")(experiment.task.own()).fitted(None, None, self.tokenizer)

    def _vocabulary(self) -> list[str]:
        if self.given:
            return (self.given / "vocab.txt").read_text("utf-8").splitlines()
        texts = tf.constant([side for pair in self.pairs for side in pair])
        return list(wordpiece.learn(wordpiece.count([texts], RULES), PIECES, RESERVED))

    def network(self, folder: Path | None) -> Transformer:
        """With the weights of ``folder``, or random ones."""
        keras.utils.set_random_seed(1)
        family = families.load("translation")
        network: Transformer = family.network(None if folder else self.shape, self.tokenizer, folder)
        if folder:
            checkpoint.load(folder, network)
        return network

    def saved(self, network: Transformer, name: str) -> Path:
        """A folder with the network's weights, which transformers loads."""
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        checkpoint.save(FOLDER / name, network, self.tokenizer)
        return FOLDER / name

    def batches(self, steps: int, pairs: int) -> tf.data.Dataset:
        """The Trainer's batches of some pairs, in memory."""
        texts, targets = map(list, zip(*self.pairs[:pairs], strict=True))
        featurize = tf.function(lambda record: self.task.featurize(record, self.tokenizer), autograph=False)
        features = featurize({"text": tf.constant(texts), "target": tf.constant(targets)})
        kept = {name: features[name] for name in self.task.targets}
        rows = self.task.training_rows(tf.data.Dataset.from_tensor_slices(kept)).cache()
        sizes = {name: self.settings[name] for name in ("batch_size", "batch_tokens")}
        return self.task.batches(rows, seed=1, epoch=0, **sizes).take(steps).cache()

    def loop(self, network: Transformer, logs: Path) -> Loop:
        """At its first step; the learning rate stays as it is."""
        model = self.task.build(network)
        schedule = LinearSchedule(self.settings["learning_rate"], 0, 10**12)
        decayed = {name: self.settings[name] for name in ("weight_decay", "clip_norm", "beta_2")}
        optimizer = AdamW(schedule, **decayed)
        optimizer.build(model.trainable_variables)
        state = TrainingState(str(logs), model, optimizer)
        return Loop(
            model, self.task.loss, optimizer, state, steps=STEPS, logs=str(logs), checkpoint_seconds=float("inf")
        )

    def first_loss(self, network: Transformer, batch: Arrays) -> float:
        """Of a batch, without dropout."""
        return float(self.task.loss(self.task.build(network)(batch, training=False), batch))

    def translating(self) -> Path:
        """The folder of the weights that translate. Random ones never end: the logit of [SEP] is 0 everywhere."""
        if self.given:
            return self.given
        network = self.network(None)
        table = network.token_embedding
        table.assign(tf.where(tf.range(self.tokenizer.size)[:, None] == self.tokenizer.sep_id, 0.0, table))
        return self.saved(network, "endless")

    def exported(self, folder: Path) -> Path:
        """The SavedModel of a folder's weights, as the Trainer writes it."""
        out = FOLDER / "export" / "1"
        shutil.rmtree(out, ignore_errors=True)
        saved_model.write(
            str(out),
            family="translation",
            model=self.task.build(self.network(folder)),
            the_task=self.task,
            featurize=lambda record: self.task.featurize(record, self.tokenizer),
            raw_spec={"text": tf.io.FixedLenFeature([], tf.string)},
            gold_spec={"target": tf.io.RaggedFeature(tf.string)},
        )
        return out

    def sentences(self, number: int) -> list[str]:
        """Sources of ``WORDS`` words each."""
        return [text for text, _ in self.pairs if len(text.split()) == WORDS][:number]

    def asked(self, texts: Sequence[str]) -> Arrays:
        """The ids of sources, padded, as a peer takes them."""
        ids = self.task.featurize({"text": tf.constant(list(texts))}, self.tokenizer)["token_ids"]
        return {"token_ids": ids.to_tensor().numpy(), "padding_mask": tf.sequence_mask(ids.row_lengths()).numpy()}

    def written(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """What a peer's ids say."""
        special = {self.tokenizer.vocabulary.index(f"[{name}]") for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
        kept = tf.ragged.constant([[piece for piece in row if piece not in special] for row in ids], tf.int64)
        none = tf.fill([len(ids), len(RULES.reserve)], "")
        return [text.decode() for text in self.tokenizer.detokenize(kept, none).numpy()]

    def length(self, text: str) -> int:
        """Pieces of an answer, its end included."""
        return int(tf.size(self.tokenizer.tokenize([text]).flat_values)) + 1


def products(network: Transformer, batch: Arrays, *, all_tokens: bool) -> float:
    """Operations of the matrix products of a training step: two a multiplication, the backward pass has twice as many.

    Args:
      network: whose shape counts.
      batch: padded.
      all_tokens: whether everything is computed on padding too.
    """
    (rows, s), (_, t) = batch["token_ids"].shape, batch["target_in"].shape
    d, f = network.hidden_dim, network.intermediate_dim
    source, target = (
        batch[name].size if all_tokens else int(batch[name].sum()) for name in ("padding_mask", "target_mask")
    )
    encoder = network.num_layers * (source * (4 * d * d + 2 * d * f) + 2 * rows * s * s * d)
    decoder = target * (6 * d * d + 2 * d * f) + source * 2 * d * d + 2 * rows * (t * t + t * s) * d
    return 6.0 * (encoder + network.num_decoder_layers * decoder + target * d * network.vocabulary_size)
