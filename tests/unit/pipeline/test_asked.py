"""``try``: what every example asks is what its model takes, and what a model does not take is told in one sentence."""

import pytest

from configs.base import ConfigError
from pipeline import asked, loader


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("sentiment", {"text": "A gorgeous, witty, seductive film."}),
        ("embeddings", {"text": "Where are you going?", "text_pair": "Home. It is late."}),
        ("office_ko", {"text": "Delete the selected rows?"}),
        ("movies", {"history": "50|172|181"}),
    ],
)
def test_an_example_asks_by_its_own_columns(name, first):
    experiment = loader.load(name)
    assert asked.arguments(experiment.try_[0], experiment.task) == first


def test_every_example_with_a_task_asks_something_that_fits():
    for file in loader.EXPERIMENTS.glob("*.yaml"):
        experiment = loader.load(file)
        assert bool(experiment.try_) == bool(experiment.task), file.stem


def test_an_item_is_asked_by_the_column_of_items():
    task = loader.load("movies").task
    assert asked.arguments({"item_id:token": "50|172"}, task) == {"history": "50|172"}


def test_a_pair_may_stand_in_one_line():
    task = loader.load("embeddings").task
    assert asked.arguments("Where?\tHere.", task) == {"text": "Where?", "text_pair": "Here."}


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("embeddings", "[one text]", r"\$\.try\[0\]: this model takes two texts with a tab between them"),
        ("embeddings", "[{statement: a}]", r"\$\.try\[0\]: 'reply' is missing; a record here has statement and reply"),
        ("embeddings", "[{statement: a, replay: b}]", r"\$\.try\[0\]: .*did you mean reply"),
        ("sentiment", "[1984]", r"\$\.try\[0\]: expected text, received 1984; put it in quotes"),
        ("korean", "[영화]", r"\$\.try: is answered by a task's model, and there is no task"),
    ],
)
def test_what_a_model_does_not_take(name, given, told):
    with pytest.raises(ConfigError, match=told):
        loader.load(name, [f"try={given}"])


def test_what_is_shown_is_one_short_line():
    assert asked.short("a\tb\nc") == "a | b c"
    assert asked.short("x" * 81) == "x" * 79 + "…"
