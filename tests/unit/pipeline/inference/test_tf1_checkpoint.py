import json
import pathlib
import shutil

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import yaml
from click.testing import CliRunner

from configs import environment
from models.bert.encoder import BertEncoder
from models.bert.heads import PretrainingModel
from models.checkpoints import checkpoint, tf1_checkpoint
from pipeline import cli, loader
from pipeline.run import imports
from schemas import DataError

TINY = pathlib.Path(__file__).parents[3] / "data" / "bert_tiny"
# Google's name (tf.train.list_variables of a release) and transformers' (BertForPreTraining), with {} for the layer.
ONCE = {
    "bert/embeddings/LayerNorm/beta": "bert.embeddings.LayerNorm.bias",
    "bert/embeddings/LayerNorm/gamma": "bert.embeddings.LayerNorm.weight",
    "bert/embeddings/position_embeddings": "bert.embeddings.position_embeddings.weight",
    "bert/embeddings/token_type_embeddings": "bert.embeddings.token_type_embeddings.weight",
    "bert/embeddings/word_embeddings": "bert.embeddings.word_embeddings.weight",
    "bert/pooler/dense/bias": "bert.pooler.dense.bias",
    "bert/pooler/dense/kernel": "bert.pooler.dense.weight",
    "cls/predictions/output_bias": "cls.predictions.bias",
    "cls/predictions/transform/LayerNorm/beta": "cls.predictions.transform.LayerNorm.bias",
    "cls/predictions/transform/LayerNorm/gamma": "cls.predictions.transform.LayerNorm.weight",
    "cls/predictions/transform/dense/bias": "cls.predictions.transform.dense.bias",
    "cls/predictions/transform/dense/kernel": "cls.predictions.transform.dense.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
}
LAYER = {
    "bert/encoder/layer_{}/attention/output/LayerNorm/beta": "attention.output.LayerNorm.bias",
    "bert/encoder/layer_{}/attention/output/LayerNorm/gamma": "attention.output.LayerNorm.weight",
    "bert/encoder/layer_{}/attention/output/dense/bias": "attention.output.dense.bias",
    "bert/encoder/layer_{}/attention/output/dense/kernel": "attention.output.dense.weight",
    "bert/encoder/layer_{}/attention/self/key/bias": "attention.self.key.bias",
    "bert/encoder/layer_{}/attention/self/key/kernel": "attention.self.key.weight",
    "bert/encoder/layer_{}/attention/self/query/bias": "attention.self.query.bias",
    "bert/encoder/layer_{}/attention/self/query/kernel": "attention.self.query.weight",
    "bert/encoder/layer_{}/attention/self/value/bias": "attention.self.value.bias",
    "bert/encoder/layer_{}/attention/self/value/kernel": "attention.self.value.weight",
    "bert/encoder/layer_{}/intermediate/dense/bias": "intermediate.dense.bias",
    "bert/encoder/layer_{}/intermediate/dense/kernel": "intermediate.dense.weight",
    "bert/encoder/layer_{}/output/LayerNorm/beta": "output.LayerNorm.bias",
    "bert/encoder/layer_{}/output/LayerNorm/gamma": "output.LayerNorm.weight",
    "bert/encoder/layer_{}/output/dense/bias": "output.dense.bias",
    "bert/encoder/layer_{}/output/dense/kernel": "output.dense.weight",
}


def names(layers):
    for google, ours in ONCE.items():
        yield google, ours
    for layer in range(layers):
        for google, ours in LAYER.items():
            yield google.format(layer), f"bert.encoder.layer.{layer}.{ours}"


def write(folder, tensors, **more):
    """As TensorFlow 1's Saver does."""
    folder.mkdir(exist_ok=True)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in {**tensors, **more}.items():
            tf.compat.v1.get_variable(name, initializer=value)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(folder / "bert_model.ckpt"), write_meta_graph=False)
    (folder / "checkpoint").unlink()  # releases have none


@pytest.fixture
def release(tmp_path):
    """A release of Google's with the weights of tests/data/bert_tiny."""
    folder = tmp_path / "uncased_L-3"
    stored = safetensors.numpy.load_file(TINY / "model.safetensors")
    config = json.loads((TINY / "config.json").read_text())
    tensors = {}
    for google, ours in names(config["num_hidden_layers"]):
        tensors[google] = stored[ours].T if google.endswith("kernel") else stored[ours]
    adam = {"bert/embeddings/word_embeddings/adam_m": tensors["bert/embeddings/word_embeddings"]}
    write(folder, tensors, **adam, global_step=np.int64(7), output_bias=np.zeros(2, "float32"))
    kept = ("hidden_act", "hidden_size", "intermediate_size", "max_position_embeddings", "num_attention_heads")
    kept += ("num_hidden_layers", "type_vocab_size", "vocab_size", "hidden_dropout_prob")
    kept += ("attention_probs_dropout_prob", "initializer_range")
    (folder / "bert_config.json").write_text(json.dumps({key: config[key] for key in kept if key in config}))
    shutil.copy(TINY / "vocab.txt", folder)
    return folder


def test_a_release_becomes_the_folder_that_transformers_writes(release, tmp_path):
    assert tf1_checkpoint.is_release(release)
    tf1_checkpoint.convert(release, tmp_path / "out" / "converted")
    found = tmp_path / "out" / "converted"
    theirs = safetensors.numpy.load_file(TINY / "model.safetensors")
    ours = safetensors.numpy.load_file(found / "model.safetensors")
    assert ours.keys() == {name for _, name in names(3)}
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
    read, expected = checkpoint.read(found), checkpoint.read(TINY)
    assert (read.encoder, read.vocabulary, read.rules["mode"]) == (
        expected.encoder,
        expected.vocabulary,
        "bert_uncased",
    )
    model = PretrainingModel(BertEncoder(**read.encoder), next_sentence=True)
    parts = checkpoint.load(found, model.encoder, model.masked_language, model.next_sentence)
    assert parts == {"pooler", "mlm", "nsp"}
    assert not tf1_checkpoint.is_release(found)


def test_two_at_once_end_with_one_folder(release, tmp_path):
    for _ in range(2):
        tf1_checkpoint.convert(release, tmp_path / "out" / "converted")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["converted"]
    assert checkpoint.read(tmp_path / "out" / "converted").rules["mode"] == "bert_uncased"


def test_a_vocabulary_with_capitals_is_cased(release, tmp_path):
    pieces = (release / "vocab.txt").read_text().split("\n")
    (release / "vocab.txt").write_text("\n".join([*pieces[:-2], "Berlin", ""]))
    tf1_checkpoint.convert(release, tmp_path / "converted")
    assert checkpoint.read(tmp_path / "converted").rules["mode"] == "cased"


def test_what_is_wrong_with_a_release_is_told(release, tmp_path):
    data = release / "bert_model.ckpt.data-00000-of-00001"
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"bert_model.ckpt.index: truncated or damaged .*; fetch it again."):
        tf1_checkpoint.convert(release, tmp_path / "converted")
    assert not (tmp_path / "converted").exists()
    data.write_bytes(whole)
    (release / "bert_config.json").write_text("{")
    with pytest.raises(DataError, match=r"bert_config.json: not JSON"):
        tf1_checkpoint.convert(release, tmp_path / "converted")
    shutil.copy(release / "bert_model.ckpt.index", release / "other.ckpt.index")
    with pytest.raises(DataError, match=r"holds 2 checkpoints, bert_model.ckpt.index, other.ckpt.index"):
        tf1_checkpoint.files(release)
    (release / "other.ckpt.index").unlink()
    (release / "vocab.txt").unlink()
    with pytest.raises(DataError, match=r"vocab.txt: no such file"):
        tf1_checkpoint.files(release)


def test_a_release_is_named_in_the_yaml_and_converted_once(release, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "x",
                "checkpoint": release.name,
                "corpus": {"path": "text.txt", "format": "text"},
                "pretrain": {"steps": 1, "max_length": 16},
            }
        )
    )
    (tmp_path / "text.txt").write_text("one\n\ntwo\n")
    experiment, where = loader.load("x.yaml"), environment.load("local")
    begin = imports.start(experiment, where)
    assert (begin.name, begin.folder.parent) == (release.name, tmp_path / "runs" / "x" / "converted")
    written = (begin.folder / "model.safetensors").stat().st_mtime_ns
    placed = imports.checkpoint(experiment, where) / "Format-Serving/assets.extra/checkpoint"
    assert checkpoint.tensors(placed) == checkpoint.tensors(begin.folder)
    assert (begin.folder / "model.safetensors").stat().st_mtime_ns == written
    result = CliRunner().invoke(cli.main, ["check", "x.yaml"])
    assert f"✓ {release.name}: BERT of 3 layers, 24 wide" in result.output
    (release / "bert_model.ckpt.data-00000-of-00001").unlink()
    result = CliRunner().invoke(cli.main, ["check", "x.yaml"])
    assert result.exit_code == 3
    assert "bert_model.ckpt.index: truncated or damaged" in result.output
