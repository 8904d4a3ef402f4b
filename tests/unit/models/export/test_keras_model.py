"""``.keras`` files against the logits of transformers, and loaded by a process that has seen nothing else."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from models.checkpoints import checkpoint, task_head
from models.export import keras_model

TINY = pathlib.Path(__file__).parents[3] / "data" / "bert_tiny"


@pytest.fixture(scope="module")
def batch():
    golden = np.load(TINY.parent / "bert_tiny.npz")
    return {name: golden[name] for name in ("token_ids", "segment_ids", "padding_mask")}


def reloaded(folder, path):
    keras_model.load(folder).save(path)
    return keras.saving.load_model(path)


@pytest.mark.parametrize("name", task_head.HEADS)
def test_a_file_holds_a_fine_tuned_model(fine_tuned, batch, tmp_path, name):
    folder, expected = fine_tuned(name)
    logits = np.asarray(reloaded(folder, tmp_path / "model.keras")(batch)["logits"])
    real = batch["padding_mask"] if expected.ndim == 3 else slice(None)
    np.testing.assert_allclose(logits[real], expected[real], atol=1e-5)


def test_a_file_holds_a_base_model_with_its_heads(batch, tmp_path):
    golden = np.load(TINY.parent / "bert_tiny.npz")
    out = reloaded(TINY, tmp_path / "model.keras")(batch)
    words = np.asarray(out["mlm_logits"]).reshape(-1, 37)[golden["masked_indices"]]
    np.testing.assert_allclose(words, golden["mlm_logits"], atol=2e-5)
    np.testing.assert_allclose(out["nsp_logits"], golden["nsp_logits"], atol=1e-5)


def test_it_loads_where_nothing_but_its_module_was_imported(fine_tuned, batch, tmp_path):
    folder, expected = fine_tuned("classification")
    keras_model.load(folder).save(tmp_path / "model.keras")
    np.savez(tmp_path / "batch.npz", **batch)
    code = (
        "import keras, models.export.keras_model, numpy as np\n"
        "model = keras.saving.load_model('model.keras')\n"
        "logits = model.predict(dict(np.load('batch.npz')), verbose=0)['logits']\n"
        "np.savez('out.npz', logits=logits, labels=model.arguments['labels'])\n"
    )
    root = pathlib.Path(__file__).parents[4]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={"PYTHONPATH": str(root)})
    out = np.load(tmp_path / "out.npz")
    np.testing.assert_allclose(out["logits"], expected, atol=1e-5)
    assert out["labels"].tolist() == ["bad", "so-so", "좋음"]


def test_a_model_without_a_head_gives_the_encoders_outputs(fine_tuned, batch, tmp_path):
    read = checkpoint.read(TINY)
    model = keras_model.Bert(read.encoder)
    checkpoint.load(TINY, model.encoder)
    golden = np.load(TINY.parent / "bert_tiny.npz")
    np.testing.assert_allclose(model(batch)["pooled"], golden["pooled"], atol=1e-5)
