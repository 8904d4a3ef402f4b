"""Words, letter by letter: a sum of a vector for each letter. A checkpoint is one ``.npz`` file."""

from typing import Annotated

import keras
import numpy as np
import pydantic
import tensorflow as tf
from typing_extensions import override

from models import families, task
from models.families import Cost, Endpoint, Input

GOLDEN = ("banana", "", "sky", "a" * 5000, "aeiou", "été", " ", "x\0y", "한글", "🙂")


class Network(keras.layers.Layer):
    """``token_ids`` int64 (B, S), ``padding_mask`` bool (B, S) to (B, D)."""

    def __init__(self, vocabulary_size, hidden_dim):
        super().__init__(name="letters")
        self.hidden_dim = hidden_dim
        self.table = self.add_weight(name="table", shape=(vocabulary_size, hidden_dim), initializer="glorot_uniform")
        self.built = True

    @property
    def layers_of_variables(self):
        return [[self.table]]

    def freeze(self, blocks):
        self.table.trainable = False

    def call(self, batch):
        vectors = keras.ops.take(self.table, batch["token_ids"], axis=0)
        return tf.reduce_sum(vectors * tf.cast(batch["padding_mask"], vectors.dtype)[..., None], axis=1)


class Shape(families.Shape):
    hidden_dim: Annotated[int, pydantic.Field(ge=1)] = 4


class Family(families.Family):
    shape = Shape
    vocabulary = "tests.toy.letters"
    inputs = (Input("word", GOLDEN, lambda count: ("banana" * count)[:count]),)
    signatures = ("serving_default", "serving_examples", "transform_features", "vector")

    @override
    def network(self, shape, vocabulary, start):
        if start is None:
            return Network(vocabulary.size, shape["hidden_dim"])
        size, width = np.load(start / "weights.npz")["table"].shape
        if size != vocabulary.size:
            raise ValueError(f"{start} has {size} letters, the records were read with {vocabulary.size}")
        return Network(size, width)

    @override
    def load(self, folder, network):
        network.table.assign(np.load(folder / "weights.npz")["table"])

    @override
    def save(self, folder, model, the_task, vocabulary):
        folder.mkdir(parents=True)
        np.savez(folder / "weights.npz", table=model.network.table.numpy())

    @override
    def record(self, arguments):
        return {"word": tf.strings.unicode_split(arguments["word"], "UTF-8")}

    @override
    def example(self, arguments):
        example = tf.train.Example()
        example.features.feature["word"].bytes_list.value.extend(letter.encode() for letter in arguments["word"])
        return example

    @override
    def parse(self, line, names):
        if len(line.split()) != 1:
            raise ValueError("this model takes one word")
        return {"word": line.strip()}

    @override
    def endpoints(self, model, the_task, features_of, inputs):
        def vector(record):
            return {"vector": model.network(task.dense({"token_ids": features_of(record)["token_ids"]}))}

        return {"vector": Endpoint(vector, inputs)}

    @override
    def longest_row(self, model, the_task):
        return the_task.config.max_length

    @override
    def summarize(self, batches, vocabulary, config):
        lengths = [length for batch in batches for length in batch["token_ids"].row_lengths().numpy()]
        return f"{np.mean(lengths or [0]):.1f} letters mean"

    @override
    def describe(self, model, vocabulary):
        return f"a vector of {model.network.hidden_dim} numbers for each of {len(vocabulary.letters)} letters"

    @override
    def cost(self, shape, vocabulary_size):
        width = shape["hidden_dim"]
        return Cost(parameters=vocabulary_size * width, multiplied=width, activations=4.0 * width)
