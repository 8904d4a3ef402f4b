import keras
import numpy as np
import pytest
import tensorflow as tf

from models import distillation, task
from models.bert.encoder import BertEncoder

TEACHER = {"temperature": 2.0, "weight": 0.75}
SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32, "max_positions": 16}
CONFIGS = {
    "classification": {"labels": ["a", "b", "c"], "class_weights": {"b": 3.0}},
    "multi_label": {"labels": ["a", "b", "c"]},
    "regression": {},
    "similarity": {"objective": "cosine"},
}
TARGETS = {
    "classification": ("label_id", [1, 0, 2, 1]),
    "multi_label": ("label_mask", [[1.0, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]]),
    "regression": ("target", [0.5, 1.0, -1.0, 2.0]),
    "similarity": ("target", [0.5, 1.0, 0.0, 0.2]),
}


def batch_of(name, labelled):
    the_task = task.load(name)(CONFIGS[name])
    ids = np.random.default_rng(1).integers(1, 20, (4, 6))
    mask = np.ones((4, 6), bool)
    answers = np.random.default_rng(2).dirichlet(np.ones(distillation.width(the_task)), 4)
    if distillation.width(the_task) == 1:
        answers = np.random.default_rng(2).uniform(-1, 1, (4, 1))
    key, values = TARGETS[name]
    batch = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": mask, key: values}
    batch |= {"pair_token_ids": ids[::-1], "pair_padding_mask": mask}
    batch |= {"teacher_answer": answers.astype(np.float32), "labelled": np.array(labelled, np.float32)}
    return the_task, {name: tf.constant(value) for name, value in batch.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_loss_is_the_teachers_share_and_that_of_the_rows_with_a_label(name):
    the_task, batch = batch_of(name, [1, 0, 1, 0])
    keras.utils.set_random_seed(1)
    model = the_task.build(BertEncoder(vocabulary_size=20, **SIZES))
    outputs = model(batch, training=False)
    soft = float(tf.reduce_mean(the_task.soft_loss(outputs, batch["teacher_answer"], 2.0)))
    rows = {n: x.numpy()[[0, 2]] for n, x in batch.items()}
    hard = float(the_task.loss({n: x.numpy()[[0, 2]] for n, x in outputs.items()}, rows))
    found = float(distillation.loss(the_task, TEACHER)(outputs, batch))
    assert found == pytest.approx(0.75 * soft + 0.25 * hard, rel=1e-6)
    # The labels of the others are of no meaning.
    key = TARGETS[name][0]
    other = {**batch, key: tf.tensor_scatter_nd_update(batch[key], [[1]], batch[key][3:])}
    assert float(distillation.loss(the_task, TEACHER)(outputs, other)) == found
    nothing = {**batch, "labelled": tf.zeros(4)}
    assert float(distillation.loss(the_task, TEACHER)(outputs, nothing)) == pytest.approx(0.75 * soft, rel=1e-6)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_student_that_learns_a_teacher_alone_comes_nearer_to_its_answers(name):
    the_task, batch = batch_of(name, [0, 0, 0, 0])
    keras.utils.set_random_seed(1)
    model = the_task.build(BertEncoder(vocabulary_size=20, **SIZES))
    variables = [variable.value for variable in model.trainable_variables]
    loss = distillation.loss(the_task, {"temperature": 2.0, "weight": 1})
    values = []
    for _ in range(15):
        with tf.GradientTape() as tape:
            values.append(loss(model(batch, training=False), batch))
        for variable, gradient in zip(variables, tape.gradient(values[-1], variables), strict=True):
            if gradient is not None:
                variable.assign_sub(0.1 * tf.convert_to_tensor(gradient))
    assert float(values[-1]) < 0.96 * float(values[0])


def test_rows_of_both_kinds_are_evenly_mixed_and_each_comes_once():
    datasets = [tf.data.Dataset.range(start, start + size) for start, size in ((0, 30), (100, 90))]
    rows = list(distillation.together(*datasets, (30, 90)).as_numpy_iterator())
    assert sorted(rows) == [*range(30), *range(100, 190)]
    for first in range(0, 120, 8):
        assert sum(row < 100 for row in rows[first : first + 8]) == 2
    assert list(distillation.together(*datasets, (30, 90)).as_numpy_iterator()) == rows


def test_the_features_of_taught_reach_no_model():
    """What a model is fed in judging and serving does not hold them."""
    the_task, batch = batch_of("classification", [1, 1, 0, 0])
    ragged = {name: tf.RaggedTensor.from_tensor(batch[name]) for name in ("token_ids", "segment_ids")}
    fed = the_task.inputs(ragged | {name: batch[name] for name in (*task.TAUGHT, "label_id")})
    assert fed.keys() == {"token_ids", "segment_ids", "padding_mask"}
