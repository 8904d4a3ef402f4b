"""Which model is the teacher, and which one cannot be."""

import json
import pathlib

import pytest

from configs.base import ConfigError
from configs.environment import Local
from pipeline import loader
from pipeline.run import teachers

TASK = """
name: small
vocabulary: {learn: 100}
encoder: bert_tiny
task:
  type: classification
  data: {path: reviews.csv}
  labels: [bad, good]
train: {teacher: {experiment: big}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def experiment(text=TASK, *overrides):
    pathlib.Path("small.yaml").write_text(text)
    return loader.load("small.yaml", overrides)


def pushed(version, task, name="big", inputs=("text",)):
    folder = pathlib.Path(Local().pushed(name), str(version))
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "variables").mkdir()
    kept = {"inputs": {key: [] for key in inputs}, "outputs": {}, "task": task}
    (folder / "assets.extra/golden.json").write_text(json.dumps(kept))
    (folder / "assets.extra/README.md").write_text(f"version {version}")
    (folder / "variables/variables.index").write_text("weights")
    (folder / "saved_model.pb").write_text("graph")
    return folder


def of(labels, kind="classification"):
    return {"type": kind, "config": {"labels": labels}}


def test_it_is_the_newest_pushed_version_and_comes_in_under_what_decides_its_answers():
    pushed(1, of(["bad", "good"]))
    folder = pushed(2, of(["good", "bad"]))  # the order is the model's own affair
    found = teachers.find(experiment(), Local())
    assert (found.folder, found.name) == (folder, "big v2")
    placed = teachers.placed(found, experiment(), Local())
    names = {path.relative_to(placed).as_posix() for path in placed.rglob("*") if path.is_file()}
    inside = {"saved_model.pb", "variables/variables.index", "assets.extra/golden.json"}
    assert names == {f"Format-Serving/{name}" for name in inside}
    by_folder = experiment(TASK.replace("experiment: big", f"model: {folder}"))
    found = teachers.find(by_folder, Local())
    assert (found.name, teachers.placed(found, by_folder, Local())) == (str(folder), placed)
    (folder / "variables/variables.index").write_text("other weights")
    assert teachers.placed(found, by_folder, Local()) != placed


@pytest.mark.parametrize(
    ("task", "inputs", "sentence"),
    [
        (None, ["text"], r"big v1 is a base model, which answers nothing; name a task's model"),
        (
            {"type": "regression", "config": {}},
            ["text"],
            r"big v1 is a model of regression, and the student's task is ",
        ),
        (
            of(["bad", "fine"]),
            ["text"],
            r"big v1 has fine, which the student lacks and the student has good, which big",
        ),
        (of(["bad", "good"]), ["text", "text_pair"], r"big v1 takes two texts, and the student's records have one"),
    ],
)
def test_a_model_that_answers_another_question_is_no_teacher(task, inputs, sentence):
    pushed(1, task, inputs=inputs)
    with pytest.raises(ConfigError, match=r"^\$\.train\.teacher: " + sentence):
        teachers.find(experiment(), Local())


def test_an_experiment_whose_model_was_never_blessed_and_a_folder_without_one_are_named(folder):
    with pytest.raises(
        ConfigError, match=r"\$\.train\.teacher: experiment big has pushed no model to .*; run it first"
    ):
        teachers.find(experiment(), Local())
    (folder / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"\$\.train\.teacher: empty is no folder of a pushed model: it must hold"):
        teachers.find(experiment(TASK.replace("experiment: big", "model: empty")), Local())
    assert teachers.find(experiment(TASK, "train.teacher=null"), Local()) is None


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.teacher={}", "$.train.teacher: give the teacher's experiment, or the folder of its model"),
        ("train.teacher.model=x", "$.train.teacher: give the teacher's experiment, or the folder of its model"),
        (
            "train.teacher.experiment=small",
            "$.train.teacher.experiment: is this experiment; a teacher is another one's",
        ),
        ("train.teacher.weight=0", "$.train.teacher.weight"),
        ("train.teacher.texts={path: a.txt, format: text}", "$.train.teacher.texts.format: plain text has no columns"),
        ("train.teacher.texts={path: a.csv, text_pair: b}", "texts.text_pair: the task takes one text, not a pair"),
        ("evaluate.bless.beats=[teachers]", "allowed majority|tfidf|teacher, received 'teachers'"),
    ],
)
def test_one_fault(override, sentence):
    with pytest.raises(ConfigError) as caught:
        experiment(TASK, override)
    assert sentence in str(caught.value)


def test_a_share_of_the_teachers_figure_needs_a_teacher():
    assert experiment(TASK, "evaluate.bless={teacher: .97, beats: [teacher]}").evaluate.bless.teacher == 0.97
    with pytest.raises(ConfigError, match=r"\$\.evaluate\.bless\.teacher: is a share of the teacher's figure"):
        experiment(TASK.replace("{teacher: {experiment: big}}", "{}"), "evaluate.bless.teacher=.97")


def test_tasks_that_answer_with_more_than_numbers_have_no_teacher():
    text = TASK.replace("classification", "question_answering").replace("  labels: [bad, good]\n", "")
    with pytest.raises(ConfigError) as caught:
        experiment(text.replace("reviews.csv", "a.json"))
    assert "$.train.teacher: is for classification, multi_label, regression, similarity" in str(caught.value)


def test_texts_are_read_as_the_tasks_own_records_are():
    made = experiment(TASK.replace("reviews.csv", "reviews.csv, text: snippet"), "train.teacher.texts={path: new.csv}")
    assert (made.taught_on.text, made.taught_on.path) == ("snippet", ["new.csv"])
    assert made.train.own()["teacher"] == {"temperature": 2.0, "weight": 0.9}
