"""ONNX graphs, run by onnxruntime, against the logits of transformers."""

import pathlib

import numpy as np
import onnx
import onnxruntime
import pytest

from models.bert.encoder import BertEncoder
from models.checkpoints import checkpoint
from models.export import onnx_graph
from models.text.tokenization import SPECIAL

TINY = pathlib.Path(__file__).parents[3] / "data" / "bert_tiny"


@pytest.fixture(scope="module")
def batch():
    golden = np.load(TINY.parent / "bert_tiny.npz")
    return {name: golden[name] for name in ("token_ids", "segment_ids", "padding_mask")}


@pytest.fixture(scope="module")
def classifier(fine_tuned):
    """The file of a classifier, and the logits of transformers."""
    folder, expected = fine_tuned("classification")
    onnx_graph.write(folder, folder / "model.onnx")
    return folder / "model.onnx", expected


def shapes(path):
    """How many axes each input and output has."""
    made = onnxruntime.InferenceSession(path)
    assert {each.type for each in made.get_inputs()} == {"tensor(int64)"}
    return tuple({each.name: len(each.shape) for each in ends} for ends in (made.get_inputs(), made.get_outputs()))


INPUTS = {"input_ids": 2, "token_type_ids": 2, "attention_mask": 2}


def test_a_classifier_has_the_logits_and_names_of_transformers(classifier, batch):
    path, expected = classifier
    assert shapes(path) == (INPUTS, {"logits": 2})
    np.testing.assert_allclose(onnx_graph.session(path)(batch)["logits"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "outputs"),
    [("token_classification", {"logits": 3}), ("question_answering", {"start_logits": 2, "end_logits": 2})],
)
def test_heads_over_the_sequence_do_too(fine_tuned, batch, name, outputs):
    folder, expected = fine_tuned(name)
    onnx_graph.write(folder, folder / "model.onnx")
    assert shapes(folder / "model.onnx") == (INPUTS, outputs)
    logits, real = onnx_graph.session(folder / "model.onnx")(batch)["logits"], batch["padding_mask"]
    np.testing.assert_allclose(logits[real], expected[real], atol=1e-5)


def test_a_base_model_has_both_heads(batch, tmp_path):
    golden = np.load(TINY.parent / "bert_tiny.npz")
    onnx_graph.write(TINY, tmp_path / "model.onnx")
    out = onnx_graph.session(tmp_path / "model.onnx")(batch)
    words = out["prediction_logits"].reshape(-1, 37)[golden["masked_indices"]]
    np.testing.assert_allclose(words, golden["mlm_logits"], atol=2e-5)
    np.testing.assert_allclose(out["seq_relationship_logits"], golden["nsp_logits"], atol=1e-5)


def test_a_model_without_a_head_gives_the_encoders_outputs(batch, tmp_path):
    encoder = BertEncoder(**checkpoint.read(TINY).encoder)
    checkpoint.load(TINY, encoder)
    checkpoint.save(tmp_path, encoder, list(SPECIAL), {"mode": "cased"})
    golden, real = np.load(TINY.parent / "bert_tiny.npz"), batch["padding_mask"]
    onnx_graph.write(tmp_path, tmp_path / "model.onnx")
    out = onnx_graph.session(tmp_path / "model.onnx")(batch)
    np.testing.assert_allclose(out["last_hidden_state"][real], golden["hidden_states"][-1][real], atol=1e-5)
    np.testing.assert_allclose(out["pooler_output"], golden["pooled"], atol=1e-5)


def test_rows_may_have_any_number_and_length(classifier, batch):
    path, expected = classifier
    run = onnx_graph.session(path)
    for row, length in enumerate(batch["padding_mask"].sum(1)):
        one = {name: value[row : row + 1, :length] for name, value in batch.items()}
        np.testing.assert_allclose(run(one)["logits"], expected[row : row + 1], atol=1e-5)


def test_int8_has_matrices_and_embeddings_in_bytes_and_nearly_the_same_logits(classifier, batch, tmp_path):
    path, expected = classifier
    onnx_graph.quantize(path, tmp_path / "int8.onnx")
    constants = onnx.load(tmp_path / "int8.onnx").graph.initializer
    bytes_of = [
        list(each.dims) for each in constants if each.data_type == onnx.TensorProto.UINT8 and len(each.dims) == 2
    ]
    blocks = [[24, 72], [24, 24], [24, 40], [40, 24]] * 3
    assert sorted(bytes_of) == sorted([[37, 24], [2, 24], *blocks, [24, 24], [24, 3]])
    logits = onnx_graph.session(tmp_path / "int8.onnx")(batch)["logits"]
    assert 0 < np.abs(logits - expected).max() < 0.1 * np.abs(expected).max()
