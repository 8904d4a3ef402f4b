"""The peer of our pretraining: KerasHub's BertMaskedLM through ``fit``, compiled by XLA.

    PEER_PYTHON benchmarks/peers/keras_hub_bert.py JOB.json

Runs in an environment of its own (tensorflow, tensorflow-text, keras-hub), so it imports nothing of this project.
Answers every line of standard input with a timed round over the batches of an ``.npz``.
"""

import contextlib
import json
import os
import pathlib
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import keras_hub
import numpy as np
import tensorflow as tf


def build(job):
    """The compiled model. Biases and LayerNorm are not decayed."""
    keras.utils.set_random_seed(job["seed"])
    shape, settings = job["encoder"], job["settings"]
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=job["vocabulary"],
        num_layers=shape["num_layers"],
        num_heads=shape["num_heads"],
        hidden_dim=shape["hidden_dim"],
        intermediate_dim=shape["intermediate_dim"],
        dropout=shape["dropout"],
        max_sequence_length=shape["max_positions"],
    )
    model = keras_hub.models.BertMaskedLM(backbone)
    rate = keras.optimizers.schedules.PolynomialDecay(settings["learning_rate"], job["steps"], 0.0)
    optimizer = keras.optimizers.AdamW(
        rate, weight_decay=settings["weight_decay"], global_clipnorm=settings["clip_norm"]
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, metrics=[], weighted_metrics=[], jit_compile=True)
    return model


def batches(job):
    """As ``fit`` takes them: as many hidden tokens in every row."""
    stored = np.load(job["batches"])

    def each():
        for i in range(job["count"]):
            ids = stored[f"token_ids_{i}"]
            rows, length = ids.shape
            places = stored[f"masked_indices_{i}"].reshape(rows, -1)
            inputs = {
                "token_ids": ids,
                "segment_ids": stored[f"segment_ids_{i}"],
                "padding_mask": stored[f"padding_mask_{i}"].astype(np.int32),
                "mask_positions": (places - length * np.arange(rows)[:, None]).astype(np.int32),
            }
            yield inputs, stored[f"masked_ids_{i}"].reshape(rows, -1)

    found = list(each())
    inputs = {name: np.stack([x[name] for x, _ in found]) for name in found[0][0]}
    options = tf.data.Options()
    options.autotune.enabled = False  # the end of an epoch may wait for it: docs/speed.md
    return tf.data.Dataset.from_tensor_slices((inputs, np.stack([y for _, y in found]))).with_options(options)


def main():
    """Answers on standard output; what libraries say goes to standard error."""
    job = json.loads(pathlib.Path(sys.argv[1]).read_text("utf-8"))
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        model, data = build(job), batches(job)
        print(json.dumps({"peak": None}), file=answers, flush=True)  # TensorFlow's is measured
        for _ in sys.stdin:
            wall, cpu = time.perf_counter(), time.process_time()
            history = model.fit(data, epochs=1, verbose=0)
            seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            print(json.dumps({**seconds, "loss": history.history["loss"][0]}), file=answers, flush=True)


if __name__ == "__main__":
    main()
