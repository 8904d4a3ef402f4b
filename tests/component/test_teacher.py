"""TeacherInferrer and the Trainer behind it: answers of a real SavedModel, learned by a student."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.types import standard_artifacts

import schemas
from components.data import teacher_inferrer
from components.evaluate import references
from components.train import preparation, trainer, training
from configs.teacher import Teacher
from configs.training import Train
from models import distillation, progress
from models.bert.encoder import BertEncoder
from models.export import saved_model
from models.tasks.classification import Task
from models.text.tokenization import TextRules, Tokenizer
from tests.component.trainings import Killed, told_by
from tests.component.transforming import artifact

WORDS = ["a", "gorgeous", "film", "dull", "unable", "!"]
SPLITS = {"train": 24, "eval": 8, "test": 8}
CONFIG = {"labels": ["bad", "good"], "max_length": 16, "dropout": 0.1}
TASK = {"type": "classification", "config": CONFIG}
TOKEN_IDS = "token_ids$ragged_values"  # what Transform calls them in a tf.Example
ENCODER = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32, "max_positions": 32}


def text_of(chance):
    return " ".join(chance.choice(WORDS, size=chance.integers(1, 9)))


def write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), options="GZIP") as writer:
        for record in records:
            writer.write(record)


def read(path):
    return [
        tf.train.Example.FromString(each) for each in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator()
    ]


def values(example, name):
    feature = example.features.feature[name]
    return list(getattr(feature, feature.WhichOneof("kind")).value)


@pytest.fixture(scope="module")
def taught(tmp_path_factory, transforming):
    """The folder of records, of a teacher whose labels stand in the other order, and of what it answered."""
    root, chance = tmp_path_factory.mktemp("taught"), np.random.default_rng(5)
    rows, number = {}, 0
    for split, count in SPLITS.items():
        rows[split] = []
        for _ in range(count):
            text, number = text_of(chance), number + 1
            label = "good" if "gorgeous" in text else "bad"
            rows[split].append(transforming.example(text=[text], label=[label], origin=[f"f:{number}"]))
    schema = schemas.dump(schemas.resolve("classification", labels=["bad", "good"]))
    transforming.run(root, rows, schema, "models.tasks.classification.Task", CONFIG, files=2)
    keras.utils.set_random_seed(7)
    task, tokenizer = (
        Task({"labels": ["good", "bad"], "max_length": 24}),
        Tokenizer(transforming.pieces, TextRules("bert_uncased")),
    )
    model = task.build(BertEncoder(vocabulary_size=tokenizer.size, **ENCODER))
    for variable in model.trainable_variables:
        variable.assign(variable * 8 if "norm" not in variable.path else variable)
    saved_model.write(
        str(root / "teacher/Format-Serving"),
        family="text",
        model=model,
        the_task=task,
        featurize=lambda record: task.featurize(record, tokenizer),
        raw_spec={"text": tf.io.FixedLenFeature([], tf.string)},
    )
    known = values(tf.train.Example.FromString(rows["test"][0]), "text")[0].decode()
    documents = [[text_of(chance) for _ in range(3)] for _ in range(20)]
    documents[0][0] = known
    write(root / "corpus/Split-train/data.gz", [transforming.example(sentences=each) for each in documents])
    splits = json.dumps(list(SPLITS))
    inputs = {
        "examples": [artifact(standard_artifacts.Examples, root / "in", split_names=splits)],
        "transformed_examples": [artifact(standard_artifacts.Examples, root / "out", split_names=splits)],
        "transform_graph": [artifact(standard_artifacts.TransformGraph, root / "graph")],
        "teacher": [artifact(standard_artifacts.Model, root / "teacher")],
        "texts": [artifact(standard_artifacts.Examples, root / "corpus", split_names=splits)],
    }
    outputs = {"taught_examples": [artifact(standard_artifacts.Examples, root / "answers")]}
    properties = {"task": json.dumps(TASK), "name": "big v1", "most": 30, "augment": 2, "source_digest": ""}
    events = told_by(lambda: teacher_inferrer.Executor().Do(inputs, outputs, properties))
    return root, documents, known, [str(each) for each in events]


def answers_of(root, texts):
    """By the served model itself, in the student's order."""
    served = tf.saved_model.load(str(root / "teacher/Format-Serving")).signatures["serving_default"]
    return served(text=tf.constant(texts))["scores"].numpy()[:, ::-1]


def test_every_record_gets_the_answer_to_its_text_at_the_places_of_the_students_labels(taught):
    root, _, _, events = taught
    others = len(read(root / "answers/Split-train" / distillation.UNLABELLED))
    assert events[-1] == f"big v1 answered 40 records and {others} texts without a label"
    assert others > 30
    for split, count in SPLITS.items():
        raw, rows, before = (
            [each for path in sorted((root / name / f"Split-{split}").glob("[dt]*")) for each in read(path)]
            for name in ("in", "answers", "out")
        )
        assert len(rows) == count
        found = np.array([values(row, "teacher_answer") for row in rows])
        expected = answers_of(root, [values(each, "text")[0] for each in raw])
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert np.ptp(expected) > 0.02
        for row, old in zip(rows, before, strict=True):
            assert values(row, "labelled") == [1.0]
            assert values(row, TOKEN_IDS) == values(old, TOKEN_IDS)
            assert values(row, "label_id") == values(old, "label_id")


def test_texts_without_a_label_are_rows_of_the_same_graph_and_no_split_has_them(taught):
    root, documents, known, _ = taught
    rows = read(root / "answers/Split-train" / distillation.UNLABELLED)
    new = [text for each in documents for text in each]
    of_records = [
        values(row, TOKEN_IDS)
        for name in SPLITS
        for path in (root / f"out/Split-{name}").glob("*")
        for row in read(path)
    ]
    layer = tft.TFTransformOutput(str(root / "graph")).transform_features_layer()
    ids = {tuple(layer({"text": tf.constant([text])})["token_ids"].values.numpy()): text for text in new}
    found = [(row, ids[key]) for row in rows if (key := tuple(values(row, TOKEN_IDS))) in ids]
    answers = np.array([values(row, "teacher_answer") for row, _ in found])
    np.testing.assert_allclose(answers, answers_of(root, [text for _, text in found]), atol=1e-5)
    assert {tuple(values(row, "labelled")) for row in rows} == {(0.0,)}
    # Of the documents every second sentence, not the first thirty, and none that a split has.
    places = [new.index(text) for _, text in found]
    assert 20 < len(found) <= 30
    assert max(places) > 40
    assert known not in [text for _, text in found]
    assert not any(values(row, TOKEN_IDS) in of_records for row in rows)


def test_the_evaluator_gets_the_teachers_row_metrics(taught):
    root, _, _, _ = taught
    ids, rows = references.taught(Task(CONFIG), [str(root / "in/Split-test")], [str(root / "answers/Split-test")])
    raw = [each for path in sorted((root / "in/Split-test").glob("*")) for each in read(path)]
    scores = answers_of(root, [values(each, "text")[0] for each in raw])
    right = [["bad", "good"].index(values(each, "label")[0].decode()) for each in raw]
    accuracy = float((scores.argmax(axis=1) == right).mean())
    assert (len(ids), Task(CONFIG).headline(rows)) == (8, accuracy)


def asked(root, folder, given):
    """What a Trainer with the section ``train`` gives ``run_fn``."""
    return FnArgs(
        train_files=[f"{root}/answers/Split-train/*"],
        eval_files=[f"{root}/answers/Split-eval/*"],
        transform_output=f"{root}/graph",
        base_model=None,
        serving_model_dir=str(folder / "Format-Serving"),
        model_run_dir=str(folder / "logs"),
        custom_config={"task": TASK, "train": given.own(), "encoder": ENCODER, "seed": 1, "source_digest": ""},
    )


def student(root, folder, kill=None, **teacher):
    """Weights by path, what it came to, and its events."""
    given = Train(
        epochs=2, batch_size=9, learning_rate=1e-2, early_stopping=None, teacher=Teacher(experiment="big", **teacher)
    )
    arguments = asked(root, folder, given)
    found = []

    def run():
        with training.checkpointing(str(folder / "checkpoints"), 0.0):
            found.extend(
                trainer._train(
                    arguments, arguments.custom_config, preparation.prepare(arguments, arguments.custom_config)
                )
            )

    events = told_by(run, kill)
    return {variable.path: variable.numpy() for variable in found[1].weights}, found[2], events


def test_a_student_learns_all_rows_and_a_killed_one_ends_with_the_same_weights(taught, tmp_path, monkeypatch):
    monkeypatch.setattr("models.training.training_loop._REPORT_SECONDS", 0.0)
    root = taught[0]
    weights, came_to, events = student(root, tmp_path / "one")
    others = len(read(root / "answers/Split-train" / distillation.UNLABELLED))
    assert (came_to.records, came_to.unlabelled) == (24, others)
    assert f"24 records and {others} texts · 2 epochs" in str(came_to)
    steps = 2 * -(-(24 + others) // 9)
    assert [each.step for each in events if isinstance(each, progress.Step)][-1] == steps
    with pytest.raises(Killed):
        student(root, tmp_path / "two", kill=("epoch 2/2", steps - 4))
    resumed, _, again = student(root, tmp_path / "two")
    assert f"resumed at step {steps - 5} of {steps}" in [str(each) for each in again]
    for path, expected in weights.items():
        np.testing.assert_array_equal(resumed[path], expected)
    # Another weight of the teacher is another training.
    other, _, _ = student(root, tmp_path / "three", weight=0.1)
    assert any(not np.array_equal(other[path], expected) for path, expected in weights.items())


def test_run_fn_exports_a_student_that_answers_text(taught, tmp_path):
    root = taught[0]
    given = Train(epochs=1, batch_size=9, refit=True, teacher=Teacher(experiment="big"))
    arguments = asked(root, tmp_path, given)
    with training.checkpointing(str(tmp_path / "checkpoints"), 0.0):
        events = told_by(lambda: trainer.run_fn(arguments))
    assert "refit on train + eval: 32 records, 1 epoch" in str(events[-1])
    served = tf.saved_model.load(str(tmp_path / "Format-Serving")).signatures["serving_default"]
    assert served(text=tf.constant(["a gorgeous film", ""]))["scores"].shape == (2, 2)
