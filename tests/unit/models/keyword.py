"""A classifier that has learned one thing: whether a text has the word "key"."""

import functools

import keras
import numpy as np
import tensorflow as tf

from models.bert.encoder import BertEncoder
from models.tasks.classification import Task
from models.text.tokenization import SPECIAL, TextRules, Tokenizer

WORDS = [f"w{number}" for number in range(20)]
TOKENIZER = Tokenizer([*SPECIAL, "key", *WORDS], TextRules("uncased_nfc"))


def texts(count, seed):
    """Of 4 to 9 words, half of them with the key word at a random place; and which these are."""
    generator = np.random.default_rng(seed)
    found, has_key = [], []
    for number in range(count):
        words = list(generator.choice(WORDS, generator.integers(4, 10)))
        if number % 2:
            words[generator.integers(len(words))] = "key"
        found.append(" ".join(words))
        has_key.append(number % 2)
    return found, np.array(has_key)


@functools.cache
def trained():
    """The task and its model, right about nearly all texts."""
    keras.utils.set_random_seed(5)
    encoder = BertEncoder(vocabulary_size=TOKENIZER.size, num_layers=2, hidden_dim=32, num_heads=2, max_positions=16)
    task = Task({"labels": ["no", "yes"], "max_length": 12, "dropout": 0.0})
    model = task.build(encoder)
    optimizer = keras.optimizers.Adam(2e-3)
    given, right = texts(2048, seed=1)

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            loss = task.loss(model(batch, training=True), batch)
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )

    for number in range(192):
        place = number % 32 * 64
        features = task.featurize({"text": tf.constant(given[place : place + 64])}, TOKENIZER)
        step({**task.inputs(features), "label_id": tf.constant(right[place : place + 64])})
    asked, wanted = texts(256, seed=2)
    features = task.featurize({"text": tf.constant(asked)}, TOKENIZER)
    answers = model(task.inputs(features))["logits"].numpy().argmax(axis=1)
    assert (answers == wanted).mean() > 0.98
    return task, model
