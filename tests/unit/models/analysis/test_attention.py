"""Figures of attention: a loop over every head, query and key; and heads that look where they were made to look."""

import keras
import numpy as np
import pytest

from models.analysis import attention
from models.bert.encoder import BertEncoder

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "c", ",", "d", "##", "...", "#"]
MARKS = attention.Marks.of_pieces(PIECES)
SEP, CLS, COMMA = PIECES.index("[SEP]"), PIECES.index("[CLS]"), PIECES.index(",")


def rows(count=20):
    generator = np.random.default_rng(3)
    lengths = np.array([2, 3, *generator.integers(4, 12, count - 2)])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.where(mask, generator.integers(5, len(PIECES), mask.shape), 0)
    ids[:, 0] = CLS
    ids[np.arange(count), lengths - 1] = SEP
    return {"token_ids": ids, "segment_ids": np.zeros_like(ids), "padding_mask": mask}


def encoder(causal=False):
    keras.utils.set_random_seed(1)
    made = BertEncoder(
        vocabulary_size=len(PIECES), num_layers=2, hidden_dim=12, num_heads=3, max_positions=16, causal=causal
    )
    for variable in made.trainable_variables:
        variable.assign(variable * 10 if "norm" not in variable.path else variable)
    return made


def figures(attentions, batch, causal=False):
    parts = [
        attention.sums(
            [each[half] for each in attentions], {n: v[half] for n, v in batch.items()}, MARKS, causal=causal
        )
        for half in (slice(0, 7), slice(7, None))
    ]
    return attention.figures(parts, MARKS.names)


def test_what_pieces_are():
    assert [piece for piece, is_so in zip(PIECES, MARKS.punctuation, strict=True) if is_so] == [",", "##", "...", "#"]
    assert [piece for piece, is_so in zip(PIECES, MARKS.continues, strict=True) if is_so] == ["##b"]
    assert MARKS.special == {"[CLS]": CLS, "[SEP]": SEP}


@pytest.mark.parametrize("causal", [False, True])
def test_figures_are_those_of_a_loop_over_every_query_and_key(causal):
    batch = rows()
    given = [np.asarray(each) for each in encoder(causal)(**batch, return_all=True)["attentions"]]
    found = figures(given, batch, causal)
    ids, lengths = batch["token_ids"], batch["padding_mask"].sum(axis=1)
    taken = [row for row in range(20) if lengths[row] >= 3]
    assert found.rows == len(taken) == 19
    names = ("entropy", "distance", *MARKS.names)
    for layer, head in np.ndindex(2, 3):
        sums, uniform = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
        for row in taken:
            n = lengths[row]
            word = np.cumsum([PIECES[i] != "##b" for i in ids[row]])
            for q in range(n):
                keys = range(q + 1 if causal else n)
                for k in keys:
                    share = given[layer][row, head, q, k]
                    told = {
                        "self": k == q,
                        "previous": k == q - 1,
                        "next": k == q + 1,
                        "[CLS]": ids[row, k] == CLS,
                        "[SEP]": ids[row, k] == SEP,
                        "punctuation": PIECES[ids[row, k]] in (",", "##", "...", "#"),
                        "own word": word[k] == word[q] and k != q,
                        "same token elsewhere": ids[row, k] == ids[row, q] and k != q,
                        "distance": abs(q - k),
                        "entropy": -np.log(share) / np.log(len(keys)) if len(keys) > 1 else 0,
                    }
                    for name, value in told.items():
                        sums[name] += share * float(value) / n / len(taken)
                        uniform[name] += float(value) / len(keys) / n / len(taken)
        assert found.entropy[layer, head] == pytest.approx(sums["entropy"], abs=1e-6)
        assert found.distance[layer, head] == pytest.approx(sums["distance"], abs=1e-5)
        for name in MARKS.names:
            assert found.mass[name][layer, head] == pytest.approx(sums[name], abs=1e-6), name
            assert found.uniform[name] == pytest.approx(uniform[name], abs=1e-6), name
            if uniform[name]:
                assert found.lift(name)[layer, head] == pytest.approx(sums[name] / uniform[name], abs=1e-4)


def planted():
    """An encoder whose heads look to the token before, to [SEP], and everywhere."""
    made, positions = encoder(), 16
    width = 3 * 20
    made = BertEncoder(
        vocabulary_size=len(PIECES), num_layers=1, hidden_dim=width, num_heads=3, max_positions=positions
    )
    tokens, places = np.zeros((len(PIECES), width)), np.zeros((positions, width))
    tokens[SEP, 0] = 10.0
    places[:, 1 : 1 + positions] = 10 * np.eye(positions)
    made.token_embedding.assign(tokens)
    made.position_embedding.assign(places)
    made.segment_embedding.assign(np.zeros((2, width)))
    block = made.blocks[0]
    kernel, bias = np.zeros((width, 3, 3, 20)), np.zeros((3, 3, 20))  # to query, key, value; head; place in the head
    for place in range(1, positions):
        kernel[1 + place, 0, 0, place] = 8  # the query at a place asks for …
        kernel[place, 1, 0, place] = 8  # … the key of the place before it
    bias[0, 1, 0] = 8
    kernel[0, 1, 1, 0] = 8
    block.qkv.kernel.assign(kernel.reshape(width, -1))
    block.qkv.bias.assign(bias.reshape(-1))
    return made


def test_heads_that_were_made_for_a_role_have_it():
    batch = rows()
    found = figures([np.asarray(planted()(**batch, return_all=True)["attentions"][0])], batch)
    assert found.roles() == [["previous", "[SEP]", "broad"]]
    assert found.mass["[SEP]"][0, 1] > 0.99
    assert found.entropy[0, 1] < 0.01
    assert found.entropy[0, 2] == pytest.approx(1, abs=1e-3)
    for name in MARKS.names:
        assert found.mass[name][0, 2] == pytest.approx(found.uniform[name], abs=1e-3)


def test_no_attention_is_lost_and_none_goes_to_padding():
    batch = rows()
    for weights in encoder()(**batch, return_all=True)["attentions"]:
        weights = np.asarray(weights)
        np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)
        assert (weights * ~batch["padding_mask"][:, None, None]).max() < 1e-8


def test_rows_of_two_tokens_say_nothing():
    batch = {name: value[:1] for name, value in rows().items()}
    with pytest.raises(ValueError, match="no row has 3 tokens"):
        attention.figures([attention.sums([np.ones((1, 3, 10, 10)) / 10], batch, MARKS, causal=False)], MARKS.names)
