"""Every figure at once: their names, the texts beside the records, and the same bytes twice.

Determinism of operations cannot be switched off again in a process: this file runs itself in one of its own.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[4]
WORDS = ["the", "film", "was", "very", "good", "bad", "a", "dull", "witty", "story", "and", "Paris"]
TAGS = {"the": "AT", "a": "AT", "film": "NN", "story": "NN", "was": "BEDZ", "good": "JJ", "bad": "JJ", "and": "CC"}
LABELS = ["negative", "positive"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two analyses of one model, one of texts alone, and one of a base model."""
    file = tmp_path_factory.mktemp("run") / "found.json"
    ran = subprocess.run(
        [os.environ["WARM_PYTHON"], "-m", __name__, str(file)], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2400:]
    return json.loads(file.read_text("utf-8"))


def test_every_figure_can_be_bounded(found):
    from configs.analyze import Analyze

    metrics = json.loads(found["first"]["metrics"])
    assert Analyze(bless=metrics).bless == metrics
    probed = {name.removeprefix("probe_") for name in metrics if name.startswith("probe_") and "@" not in name}
    assert probed == {"label", "length", "bigram_shift", "position", "casing", "pos"}
    assert sum(value for name, value in metrics.items() if name.startswith("heads[")) == pytest.approx(1)
    assert metrics["probe_label"] > 0.9 > 0.6 > metrics["majority_label"]  # one word says it
    assert metrics["probe_pos"] == pytest.approx(1)  # a word has one tag
    assert metrics["majority_pos"] < 0.4
    assert metrics["completeness"] < 0.05
    assert {"faithfulness", "faithfulness_attention", "agreement_rollout"} <= metrics.keys()
    assert metrics["moved@0"] == metrics["moved@1"] == 0 < metrics["moved@2"]
    assert metrics["cka_before@1"] == pytest.approx(1, abs=1e-5)
    assert metrics["cka_before@2"] < 1 - 1e-4
    titles = [title for title, _ in found["first"]["sections"]]
    assert {"Roles of heads", "Heads that look alike", "Heads masked", "Probes", "Moved by training"} <= set(titles)
    assert "Which words an answer rests on" in titles
    assert any(sentence.startswith("word_content: 0 examples") for sentence in found["first"]["left_out"])
    assert found["first"]["arrays"]["divergence"] == [8, 8]
    assert found["first"]["arrays"]["probe_label"] == [3, 2]


def test_the_same_run_gives_the_same_bytes(found):
    assert found["first"]["metrics"] == found["again"]["metrics"]
    assert found["first"]["sections"] == found["again"]["sections"]


def test_texts_alone_have_heads_probes_and_geometry(found):
    metrics = json.loads(found["texts"]["metrics"])
    assert "prunable" not in metrics
    assert {"entropy_mean", "probe_casing", "anisotropy@1"} <= metrics.keys()
    assert found["texts"]["left_out"][0] == "importance and pruning curves: texts alone have no right answers"
    assert any(sentence.startswith("pos: no file of tagged words") for sentence in found["texts"]["left_out"])
    tokens, shape, away = found["texts"]["example"]
    assert tokens[:3] == ["[CLS]", "the", "film"]
    assert tokens[-1] == "[SEP]"
    assert shape == [2, 4, len(tokens), len(tokens)]
    assert away <= 1 / 255


def test_a_base_model_has_cloze_figures_and_importance_of_its_own_loss(found):
    metrics = json.loads(found["base"]["metrics"])
    assert {"cloze_loss", "cloze_unigram_loss", "cloze_loss[frequent]"} <= metrics.keys()
    assert found["base"]["arrays"]["importance"] == [2, 4]
    assert "pruned_10" not in metrics
    assert "this is a base model" in " ".join(found["base"]["left_out"])


def main(file):
    import keras
    import tensorflow as tf

    from configs.analyze import Analyze
    from models.analysis import run
    from models.analysis.subject import Subject
    from models.bert.encoder import BertEncoder
    from models.bert.heads import PretrainingModel
    from models.tasks.classification import Task
    from models.text import tokenization
    from models.text.tokenization import SPECIAL, TextRules, Tokenizer

    tf.config.experimental.enable_op_determinism()
    pieces = [*SPECIAL, *(word.lower() for word in WORDS), "!", "."]
    tokenizer, generator = Tokenizer(pieces, TextRules()), np.random.default_rng(3)

    def network():
        keras.utils.set_random_seed(1)
        made = BertEncoder(vocabulary_size=len(pieces), num_layers=2, hidden_dim=16, num_heads=4, max_positions=32)
        for variable in made.trainable_variables:
            variable.assign(variable * 6 if "norm" not in variable.path else variable)
        return made

    texts, others = [], [word for word in WORDS if word not in ("good", "bad")]
    for number in range(240):
        words = generator.choice(others, size=generator.integers(4, 15)).tolist()
        words[1] = ["bad", "good"][number % 2]
        texts.append(" ".join(words) + " !")
    ids, segments = tokenization.single(tokenizer.tokenize(texts), tokenizer.cls_id, tokenizer.sep_id, 24)
    columns = {
        "token_ids": ids,
        "segment_ids": segments,
        "label_id": tf.constant([n % 2 for n in range(240)], tf.int64),
    }
    columns |= {"label": tf.constant([LABELS[n % 2] for n in range(240)]), "length_bucket": tf.fill([240], "")}
    records = tf.data.Dataset.from_tensor_slices(columns)
    tagged = [generator.choice(sorted(TAGS), size=6).tolist() for _ in range(120)]
    encoder, the_task = network(), Task({"labels": LABELS, "max_length": 24})
    model = the_task.build(encoder)
    encoder.blocks[1].output_dense.kernel.assign(encoder.blocks[1].output_dense.kernel * 1.5)
    tuned = Subject(model, encoder, the_task, tokenizer)
    whole = PretrainingModel(network(), next_sentence=False)
    base = Subject(whole, whole.encoder, None, tokenizer, predicts_masked=True)
    data = run.Data(
        texts=texts,
        labels=[LABELS[n % 2] for n in range(240)],
        tagged=[(" ".join(words), [TAGS[word] for word in words]) for words in tagged],
        test=records.take(120),
        chosen=records.skip(120),
    )
    row = {"token_ids": [[2, 7, 8, 3]], "segment_ids": [[0] * 4], "padding_mask": [[True] * 4]}
    masked = {name: tf.constant(value, tf.bool if "mask" in name else tf.int64) for name, value in row.items()}
    masked |= {"masked_indices": tf.constant([1, 2], tf.int32), "masked_ids": tf.constant([9, 8], tf.int32)}
    of_base = run.Data(
        texts=texts, masked=tf.data.Dataset.from_tensors(masked), unigrams=np.log(np.full(len(pieces), 1 / len(pieces)))
    )
    settings = Analyze(probes={"seeds": 2}).looked
    few = Analyze(probes={"tasks": ["casing", "pos"], "seeds": 1}).looked
    only = run.Data(texts=["the film was good !", *texts], shown=["the film was good !", "", " "])
    found = {
        "first": told(run.analyze(tuned, data, settings, before=base)),
        "again": told(run.analyze(tuned, data, settings, before=base)),
        "base": told(run.analyze(base, of_base, few)),
    }
    alone = run.analyze(tuned, only, few)
    (example,) = alone.examples
    ids = tokenizer.tokenize(["the film was good !"])
    grid, _ = tokenization.single(ids, tokenizer.cls_id, tokenizer.sep_id, 24)
    grid = grid.to_tensor()
    seen = encoder(grid, tf.zeros_like(grid), tf.ones_like(grid, tf.bool), return_all=True)["attentions"]
    away = np.abs(example.attention() - np.concatenate([np.asarray(each) for each in seen])).max()
    shape = list(example.weights.shape)
    found["texts"] = {**told(alone), "example": [list(example.tokens), shape, float(away)]}
    pathlib.Path(file).write_text(json.dumps(found), "utf-8")


def told(analysis):
    return {
        "metrics": json.dumps(analysis.metrics),
        "left_out": analysis.left_out,
        "sections": [[each.title, each.rows] for each in analysis.sections],
        "arrays": {name: list(array.shape) for name, array in analysis.arrays.items()},
    }


if __name__ == "__main__":
    main(sys.argv[1])
