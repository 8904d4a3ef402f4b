"""The Analyzer: its artifact, its thresholds in the verdict, its place in the DAG."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components import artifacts
from components.evaluate import analysis, analysis_gate, verdict
from components.evaluate.analyzer import Executor
from components.evaluate.verdict import Verdict
from configs.analyze import Analyze
from models.bert.encoder import BertEncoder, MaskedLanguageHead
from models.checkpoints import checkpoint, task_head
from models.tasks.classification import Task
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from tests.component.transforming import artifact

WORDS = ["the", "film", "was", "very", "good", "bad", "a", "dull", "witty", "story", "and", "Paris"]
OTHERS = [word for word in WORDS if word not in ("good", "bad")]
PIECES = [*SPECIAL, *(word.lower() for word in WORDS), "!", "."]
LABELS = ["negative", "positive"]
CONFIG = {"labels": LABELS, "max_length": 24}
SETTINGS = Analyze(probes={"seeds": 2}).model_dump(mode="json", exclude={"bless"})


def texts(count):
    generator = np.random.default_rng(3)
    for number in range(count):
        words = generator.choice(OTHERS, size=generator.integers(4, 15)).tolist()
        words[1] = ["bad", "good"][number % 2]
        yield " ".join(words) + " !", LABELS[number % 2]


def tokenizer():
    return Tokenizer(PIECES, TextRules())


def network(seed=1):
    keras.utils.set_random_seed(seed)
    made = BertEncoder(vocabulary_size=len(PIECES), num_layers=2, hidden_dim=16, num_heads=4, max_positions=32)
    for variable in made.trainable_variables:
        variable.assign(variable * 6 if "norm" not in variable.path else variable)
    return made


@pytest.fixture(scope="module")
def inputs(transforming, tmp_path_factory):
    """Artifacts of a task, and of a base model with an MLM head beside it."""
    import schemas

    root, given = tmp_path_factory.mktemp("analyzer"), list(texts(700))
    splits = {"train": given[:100], "eval": given[100:400], "test": given[400:]}
    rows = {
        split: [transforming.example(text=[text], label=[label], origin=["a.csv:1"]) for text, label in each]
        for split, each in splits.items()
    }
    (root / "learned").mkdir()
    (root / "learned/vocab.txt").write_text("\n".join(PIECES) + "\n")
    (root / "learned/text.json").write_text(json.dumps(TextRules().dump()))
    schema = schemas.dump(schemas.resolve("classification", labels=LABELS))
    transforming.run(root, rows, schema, "models.tasks.classification.Task", CONFIG, root / "learned")
    before, encoder, task = network(), network(), Task(CONFIG)
    model = task.build(encoder)
    encoder.blocks[1].output_dense.kernel.assign(encoder.blocks[1].output_dense.kernel * 1.5)
    head = task_head.Head(task_head.HEADS["classification"], model.logits, LABELS, 0.1, 24)
    kept = "Format-Serving/assets.extra/checkpoint"
    checkpoint.save(root / "model" / kept, encoder, PIECES, TextRules().dump(), head=head)
    checkpoint.save(root / "before" / kept, before, PIECES, TextRules().dump(), MaskedLanguageHead(before))
    return {
        "model": [artifact(standard_artifacts.Model, root / "model")],
        "before": [artifact(standard_artifacts.Model, root / "before")],
        **transformed(root),
    }


def transformed(root):
    """What ``transforming.run`` left in a folder."""
    splits = {"split_names": '["train", "eval", "test"]'}
    return {
        "examples": [artifact(standard_artifacts.Examples, root / "in", **splits)],
        "transformed_examples": [artifact(standard_artifacts.Examples, root / "out", **splits)],
        "transform_graph": [artifact(standard_artifacts.TransformGraph, root / "graph")],
    }


def analyzed(inputs, folder, task, settings=SETTINGS):
    folder.mkdir()
    outputs = {
        "analysis": [artifact(artifacts.Analysis, folder)],
        "report": [artifact(artifacts.HTML, folder / "page" / "report")],
    }
    properties = {"analyze": json.dumps(settings), "task": json.dumps(task), "max_regression": 0.02, "seed": 1}
    Executor().Do(inputs, outputs, properties)
    return folder


@pytest.fixture(scope="module")
def of_task(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("of_task") / "analysis"
    return analyzed(inputs, folder, {"type": "classification", "config": CONFIG})


def test_every_figure_has_its_name(of_task):
    found = analysis.metrics(str(of_task))
    probed = {name.removeprefix("probe_") for name in found if name.startswith("probe_") and "@" not in name}
    assert probed == {"label", "length", "bigram_shift", "position", "casing"}
    assert Analyze(bless=found).bless == found  # every name can be bounded
    shares = [value for name, value in found.items() if name.startswith("heads[")]
    assert sum(shares) == pytest.approx(1)
    assert found["probe_label"] > 0.9 > 0.6 > found["majority_label"]  # one word says it
    assert found["moved@0"] == found["moved@1"] == 0 < found["moved@2"]
    assert found["cka_before@1"] == pytest.approx(1, abs=1e-5)
    assert found["cka_before@2"] < 1 - 1e-4
    assert {"prunable", *(f"pruned_{share}" for share in range(10, 100, 10))} <= found.keys()
    arrays = np.load(of_task / analysis.ARRAYS)
    assert arrays["importance"].shape == arrays["entropy"].shape == (2, 4)
    assert arrays["probe_label"].shape == (3, 2)


def test_the_page_has_every_section_and_no_text_of_a_record(of_task):
    page = (of_task / "page/report").read_text("utf-8")
    assert page == (of_task / analysis.PAGE).read_text("utf-8")
    titles = [each.title for each in analysis.sections(str(of_task))]
    assert all(title in page for title in titles)
    assert {
        "Roles of heads",
        "Heads that look alike",
        "Importance of heads",
        "Heads masked",
        "Probes",
        "Moved by training",
    } <= set(titles)
    assert "word_content: 0 examples" in page
    assert "<script" not in page
    assert not [text for text, _ in texts(700) if text in page]


def test_the_same_model_and_records_give_the_same_bytes(inputs, of_task, tmp_path):
    again = analyzed(inputs, tmp_path / "again", {"type": "classification", "config": CONFIG})
    first, second = (analysis.metrics(str(folder)) for folder in (of_task, again))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert second[name] == pytest.approx(value, abs=1e-6), name


def test_a_base_model_is_looked_into_too(inputs, transforming, tmp_path):
    """Its importance is of the MLM loss; a task's figures are left out, and the page says so."""
    import schemas

    documents = [[text for text, _ in texts(200)], ["the film was good"]]
    rows = {
        split: [transforming.example(sentences=each, origin=["a.csv:1"]) for each in documents]
        for split in ("train", "eval", "test")
    }
    learned = tmp_path / "learned"
    learned.mkdir()
    (learned / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    (learned / "text.json").write_text(json.dumps(TextRules().dump()))
    schema = schemas.dump(schemas.resolve("corpus"))
    transforming.run(tmp_path, rows, schema, "models.pretraining.pretraining_data.Corpus", {}, learned)
    given = {"model": inputs["before"], **transformed(tmp_path)}
    settings = {**SETTINGS, "probes": {"tasks": ["length", "label"], "seeds": 1}}
    folder = analyzed(given, tmp_path / "analysis", {}, settings)
    found = analysis.metrics(str(folder))
    assert "prunable" not in found
    assert found["cloze_loss[frequent]"] > 0
    assert "cloze_unigram_loss" in Analyze(bless=found).bless
    assert "probe_label" not in found
    assert "probe_length" in found
    assert np.load(folder / analysis.ARRAYS)["importance"].min() > 0
    assert "this is a base model" in (folder / analysis.PAGE).read_text("utf-8")


def test_tags_of_a_file_are_asked_beside_the_records(inputs, transforming, tmp_path):
    """Two word types have a tag each: the probe reads them, and of the records no figure changes."""
    tags = {"the": "AT", "a": "AT", "film": "NN", "story": "NN", "was": "BEDZ", "good": "JJ", "bad": "JJ"}
    generator, rows = np.random.default_rng(4), []
    for _ in range(120):
        words = generator.choice(sorted(tags), size=6).tolist()
        ends = np.cumsum([len(word) + 1 for word in words]) - 1
        starts = [end - len(word) for end, word in zip(ends.tolist(), words, strict=True)]
        record = tf.train.Example.FromString(
            transforming.example(text=[" ".join(words)], span_label=[tags[word] for word in words], origin=["t:1"])
        )
        record.features.feature["span_start"].int64_list.value.extend(starts)
        record.features.feature["span_end"].int64_list.value.extend(ends.tolist())
        rows.append(record.SerializeToString())
    folder = tmp_path / "tags" / "Split-train"
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data.gz"), options="GZIP") as writer:
        for row in rows:
            writer.write(row)
    tagged = artifact(standard_artifacts.Examples, tmp_path / "tags", split_names='["train"]')
    settings = {**SETTINGS, "pruning_curves": False, "probes": {"tasks": ["pos", "casing"], "seeds": 1}}
    task = {"type": "classification", "config": CONFIG}
    with_file, without = (
        analysis.metrics(str(analyzed(given, tmp_path / name, task, settings)))
        for name, given in (("with", {**inputs, "probe_examples": [tagged]}), ("without", inputs))
    )
    assert with_file["probe_pos"] == pytest.approx(1)
    assert with_file["majority_pos"] == pytest.approx(2 / 7, abs=0.05)
    of_records = {name: value for name, value in with_file.items() if "_pos" not in name}
    assert of_records == pytest.approx(without, abs=1e-6)
    assert "the records have no tags" in (tmp_path / "without" / analysis.PAGE).read_text("utf-8")


def test_thresholds_are_checks_of_the_one_verdict(of_task):
    before = Verdict(blessed=True, checks=[], metrics={"accuracy": 0.9}, n=10)
    assert analysis.judged(before, None, {"prunable": 1}) == before
    found = analysis.metrics(str(of_task))
    passed = analysis.judged(before, str(of_task), {"probe_label": 0.5, "anisotropy@1": 1.0})
    assert passed.blessed
    assert [(check.name, check.relation, check.passed) for check in passed.checks] == [
        ("probe_label", "≥", True),
        ("anisotropy@1", "≤", True),
    ]
    assert passed.checks[0].value == found["probe_label"]
    refused = analysis.judged(before, str(of_task), {"probe_label": 1.01, "probe_pos": 0.1})
    assert [(check.value, check.passed) for check in refused.checks] == [(found["probe_label"], False), (None, False)]
    assert not refused.blessed


@pytest.mark.parametrize(
    ("name", "relation"),
    [("cross_entropy_mean", "≤"), ("heads[mixed]", "≤"), ("completeness", "≤"), ("cross_mass[same token]", "≥")],
)
def test_which_figures_are_bounded_from_above(name, relation):
    (check,) = analysis._checks({name: 0.5}, {name: 0.4})
    assert (check.relation, check.passed) == (relation, relation == "≥")


def test_an_analysis_alone_has_a_verdict(of_task, tmp_path):
    given, made = artifact(artifacts.Analysis, of_task), artifact(standard_artifacts.ModelEvaluation, tmp_path)
    analysis_gate.Executor().Do({"analysis": [given]}, {"evaluation": [made]}, {"bless": '{"probe_label": 2}'})
    found = verdict.read(str(tmp_path))
    assert not found.blessed
    assert len(found.checks) == 1
    assert found.metrics["probe_label"] == analysis.metrics(str(of_task))["probe_label"]
    assert not [name for name in found.metrics if "@" in name]
