import json
import pathlib

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.decomposition import PCA

from models.bert.encoder import BertEncoder
from models.checkpoints import checkpoint, smaller

RULES = {"mode": "bert_uncased", "replace": [], "reserve": []}
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(300))]
LARGE = {"num_layers": 6, "hidden_dim": 192, "num_heads": 3, "intermediate_dim": 64, "max_positions": 16}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    encoder = BertEncoder(vocabulary_size=len(PIECES), **LARGE)
    draws = np.random.default_rng(3)
    for variable in encoder.trainable_variables:
        variable.assign(draws.normal(size=variable.shape))
    checkpoint.save(folder, encoder, PIECES, RULES)
    return folder


def test_every_nth_layer_is_kept_and_all_else_is_the_same(large, tmp_path):
    smaller.write(large, tmp_path / "a", 3, None)
    before, after = (load_file(folder / "model.safetensors") for folder in (large, tmp_path / "a"))
    for name, value in after.items():
        layer = name.split("layer.")[1].split(".")[0] if "layer." in name else None
        old = name if layer is None else name.replace(f"layer.{layer}.", f"layer.{2 * int(layer) + 1}.")
        np.testing.assert_array_equal(value, before[old])
    assert sum("layer." in name for name in after) == sum("layer." in name for name in before) // 2
    read = checkpoint.read(tmp_path / "a")
    assert (read.encoder["num_layers"], read.vocabulary, read.rules) == (3, PIECES, RULES)


def test_embeddings_of_a_lesser_width_are_on_scikit_learns_principal_axes(large, tmp_path):
    smaller.write(large, tmp_path / "a", 2, 128)
    words, table = (
        load_file(folder / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
        for folder in (large, tmp_path / "a")
    )
    expected = PCA(128, svd_solver="full").fit(words).components_
    found = (words - words.mean(axis=0)) @ expected.T
    centred = table - table.mean(axis=0)
    np.testing.assert_allclose(np.abs(centred), np.abs(found), atol=1e-3)  # an axis has no sign
    config = json.loads((tmp_path / "a/config.json").read_text())
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
    assert [config[name] for name in names] == [2, 128, 2, 512]
    smaller.write(large, tmp_path / "b", 2, 128)
    assert (
        pathlib.Path(tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    )


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ((7, None), "layers 7 is more than the 6 of the model that is made smaller"),
        ((2, 256), "width 256 is more than the 192"),
        ((2, 100), "width takes a multiple of 64, which a head is wide. Received: 100"),
    ],
)
def test_what_is_not_smaller_is_refused(large, wanted, sentence):
    with pytest.raises(ValueError, match=sentence):
        smaller.shape_of(checkpoint.read(large).encoder, *wanted)


def test_the_layers_that_are_kept_are_spread_and_the_last_is_among_them():
    assert [smaller.kept(6, fewer) for fewer in (6, 3, 2, 1)] == [[0, 1, 2, 3, 4, 5], [1, 3, 5], [2, 5], [5]]
    assert smaller.kept(12, 5) == [1, 3, 6, 8, 11]
