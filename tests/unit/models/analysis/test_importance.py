"""Importance of heads: by finite differences, row by row, and of heads that nothing reads."""

import contextlib
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.analysis import attention, importance
from models.bert.encoder import BertEncoder
from models.bert.heads import PretrainingModel, masked_of_rows, mlm_loss
from models.checkpoints import checkpoint
from models.tasks import classification, multi_label, question_answering, regression, token_classification

DATA = pathlib.Path(__file__).parents[3] / "data"
LENGTHS = [3, 9, 5, 9, 4, 7, 8, 2]
OF_TASKS = ["classification", "multi_label", "regression", "question_answering", "token_classification"]


@contextlib.contextmanager
def floats(kind):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(kind)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def encoder(seed=1):
    keras.utils.set_random_seed(seed)
    made = BertEncoder(vocabulary_size=40, num_layers=2, hidden_dim=12, num_heads=3, max_positions=16)
    for variable in made.trainable_variables:
        if "norm" not in variable.path:
            variable.assign(variable * 12)  # attention that looks somewhere
    return made


def batch(**more):
    generator = np.random.default_rng(5)
    mask = np.arange(9) < np.array(LENGTHS)[:, None]
    ids = np.where(mask, generator.integers(5, 40, mask.shape), 0)
    return {"token_ids": ids, "segment_ids": np.zeros_like(ids), "padding_mask": mask, **more}


def of(model, encoder, loss, weights, batches):
    given = tf.data.Dataset.from_generator(
        lambda: iter(batches),
        output_signature={name: tf.TensorSpec([None] * value.ndim, value.dtype) for name, value in batches[0].items()},
    )
    return importance.of_heads(model, encoder, loss, weights, given)


def task_and_batch(name):
    generator = np.random.default_rng(2)
    match name:
        case "classification":
            task = classification.Task({"labels": ["a", "b", "c"], "class_weights": {"a": 3.0, "c": 0.5}})
            return task, batch(label_id=generator.integers(0, 3, 8))
        case "multi_label":
            task = multi_label.Task({"labels": ["a", "b"]})
            return task, batch(label_mask=generator.integers(0, 2, (8, 2)).astype(np.float32))
        case "regression":
            return regression.Task({}), batch(target=generator.normal(size=8).astype(np.float32))
        case "question_answering":
            places = {name: np.array([min(1, n - 1) for n in LENGTHS]) for name in ("start_place", "end_place")}
            return question_answering.Task({}), batch(**places)
    tags = generator.integers(-1, 3, (8, 9))
    tags[2] = -1  # a sentence that teaches nothing
    return token_classification.Task({"labels": ["x"]}), batch(tag_ids=tags)


def alone(whole):
    """A batch for each row, without its padding."""
    for row, length in enumerate(LENGTHS):
        grid = {name: value[row : row + 1] for name, value in whole.items()}
        yield {name: x[:, :length] if x.shape[1:] == (9,) else x for name, x in grid.items()}


@pytest.mark.parametrize("name", OF_TASKS)
def test_a_batch_of_eight_is_eight_batches_of_one(name):
    task, whole = task_and_batch(name)
    network = encoder()
    model = task.build(network)
    together = of(model, network, task.loss, task.row_weights, [whole])
    assert together.shape == (2, 3)
    assert (together > 1e-4).all()
    one_by_one = of(model, network, task.loss, task.row_weights, list(alone(whole)))
    np.testing.assert_allclose(together, one_by_one, rtol=2e-4)


def test_masked_tokens_of_a_row_are_its_loss():
    """Rows of one, two and no hidden tokens."""
    indices, ids = np.array([1, 10, 12], np.int32), np.array([7, 8, 9], np.int32)
    whole = batch(masked_indices=indices, masked_ids=ids)
    np.testing.assert_array_equal(masked_of_rows(whole), [1, 2, 0, 0, 0, 0, 0, 0])
    network = encoder()
    model = PretrainingModel(network, next_sentence=False)
    rows = [
        {name: value[row : row + 1] for name, value in batch().items()}
        | {"masked_indices": indices[places] - 9 * row, "masked_ids": ids[places]}
        for row, places in ((0, slice(0, 1)), (1, slice(1, 3)))
    ]
    together = of(model, network, mlm_loss, masked_of_rows, [whole])
    np.testing.assert_allclose(together, of(model, network, mlm_loss, masked_of_rows, rows), rtol=2e-4)


def test_a_slope_is_what_the_loss_changes_by():
    """Central differences in float64, of each head and each row."""
    task, whole = task_and_batch("regression")
    whole["target"] = whole["target"].astype(float)
    with floats("float64"):
        network = encoder()
        model = task.build(network)

        def losses(mask):
            with network.masked(mask):
                outputs = model(whole)
            return np.square(outputs["logits"].numpy()[:, 0] - whole["target"])

        slopes = np.zeros((8, 2, 3))
        for layer, head in np.ndindex(2, 3):
            step = np.zeros((2, 3))
            step[layer, head] = 1e-5
            slopes[:, layer, head] = (losses(1 + step) - losses(1 - step)) / 2e-5
        found = of(model, network, task.loss, task.row_weights, [whole])
    np.testing.assert_allclose(found, np.abs(slopes).mean(axis=0), rtol=1e-5)


def test_a_head_that_nothing_reads_is_of_no_importance():
    task, whole = task_and_batch("classification")
    network = encoder()
    kernel = network.blocks[1].projection.kernel.numpy()
    kernel[4:8] = 0  # what the second head gives
    network.blocks[1].projection.kernel.assign(kernel)
    found = of(task.build(network), network, task.loss, task.row_weights, [whole])
    assert found[1, 1] == 0
    assert np.count_nonzero(found) == 5


def test_rows_without_a_loss_give_no_figure():
    task, whole = task_and_batch("token_classification")
    whole["tag_ids"][:] = -1
    network = encoder()
    assert np.isnan(of(task.build(network), network, task.loss, task.row_weights, [whole])).all()


def test_a_layer_is_of_length_one():
    np.testing.assert_allclose(importance.normalised(np.array([[3.0, 4.0], [0, 0]])), [[0.6, 0.8], [0, 0]])


def test_the_least_important_head_goes_first_and_each_layer_keeps_one():
    values = np.array([[0.3, 0.1, 0.2], [0.9, 0.05, 0.9]])
    assert importance.order(values) == [(1, 1), (0, 1), (0, 2), (1, 2)]
    assert importance.lowest(values, 0.3) == [(1, 1), (0, 1)]
    assert importance.lowest(values, 1) == importance.order(values)
    np.testing.assert_array_equal(importance.mask([(1, 1), (0, 1)], (2, 3)), [[1, 0, 1], [1, 0, 1]])


def test_a_mask_reaches_every_model_and_ends_with_its_block():
    task, whole = task_and_batch("classification")
    network = encoder()
    model, mask = task.build(network), np.array([[0, 1, 1], [1, 1, 0]], np.float32)
    with network.masked(mask):
        masked = model(whole)["logits"]
    asked = network.padding_free(*(whole[n] for n in ("token_ids", "segment_ids", "padding_mask")), head_mask=mask)
    np.testing.assert_allclose(masked, model.logits(asked["pooled"]), atol=1e-6)
    assert np.abs(masked - model(whole)["logits"]).max() > 1e-3


# Made by transformers and torch: tests/golden/make_importance_golden.py.
GOLDEN = {**np.load(DATA / "bert_tiny.npz"), **np.load(DATA / "bert_tiny_importance.npz")}


def tiny(folder=DATA / "bert_tiny"):
    """The model of the golden values, and its batch."""
    network = BertEncoder(**checkpoint.read(folder).encoder)
    model = PretrainingModel(network, next_sentence=False)
    checkpoint.load(folder, network, model.masked_language)
    names = ("token_ids", "segment_ids", "padding_mask", "masked_indices", "masked_ids")
    given = {name: GOLDEN[name].astype(bool if name == "padding_mask" else np.int64) for name in names}
    return model, {
        name: value.astype(np.int32) if name.startswith("masked") else value for name, value in given.items()
    }


def test_importance_and_entropy_are_those_of_torch():
    """The MLM loss of each row by itself; entropy in nats, over all tokens, is what run_bertology prints."""
    model, whole = tiny()
    found = of(model, model.encoder, mlm_loss, masked_of_rows, [whole])
    np.testing.assert_allclose(found, np.abs(GOLDEN["slopes"]).mean(axis=0), rtol=1e-5, atol=1e-5)
    seen = model.encoder(whole["token_ids"], whole["segment_ids"], whole["padding_mask"], return_all=True)
    weights = [np.asarray(each) for each in seen["attentions"]]
    marks = attention.Marks({})
    rows = [
        attention.figures(
            [attention.sums([each[row : row + 1] for each in weights], one, marks, causal=False)], marks.names
        )
        for row, one in enumerate(alone_in_grid(whole))
        if one["padding_mask"].sum() > 2
    ]
    lengths = [n for n in whole["padding_mask"].sum(axis=1) if n > 2]
    short = whole["padding_mask"].sum(axis=1).tolist().index(2)
    of_short = [-(each[short, :, :2, :2] * np.log(each[short, :, :2, :2])).sum(axis=(1, 2)) for each in weights]
    nats = sum(each.entropy * np.log(n) * n for each, n in zip(rows, lengths, strict=True)) + np.stack(of_short)
    np.testing.assert_allclose(nats / whole["padding_mask"].sum(), GOLDEN["nats"], rtol=1e-5)


def alone_in_grid(whole):
    for row in range(len(whole["token_ids"])):
        yield {name: whole[name][row : row + 1] for name in ("token_ids", "padding_mask")}


def test_masked_heads_are_heads_whose_output_is_zeroed_in_the_checkpoint(tmp_path):
    """Here and in transformers: a checkpoint with zeros in a head's rows computes what the mask does."""
    model, whole = tiny()
    real, mask = whole["padding_mask"], GOLDEN["mask"]
    inputs = (whole["token_ids"], whole["segment_ids"], real)
    masked = np.asarray(model.encoder(*inputs, head_mask=mask)["sequence"])
    for layer, head in zip(*np.nonzero(mask == 0), strict=True):
        kernel = model.encoder.blocks[layer].projection.kernel
        value = kernel.numpy()
        value[6 * head : 6 * (head + 1)] = 0
        kernel.assign(value)
    pieces = checkpoint.read(DATA / "bert_tiny")
    checkpoint.save(tmp_path / "zeroed", model.encoder, pieces.vocabulary, pieces.rules, model.masked_language)
    reloaded = np.asarray(tiny(tmp_path / "zeroed")[0].encoder(*inputs)["sequence"])
    np.testing.assert_allclose(reloaded[real], masked[real], atol=1e-6)
    for golden in ("masked", "zeroed"):
        np.testing.assert_allclose(masked[real], GOLDEN[golden][real], atol=1e-5)
    assert np.abs(masked - np.asarray(tiny()[0].encoder(*inputs)["sequence"])).max() > 0.1
