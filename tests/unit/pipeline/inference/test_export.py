"""``tfx-bert export`` of random weights, in the folders that a push leaves, without the SavedModel's graph."""

import json
import pathlib
import re

import keras
import pytest
from click.testing import CliRunner

from models.bert.encoder import BertEncoder, MaskedLanguageHead
from models.checkpoints import checkpoint, task_head
from models.export import onnx_graph
from models.text.reserved import RESERVED
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from models.translation import checkpoint as translation
from models.translation.transformer import Transformer
from pipeline import cli
from pipeline.run.result import Pushed, RunResult

VOCABULARY = [*SPECIAL, "good", "bad", "film", "!", ","]
SHAPE = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 24, "max_positions": 64}
LABELS = ["bad", "good"]


def tfx_bert(*arguments, code=0):
    result = CliRunner().invoke(cli.main, list(map(str, arguments)))
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def push(name, version, kind, replace=()):
    """A version of a classifier, of a base model, or of a classifier whose head was not kept."""
    keras.utils.set_random_seed(version)
    encoder = BertEncoder(vocabulary_size=len(VOCABULARY), **SHAPE)
    for variable in encoder.trainable_variables:
        variable.assign(variable + keras.random.normal(variable.shape) * 0.3)
    extra = pathlib.Path("runs", name, "serving_model", name, str(version), "assets.extra")
    logits = keras.layers.Dense(2, kernel_initializer="random_normal", bias_initializer="random_normal")
    logits.build((None, 16))
    head = task_head.Head(task_head.HEADS["classification"], logits, LABELS, 0.1, 32) if kind == "classifier" else None
    mlm = MaskedLanguageHead(encoder) if kind == "base" else None
    rules = TextRules("bert_uncased", replace).dump()
    checkpoint.save(extra / "checkpoint", encoder, VOCABULARY, rules, mlm, head=head)
    (extra / "model_card.md").write_text(f"# {name} {version}\n")
    config = {"labels": LABELS, "max_length": 32, "dropout": 0.1}
    the_task = None if kind == "base" else {"type": "classification", "config": config}
    (extra / "golden.json").write_text(json.dumps({"task": the_task}))
    return extra / "checkpoint"


@pytest.fixture
def pushed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return {"first": push("reviews", 1, "classifier"), "last": push("reviews", 10, "classifier")}


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "which"),
    [
        (["reviews"], "last"),
        (["reviews", "--version", "1"], "first"),
        (["runs/reviews/serving_model/reviews"], "last"),
        (["runs/reviews/serving_model/reviews", "--version", "1"], "first"),
        (["runs/reviews/serving_model/reviews/1"], "first"),
    ],
)
def test_the_folder_for_transformers_is_whole(pushed, capfd, arguments, which):
    tfx_bert("export", *arguments, "out/new", "--to", "huggingface")
    told, version = capfd.readouterr().out, {"first": 1, "last": 10}[which]
    assert told.startswith(f"✓ out/new: BertForSequenceClassification of reviews v{version} · ")
    assert 'transformers.BertForSequenceClassification.from_pretrained("out/new")' in told
    written = content(pathlib.Path("out/new"))
    readme = written.pop("README.md").decode()
    assert readme.startswith("---\n# license: say here")
    assert readme.endswith(f"library_name: transformers\ntags:\n- tfx-bert\n---\n# reviews {version}\n")
    assert written == content(pushed[which])
    assert written.keys() == {
        "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "model.safetensors",
    }  # fmt: skip
    assert [path.name for path in pathlib.Path("out").iterdir()] == ["new"]


def test_the_card_has_the_figures_of_the_run_that_pushed_the_model(pushed):
    for number, pushed_version in ((1, 1), (2, 10)):
        folder = pathlib.Path("runs/reviews") / str(number)
        folder.mkdir()
        RunResult(
            name="reviews",
            number=number,
            verdict="blessed",
            started="2026-01-02T03:04:05+00:00",
            metrics={"accuracy": number / 10},
            pushed=Pushed(version=pushed_version, path=""),
        ).write(folder)
    damaged = pathlib.Path("runs/reviews/3")
    damaged.mkdir()
    (damaged / "result.json").write_text("{")
    tfx_bert("export", "reviews", "out", "--to", "huggingface")
    assert "    - type: accuracy\n      value: 0.2\n" in pathlib.Path("out/README.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["reviews", "chat"])
@pytest.mark.parametrize(
    ("to", "files", "loads"),
    [
        ("huggingface", {"model.safetensors"}, 'from_pretrained("out")'),
        ("keras", {"model.keras"}, 'keras.saving.load_model("out/model.keras")'),
        ("onnx", {"model.onnx"}, 'onnxruntime.InferenceSession("out/model.onnx")'),
    ],
)
def test_classifiers_and_base_models_go_out_in_every_format(pushed, capfd, name, to, files, loads):
    push("chat", 1, "base")
    tfx_bert("export", name, "out", "--to", to)
    told = capfd.readouterr().out
    assert (
        f"✓ out: {'BertForMaskedLM of chat v1' if name == 'chat' else 'BertForSequenceClassification of reviews v10'}"
        in told
    )
    assert loads in told
    assert to == "huggingface" or re.search(r"the same logits|logits within \d\.\de-[5-9]", told)
    kept = {"README.md", "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    assert {path.name for path in pathlib.Path("out").iterdir()} == kept | files


def test_int8_of_a_model_whose_run_is_elsewhere(pushed, capfd):
    tfx_bert("export", "reviews", "out", "--to", "onnx", "--int8")
    assert re.search(
        r"int8: \d+ kB → \d+ kB, accuracy unknown: the run that pushed it is not here", capfd.readouterr().out
    )
    assert pathlib.Path("out/model_quantized.onnx").is_file()
    assert "--int8 goes with --to onnx" in tfx_bert("export", "reviews", "x", "--to", "keras", "--int8", code=2)


def test_a_model_that_came_out_differently_is_not_written(pushed, monkeypatch):
    write = onnx_graph.write
    monkeypatch.setattr(onnx_graph, "write", lambda _, path: write(pushed["first"], path))
    said = tfx_bert("export", "reviews", "x", "--to", "onnx", code=1)
    assert re.search(r"the exported model differs from the pushed one by \S+ in its logits; nothing is written", said)
    assert sorted(path.name for path in pathlib.Path().iterdir()) == ["runs"]


def test_what_cannot_be_exported_is_one_sentence(pushed):
    assert "nobody has no pushed model in runs/" in tfx_bert("export", "nobody", "x", "--to", "huggingface", code=1)
    pathlib.Path("taken").mkdir()
    pathlib.Path("taken/file").touch()
    assert "taken is not empty; name a new folder" in tfx_bert(
        "export", "reviews", "taken", "--to", "huggingface", code=1
    )
    push("old", 1, "headless")
    said = tfx_bert("export", "old", "x", "--to", "huggingface", code=1)
    assert "runs/old/serving_model/old/1 was pushed before heads were kept; run the experiment again" in said
    push("ruled", 1, "classifier", ((r"(\d)\d+", r"\1"),))
    said = tfx_bert("export", "ruled", "x", "--to", "huggingface", code=1)
    assert r"$.text.replace: '(\\d)\\d+' is replaced by '\\1', and \1 copies a part of the text" in said
    assert not pathlib.Path("x").exists()


def test_a_translation_model_is_exported_as_the_folder_that_it_carries(pushed, capfd):
    folder = pathlib.Path("runs/ko/serving_model/ko/1/assets.extra")
    rules = TextRules("spaced", reserve=RESERVED)
    shape = {**SHAPE, "num_decoder_layers": 1}
    translation.save(
        folder / "checkpoint", Transformer(vocabulary_size=14, **shape), Tokenizer([*SPECIAL, *RESERVED, "▁"], rules)
    )
    (folder / "model_card.md").write_text("# ko\n")
    (folder / "golden.json").write_text(json.dumps({"task": None, "family": "translation"}))
    tfx_bert("export", "ko", "out", "--to", "huggingface")
    assert 'transformers.MBartForConditionalGeneration.from_pretrained("out")' in capfd.readouterr().out
    kept = content(folder / "checkpoint")
    assert {name: value for name, value in content(pathlib.Path("out")).items() if name != "README.md"} == kept
    assert "exported as huggingface alone" in tfx_bert("export", "ko", "other", "--to", "onnx", code=1)
    assert not pathlib.Path("other").exists()
