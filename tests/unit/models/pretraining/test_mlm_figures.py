"""Held-out figures of a pretrained model; and that the objective can be learned at all."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.bert.encoder import BertEncoder
from models.bert.heads import PretrainingModel, mlm_loss, pretraining_loss
from models.pretraining import mlm_figures
from models.training.optimizer import AdamW, LinearSchedule

VOCABULARY = 60


def model_of(next_sentence=True, dropout=0.0):
    keras.utils.set_random_seed(5)
    encoder = BertEncoder(
        vocabulary_size=VOCABULARY,
        num_layers=2,
        hidden_dim=32,
        num_heads=2,
        intermediate_dim=64,
        max_positions=16,
        dropout=dropout,
        attention_dropout=dropout,
    )
    return PretrainingModel(encoder, next_sentence)


def batch(packed=False):
    generator = np.random.default_rng(2)
    lengths = np.array([12, 7, 9, 12])
    ids = generator.integers(5, VOCABULARY, size=(4, 12)) * (np.arange(12) < lengths[:, None])
    masked = np.array([1, 4, 13, 17, 26, 30, 40, 46])
    hidden = ids.ravel()[masked].copy()
    ids.ravel()[masked] = 4
    made = {
        "token_ids": ids,
        "segment_ids": (np.arange(12) > 5) * (ids > 0),
        "masked_indices": masked,
        "masked_ids": hidden,
        "next_sentence_label": [0, 1, 0, 1],
    }
    if packed:
        made |= {"position_ids": np.tile(np.arange(12), (4, 1)), "group_ids": (ids > 0) * 1}
    tensors = {name: tf.constant(value, tf.int32) for name, value in made.items()}
    return {**tensors, "padding_mask": tf.constant(ids > 0)}


def test_one_batch_can_be_learned_by_heart():
    model, data = model_of(), batch()
    optimizer = AdamW(LinearSchedule(5e-3, 30, 300), weight_decay=0.0)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = pretraining_loss(model(data, training=True), data)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    for _ in range(300):
        loss = step()
    outputs = model(data)
    assert loss < 0.01
    np.testing.assert_array_equal(tf.argmax(outputs["mlm_logits"], axis=1), data["masked_ids"])
    np.testing.assert_array_equal(tf.argmax(outputs["nsp_logits"], axis=1), data["next_sentence_label"])


def counting(generator, shuffled=False):
    """Rows that count upwards from anywhere, one token of each masked: its neighbours tell it."""
    ids = 5 + (generator.integers(0, 55, size=(64, 1)) + np.arange(12)) % 55
    masked = np.arange(64) * 12 + generator.integers(0, 12, size=64)
    hidden = ids.ravel()[masked].copy()
    ids.ravel()[masked] = 4
    if shuffled:
        mask = ids.ravel() != 4
        ids.ravel()[mask] = generator.permutation(ids.ravel()[mask])
    made = {"token_ids": ids, "segment_ids": 0 * ids, "masked_indices": masked, "masked_ids": hidden}
    return {name: tf.constant(value, tf.int32) for name, value in made.items()} | {
        "padding_mask": tf.ones([64, 12], tf.bool)
    }


def test_shuffled_text_is_predicted_worse_than_intact_text():
    model, generator = model_of(next_sentence=False), np.random.default_rng(7)
    optimizer = AdamW(LinearSchedule(5e-3, 30, 250), weight_decay=0.0)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step(data):
        with tf.GradientTape() as tape:
            loss = mlm_loss(model(data, training=True), data)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    for _ in range(250):
        step(counting(generator))
    intact, shuffled = (counting(np.random.default_rng(8), each) for each in (False, True))
    chance = math.log(55)
    assert mlm_loss(model(intact), intact) < chance - 1
    assert mlm_loss(model(shuffled), shuffled) > chance - 0.2


def test_an_untrained_model_knows_nothing():
    model, data = model_of(), batch()
    outputs = model(data)
    assert float(mlm_loss(outputs, data)) == pytest.approx(math.log(VOCABULARY), rel=0.05)
    nsp = pretraining_loss(outputs, data) - mlm_loss(outputs, data)
    assert float(nsp) == pytest.approx(math.log(2), rel=0.10)


def test_packed_rows_of_one_text_give_what_plain_rows_give():
    model = model_of()
    plain, packed = model(batch()), model(batch(packed=True))
    np.testing.assert_allclose(plain["mlm_logits"], packed["mlm_logits"], atol=1e-6)


def test_nothing_masked_is_no_loss_and_no_nan():
    data = batch() | {"masked_indices": tf.zeros([0], tf.int32), "masked_ids": tf.zeros([0], tf.int32)}
    assert mlm_loss(model_of()(data), data) == 0.0


def test_figures_weigh_tokens_and_not_batches():
    model, data = model_of(), batch()
    uniform = np.full(VOCABULARY, -math.log(VOCABULARY))
    first = {**data, "masked_indices": data["masked_indices"][:1], "masked_ids": data["masked_ids"][:1]}
    rest = {**data, "masked_indices": data["masked_indices"][1:], "masked_ids": data["masked_ids"][1:]}
    spec = tf.nest.map_structure(lambda tensor: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype), data)
    parts = tf.data.Dataset.from_generator(lambda: [first, rest], output_signature=spec)
    whole = tf.data.Dataset.from_tensors(data)
    split, once = mlm_figures.evaluate(model, parts, uniform), mlm_figures.evaluate(model, whole, uniform)
    assert (split.mlm.count, once.mlm.count) == (8, 8)
    assert split.mlm.loss == pytest.approx(float(mlm_loss(model(data), data)), abs=1e-6)
    assert split.metrics() == pytest.approx(once.metrics(), rel=1e-6)
    assert once.unigram_loss == pytest.approx(math.log(VOCABULARY), abs=1e-6)
    assert 0 <= once.nsp_accuracy <= 1
    assert once.sop_accuracy is None


def test_sentence_order_is_learned_by_the_head_over_pairs_and_told_as_such():
    model, data = model_of(), batch()
    ordered = {name: value for name, value in data.items() if name != "next_sentence_label"}
    ordered["sentence_order_label"] = data["next_sentence_label"]
    assert pretraining_loss(model(ordered), ordered) == pretraining_loss(model(data), data)
    uniform = np.full(VOCABULARY, -math.log(VOCABULARY))
    nsp, sop = (mlm_figures.evaluate(model, tf.data.Dataset.from_tensors(each), uniform) for each in (data, ordered))
    assert sop.nsp_accuracy is None
    assert sop.sop_accuracy == nsp.nsp_accuracy
    assert str(sop) == str(nsp).replace("NSP", "SOP")


def test_bands_are_halves_of_the_tokens_and_not_of_the_pieces():
    shares = np.array([0.02, 0.3, 0.25, 0.2, 0.16, 0.04, 0.03])
    #  0.3 + 0.25 reach a half, 0.2 + 0.16 nine tenths: a piece on a border belongs to the band it begins in
    assert mlm_figures.bands(np.log(shares)).tolist() == [2, 0, 0, 1, 1, 2, 2]


def test_figures_by_frequency_add_up_to_the_whole():
    model, data = model_of(), batch()
    counts = np.ones(VOCABULARY)
    often, hidden = data["masked_ids"].numpy()[:3], data["masked_ids"].numpy()
    counts[often] = 1002, 1001, 1000
    found = mlm_figures.evaluate(model, tf.data.Dataset.from_tensors(data), np.log(counts / counts.sum()))
    outputs = model(data)["mlm_logits"]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(hidden, outputs).numpy()
    frequent = np.isin(hidden, often[:2])
    assert set(found.bands) == {"frequent", "middle", "rare"}
    assert sum(band.count for band in found.bands.values()) == found.mlm.count == 8
    band = found.bands["frequent"]
    assert (band.count, band.loss) == (frequent.sum(), pytest.approx(losses[frequent].mean(), abs=1e-6))
    assert found.metrics()["perplexity[frequent]"] == pytest.approx(math.exp(losses[frequent].mean()), rel=1e-6)
    assert sum(band.loss * band.count for band in found.bands.values()) == pytest.approx(found.mlm.loss * 8, abs=1e-5)
    first = {**data, "masked_indices": data["masked_indices"][:1], "masked_ids": data["masked_ids"][:1]}
    alone = mlm_figures.evaluate(model, tf.data.Dataset.from_tensors(first), np.log(counts / counts.sum()))
    assert alone.bands == {"frequent": alone.mlm}


def test_unigrams_are_smoothed_shares():
    ids = tf.ragged.constant([[[5, 6], [5]], [[5]]])
    logs = mlm_figures.unigram_log_probabilities(tf.data.Dataset.from_tensor_slices({"token_ids": ids}), 8)
    np.testing.assert_allclose(np.exp(logs), np.array([1, 1, 1, 1, 1, 4, 2, 1]) / 12)


def test_a_split_without_tokens_is_said():
    data = batch() | {"masked_indices": tf.zeros([0], tf.int32), "masked_ids": tf.zeros([0], tf.int32)}
    with pytest.raises(ValueError, match="no token to mask"):
        mlm_figures.evaluate(model_of(), tf.data.Dataset.from_tensors(data), np.zeros(VOCABULARY))
