"""How many vowels a word has: a linear layer over the sum of its letters' vectors."""

import keras
from typing_extensions import override

from models import task
from models.tasks import regression

Config = regression.Config


class Counter(keras.layers.Layer):
    def __init__(self, network):
        super().__init__(name="counter")
        self.network, self.logits = network, keras.layers.Dense(1, name="logits")
        self.logits.build((None, network.hidden_dim))
        self.built = True

    def call(self, batch, training=False):
        return {"logits": self.logits(self.network(batch))}


class Task(regression.Task):
    """A number as regression's, of another family's records."""

    family = "tests.toy.family"
    schema = "tests.toy.words"
    head = None
    slices = {}
    baselines = ("mean",)

    @override
    def featurize(self, record, tokenizer):
        ids = tokenizer.ids(record["word"])[:, : self.config.max_length]
        return {"token_ids": ids, **(self.target(record) if "label" in record else {})}

    @override
    def batches(self, rows, *, batch_size, seed, epoch, start_step=0):
        kept = rows.map(lambda row: {name: row[name] for name in ("token_ids", *self.targets)})
        shuffled = kept.shuffle(1000, seed=seed * 1000 + epoch, reshuffle_each_iteration=False)
        return task.pad(shuffled.skip(start_step * batch_size), batch_size)

    @override
    def build(self, encoder):
        return Counter(encoder)
