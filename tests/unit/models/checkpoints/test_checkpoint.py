import json
import logging
import pathlib
import shutil

import keras
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from tokenizers import Tokenizer

from models.bert.encoder import BertEncoder, MaskedLanguageHead, NextSentenceHead
from models.checkpoints import checkpoint, task_head, weights
from models.families.text import TEXTS
from models.text.tokenization import SPECIAL
from schemas import DataError

TINY = pathlib.Path(__file__).parents[3] / "data" / "bert_tiny"
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path):
    return pathlib.Path(shutil.copytree(TINY, tmp_path / "tiny"))


def change(path, **values):
    """Sets keys of a JSON file; None removes one."""
    content = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def rename(folder, function):
    """Rewrites the weights under other names; None drops a tensor."""
    tensors = safetensors.numpy.load_file(folder / WEIGHTS)
    safetensors.numpy.save_file(
        {new: value for name, value in tensors.items() if (new := function(name))}, folder / WEIGHTS
    )


def diverge(folder, name):
    """One number of a tensor is no number."""
    tensors = safetensors.numpy.load_file(folder / WEIGHTS)
    tensors[name] = np.where(np.arange(tensors[name].size) == 3, np.nan, tensors[name])
    safetensors.numpy.save_file(tensors, folder / WEIGHTS)


def load(folder):
    encoder = BertEncoder(**checkpoint.read(folder).encoder)
    heads = (MaskedLanguageHead(encoder, name="mlm"), NextSentenceHead(encoder.hidden_dim, name="nsp"))
    return checkpoint.load(folder, encoder, *heads), (encoder, *heads)


def values(layers):
    return {v.path: np.asarray(v) for layer in layers for v in layer.trainable_variables}


def test_what_a_folder_says():
    read = checkpoint.read(TINY)
    assert read.encoder == {
        "vocabulary_size": 37,
        "num_layers": 3,
        "hidden_dim": 24,
        "num_heads": 4,
        "intermediate_dim": 40,
        "max_positions": 16,
        "num_segments": 2,
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "layer_norm_epsilon": 1e-12,
    }
    assert (read.vocabulary[0], read.vocabulary[36], len(read.vocabulary)) == ("[PAD]", "##f", 37)
    assert read.rules == {"mode": "bert_uncased", "replace": [], "reserve": []}


def test_the_digest_follows_every_file(folder):
    digests = {checkpoint.read(folder).digest}
    change(folder / "config.json", hidden_dropout_prob=0.2)
    digests.add(checkpoint.read(folder).digest)
    rename(folder, lambda name: name)  # drops the metadata
    digests.add(checkpoint.read(folder).digest)
    assert len(digests) == 3
    assert checkpoint.read(shutil.copytree(folder, folder.parent / "copy")).digest in digests


@pytest.mark.parametrize(
    "old_name",
    [
        lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
        lambda name: name.removeprefix("bert."),
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.module.{name.removeprefix('bert.')}",
        lambda name: f"model.{name}",
        lambda name: name,
    ],
    ids=["gamma and beta", "no prefix", "DataParallel", "compiled", "Lightning", "as it is"],
)
def test_every_naming_gives_the_same_weights(folder, old_name):
    _, reference = load(TINY)
    rename(folder, old_name)
    found, layers = load(folder)
    assert found == {"pooler", "mlm", "nsp"}
    expected = values(reference)
    for path, value in values(layers).items():
        np.testing.assert_array_equal(value, expected[path])


def test_extra_tensors_are_passed_over(folder):
    tensors = safetensors.numpy.load_file(folder / WEIGHTS)
    extra = {"bert.embeddings.position_ids": np.arange(16)[None], "classifier.weight": np.ones((2, 24), np.float32)}
    safetensors.numpy.save_file({**tensors, **extra}, folder / WEIGHTS)
    assert load(folder)[0] == {"pooler", "mlm", "nsp"}


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_weights_are_read(folder, dtype):
    tensors = safetensors.numpy.load_file(folder / WEIGHTS)
    safetensors.numpy.save_file({name: value.astype(dtype) for name, value in tensors.items()}, folder / WEIGHTS)
    _, (encoder, *_) = load(folder)
    expected = tensors["bert.embeddings.word_embeddings.weight"].astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(encoder.token_embedding), expected)


def test_missing_heads_stay_fresh_and_a_missing_pooler_is_reported(folder, caplog):
    rename(folder, lambda name: None if "pooler" in name or name.startswith("cls.") else name)
    keras.utils.set_random_seed(1)
    with caplog.at_level(logging.WARNING, logger="tfx_bert"):
        found, (encoder, *_) = load(folder)
    assert found == set()
    assert caplog.messages == [f"{folder / WEIGHTS} has no pooler: it starts from random weights"]
    assert 0 < np.asarray(encoder.pooler.kernel).std() < 0.03


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model_type", "roberta", r'\$\.model_type must be "bert", received "roberta": only BERT encoders'),
        (
            "position_embedding_type",
            "relative_key",
            r'\$\.position_embedding_type must be "absolute", received "relative_key"',
        ),
        ("hidden_act", "gelu_new", r'\$\.hidden_act must be "gelu", received "gelu_new"'),
        ("is_decoder", True, r"\$\.is_decoder must be false, received true"),
        ("hidden_size", None, r"config.json: hidden_size missing"),
        ("vocab_size", 30, r"37 pieces but config.json says vocab_size 30"),
    ],
)
def test_other_models_are_refused(folder, key, value, message):
    change(folder / "config.json", **{key: value})
    with pytest.raises(DataError, match=message):
        checkpoint.read(folder)


@pytest.mark.parametrize(
    ("tokenizer", "mode"),
    [
        ({"do_lower_case": True, "strip_accents": None}, "bert_uncased"),
        ({"do_lower_case": True, "strip_accents": True}, "bert_uncased"),
        ({"do_lower_case": True, "strip_accents": False}, "uncased_nfc"),
        ({"do_lower_case": False, "strip_accents": None}, "cased"),
    ],
)
def test_casing_comes_from_the_folder(folder, tokenizer, mode):
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    assert checkpoint.read(folder).rules["mode"] == mode


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ({}, r"nothing says whether text is lower-cased"),
        ({"do_lower_case": False, "strip_accents": True}, r"strip_accents=True, .* is none of the text modes"),
        (
            {"do_lower_case": True, "tokenize_chinese_chars": False},
            r"tokenize_chinese_chars=False is none of the text modes",
        ),
    ],
)
def test_casing_that_we_lack_is_refused(folder, tokenizer, message):
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    with pytest.raises(DataError, match=message):
        checkpoint.read(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: f.joinpath(WEIGHTS).write_bytes(f.joinpath(WEIGHTS).read_bytes()[:-100]),
            r"model.safetensors: truncated or damaged",
        ),
        (lambda f: f.joinpath(WEIGHTS).write_bytes(b""), r"model.safetensors: truncated or damaged"),
        (lambda f: f.joinpath(WEIGHTS).unlink(), r"model.safetensors: no such file"),
        (
            lambda f: rename(f, lambda name: None if name.endswith("2.output.dense.weight") else name),
            r"model.safetensors: tensor bert.encoder.layer.2.output.dense.weight is missing",
        ),
        (
            lambda f: change(f / "config.json", intermediate_size=44),
            r"layer.0.intermediate.dense.weight has shape \(40, 24\), config.json makes it \(44, 24\)",
        ),
        (
            lambda f: diverge(f, "bert.encoder.layer.1.output.dense.bias"),
            r"tensor bert.encoder.layer.1.output.dense.bias holds NaN or infinity: the training that saved it had",
        ),
        (
            lambda f: change(f / "config.json", vocab_size=38),
            r"tensor bert.embeddings.word_embeddings.weight has shape \(37, 24\), config.json makes it \(38, 24\)",
        ),
        (
            lambda f: f.joinpath("config.json").unlink(),
            r"config.json: no such file; a checkpoint is a Hugging Face BERT folder",
        ),
        (lambda f: f.joinpath("config.json").write_text("{"), r"config.json: not JSON"),
        (lambda f: f.joinpath("config.json").write_text("[]"), r"config.json: expected a JSON object, received list"),
        (lambda f: f.joinpath("vocab.txt").unlink(), r"neither vocab.txt nor tokenizer.json"),
    ],
)
def test_damage_gets_one_clear_sentence(folder, damage, message):
    damage(folder)
    for look in (load, lambda folder: (checkpoint.read(folder), checkpoint.checked(folder))):
        with pytest.raises(DataError, match=message):
            look(folder)


def test_what_is_checked_is_what_transformers_wrote(folder):
    """``check`` knows names and shapes without a model: they are those of a file that transformers wrote."""
    stored = safetensors.numpy.load_file(folder / WEIGHTS)
    assert checkpoint.checked(folder) == len(stored)
    expected = {name: value.shape for name, value in stored.items() if not name.startswith("cls.")}
    assert weights.shapes(checkpoint.read(folder).encoder) == expected


def test_what_is_saved_is_read_back_bit_by_bit(tmp_path):
    rules = {"mode": "uncased_nfc", "replace": [{"pattern": "ㅋ{3,}", "with": "ㅋㅋ"}]}
    _, layers = load(TINY)
    vocabulary = [*checkpoint.read(TINY).vocabulary[:-1], "안녕"]
    checkpoint.save(tmp_path / "new" / "folder", layers[0], vocabulary, rules, *layers[1:])
    read = checkpoint.read(tmp_path / "new" / "folder")
    assert (read.vocabulary, read.rules) == (vocabulary, {**rules, "reserve": []})
    assert read.encoder == checkpoint.read(TINY).encoder
    found, again = load(tmp_path / "new" / "folder")
    assert found == {"pooler", "mlm", "nsp"}
    expected = values(layers)
    for path, value in values(again).items():
        np.testing.assert_array_equal(value, expected[path])


def test_saving_writes_the_names_and_tensors_of_transformers(tmp_path):
    _, (encoder, mlm, nsp) = load(TINY)
    rules = {"mode": "bert_uncased", "replace": []}
    checkpoint.save(tmp_path, encoder, list(SPECIAL), rules, mlm, nsp)
    original, saved = (safetensors.numpy.load_file(path / WEIGHTS) for path in (TINY, tmp_path))
    assert saved.keys() == original.keys()
    for name, value in saved.items():
        np.testing.assert_array_equal(value, original[name])
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["BertForPreTraining"]
    assert (tmp_path / "tokenizer.json").is_file()
    told = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (told["model_max_length"], told["split_special_tokens"]) == (16, False)  # fill-mask is asked with [MASK]
    # Over an older checkpoint, without heads; nothing temporary stays, and others may read it.
    copied = {"pattern": "(a)", "with": r"\1"}  # what tokenizer.json cannot say
    checkpoint.save(tmp_path, encoder, [*SPECIAL, "b"], {**rules, "replace": [copied]})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        WEIGHTS,
        "tokenizer_config.json",
        "vocab.txt",
    ]
    assert (tmp_path / "vocab.txt").read_text().endswith("[MASK]\nb\n")
    assert not [name for name in safetensors.numpy.load_file(tmp_path / WEIGHTS) if name.startswith("cls.")]
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["BertModel"]
    assert (tmp_path / WEIGHTS).stat().st_mode & 0o044 == 0o044


@pytest.mark.parametrize(
    ("name", "labels", "named"),
    [
        ("classification", ["bad", "so-so", "좋음"], ["bad", "so-so", "좋음"]),
        ("multi_label", ["toxic", "insult", "threat"], ["toxic", "insult", "threat"]),
        ("regression", [], ["LABEL_0"]),
        ("token_classification", ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]),
        ("question_answering", [], ["LABEL_0", "LABEL_1"]),
    ],
)
def test_every_head_has_the_logits_names_and_configuration_of_transformers(tmp_path, name, labels, named):
    heads, kind = np.load(TINY.parent / "bert_tiny_heads.npz"), task_head.HEADS[name]
    batch = np.load(TINY.parent / "bert_tiny.npz")
    weight, bias = (heads[f"{name}/{kind.layer}.{part}"] for part in ("weight", "bias"))
    _, (encoder, *_) = load(TINY)
    logits = keras.layers.Dense(len(bias))
    logits.build((None, encoder.hidden_dim))
    logits.set_weights([weight.T, bias])
    pieces = checkpoint.read(TINY).vocabulary
    head = task_head.Head(kind, logits, labels, dropout=0.2, max_length=12)
    checkpoint.save(tmp_path, encoder, pieces, {"mode": "bert_uncased"}, head=head)
    stored = safetensors.numpy.load_file(tmp_path / WEIGHTS)
    np.testing.assert_array_equal(stored[f"{kind.layer}.weight"], weight)
    np.testing.assert_array_equal(stored[f"{kind.layer}.bias"], bias)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert config["architectures"] == [kind.architecture]
    assert config.get("problem_type") == kind.problem_type
    assert config["id2label"] == {str(index): label for index, label in enumerate(named)}
    assert config["label2id"] == {label: index for index, label in enumerate(named)}
    told = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (told["model_max_length"], told["split_special_tokens"]) == (12, True)
    # And read back, against the logits of transformers.
    read = checkpoint.read(tmp_path)
    assert (read.architecture, read.head, read.labels) == (kind.architecture, kind, named)
    again, dense = BertEncoder(**read.encoder), keras.layers.Dense(len(bias))
    dense.build((None, again.hidden_dim))
    assert checkpoint.load(tmp_path, again, head=(kind, dense)) == {"pooler", "head"}
    found = dense(again(batch["token_ids"], batch["segment_ids"], batch["padding_mask"])[kind.over])
    real = batch["padding_mask"] if kind.over == "sequence" else slice(None)
    np.testing.assert_allclose(np.asarray(found)[real], heads[f"{name}/logits"][real], atol=1e-5)


def test_a_head_over_the_mean_stands_beside_the_encoder(fine_tuned):
    """As ``BertModel``, which transformers loads; docs/checkpoints.md says how its logits are computed."""
    folder, _ = fine_tuned("mean_classification")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert (config["architectures"], config["tfx_bert"]) == (["BertModel"], {"pooling": "mean"})
    assert checkpoint.read(folder).head is task_head.HEADS["mean_classification"]
    assert {"classifier.weight", "classifier.bias", "bert.pooler.dense.weight"} <= checkpoint.tensors(folder).keys()


def test_a_head_of_another_width_is_named(tmp_path):
    _, (encoder, *_) = load(TINY)
    two, three = keras.layers.Dense(2), keras.layers.Dense(3)
    for dense in (two, three):
        dense.build((None, encoder.hidden_dim))
    kind = task_head.HEADS["classification"]
    head = task_head.Head(kind, two, ["bad", "good"], 0.1, 12)
    checkpoint.save(tmp_path, encoder, list(SPECIAL), {"mode": "cased"}, head=head)
    with pytest.raises(
        DataError, match=r"tensor classifier.weight has shape \(2, 24\), config.json makes it \(3, 24\)"
    ):
        checkpoint.load(tmp_path, encoder, head=(kind, three))


@pytest.fixture
def saved_by_torch(folder):
    (folder / WEIGHTS).unlink()
    shutil.copyfile(TINY.parent / "bert_tiny.bin", folder / "pytorch_model.bin")
    return folder


def test_what_torch_saved_gives_the_same_weights(saved_by_torch):
    _, reference = load(TINY)
    found, layers = load(saved_by_torch)
    assert found == {"pooler", "mlm", "nsp"}
    expected = values(reference)
    for path, value in values(layers).items():
        np.testing.assert_array_equal(value, expected[path])
    assert checkpoint.predicts_masked(saved_by_torch)
    assert set(checkpoint.tensors(TINY)) < set(checkpoint.tensors(saved_by_torch))


def test_of_two_files_of_weights_the_safetensors_are_read(saved_by_torch):
    (saved_by_torch / WEIGHTS).write_bytes((TINY / WEIGHTS).read_bytes())
    digest = checkpoint.read(saved_by_torch).digest
    (saved_by_torch / "pytorch_model.bin").write_bytes(b"")
    assert load(saved_by_torch)[0] == {"pooler", "mlm", "nsp"}
    assert checkpoint.read(saved_by_torch).digest == digest


def test_damage_of_a_file_of_torch_is_told_by_tensor_or_by_file(saved_by_torch):
    change(saved_by_torch / "config.json", intermediate_size=44)
    with pytest.raises(
        DataError, match=r"pytorch_model.bin: tensor .*layer.0.intermediate.dense.weight has shape \(40, 24\)"
    ):
        load(saved_by_torch)
    file = saved_by_torch / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"pytorch_model.bin: truncated, damaged or written by torch before 1.6"):
        checkpoint.tensors(saved_by_torch)


MINILM = TINY.parents[2] / "data" / "minilm"


def test_the_demo_checkpoint_goes_round(tmp_path):
    read = checkpoint.read(MINILM)
    encoder = BertEncoder(**read.encoder)
    checkpoint.load(MINILM, encoder)
    checkpoint.save(tmp_path, encoder, read.vocabulary, read.rules)
    original, saved = (safetensors.numpy.load_file(folder / WEIGHTS) for folder in (MINILM, tmp_path))
    assert len(saved) == 6 * 16 + 7
    for name, value in saved.items():
        np.testing.assert_array_equal(value, original[name.removeprefix("bert.")])
    theirs, ours = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (MINILM, tmp_path))
    theirs.no_truncation()
    theirs.no_padding()
    for text in TEXTS:
        assert ours.encode(text, "a pair").ids == theirs.encode(text, "a pair").ids
