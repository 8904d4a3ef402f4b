"""Attention of an encoder–decoder: its rows, and cross-attention's figures beside a loop over every query and key."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.analysis import attention, translation
from models.translation.transformer import Transformer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁a", "##b", "▁c", "▁,", "▁d"]
MARKS = attention.Marks.of_pieces(PIECES)
SOURCES, TARGETS = (6, 2, 4, 5), (5, 4, 3, 7)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(4)
    made = Transformer(
        vocabulary_size=len(PIECES), num_layers=2, num_decoder_layers=1, hidden_dim=12, num_heads=3, max_positions=16
    )
    for variable in made.trainable_variables:
        variable.assign(variable * 3 if "norm" not in variable.path else variable)
    return made


@pytest.fixture(scope="module")
def batch():
    generator, found = np.random.default_rng(6), {}
    for lengths, ids, mask in ((SOURCES, "token_ids", "padding_mask"), (TARGETS, "target_in", "target_mask")):
        found[mask] = np.arange(max(lengths)) < np.array(lengths)[:, None]
        found[ids] = np.where(found[mask], generator.integers(5, len(PIECES), found[mask].shape), 0)
    found["token_ids"][range(4), np.array(SOURCES) - 1] = PIECES.index("[SEP]")
    found["target_in"][:, 0] = PIECES.index("[CLS]")
    return found


def test_to_look_changes_nothing_and_every_row_is_whole(network, batch):
    given = [batch[name] for name in ("token_ids", "padding_mask", "target_in", "target_mask")]
    seen = network.attentions(*given)
    assert [len(each) for each in (seen.encoder, seen.decoder, seen.cross)] == [2, 1, 1]
    assert seen.cross[0].shape == (4, 3, 7, 6)
    np.testing.assert_array_equal(network(*given), network.call(*given))
    for weights, keys in ((seen.encoder, "padding_mask"), (seen.decoder, "target_mask"), (seen.cross, "padding_mask")):
        for each in weights:
            np.testing.assert_allclose(np.asarray(each).sum(axis=-1), 1, atol=1e-6)
            if keys == "padding_mask":
                assert (np.asarray(each) * ~batch[keys][:, None, None]).max() < 1e-8
    assert np.triu(np.asarray(seen.decoder[0]), 1).max() < 1e-8
    # The weights are those that the answer is made of: with other values, other logits.
    value = network.decoder_blocks[0].key_value.kernel
    before, logits = value.numpy(), np.asarray(network(*given))
    value.assign(before * np.repeat([1.0, 0.0], 12))
    np.testing.assert_allclose(np.asarray(network.attentions(*given).cross[0]), np.asarray(seen.cross[0]), atol=1e-6)
    assert np.abs(np.asarray(network(*given)) - logits).max() > 1e-3
    value.assign(before)


def test_figures_across_are_those_of_a_loop_over_every_query_and_key(network, batch):
    batches = tf.data.Dataset.from_tensor_slices(batch).batch(3)
    found = translation.heads(network, MARKS, batches)
    assert {name: each.rows for name, each in found.items()} == {"encoder": 3, "decoder": 4, "cross": 3}
    assert found["decoder"].mass["next"].max() < 1e-8
    assert found["encoder"].uniform["[SEP]"] == pytest.approx(np.mean([1 / n for n in SOURCES if n > 2]), abs=1e-6)
    cross = found["cross"]
    seen = np.asarray(network.attentions(*(batch[n] for n in batch_names())).cross[0])
    for head in range(3):
        sums = dict.fromkeys(("entropy", "distance", *attention.ACROSS), 0.0)
        for row in (0, 2, 3):  # the second source has two pieces
            asked, keys = TARGETS[row], SOURCES[row]
            for q, k in np.ndindex(asked, keys):
                share, key = seen[row, head, q, k], batch["token_ids"][row, k]
                told = {
                    "entropy": -np.log(share) / np.log(keys),
                    "distance": abs(q - k),
                    "same place": q == k,
                    "[SEP]": PIECES[key] == "[SEP]",
                    "punctuation": PIECES[key] == "▁,",
                    "same token": key == batch["target_in"][row, q],
                }
                for name, value in told.items():
                    sums[name] += share * float(value) / asked / 3
        assert cross.entropy[0, head] == pytest.approx(sums["entropy"], abs=1e-5)
        assert cross.distance[0, head] == pytest.approx(sums["distance"], abs=1e-5)
        for name in attention.ACROSS:
            assert cross.mass[name][0, head] == pytest.approx(sums[name], abs=1e-6), name


def batch_names():
    return "token_ids", "padding_mask", "target_in", "target_mask"


def test_figures_have_names_that_can_be_bounded(network, batch):
    from configs.analyze import Analyze

    metrics = dict(translation.metrics(translation.heads(network, MARKS, tf.data.Dataset.from_tensors(batch))))
    assert Analyze(bless=metrics).bless == metrics
    assert {"encoder_entropy_mean", "decoder_mass[previous]", "cross_mass[same token]"} <= metrics.keys()
