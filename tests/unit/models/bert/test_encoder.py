import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from models.bert import kernels
from models.bert.block import Block
from models.bert.encoder import BertEncoder, MaskedLanguageHead, NextSentenceHead
from models.bert.heads import pretraining_loss
from models.checkpoints import checkpoint

DATA = pathlib.Path(__file__).parents[3] / "data"
# Made by transformers and torch: tests/golden/make_bert_golden.py.
GOLDEN = dict(np.load(DATA / "bert_tiny.npz"))
INPUTS = tuple(GOLDEN[name] for name in ("token_ids", "segment_ids", "padding_mask"))
MASK = GOLDEN["padding_mask"]
OPEN = [tf.TensorSpec([None, None], dtype) for dtype in (tf.int64, tf.int64, tf.bool)]


@pytest.fixture(scope="module")
def parts():
    encoder = BertEncoder(**checkpoint.read(DATA / "bert_tiny").encoder)
    mlm, nsp = MaskedLanguageHead(encoder), NextSentenceHead(encoder.hidden_dim)
    assert checkpoint.load(DATA / "bert_tiny", encoder, mlm, nsp) == {"pooler", "mlm", "nsp"}
    return encoder, mlm, nsp


@pytest.fixture(scope="module")
def encoder(parts):
    return parts[0]


def difference(a, b):
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def small(**changes):
    shape = {"vocabulary_size": 50, "num_layers": 2, "hidden_dim": 8, "num_heads": 2, "max_positions": 16}
    return BertEncoder(**{**shape, **changes})


def masked(parts, inputs=INPUTS):
    encoder, mlm, _ = parts
    sequence = ops.reshape(encoder(*inputs)["sequence"], (-1, encoder.hidden_dim))
    return mlm(ops.take(sequence, GOLDEN["masked_indices"], axis=0))


def test_every_layer_equals_hugging_face(encoder):
    out = encoder(*INPUTS, return_all=True)
    assert difference(np.stack(out["hidden_states"]), GOLDEN["hidden_states"]) < 1e-5
    assert difference(np.stack(out["attentions"]), GOLDEN["attentions"]) < 1e-5
    assert difference(out["pooled"], GOLDEN["pooled"]) < 1e-5
    assert out["sequence"] is out["hidden_states"][-1]


def test_a_tanh_gelu_would_be_noticed(encoder, monkeypatch):
    monkeypatch.setattr(kernels, "gelu", lambda x: ops.gelu(x, approximate=True))
    assert difference(encoder(*INPUTS)["sequence"], GOLDEN["hidden_states"][-1]) > 1e-4


def test_heads_and_loss_equal_hugging_face(parts):
    encoder, _, nsp = parts
    mlm_logits, nsp_logits = masked(parts), nsp(encoder(*INPUTS)["pooled"])
    assert difference(mlm_logits, GOLDEN["mlm_logits"]) < 1e-5
    assert difference(nsp_logits, GOLDEN["nsp_logits"]) < 1e-5
    labels = {name: tf.constant(GOLDEN[name], tf.int32) for name in ("masked_ids", "next_sentence_label")}
    loss = pretraining_loss({"mlm_logits": mlm_logits, "nsp_logits": nsp_logits}, labels)
    assert float(loss) == pytest.approx(float(GOLDEN["loss"]), abs=1e-6)


def test_padding_free_equals_the_grid_for_any_batch_and_length():
    encoder = small(num_layers=4, hidden_dim=32)
    compute = tf.function(encoder.padding_free, input_signature=OPEN)
    for rows, columns in ((slice(0, 4), 12), (slice(0, 2), 9), (slice(3, 4), 5)):
        inputs = tuple(x[rows, :columns] for x in INPUTS)
        grid, free = encoder(*inputs), compute(*inputs)
        assert difference(ops.convert_to_numpy(grid["sequence"])[inputs[2]], free["sequence"]) < 1e-6
        assert difference(grid["pooled"], free["pooled"]) < 1e-6
        np.testing.assert_array_equal(free["indices"], np.flatnonzero(inputs[2]))


def both(encoder, **arguments):
    """The real tokens' vectors and the pooled ones; on the grid, without padding, and where a few are wanted."""
    grid = encoder(*INPUTS, **arguments)
    sequence = ops.convert_to_numpy(grid["sequence"]).reshape(-1, encoder.hidden_dim)
    free = encoder.padding_free(*INPUTS, **arguments)
    assert difference(sequence[free["indices"]], free["sequence"]) < 2e-6
    for compute in (encoder, encoder.padding_free):
        some = compute(*INPUTS, kept_tokens=tf.constant([0, 3, 25]), **arguments)
        assert difference(sequence[[0, 3, 25]], some["sequence"]) < 2e-6
        assert difference(grid["pooled"], some["pooled"]) < 2e-6
    return sequence


def test_a_causal_token_sees_only_what_is_before_it():
    keras.utils.set_random_seed(3)
    encoder = small(hidden_dim=32, causal=True)
    whole = both(encoder).reshape(*MASK.shape, -1)
    for length in (1, 3, 7):
        start = encoder(*(x[:, :length] for x in INPUTS))["sequence"]
        assert difference(whole[:, :length][MASK[:, :length]], ops.convert_to_numpy(start)[MASK[:, :length]]) < 1e-6
    keras.utils.set_random_seed(3)
    assert difference(both(small(hidden_dim=32)).reshape(whole.shape)[:, 0], whole[:, 0]) > 1e-4
    packed = encoder(*INPUTS, group_ids=np.ones_like(INPUTS[0]))["sequence"]
    assert difference(ops.convert_to_numpy(packed)[MASK], whole[MASK]) < 1e-6


def test_position_ids_are_those_of_the_tokens(encoder):
    plain = np.broadcast_to(np.arange(MASK.shape[1]), MASK.shape)
    assert difference(both(encoder, position_ids=plain), both(encoder)) == 0
    reversed_ = both(encoder, position_ids=plain[:, ::-1].copy())
    moved = (encoder.position_embedding.value, tf.reverse(encoder.position_embedding[: MASK.shape[1]], [0]))
    try:
        encoder.position_embedding.assign(tf.concat([moved[1], moved[0][MASK.shape[1] :]], 0))
        assert difference(reversed_[MASK.ravel()], both(encoder)[MASK.ravel()]) < 1e-6
    finally:
        encoder.position_embedding.assign(moved[0])


def without_heads(block, kept):
    """The block that has the heads ``kept`` of another alone."""
    narrow = Block(block.hidden_dim, len(kept), block.head_dim, block.intermediate_dim, 0.0, 0.0, block.epsilon)
    for layer in ("attention_norm", "intermediate", "output_dense", "output_norm"):
        for mine, its in zip(getattr(narrow, layer).variables, getattr(block, layer).variables, strict=True):
            mine.assign(its)
    columns = np.concatenate([np.arange(head * block.head_dim, (head + 1) * block.head_dim) for head in kept])
    heads = block.num_heads * block.head_dim
    of_three = np.concatenate([part * heads + columns for part in range(3)])
    narrow.qkv.kernel.assign(ops.convert_to_numpy(block.qkv.kernel)[:, of_three])
    narrow.qkv.bias.assign(ops.convert_to_numpy(block.qkv.bias)[of_three])
    narrow.projection.kernel.assign(ops.convert_to_numpy(block.projection.kernel)[columns])
    narrow.projection.bias.assign(block.projection.bias)
    return narrow


def test_a_masked_head_is_one_that_was_pruned():
    """What is left of a block is computed by a narrower one, which knows no mask."""
    keras.utils.set_random_seed(4)
    encoder = small(num_layers=3, hidden_dim=32, num_heads=4)
    for variable in encoder.trainable_variables:
        variable.assign_add(keras.random.normal(variable.shape, stddev=0.1))
    mask = np.array([[1, 0, 1, 1], [1, 1, 1, 1], [0, 0, 1, 0]], np.float32)
    masked, whole = both(encoder, head_mask=mask), both(encoder)
    assert difference(masked, whole) > 1e-2
    assert difference(both(encoder, head_mask=np.ones_like(mask)), whole) == 0
    rows = np.stack([mask, np.ones_like(mask)] * 2)  # every other row loses heads
    of_rows = both(encoder, head_mask=rows).reshape(*MASK.shape, -1)
    for row, expected in enumerate([masked, whole] * 2):
        assert difference(of_rows[row], expected.reshape(of_rows.shape)[row]) < 1e-6
    object.__setattr__(encoder, "block_0", without_heads(encoder.block_0, [0, 2, 3]))  # a built layer takes no new ones
    object.__setattr__(encoder, "block_2", without_heads(encoder.block_2, [2]))  # a built layer takes no new ones
    assert difference(both(encoder), masked) < 1e-6


@pytest.mark.parametrize("way", ["grid", "padding_free"])
@pytest.mark.parametrize("wanted", [[], [0, 3, 3, 25, 14]])
def test_the_last_block_computes_only_what_is_wanted(encoder, wanted, way):
    whole = encoder(*INPUTS)
    compute = encoder if way == "grid" else encoder.padding_free
    found = compute(*INPUTS, kept_tokens=tf.constant(wanted, tf.int32))
    expected = ops.convert_to_numpy(whole["sequence"]).reshape(-1, encoder.hidden_dim)[np.array(wanted, int)]
    assert found["sequence"].shape == (len(wanted), encoder.hidden_dim)
    np.testing.assert_allclose(found["sequence"], expected, atol=2e-6)
    assert difference(whole["pooled"], found["pooled"]) < 2e-6


def test_padding_free_has_the_gradients_of_the_grid(encoder):
    weights = np.random.default_rng(0).normal(size=(int(MASK.sum()), encoder.hidden_dim)).astype("float32")
    variables = [v.value for v in encoder.trainable_variables]
    kept = tf.constant(np.flatnonzero(MASK), tf.int32)
    outputs = {
        "grid": lambda: tf.boolean_mask(encoder(*INPUTS)["sequence"], MASK),
        "free": lambda: encoder.padding_free(*INPUTS)["sequence"],
        "wanted": lambda: encoder.padding_free(*INPUTS, kept_tokens=kept)["sequence"],
        "wanted of the grid": lambda: encoder(*INPUTS, kept_tokens=kept)["sequence"],
    }
    gradients = {}
    for name, output in outputs.items():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(output() * weights)
        gradients[name] = [
            tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, variables, unconnected_gradients="zero")
        ]
    for name in ("free", "wanted"):
        for a, b in zip(gradients["grid"], gradients[name], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_padding_changes_nothing(encoder):
    wider = tuple(np.pad(x, ((0, 0), (0, 4))) for x in INPUTS)
    filled = (np.where(MASK, INPUTS[0], 7), np.where(MASK, INPUTS[1], 1), MASK)
    reference = ops.convert_to_numpy(encoder(*INPUTS)["sequence"])[MASK]
    assert difference(ops.convert_to_numpy(encoder(*wider)["sequence"])[wider[2]], reference) < 1e-5
    assert difference(ops.convert_to_numpy(encoder(*filled)["sequence"])[MASK], reference) < 1e-6


def test_rows_do_not_see_each_other(encoder):
    order = np.array([2, 0, 3, 1])
    shuffled = encoder(*(x[order] for x in INPUTS))["sequence"]
    assert difference(shuffled, ops.convert_to_numpy(encoder(*INPUTS)["sequence"])[order]) < 1e-6


def test_only_positions_tell_the_order_of_tokens():
    encoder = small()
    order = np.array([4, 2, 0, 3, 1])
    inputs = (np.array([[5, 6, 7, 8, 9]]), np.zeros((1, 5), int), np.ones((1, 5), bool))
    shuffled = (inputs[0][:, order], *inputs[1:])

    def moved():
        return difference(encoder(*shuffled)["sequence"], ops.convert_to_numpy(encoder(*inputs)["sequence"])[:, order])

    assert moved() > 1e-3
    encoder.position_embedding.assign(ops.zeros_like(encoder.position_embedding))
    assert moved() < 1e-6


def test_attention_rows_sum_to_one_and_skip_padding(encoder):
    for weights in encoder(*INPUTS, return_all=True)["attentions"]:
        weights = ops.convert_to_numpy(weights)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
        assert weights.transpose(0, 3, 1, 2)[~MASK].max() < 1e-8


def test_packed_texts_equal_single_ones(encoder):
    a, b = [2, 7, 8, 3], [2, 9, 10, 11, 12, 3]
    packed = encoder(
        np.array([[*a, *b, 0, 0]]),
        np.zeros((1, 12), int),
        np.array([[True] * 10 + [False] * 2]),
        position_ids=np.array([[0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 0, 0]]),
        group_ids=np.array([[1] * 4 + [2] * 6 + [0] * 2]),
    )["sequence"]
    for ids, columns in ((a, slice(0, 4)), (b, slice(4, 10))):
        alone = encoder(np.array([ids]), np.zeros((1, len(ids)), int), np.ones((1, len(ids)), bool))["sequence"]
        assert difference(alone, packed[:, columns]) < 1e-5


def test_parameter_count_is_that_of_berts_smallest_release():
    # google/bert_uncased_L-2_H-128_A-2: 4,385,920.
    encoder = BertEncoder(vocabulary_size=30522, num_layers=2, hidden_dim=128, num_heads=2)
    assert sum(int(np.prod(v.shape)) for v in encoder.trainable_variables) == 4_385_920
    d, f, v, p, layers = 128, 512, 30522, 512, 2
    block = 4 * (d * d + d) + 2 * d * f + f + d + 4 * d
    assert (v + p + 2) * d + 2 * d + layers * block + d * d + d == 4_385_920


def test_variable_paths_are_unique_and_repeatable():
    paths = [[variable.path for variable in small().variables] for _ in range(2)]
    assert paths[0] == paths[1]
    assert len(set(paths[0])) == len(paths[0])
    assert "encoder/block_1/qkv/kernel" in paths[0]


def test_the_tied_embedding_is_one_variable_with_the_gradient_of_both_uses(parts):
    encoder, mlm, _ = parts
    table = encoder.token_embedding.value
    assert all(variable is not encoder.token_embedding for variable in mlm.variables)
    lookups, projection = np.zeros_like(table), np.zeros_like(table)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(GOLDEN["masked_ids"], logits := masked(parts))
        )
    total = tf.convert_to_tensor(tape.gradient(loss, table)).numpy()
    slope = (tf.nn.softmax(logits) - tf.one_hot(GOLDEN["masked_ids"], logits.shape[-1])) / len(logits)
    with tf.GradientTape() as tape:
        hidden = tf.stop_gradient(tf.reshape(encoder(*INPUTS)["sequence"], [-1, encoder.hidden_dim]))
        score = tf.reduce_sum(mlm(tf.gather(hidden, GOLDEN["masked_indices"])) * slope)
    projection = tf.convert_to_tensor(tape.gradient(score, table)).numpy()
    frozen = tf.identity(table)
    with tf.GradientTape() as tape:
        sequence = tf.reshape(encoder(*INPUTS)["sequence"], [-1, encoder.hidden_dim])
        x = mlm.norm(kernels.gelu(mlm.transform(tf.gather(sequence, GOLDEN["masked_indices"]))))
        score = tf.reduce_sum((x @ tf.transpose(frozen)) * slope)
    lookups = tf.convert_to_tensor(tape.gradient(score, table)).numpy()
    assert min(np.abs(lookups).max(), np.abs(projection).max()) > 1e-3
    np.testing.assert_allclose(total, lookups + projection, atol=1e-5)


@pytest.fixture
def double_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("way", ["__call__", "padding_free"])
def test_gradients_equal_finite_differences(way):
    keras.utils.set_random_seed(3)
    encoder = small()
    for variable in encoder.trainable_variables:
        variable.assign_add(keras.random.normal(variable.shape, stddev=0.2, dtype="float64"))
    head = MaskedLanguageHead(encoder)
    inputs = (
        np.array([[2, 9, 8, 3], [2, 7, 3, 0]]),
        np.array([[0, 0, 1, 1], [0, 1, 1, 0]]),
        np.array([[1, 1, 1, 1], [1, 1, 1, 0]], bool),
    )

    def loss():
        out = getattr(encoder, way)(*inputs)
        hidden = tf.reshape(out["sequence"], [-1, 8])[:4]
        return tf.reduce_sum(tf.sin(head(hidden))) + tf.reduce_sum(out["pooled"])

    with tf.GradientTape() as tape:
        value = loss()
    variables = encoder.trainable_variables + head.trainable_variables
    gradients = tape.gradient(value, [v.value for v in variables], unconnected_gradients="zero")
    random = np.random.default_rng(0)
    for variable, gradient in zip(variables, gradients, strict=True):
        start = ops.convert_to_numpy(variable)
        direction = random.normal(size=variable.shape)
        values = []
        for sign in (1, -1):
            variable.assign(start + sign * 1e-6 * direction)
            values.append(float(loss()))
        variable.assign(start)
        slope = float(tf.reduce_sum(tf.convert_to_tensor(gradient) * direction))
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, rel=1e-5, abs=1e-6), variable.path


def test_a_new_model_guesses_uniformly():
    keras.utils.set_random_seed(0)
    encoder = BertEncoder(vocabulary_size=5000, num_layers=2, hidden_dim=64, num_heads=4)
    random = np.random.default_rng(0)
    ids = random.integers(5, 5000, (16, 32))
    out = encoder(ids, np.zeros_like(ids), np.ones_like(ids, bool))
    scores = [MaskedLanguageHead(encoder)(out["sequence"][:, 1]), NextSentenceHead(64)(out["pooled"])]
    labels = [random.integers(0, 5000, 16), np.arange(16) % 2]
    losses = [
        float(ops.mean(keras.losses.sparse_categorical_crossentropy(y, s, from_logits=True)))
        for y, s in zip(labels, scores, strict=True)
    ]
    assert losses == [pytest.approx(np.log(5000), rel=0.05), pytest.approx(np.log(2), rel=0.1)]


def test_dropout_follows_the_seed_and_only_in_training(encoder):
    def runs():
        keras.utils.set_random_seed(5)
        encoder = small()
        inputs = (np.array([[2, 9, 8, 3]]), np.zeros((1, 4), int), np.ones((1, 4), bool))
        return [
            ops.convert_to_numpy(encoder(*inputs, training=training)["sequence"])
            for training in (True, True, False, False)
        ]

    first, second, plain, again = runs()
    np.testing.assert_array_equal(runs()[0], first)
    assert difference(first, second) > 1e-2
    assert difference(plain, again) == 0
    assert difference(plain, first) > 1e-2


@pytest.mark.parametrize("wanted", [None, []], ids=["all", "pooled"])
def test_an_export_answers_the_same_in_a_tensorflow_1_session(encoder, wanted, tmp_path):
    wanted = None if wanted is None else tf.constant(wanted, tf.int32)
    archive = keras.export.ExportArchive()
    archive.track(encoder)
    archive.add_endpoint("encode", lambda a, b, c: encoder.padding_free(a, b, c, kept_tokens=wanted), OPEN)
    archive.write_out(str(tmp_path / "model"), verbose=False)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path / "model"))
        signature = loaded.signature_def["encode"]
        names = sorted(signature.inputs)
        feed = {signature.inputs[name].name: value for name, value in zip(names, INPUTS, strict=True)}
        answer = session.run({name: output.name for name, output in signature.outputs.items()}, feed)
    for name, value in encoder.padding_free(*INPUTS, kept_tokens=wanted).items():
        np.testing.assert_allclose(answer[name], value, atol=2e-6)


def test_a_tensorflow_checkpoint_brings_the_weights_back(tmp_path):
    before, after = small(), small()
    path = tf.train.Checkpoint(encoder=before).write(str(tmp_path / "state"))
    tf.train.Checkpoint(encoder=after).read(path).assert_consumed()
    for a, b in zip(before.weights, after.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_grid_runs_on_another_keras_backend():
    script = """
import keras, numpy as np, sys
from models.bert.encoder import BertEncoder
from models.checkpoints import checkpoint
golden = np.load(sys.argv[1] + "/bert_tiny.npz")
encoder = BertEncoder(**checkpoint.read(sys.argv[1] + "/bert_tiny").encoder)
checkpoint.load(sys.argv[1] + "/bert_tiny", encoder)
out = encoder(golden["token_ids"], golden["segment_ids"], golden["padding_mask"], return_all=True)
states = np.stack([keras.ops.convert_to_numpy(x) for x in out["hidden_states"]])
print(keras.backend.backend(), np.abs(states - golden["hidden_states"]).max() < 1e-5)
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    out = subprocess.run([sys.executable, "-c", script, str(DATA)], env=environment, capture_output=True, text=True)
    assert out.stdout.split() == ["jax", "True"], out.stderr


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"num_heads must divide hidden_dim. Received: num_heads=3, hidden_dim=8"):
        small(num_heads=3)
    encoder = small()
    long = (np.zeros((1, 17), int), np.zeros((1, 17), int), np.ones((1, 17), bool))
    for way in (encoder, encoder.padding_free):
        with pytest.raises(ValueError, match=r"max_positions, 16 tokens. Received: 17 tokens"):
            way(*long)
