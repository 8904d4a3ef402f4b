"""What a reviewer would say: of answers with a known fault it is said, with its figure, and of good ones nothing."""

import types

import numpy as np
import pytest

from components.evaluate import review
from components.evaluate.verdict import Reference
from components.train.fine_tuning import Calibration, FineTuning
from models.task import Metric
from models.tasks import classification, multi_label, next_item, regression, token_classification
from models.training.curve import Curve

LABELS = ["a", "b", "c"]
TASK = classification.Task({"labels": LABELS})


def rows(right, answers):
    """Row metrics of a classifier that is sure of its answers."""
    return np.array([[label, *np.eye(3)[answer]] for label, answer in zip(right, answers, strict=True)])


def test_a_class_that_is_never_answered():
    right = [0] * 40 + [1] * 40 + [2] * 13
    told = list(review.labels(TASK, TASK.figures(rows(right, [0] * 40 + [1] * 40 + [0] * 13))))
    assert told == [
        "Hardly ever found on the test split: c (0 of 13); try task.class_weights: balanced, more train.epochs or more "
        "records of it"
    ]
    found = [0] * 40 + [1] * 40 + [2] * 2 + [0] * 11
    assert list(review.labels(TASK, TASK.figures(rows(right, found)))) == []
    few = rows([0] * 40 + [2] * 4, [0] * 44)
    assert list(review.labels(TASK, TASK.figures(few))) == []
    weighted = classification.Task({"labels": LABELS, "class_weights": "balanced"})
    (told,) = review.labels(weighted, weighted.figures(rows(right, [0] * 93)))
    assert told.startswith(
        "Hardly ever found on the test split: b (0 of 40), c (0 of 13); try more train.epochs or more"
    )


def test_of_many_labels_three_are_named():
    task = classification.Task({"labels": [f"l{n}" for n in range(6)]})
    given = np.repeat(np.arange(6), 10)
    table = np.column_stack([given, np.tile(np.eye(6)[0], (60, 1))])
    (told,) = review.labels(task, task.figures(table))
    assert "l1 (0 of 10), l2 (0 of 10), l3 (0 of 10) and 2 more labels; try" in told


def test_labels_of_texts_with_several_and_of_spans():
    several = multi_label.Task({"labels": ["x", "y"]})
    table = np.array([[1, 1, 0.9, 0.2]] * 20)  # right[x], right[y], score[x], score[y]
    (told,) = review.labels(several, several.figures(table))
    assert told == "Hardly ever found on the test split: y (0 of 20); try a lower task.threshold, more train.epochs or more records of it"  # fmt: skip # noqa: E501
    spans = token_classification.Task({"labels": ["ORG", "PER"], "max_length": 16})
    names = spans.row_metric_names
    row = {"span_right[ORG]": 1, "span_found[ORG]": 1, "span_given[ORG]": 1, "span_given[PER]": 2}
    (told,) = review.labels(spans, spans.figures(np.array([[row.get(name, 0) for name in names]] * 10, float)))
    assert "PER (0 of 20)" in told


def sliced(good, size=200):
    """A slice of 100 records of which ``good`` are right, and the rest, of which 95 of 100 are."""
    answers = [0] * good + [1] * (100 - good) + [0] * int(0.95 * size) + [1] * (size - int(0.95 * size))
    ids = np.arange(100 + size)
    return list(review.slices(TASK, ids, rows([0] * len(ids), answers), {"genre: drama": ids[:100]}))


def test_a_slice_far_below_the_rest():
    (told,) = sliced(70)
    assert told.startswith("genre: drama is far below the rest: accuracy 0.700 (0.6")
    assert "on 100 records, the rest 0.950 (0.9" in told
    assert sliced(88) == []  # the intervals overlap
    assert sliced(92, 20_000) == []  # .03 below, whatever the intervals


def test_a_slice_of_few_records_or_of_all_is_not_judged():
    ids = np.arange(60)
    table = rows([0] * 60, [1] * 20 + [0] * 40)
    assert list(review.slices(TASK, ids, table, {"genre: drama": ids[:20], "all: yes": ids})) == []


def test_a_slice_of_numbers_that_go_with_nothing():
    task = regression.Task({})
    assert task.row_metric_names == ("target", "value")
    draws = np.random.default_rng(0)
    truth = draws.normal(size=400)
    answer = np.concatenate([draws.normal(size=100), truth[100:] + 0.1 * draws.normal(size=300)])
    (told,) = review.slices(task, np.arange(400), np.column_stack([truth, answer]), {"day: monday": np.arange(100)})
    assert told.startswith("day: monday is far below the rest: pearson ")


def came_to(**update):
    return FineTuning(
        **{"metric": "accuracy", "scores": {1: 0.9}, "seed": 1, "records": 100, "epochs": 3, "planned": 3, **update}
    )


def curve(*values, name="accuracy"):
    made = Curve()
    for step, value in enumerate(values, 1):
        made.judge(step, {name: value})
    return made


def test_a_training_that_still_improved():
    assert list(review.training(TASK, came_to(), curve(0.7, 0.85, 0.882))) == [
        "Training still improved in its last epoch: accuracy of the eval split went from 0.850 to 0.882; try "
        "train.epochs: 6, or a higher train.learning_rate"
    ]


@pytest.mark.parametrize(
    "values", [(0.9,), (0.8, 0.9, 0.89), (0.8, 0.9, 0.905), (float("nan"), 0.9), (0.8, float("nan"))]
)
def test_a_training_that_did_not(values):
    assert list(review.training(TASK, came_to(), curve(*values))) == []


def test_a_training_that_was_stopped_early_had_its_time():
    assert list(review.training(TASK, came_to(planned=5), curve(0.7, 0.8, 0.9))) == []


def test_another_figure_that_chooses_the_epoch():
    task = next_item.Task({"objective": "causal"})
    metric = task.chosen or task.metrics[0]
    (told,) = review.training(task, came_to(metric=metric.name), curve(0.05, 0.07, 0.09, name=metric.name))
    assert told.startswith(
        f"Training still improved in its last epoch: {metric.name} of the eval split went from 0.070"
    )


@pytest.mark.parametrize(
    ("temperature", "told"),
    [(0.66, "less sure than it was right: temperature 0.66"), (1.0, None), (1.28, None), (1.9, "surer than it was")],
)
def test_temperature_far_from_one(temperature, told):
    sure = Calibration(temperature=temperature, ece_before=0.1, ece_after=0.02)
    found = list(review.training(TASK, came_to(calibration=sure), None))
    assert len(found) == bool(told)
    assert all(told in each and "expected calibration error 0.100 before" in each for each in found)


def compared(value, low, high, name="tfidf"):
    return Reference(name=name, value=value, difference=(low + high) / 2, low=low, high=high)


def test_a_baseline_that_is_better_by_more_than_chance():
    assert list(
        review.baselines(TASK, 0.692, [compared(0.713, -0.022, -0.019), compared(0.5, 0.1, 0.2, "majority")])
    ) == [
        "The baseline tfidf is better: accuracy 0.713, the model 0.692; evaluate.bless.beats: [tfidf] holds such a "
        "model back; try more records, more train.epochs, or a larger pretrained checkpoint"
    ]


@pytest.mark.parametrize(
    "other",
    [
        compared(0.7, -0.02, 0.001),  # chance
        Reference(name="mean"),  # it has no figure
    ],
)
def test_a_baseline_that_is_not(other):
    assert list(review.baselines(TASK, 0.692, [other])) == []


def test_of_an_error_the_lower_one_is_better():
    task = types.SimpleNamespace(metrics=[Metric("mae", better="lower")])
    better, worse = compared(0.5, 0.3, 0.6), compared(2.0, -1.2, -0.9)
    (told,) = review.baselines(task, 1.0, [worse, better])
    assert told.startswith("The baseline tfidf is better: mae 0.500, the model 1.000")
