"""The training loop: a killed training ends with the weights of an uninterrupted one."""

import types
import uuid

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.storage import files
from components.storage import s3 as s3_module
from models import progress
from models.bert.encoder import BertEncoder
from models.bert.heads import PretrainingModel, pretraining_loss
from models.tasks.classification import Task
from models.training.optimizer import AdamW, LinearSchedule
from models.training.resume import TrainingState
from models.training.training_loop import Loop, NotFinite

STEPS = 6


def rows():
    generator = np.random.default_rng(0)
    lengths = generator.integers(3, 9, size=40)
    ids = tf.RaggedTensor.from_row_lengths(generator.integers(5, 50, size=lengths.sum()), lengths)
    labels = tf.constant(generator.integers(0, 2, size=40))
    return tf.data.Dataset.from_tensor_slices({"token_ids": ids, "segment_ids": ids * 0, "label_id": labels})


def training(folder, rate=1e-3, steps=STEPS, checkpoint_seconds=0.0, frozen=None):
    keras.utils.set_random_seed(7)
    task = Task({"labels": ["a", "b"]})
    model = task.build(
        BertEncoder(vocabulary_size=50, num_layers=2, hidden_dim=16, num_heads=2, intermediate_dim=32, max_positions=16)
    )
    if frozen is not None:
        model.encoder.freeze(frozen)
    optimizer = AdamW(LinearSchedule(rate, 2, steps))
    optimizer.build(model.trainable_variables)
    kept = f"{folder}/checkpoints"
    state = TrainingState(kept, model, optimizer, files.mirrored(kept))
    logs = f"ram://{uuid.uuid4()}/logs" if str(folder).startswith("s3://") else f"{folder}/logs"  # a node's artifact
    loop = Loop(model, task.loss, optimizer, state, steps=steps, checkpoint_seconds=checkpoint_seconds, logs=logs)
    return task, model, state, loop


def batches(task, start):
    return task.batches(rows(), batch_size=4, seed=1, epoch=0, start_step=start)


def weights(model):
    return [variable.numpy() for variable in model.trainable_variables]


@pytest.mark.parametrize(("kill_at", "where"), [(1, "disk"), (4, "disk"), (4, "bucket"), (4, "s3")])
def test_resumed_training_ends_with_the_same_weights(request, tmp_path, kill_at, where):
    """``ram://``, TensorFlow's file system in memory, stands for a bucket: the calls that reach it reach gs://."""
    task, whole, _, loop = training(tmp_path / "whole")
    killed = {"disk": tmp_path / "killed", "bucket": f"ram://{uuid.uuid4()}/killed", "s3": "s3://bucket/killed"}[where]
    if where == "s3":
        request.getfixturevalue("s3")
    loop.run(batches(task, 0), "epoch 1/1")

    task, _, _, loop = training(killed)
    loop.run(batches(task, 0).take(kill_at), "epoch 1/1")
    loop.save()
    task, resumed, state, loop = training(killed)  # dropout seeds and moments start anew
    assert state.restore() == kill_at
    loop.run(batches(task, kill_at), "epoch 1/1")

    for expected, got in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("stops_at", [".data-00000-of-00001", ".index", "checkpoint"])
def test_a_save_to_s3_that_is_cut_short_leaves_the_one_before_it(s3, monkeypatch, tmp_path, stops_at):
    task, _, state, loop = training("s3://bucket/killed")
    loop.run(batches(task, 0).take(2), "")
    loop.save()
    assert state.keep_best(0.5)
    upload = s3_module.upload

    def killed(source, target):
        if target.endswith(stops_at):
            raise KeyboardInterrupt
        upload(source, target)

    loop.run(batches(task, 2).take(2), "")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(s3_module, "upload", killed)
        loop.save()
    _, _, resumed, _ = training("s3://bucket/killed")
    assert resumed.restore() == 2
    resumed.restore_best()


@pytest.mark.parametrize(("frozen", "kept"), [(0, 5), (1, 17)])
def test_frozen_weights_stay_as_they_are_bit_by_bit(tmp_path, frozen, kept):
    task, model, _, loop = training(tmp_path, frozen=frozen)
    start = [variable.numpy() for variable in model.weights]
    loop.run(batches(task, 0), "")
    loop.save()
    same = [
        variable.path.removeprefix("encoder/").partition("/")[0]
        for variable, before in zip(model.weights, start, strict=True)
        if np.array_equal(variable, before)
    ]
    assert len(same) == kept
    assert set(same) == {"token_embedding", "position_embedding", "segment_embedding", "embedding_norm"} | {
        f"block_{i}" for i in range(frozen)
    }
    assert len(loop.optimizer.means) == len(start) - kept
    _, again, state, _ = training(tmp_path, frozen=frozen)
    assert state.restore() == STEPS
    for variable, expected in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(variable, expected)


def test_without_the_seeds_the_weights_differ(tmp_path):
    """The test above could not fail if dropout drew nothing."""
    task, first, _, loop = training(tmp_path / "first")
    loop.run(batches(task, 0), "")
    task, second, _, loop = training(tmp_path / "second")
    second.encoder.seeds.next()
    loop.run(batches(task, 0), "")
    assert any(not np.allclose(a, b, atol=1e-6) for a, b in zip(weights(first), weights(second), strict=True))


def test_a_truncated_checkpoint_is_named_and_the_one_before_it_is_taken(tmp_path, caplog):
    task, _, _, loop = training(tmp_path)
    for done in (2, 4):
        loop.run(batches(task, int(loop.state.step)).take(2), "")
        loop.save()
        assert int(loop.state.step) == done
    newest = tmp_path / "checkpoints" / "ckpt-4.data-00000-of-00001"
    newest.write_bytes(newest.read_bytes()[:1000])

    _, _, state, _ = training(tmp_path)
    assert state.restore() == 2
    notices = [record.event for record in caplog.records if isinstance(getattr(record, "event", None), progress.Notice)]
    assert "ckpt-4 cannot be read" in notices[0].text


def test_a_loss_that_is_no_number_names_step_and_rate_and_keeps_the_checkpoint(tmp_path):
    task, _, _, loop = training(tmp_path)
    loop.run(batches(task, 0).take(2), "")
    loop.save()
    good = loop.loss
    loop.loss = lambda outputs, batch: good(outputs, batch) * np.nan
    loop._step_function = None
    with pytest.raises(NotFinite, match=r"became nan at step 3 of 6 \(learning rate 1.0e-03\)"):
        loop.run(batches(task, 2), "")
    assert training(tmp_path)[2].restore() == 2


def test_checkpoints_come_inside_an_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr("models.training.training_loop._REPORT_SECONDS", 0.0)
    task, _, _, loop = training(tmp_path)
    loop.run(batches(task, 0).take(4), "")
    assert (tmp_path / "checkpoints/ckpt-3.index").is_file()


def test_progress_counts_real_tokens_and_ends_at_the_last_step(tmp_path, caplog):
    caplog.set_level("INFO", "tfx_bert")
    task, _, _, loop = training(tmp_path)
    loop.run(batches(task, 0), "epoch 1/1")
    last = [record.event for record in caplog.records if isinstance(getattr(record, "event", None), progress.Step)][-1]
    assert (last.step, last.steps, last.phase, last.seconds_left) == (STEPS, STEPS, "epoch 1/1", 0.0)
    assert last.units_per_second > 0


def test_best_weights_come_back(tmp_path):
    task, model, state, loop = training(tmp_path)
    loop.run(batches(task, 0).take(2), "")
    assert state.keep_best(0.5)
    best = weights(model)
    loop.run(batches(task, 2).take(2), "")
    assert not state.keep_best(0.4)
    state.restore_best()
    for expected, got in zip(best, weights(model), strict=True):
        np.testing.assert_array_equal(got, expected)


# --- accumulation ---------------------------------------------------------------------------------------------------


def pretraining(folder, dropout=0.0, next_sentence=True, **how):
    """A loop that computes as ``how`` says."""
    keras.utils.set_random_seed(7)
    encoder = BertEncoder(
        vocabulary_size=50, num_layers=1, hidden_dim=16, num_heads=2, max_positions=16,
        dropout=dropout, attention_dropout=dropout,
    )  # fmt: skip
    model = PretrainingModel(encoder, next_sentence)
    optimizer = AdamW(LinearSchedule(1e-2, 2, STEPS))
    optimizer.build(model.trainable_variables)
    state, logs = TrainingState(f"{folder}/checkpoints", model, optimizer), f"{folder}/logs"
    loop = Loop(model, pretraining_loss, optimizer, state, steps=STEPS, checkpoint_seconds=1e9, logs=logs, **how)
    return model, loop


def pairs():
    """Batches whose masks are spread unevenly."""
    generator = np.random.default_rng(0)
    steps = []
    for count in (6, 6, 5, 4, 6, 1):  # the last ones have parts of unequal and of no rows
        lengths = generator.integers(3, 9, size=count)
        ids = (generator.integers(5, 50, size=(count, 9)) * (np.arange(9) < lengths[:, None])).astype(np.int32)
        grid = (ids > 0) & ((np.arange(count) > 1)[:, None] | (np.arange(9) == 1))
        places = np.flatnonzero(grid).astype(np.int32)
        labels = generator.integers(0, 2, count, np.int32)
        steps.append({"token_ids": ids, "segment_ids": ids * 0, "padding_mask": ids > 0, "masked_indices": places,
                      "masked_ids": ids.reshape(-1)[places], "next_sentence_label": labels})  # fmt: skip
    spec = {name: tf.TensorSpec([None] * value.ndim, value.dtype) for name, value in steps[0].items()}
    return tf.data.Dataset.from_generator(lambda: iter(steps), output_signature=spec)


def losses(caplog):
    return [event.loss for event in (getattr(record, "event", None) for record in caplog.records) if event]


def test_the_mean_of_the_weights_outlives_a_restart(tmp_path):
    def state_of():
        model = keras.layers.Dense(2)
        model.build((None, 3))
        optimizer = AdamW(LinearSchedule(1e-2, 2, STEPS))
        optimizer.build(model.trainable_variables)
        return model, TrainingState(str(tmp_path / "kept"), model, optimizer, averages=True)

    model, state = state_of()
    for value in (1.0, 2.0):
        model.kernel.assign(np.full((3, 2), value))
        state.average()
    state.save()
    model, state = state_of()
    state.restore()
    model.kernel.assign(np.full((3, 2), 9.0))
    state.average()
    assert int(state.averaged) == 3
    np.testing.assert_array_equal(model.kernel, np.full((3, 2), 9.0))
    state.use_average()
    np.testing.assert_allclose(model.kernel, np.full((3, 2), 4.0), rtol=1e-6)


@pytest.mark.parametrize("accumulate", [2, 3])
def test_micro_batches_train_as_the_whole_batch_does(tmp_path, accumulate, caplog):
    caplog.set_level("INFO", "tfx_bert")
    whole, loop = pretraining(tmp_path / "whole")
    start = weights(whole)
    loop.run(pairs(), "")
    parts, loop = pretraining(tmp_path / "parts", accumulate=accumulate)
    loop.run(pairs(), "")
    assert max(np.abs(a - b).max() for a, b in zip(start, weights(whole), strict=True)) > 1e-3
    for expected, got in zip(weights(whole), weights(parts), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    one, other = losses(caplog)
    assert other == pytest.approx(one, rel=1e-5)


def test_accumulated_training_resumes_to_the_same_weights(tmp_path):
    whole, loop = pretraining(tmp_path / "whole", 0.1, accumulate=2)
    loop.run(pairs(), "")
    _, loop = pretraining(tmp_path / "killed", 0.1, accumulate=2)
    loop.run(pairs().take(3), "")
    loop.save()
    resumed, loop = pretraining(tmp_path / "killed", 0.1, accumulate=2)
    assert loop.state.restore() == 3
    loop.run(pairs().skip(3), "")
    for expected, got in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_array_equal(got, expected)


# --- XLA and bfloat16 -----------------------------------------------------------------------------------------------


def packed(jit_compile):
    """Two texts a row, as ``pretraining_data`` makes them; with ``jit_compile`` filled up to seven masked tokens."""
    generator = np.random.default_rng(0)
    steps = []
    for masked in (5, 3, 7, 4, 6, 2):
        ids = generator.integers(5, 50, size=(4, 12), dtype=np.int32)
        position, group = (np.tile(row, (4, 1)).astype(np.int32) for row in ([*range(7), *range(5)], [1] * 7 + [2] * 5))
        places = np.sort(generator.choice(48, masked, replace=False)).astype(np.int32)
        hidden = ids.reshape(-1)[places]
        if jit_compile:
            places, hidden = (
                np.pad(each, (0, 7 - masked), constant_values=v) for each, v in ((places, 0), (hidden, -1))
            )
        steps.append({"token_ids": ids, "segment_ids": ids * 0, "padding_mask": ids > 0, "position_ids": position,
                      "group_ids": group, "masked_indices": places, "masked_ids": hidden})  # fmt: skip
    spec = {name: tf.TensorSpec([None] * value.ndim, value.dtype) for name, value in steps[0].items()}
    return tf.data.Dataset.from_generator(lambda: iter(steps), output_signature=spec)


@pytest.mark.parametrize(
    ("how", "tolerance"),
    # Of the change of all weights. Eight bits of bfloat16 are two or three digits of each product.
    [
        ({"jit_compile": True}, 1e-5),
        ({"precision": "bfloat16"}, 0.05),
        ({"jit_compile": True, "precision": "bfloat16"}, 0.05),
    ],
    ids=str,
)
def test_compiled_and_bfloat16_steps_train_as_plain_ones(tmp_path, caplog, how, tolerance):
    caplog.set_level("INFO", "tfx_bert")
    plain, loop = pretraining(tmp_path / "plain", next_sentence=False)
    start = weights(plain)
    loop.run(packed(False), "")
    model, loop = pretraining(tmp_path / "other", next_sentence=False, **how)
    loop.run(packed("jit_compile" in how), "")
    one, other = losses(caplog)
    assert other == pytest.approx(one, rel=min(tolerance, 1e-3))
    changes = [
        np.concatenate([(a - b).ravel() for a, b in zip(weights(each), start, strict=True)]) for each in (plain, model)
    ]
    assert np.linalg.norm(changes[1] - changes[0]) < tolerance * np.linalg.norm(changes[0])
    assert (np.abs(changes[1] - changes[0]).max() > 1e-6) == ("precision" in how)
    assert bool(loop._step_function._jit_compile) == ("jit_compile" in how)
    # What follows training computes in float32.
    assert {value.dtype for value in weights(model)} == {np.dtype("float32")}
    assert model(next(iter(packed(False))))["mlm_logits"].dtype == tf.float32


def test_a_step_of_several_devices_is_not_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr("models.training.replicas.strategy", lambda: types.SimpleNamespace(num_replicas_in_sync=2))
    with pytest.raises(ValueError, match="one device, and there are 2: remove it"):
        pretraining(tmp_path, jit_compile=True)
