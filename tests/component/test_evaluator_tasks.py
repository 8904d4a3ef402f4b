"""The Evaluator on every task but classification: what TFMA gives is what the task says of its own answers."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

import schemas
from components.evaluate import evaluation, verdict
from components.evaluate.evaluator import Executor
from models import task
from models.bert.encoder import BertEncoder
from models.export import saved_model
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from tests.component.transforming import artifact

WORDS = ["good", "bad", "film", "very", "not", "영화", "a"]
TOKENIZER = Tokenizer([*SPECIAL, *WORDS], TextRules("uncased_nfc"))
CONFIGS = {
    "regression": {"max_length": 24},
    "multi_label": {"labels": ["x", "y", "z"], "max_length": 24},
    "similarity": {"max_length": 24},
    "token_classification": {"labels": ["A", "B"], "max_length": 24},
    "question_answering": {"max_length": 24, "max_question": 8, "stride": 8, "no_answer": True},
}


def records(kind, count=60):
    generator = np.random.default_rng(4)
    for index in range(count):
        words = list(generator.choice(WORDS, size=generator.integers(2, 12)))
        text, other = " ".join(words), " ".join(generator.choice(WORDS, size=5))
        record = {"text": [text], "origin": [f"a:{index}"], "genre": ["sf" if index % 3 else "드라마"]}
        if kind == "regression":
            record["label"] = [float(index % 5)]
        elif kind == "similarity":
            record |= {"text_pair": [other], "label": [float(index % 5)]}
        elif kind == "multi_label":
            record["labels"] = [label for label in "xyz" if generator.random() < 0.4]
        elif kind == "token_classification":  # every third record has no span
            spans = [[0], [len(words[0])], ["AB"[index % 2]]] if index % 3 else [[], [], []]
            record |= dict(zip(("span_start", "span_end", "span_label"), spans, strict=True))
        else:
            answers = [words[1]] if index % 3 else []
            starts = [text.index(words[1])] if answers else []
            record |= {"text": [other], "text_pair": [text], "answers": answers, "answer_start": starts}
        yield record


def feature(values):
    if not values:
        return tf.train.Feature()
    if isinstance(values[0], str):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def write_model(folder, the_task, columns, seed):
    keras.utils.set_random_seed(seed)
    encoder = BertEncoder(
        vocabulary_size=TOKENIZER.size, num_layers=1, hidden_dim=16, num_heads=2, intermediate_dim=32, max_positions=32
    )
    model = the_task.build(encoder)
    for variable in model.trainable_variables:
        variable.assign(variable * 8 if "norm" not in variable.path else variable)
    saved_model.write(
        str(folder / "Format-Serving"),
        family="text",
        model=model,
        the_task=the_task,
        featurize=lambda record: the_task.featurize(record, TOKENIZER),
        raw_spec={column: tf.io.FixedLenFeature([], tf.string) for column in columns},
    )
    return folder


@pytest.mark.parametrize("kind", CONFIGS)
def test_figures_are_those_of_the_tasks_own_answers(kind, tmp_path):
    the_task = task.load(kind)(CONFIGS[kind])
    rows = list(records(kind))
    columns = [name for name in ("text", "text_pair") if name in rows[0]]
    models = [write_model(tmp_path / name, the_task, columns, seed) for seed, name in enumerate("ab", 1)]
    for split in ("train", "test"):
        (tmp_path / f"examples/Split-{split}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(tmp_path / f"examples/Split-{split}/data.gz"), options="GZIP") as writer:
            for row in rows:
                features = tf.train.Features(feature={name: feature(values) for name, values in row.items()})
                writer.write(tf.train.Example(features=features).SerializeToString())
    labels = CONFIGS[kind].get("labels", [])
    resolved = schemas.resolve(kind, labels=labels, slices={"genre": []}, pair=len(columns) > 1)
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema/schema.pbtxt").write_text(schemas.dump(resolved))
    (tmp_path / "blessing").mkdir()
    outputs = {
        "evaluation": [artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation")],
        "blessing": [artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing")],
    }
    headline = the_task.metrics[0].name
    context = Executor.Context(
        beam_pipeline_args=["--direct_running_mode=in_memory"], tmp_dir=str(tmp_path), unique_id="1"
    )
    Executor(context).Do(
        {
            "examples": [artifact(standard_artifacts.Examples, tmp_path / "examples", split_names='["train", "test"]')],
            "schema": [artifact(standard_artifacts.Schema, tmp_path / "schema")],
            "model": [artifact(standard_artifacts.Model, models[0])],
            "baseline_model": [artifact(standard_artifacts.Model, models[1])],
        },
        outputs,
        {
            "eval_config": proto_utils.proto_to_json(evaluation.eval_config(kind, CONFIGS[kind], ["genre"])),
            "example_splits": '["test"]',
            "fairness_indicator_thresholds": "null",
            "task": json.dumps({"type": kind, "config": CONFIGS[kind]}),
            "bless": json.dumps({headline: 0.99, "max_regression": 0.0, "beats": the_task.baselines[:1]}),
            "baselines": json.dumps(the_task.baselines),
        },
    )

    def figures(model, kept):
        serve = tf.saved_model.load(str(model / "Format-Serving")).signatures["serving_default"]
        answers = serve(**{name: tf.constant([row[name][0] for row in rows]) for name in columns})
        answers = {name: value.numpy() for name, value in answers.items()}
        judged = [
            the_task.row_metrics(
                task.nth(answers, index),
                {
                    name: np.array([v.encode() if isinstance(v, str) else v for v in row[name]])
                    for name in the_task.gold
                },
            )
            for index, row in enumerate(rows)
            if kept(row)
        ]
        return the_task.figures(np.array(judged)).flat()

    found = verdict.read(str(tmp_path / "evaluation"))
    expected = figures(models[0], lambda row: True)
    assert found.n == len(rows)
    assert next(iter(found.metrics)) == headline
    for name, value in expected.items():
        if not np.isnan(value):
            assert found.metrics[name] == pytest.approx(value, abs=1e-5), name
    checks = {check.name: check for check in found.checks}
    assert checks[headline].value == pytest.approx(expected[headline], abs=1e-5)
    before = figures(models[1], lambda row: True)[headline]
    assert checks["change"].value == pytest.approx(expected[headline] - before, abs=1e-5)
    # What was learned from the records themselves, and the interval around the model's own figure.
    assert [each.name for each in found.baselines] == list(the_task.baselines)
    for each in found.baselines[:1]:
        check = checks[f"{headline} vs {each.name}"]
        assert (check.relation, check.bound) == (">", each.value or 0.0)
    for each in found.baselines:
        if each.value is not None:
            assert each.difference == pytest.approx(found.metrics[headline] - each.value, abs=1e-12)
            assert each.low <= each.difference <= each.high
    assert found.intervals[headline][0] <= found.metrics[headline] <= found.intervals[headline][1]
    (drama,) = [part for part in found.slices if part.name == "genre: 드라마"]
    assert drama.value == pytest.approx(figures(models[0], lambda row: row["genre"] == ["드라마"])[headline], abs=1e-5)
