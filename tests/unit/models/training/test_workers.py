"""Two workers train as one process does. Each is a process of its own with a TF_CONFIG: this file again."""

import json
import os
import pathlib
import pickle
import signal
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.bert import heads
from models.bert.encoder import BertEncoder
from models.pretraining import pretraining_data
from models.pretraining.masking import Ids
from models.tasks.classification import Task
from models.training import replicas, training_loop
from models.training.optimizer import AdamW, LinearSchedule
from models.training.resume import TrainingState

ROOT = pathlib.Path(__file__).parents[4]
STEPS, KILLED_AT = 6, 3
CHIEF, WORKER = TASKS = [{"type": "chief", "index": 0}, {"type": "worker", "index": 0}]
WHOLE = {"classification": 0.0, "packed": 0.0, "dropped": 0.5}
SPEC = {"token_ids": tf.io.RaggedFeature(tf.int64, "values", [tf.io.RaggedFeature.RowLengths("lengths")])}
IDS = Ids(size=50, pad=0, unk=1, cls=2, sep=3, mask=4)


def free_port():
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return taken.getsockname()[1]


def started(job, folder):
    """Both workers of a job, to their ends: exit codes, and what each found."""
    cluster = {task["type"]: [f"localhost:{free_port()}"] for task in TASKS}
    files = [folder / f"{job}-{task['type']}" for task in TASKS]
    children = [
        subprocess.Popen(
            [os.environ["WARM_PYTHON"], "-m", __name__, job, str(folder), str(file)],
            cwd=ROOT,
            env={**os.environ, "TF_CONFIG": json.dumps({"cluster": cluster, "task": task})},
            stderr=file.with_suffix(".log").open("w"),
        )
        for task, file in zip(TASKS, files, strict=True)
    ]
    codes = [child.wait() for child in children]
    logs = [file.with_suffix(".log").read_text()[-3000:] for file in files]
    return codes, logs, [pickle.loads(file.read_bytes()) if file.exists() else None for file in files]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One process, two workers of which one is killed, and both once more."""
    folder = tmp_path_factory.mktemp("workers")
    write(folder / "corpus.gz")
    alone = {kind: trained(kind, folder, "alone") for kind in ("classification", "packed")}
    first = started("first", folder)
    return alone, first, started("second", folder)


def difference(a, b):
    return max(np.abs(x - y).max() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("kind", ["classification", "packed"])
def test_weights_and_losses_are_those_of_one_process(ran, kind):
    alone, (_, logs, (chief, worker)), _ = ran
    assert worker, logs
    assert difference(alone[kind]["weights"], alone[kind]["start"]) > 1e-3
    assert (
        difference(chief[kind]["weights"], alone[kind]["weights"]) <= 1e-5
    )  # gRPC sums in another order; 1.1e-6 was seen
    assert difference(chief[kind]["weights"], worker[kind]["weights"]) == 0.0
    for each in (chief, worker):
        np.testing.assert_allclose(each[kind]["losses"], alone[kind]["losses"], rtol=1e-5)


def test_dropout_draws_other_numbers_on_each_worker_and_they_stay_apart(ran):
    _, (*_, (chief, worker)), _ = ran
    assert difference(chief["dropped"]["weights"], chief["classification"]["weights"]) > 1e-3
    assert difference(chief["dropped"]["weights"], worker["dropped"]["weights"]) == 0.0
    for mine, others in zip(chief["dropped"]["seeds"], worker["dropped"]["seeds"], strict=True):
        np.testing.assert_array_equal(others - mine, [1 << 32, 0])


def test_a_killed_worker_ends_the_other_and_a_restart_of_both_ends_with_the_same_weights(ran):
    _, (codes, logs, (chief, _)), (restarted, relogs, (again, others)) = ran
    assert codes == [1, -signal.SIGKILL], logs
    assert "WorkerLost: another worker of this training ended, and its log says why; " in logs[0]
    assert restarted == [0, 0], relogs
    assert again["begun"] == others["begun"] == KILLED_AT
    assert difference(again["resumed"]["weights"], chief["dropped"]["weights"]) == 0.0
    assert difference(others["resumed"]["weights"], chief["dropped"]["weights"]) == 0.0


def test_workers_that_begin_at_different_steps_are_told_so(ran):
    _, _, (*_, found) = ran
    for each in found:
        assert each["apart"].startswith("the workers begin at different steps (0, 6): ")


def test_the_chief_alone_writes(ran):
    *_, (*_, found) = ran
    assert [each["events"] for each in found] == [1, 0]
    assert [each["checkpoints"] for each in found] == [1, 0]


@pytest.mark.parametrize(
    ("jobs", "task", "writes"),
    [
        (["chief", "worker"], CHIEF, True),
        (["chief", "worker"], WORKER, False),
        (["worker"], WORKER, True),
        (["worker"], {"type": "worker", "index": 1}, False),
    ],
)
def test_the_first_worker_is_the_chief_where_none_is_named(monkeypatch, jobs, task, writes):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {job: ["a:1", "b:1"] for job in jobs}, "task": task}))
    assert replicas.chief() == writes


# --- in any process -------------------------------------------------------------------------------------------------


def write(path):
    """Twenty documents of a sentence each."""
    generator = np.random.default_rng(0)
    with tf.io.TFRecordWriter(str(path), options="GZIP") as writer:
        for length in generator.integers(3, 9, 20):
            record = tf.train.Example()
            record.features.feature["values"].int64_list.value.extend(generator.integers(5, 50, length))
            record.features.feature["lengths"].int64_list.value.append(length)
            writer.write(record.SerializeToString())


def classified():
    """Batches of fewer and fewer rows; the last one has fewer than there are workers."""
    generator = np.random.default_rng(0)
    for count in [5, 4, 3, 4, 2, 1]:
        ids = generator.integers(5, 50, (count, 8)) * (np.arange(8) < generator.integers(3, 9, (count, 1)))
        labels = generator.integers(0, 2, count)
        yield {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": ids > 0, "label_id": labels}


def built(kind, folder, name, dropout):
    """A model with its training, not restored yet, and its batches from a step on."""
    keras.utils.set_random_seed(7)
    task = Task({"labels": ["a", "b"], "dropout": dropout})
    with replicas.strategy().scope():
        encoder = BertEncoder(
            vocabulary_size=50, num_layers=1, hidden_dim=16, num_heads=2, max_positions=16,
            dropout=dropout, attention_dropout=dropout,
        )  # fmt: skip
        packed = kind == "packed"
        model = heads.PretrainingModel(encoder, next_sentence=False) if packed else task.build(encoder)
        optimizer = AdamW(LinearSchedule(1e-2, 2, STEPS))
        optimizer.build(model.trainable_variables)
    state = TrainingState(f"{folder}/{name}/{kind}", model, optimizer)
    loop = training_loop.Loop(
        model, heads.pretraining_loss if packed else task.loss, optimizer, state,
        steps=STEPS, checkpoint_seconds=1e9, logs=f"{folder}/logs",
    )  # fmt: skip

    def batches(start):
        if packed:
            recipe = pretraining_data.Recipe(IDS, ["mlm"], batch_size=3, max_length=16, mask_share=0.3, pack=True)
            return pretraining_data.batches([f"{folder}/corpus.gz"], SPEC, recipe, start)
        spec = {key: tf.TensorSpec([None] * np.ndim(each), each.dtype) for key, each in next(classified()).items()}
        return tf.data.Dataset.from_generator(classified, output_signature=spec).skip(start)

    return model, state, loop, batches


def trained(kind, folder, name, dropout=0.0):
    """From the checkpoint that there is to the last step, with one more."""
    model, state, loop, batches = built(kind, folder, name, dropout)
    start, losses, report = weights(model), [], loop._report
    loop._report = lambda done, loss, *others: (losses.append(loss), report(done, loss, *others))
    step = state.restore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_loop, "_REPORT_SECONDS", 0.0)
        # Twice, as epochs are.
        loop.run(batches(step).take(2), "")
        loop.run(batches(step + 2), "")
    loop.save()
    known = {id(variable) for variable in model.weights}
    seeds = [variable for variable in model.variables if id(variable) not in known]
    local = replicas.strategy().experimental_local_results
    return {
        "start": start,
        "weights": weights(model),
        "losses": losses,
        "seeds": [local(variable.value)[0].numpy() for variable in seeds],
    }


def weights(model):
    return [variable.numpy() for variable in model.trainable_variables]


def first(folder, chief, file):
    found = {kind: trained(kind, folder, "together", dropout) for kind, dropout in WHOLE.items()}
    file.write_bytes(pickle.dumps(found))
    _, state, loop, batches = built("dropped", folder, "killed", WHOLE["dropped"])
    loop.run(batches(state.restore()).take(KILLED_AT), "")
    loop.save()
    if not chief:
        os.kill(os.getpid(), signal.SIGKILL)
    loop.run(batches(KILLED_AT), "")


def second(folder, chief, file):
    _, state, *_ = built("dropped", folder, "killed", WHOLE["dropped"])
    found = {"begun": state.restore(), "resumed": trained("dropped", folder, "killed", WHOLE["dropped"])}
    mine = folder / ("chief" if chief else "worker")
    _, state, loop, _ = built("classification", mine, "own", 0.0)
    state.step.assign(STEPS)
    loop.save()
    loop.writer.close()
    found["events"] = len([*(mine / "logs").glob("events*")])
    found["checkpoints"] = len([*(mine / "own/classification").glob("*.index")])
    try:
        state.restore()
    except ValueError as error:
        found["apart"] = str(error)
    file.write_bytes(pickle.dumps(found))


def main(job, folder, file):
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # takes longer than it saves here
    with replicas.together():
        {"first": first, "second": second}[job](folder, replicas.chief(), file)


if __name__ == "__main__":
    main(sys.argv[1], *map(pathlib.Path, sys.argv[2:]))
