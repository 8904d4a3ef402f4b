import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.bert.encoder import BertEncoder, MaskedLanguageHead, NextSentenceHead
from models.bert.heads import Classifier
from models.training.optimizer import SCHEDULES, AdamW, LinearSchedule, layer_decay

# Made by torch.optim.AdamW and clip_grad_norm_: tests/golden/make_bert_golden.py.
GOLDEN = dict(np.load(pathlib.Path(__file__).parents[3] / "data" / "adamw.npz"))
NAMES = ("table", "kernel", "bias", "gamma")
SETTINGS = {"weight_decay": 0.1, "clip_norm": 1.0, "epsilon": 1e-6}


def start():
    return [tf.Variable(GOLDEN[f"start_{name}"]) for name in NAMES]


def stepper(optimizer, variables):
    @tf.function
    def step(rows, values, kernel, bias, gamma):
        # Rows repeat: they must add up before the norm is taken.
        return optimizer.apply(
            [tf.IndexedSlices(values, rows, tf.constant([12, 4], tf.int64)), kernel, bias, gamma], variables
        )

    def run(i):
        return step(GOLDEN["rows"][i], GOLDEN["values"][i], *(GOLDEN[f"gradient_{name}"][i] for name in NAMES[1:]))

    return run


def test_thirty_steps_equal_torch():
    variables = start()
    optimizer = AdamW(LinearSchedule(1e-2, 5, 30), **SETTINGS)
    step = stepper(optimizer, variables)
    for i in range(30):
        assert float(optimizer.learning_rate(optimizer.iterations)) == pytest.approx(GOLDEN["rates"][i], abs=1e-12)
        assert float(step(i)) == pytest.approx(GOLDEN["norms"][i], rel=1e-6)
        for name, variable in zip(NAMES, variables, strict=True):
            np.testing.assert_allclose(variable, GOLDEN[f"step_{name}"][i], atol=1e-6, err_msg=f"{name}, step {i}")
    assert int(optimizer.iterations) == 30
    assert np.abs(variables[0] - GOLDEN["start_table"]).max() > 0.05


def test_a_restored_optimizer_goes_on_as_if_nothing_happened(tmp_path):
    variables, optimizer = start(), AdamW(LinearSchedule(1e-2, 5, 30), **SETTINGS)
    step = stepper(optimizer, variables)
    for i in range(10):
        step(i)
    path = tf.train.Checkpoint(variables=variables, optimizer=optimizer).write(str(tmp_path / "state"))
    other, restored = start(), AdamW(LinearSchedule(1e-2, 5, 30), **SETTINGS)
    restored.build(other)
    tf.train.Checkpoint(variables=other, optimizer=restored).read(path).assert_consumed()
    step(10)
    stepper(restored, other)(10)
    for a, b in zip(variables, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # As transformers' get_*_schedule_with_warmup gives them at steps 0, w-1, w, w+1, the middle, N and behind N.
        ("linear", [0, 9e-4, 1e-3, 9.9e-4, 5e-4, 0, 0]),
        ("cosine", [0, 9e-4, 1e-3, 9.997532801828659e-4, 5e-4, 0, 0]),
        ("inverse_square_root", [0, 9e-4, 1e-3, 9.534625892455924e-4, 4.082482904638631e-4, 3.0151134457776363e-4,
                                 1.414213562373095e-4]),
    ],
)  # fmt: skip
def test_the_schedules_at_their_corners(kind, expected):
    schedule = SCHEDULES[kind](1e-3, warmup_steps=10, steps=110)
    assert [float(schedule(step)) for step in (0, 9, 10, 11, 60, 110, 500)] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("kind", "second"),
    [("linear", 9e-4), ("cosine", 9.755282581475769e-4), ("inverse_square_root", 9.999500037496876e-4)],
)
def test_schedules_without_a_warm_up_begin_at_the_peak(kind, second):
    schedule = SCHEDULES[kind](1e-3, 0, 10)
    assert [float(schedule(step)) for step in (0, 1)] == pytest.approx([1e-3, second], abs=1e-15)


def test_everything_but_biases_and_layer_norms_is_decayed():
    encoder = BertEncoder(vocabulary_size=10, num_layers=1, hidden_dim=4, num_heads=1, max_positions=4)
    layers = (encoder, MaskedLanguageHead(encoder, name="mlm"), NextSentenceHead(4, name="nsp"))
    variables = [variable for layer in layers for variable in layer.trainable_variables]
    for variable in variables:
        variable.assign(keras.ops.ones_like(variable))
    AdamW(LinearSchedule(0.1, 0, 10), weight_decay=0.5).apply([None] * len(variables), variables)
    decayed = {v.path for v in variables if np.allclose(v, 0.95)}
    assert decayed == {
        "encoder/token_embedding",
        "encoder/position_embedding",
        "encoder/segment_embedding",
        "encoder/block_0/qkv/kernel",
        "encoder/block_0/projection/kernel",
        "encoder/block_0/intermediate/kernel",
        "encoder/block_0/output/kernel",
        "encoder/pooler/kernel",
        "mlm/transform/kernel",
        "nsp/logits/kernel",
    }
    kept = {v.path.rsplit("/", 1)[1] for v in variables if np.array_equal(v, np.ones(v.shape))}
    assert kept == {"bias", "gamma", "beta"}
    assert len(decayed) + sum(np.array_equal(v, np.ones(v.shape)) for v in variables) == len(variables)


def test_the_rate_falls_by_a_factor_a_layer_from_the_head_to_the_embeddings():
    encoder = BertEncoder(vocabulary_size=10, num_layers=2, hidden_dim=4, num_heads=1, max_positions=4)
    model = Classifier(encoder, 2, 0.0)
    variables = model.trainable_variables
    factors = layer_decay(variables, encoder.layers_of_variables, 0.5)
    found = {}
    for variable, factor in zip(variables, factors, strict=True):
        found.setdefault(factor, []).append(variable.path.removeprefix("encoder/").partition("/")[0])
    tables = ["token_embedding", "position_embedding", "segment_embedding"]
    assert {factor: sorted(names) for factor, names in found.items()} == {
        0.125: sorted([*tables, *["embedding_norm"] * 2]),
        0.25: ["block_0"] * 12,
        0.5: ["block_1"] * 12,
        1.0: [*["logits"] * 2, *["pooler"] * 2],
    }


def test_a_factor_scales_the_rate_of_its_variable_alone_and_its_decay():
    halved, whole, variables = start(), start(), start()
    mixed = AdamW(LinearSchedule(1e-2, 5, 30), **SETTINGS, factors=[0.5, 1.0, 1.0, 0.5])
    for optimizer, at in ((AdamW(LinearSchedule(5e-3, 5, 30), **SETTINGS), halved), (mixed, variables),
                          (AdamW(LinearSchedule(1e-2, 5, 30), **SETTINGS), whole)):  # fmt: skip
        step = stepper(optimizer, at)
        for i in range(3):
            step(i)
    for got, expected in zip(variables, [halved[0], whole[1], whole[2], halved[3]], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert np.abs(halved[0] - whole[0]).max() > 1e-3


def test_another_number_of_variables_is_refused():
    variables = start()
    optimizer = AdamW(LinearSchedule(1e-2, 5, 30))
    optimizer.build(variables)
    with pytest.raises(ValueError, match=r"each of the 4 variables it began with. Received: 1 gradients, 1 variables"):
        optimizer.apply([tf.zeros((3,))], variables[2:3])
