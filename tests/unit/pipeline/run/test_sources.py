"""The sources of an experiment, each as its record kind."""

import pytest

from pipeline import loader
from pipeline.run import sources


@pytest.mark.parametrize(
    ("overrides", "kinds"),
    [
        ([], {"corpus": "corpus", "task": "classification"}),
        (["corpus=", "pretrain="], {"task": "classification"}),
        (["task=", "train=", "evaluate=", "try="], {"corpus": "corpus"}),
        (["score={path: a.csv}"], {"corpus": "corpus", "task": "classification", "score": "score"}),
        (
            ["train.teacher={experiment: a, texts: {path: a.csv}}"],
            {"corpus": "corpus", "task": "classification", "teacher": "teacher_texts"},
        ),
    ],
)
def test_what_an_experiment_names(overrides, kinds):
    assert {name: kind.name for name, kind in sources.of(loader.load("from_scratch", overrides)).items()} == kinds


def test_a_task_tells_its_kind_labels_and_slices():
    kind = sources.of(loader.load("sentiment", ["evaluate.slices=[city]"]))["task"]
    assert (kind.labels, kind.slices) == (["negative", "positive"], ["city"])
    assert kind.columns == ["text", "sentiment", "city"]
    schema = kind.schema()
    assert [feature.name for feature in schema.feature] == ["text", "label", "origin", "city"]
    assert [list(domain.value) for domain in schema.string_domain] == [["negative", "positive"]]
