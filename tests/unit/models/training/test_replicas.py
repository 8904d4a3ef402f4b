"""Two replicas train as one device does. Two CPUs are two devices only in a process of its own: this file again."""

import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[4]
STEPS = 6


@pytest.fixture(scope="module")
def got(tmp_path_factory):
    """What ``main`` found."""
    folder = tmp_path_factory.mktemp("replicas")
    ran = subprocess.run(
        [os.environ["WARM_PYTHON"], "-m", __name__, str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return pickle.loads((folder / "found").read_bytes())


def difference(a, b):
    return max(np.abs(x - y).max() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("kind", ["classification", "pairs"])
def test_weights_and_losses_are_those_of_one_device(got, kind):
    one, two = got[kind, 1], got[kind, 2]
    assert difference(one["start"], two["start"]) == 0.0
    assert difference(one["weights"], one["start"]) > 1e-3
    assert difference(one["weights"], two["weights"]) <= 1e-6
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-5)


def test_weights_and_losses_of_accumulated_gradients_are_those_of_the_whole_batch(got):
    one, two = got["pairs", 1], got["accumulated"]
    assert difference(one["weights"], two["weights"]) <= 1e-6
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-5)


@pytest.mark.parametrize("kind", ["classification", "pairs"])
def test_every_replica_ends_with_the_same_weights(got, kind):
    for copies in got[kind, 2]["copies"]:
        assert len(copies) == 2
        np.testing.assert_array_equal(*copies)


def test_the_shares_are_the_batch(got):
    whole, (first, second) = got["packed"], got["shares"]
    for name in ("token_ids", "padding_mask", "position_ids", "group_ids"):
        np.testing.assert_array_equal(np.concatenate([first[name], second[name]]), whole[name])
    # Unequal ones: a mean of each replica's own would not be the mean of all, and the tests above would fail.
    assert len(first["masked_ids"]) < len(second["masked_ids"])
    np.testing.assert_array_equal(np.concatenate([first["masked_ids"], second["masked_ids"]]), whole["masked_ids"])
    hidden = [part["token_ids"].reshape(-1)[part["masked_indices"]] for part in (first, second)]
    np.testing.assert_array_equal(np.concatenate(hidden), whole["token_ids"].reshape(-1)[whole["masked_indices"]])


def test_a_replica_without_rows_gets_none(got):
    assert [len(part["token_ids"]) for part in got["shares of one row"]] == [0, 1]


@pytest.mark.parametrize("way", ["2 from 1", "1 from 2"])
def test_a_checkpoint_fits_another_number_of_devices(got, way):
    assert got[way]["losses"] == []  # nothing was left to do
    saved = got["classification", int(way[-1])]["copies"]
    for weights, before in zip(got[way]["copies"], saved, strict=True):
        assert len(weights) == int(way[0])
        for copy in weights:
            np.testing.assert_array_equal(copy, before[0])


def test_dropout_draws_other_numbers_on_each_replica_and_the_first_keeps_those_of_one_device(got):
    alone, (first, second) = got["dropped alone"], got["dropped"]
    np.testing.assert_array_equal(first, alone)
    assert difference([first], [second]) > 1e-3


def test_a_model_that_two_trained_is_exported_and_evaluated_like_any(got):
    assert got["exported"] <= 1e-6


# --- in the other process -------------------------------------------------------------------------------------------


def main(folder: pathlib.Path) -> None:
    import keras
    import tensorflow as tf

    from models.bert import heads
    from models.bert.encoder import BertEncoder
    from models.tasks.classification import Task
    from models.training import replicas, training_loop
    from models.training.optimizer import AdamW, LinearSchedule
    from models.training.resume import TrainingState

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # takes longer than it saves here
    strategies = {1: tf.distribute.get_strategy(), 2: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])}
    training_loop._REPORT_SECONDS = 0.0
    task = Task({"labels": ["a", "b"], "dropout": 0.0, "class_weights": {"a": 3.0}, "label_smoothing": 0.1})
    generator = np.random.default_rng(0)

    def rows(count):
        lengths = generator.integers(3, 9, size=count)
        ids = tf.RaggedTensor.from_row_lengths(generator.integers(5, 50, size=lengths.sum()), lengths).to_tensor()
        return {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": ids > 0}

    def masked(batch):
        """One token of the first row, all of the others: unequal shares."""
        grid = tf.reshape(batch["padding_mask"] & (tf.range(len(batch["token_ids"])) > 0)[:, None], [-1]).numpy()
        grid[1] = True
        places = np.flatnonzero(grid).astype(np.int32)
        return {**batch, "masked_indices": places, "masked_ids": generator.integers(5, 50, places.size, np.int32)}

    # The last one has fewer rows than there are replicas.
    sizes = [4, 5, 4, 3, 2, 1]
    data = {
        "classification": [{**rows(n), "label_id": generator.integers(0, 2, n)} for n in sizes],
        "pairs": [{**masked(rows(n)), "next_sentence_label": generator.integers(0, 2, n, np.int32)} for n in sizes],
    }

    def stream(kind):
        batches = data[kind]
        spec = {
            name: tf.TensorSpec([None] * np.ndim(value), tf.as_dtype(value.dtype)) for name, value in batches[0].items()
        }
        return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)

    def built(kind, devices, dropout=0.0):
        replicas.strategy = lambda: strategies[devices]
        keras.utils.set_random_seed(7)
        with replicas.strategy().scope():
            encoder = BertEncoder(
                vocabulary_size=50, num_layers=1, hidden_dim=16, num_heads=2, max_positions=16,
                dropout=dropout, attention_dropout=dropout,
            )  # fmt: skip
            if kind == "classification":
                return task.build(encoder), task.loss
            return heads.PretrainingModel(encoder, next_sentence=True), heads.pretraining_loss

    def trained(kind, devices, name=None, accumulate=1):
        """From the checkpoint called ``name`` where there is one, which is written at the end."""
        model, loss = built(kind, devices)
        start = [variable.numpy() for variable in model.trainable_variables]
        with replicas.strategy().scope():
            optimizer = AdamW(LinearSchedule(1e-2, 2, STEPS))
            optimizer.build(model.trainable_variables)
        state = TrainingState(str(folder / (name or f"{kind}{devices}")), model, optimizer)
        done = state.restore()
        logs = str(folder / "logs")
        loop = training_loop.Loop(
            model, loss, optimizer, state, steps=STEPS, checkpoint_seconds=1e9, logs=logs, accumulate=accumulate
        )
        losses = []
        loop._report = lambda step, loss, *_: losses.append(loss)
        loop.run(stream(kind).skip(done), "")
        loop.save()
        copies = [
            [copy.numpy() for copy in replicas.strategy().experimental_local_results(variable.value)]
            for variable in model.trainable_variables
        ]
        weights = [variable.numpy() for variable in model.trainable_variables]
        return {"start": start, "weights": weights, "losses": losses, "copies": copies, "model": model}

    found = {(kind, devices): trained(kind, devices) for kind in data for devices in (1, 2)}
    for saved, restored in ((1, 2), (2, 1)):
        found[f"{restored} from {saved}"] = trained("classification", restored, name=f"classification{saved}")

    found["accumulated"] = trained("pairs", 2, name="accumulated", accumulate=2)

    def shares(batch):
        parts = [{}, {}]
        for name, values in strategies[2].run(replicas.share, [batch]).items():
            for part, value in zip(parts, strategies[2].experimental_local_results(values), strict=True):
                part[name] = np.asarray(value)
        return parts

    batch = masked(rows(5))
    columns = np.tile(np.arange(batch["token_ids"].shape[1]), (5, 1))
    batch = {name: np.asarray(value) for name, value in batch.items()} | {"position_ids": columns, "group_ids": columns}
    found["packed"], found["shares"], found["shares of one row"] = batch, shares(batch), shares(rows(1))
    batch = data["classification"][0]

    def dropped(devices):
        model, _ = built("classification", devices, dropout=0.5)
        replicas.diverge(model)
        logits = tf.function(replicas.strategy().run, autograph=False)(lambda: model(batch, training=True)["logits"])
        return [each.numpy() for each in replicas.strategy().experimental_local_results(logits)]

    (found["dropped alone"],), found["dropped"] = dropped(1), dropped(2)

    model = found["classification", 2]["model"]
    inputs = {name: batch[name] for name in ("token_ids", "segment_ids", "padding_mask")}
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = {name: tf.TensorSpec([None, None], value.dtype) for name, value in inputs.items()}
    archive.add_endpoint("serve", lambda given: model(given, training=False)["logits"], [signature])
    archive.write_out(str(folder / "model"), verbose=False)
    loaded = tf.saved_model.load(str(folder / "model"))
    expected = found["classification", 1]["model"](inputs, training=False)["logits"]
    found["exported"] = float(tf.reduce_max(tf.abs(loaded.serve(inputs) - expected)))

    for each in found.values():
        if isinstance(each, dict):
            each.pop("model", None)
    (folder / "found").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
