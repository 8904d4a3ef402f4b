"""The curve of a training, and that a resumed training keeps it."""

import math

import keras
import numpy as np
import pytest

from models.training import curve
from models.training.curve import Curve, Point
from models.training.optimizer import AdamW
from models.training.resume import TrainingState


def test_a_long_training_keeps_few_points_and_its_mean():
    kept, losses = Curve(), np.random.default_rng(1).random(10_000)
    for step, loss in enumerate(losses, start=1):
        kept.add(step, float(loss), 1 / step)
    assert 200 <= len(kept.points) < 400
    assert sum(point.steps for point in kept.points) == 10_000
    assert sum(point.loss * point.steps for point in kept.points) / 10_000 == pytest.approx(losses.mean())
    assert kept.points[-1].step == 10_000
    assert kept.points[-1].learning_rate == 1 / 10_000
    assert [point.step for point in kept.points] == sorted({point.step for point in kept.points})


def test_a_point_counts_the_steps_since_the_last_one():
    kept = Curve()
    kept.add(3, 2.0, 0.1)
    kept.add(10, 1.0, 0.05)
    assert kept.points == [Point(3, 3, 2.0, 0.1), Point(10, 7, 1.0, 0.05)]


def test_it_reads_back_what_it_wrote(tmp_path):
    kept = Curve()
    kept.add(3, 2.0, 0.1)
    kept.judge(3, {"f1[그]": math.nan, "accuracy": 0.5})
    curve.write(tmp_path, {"seed 1": kept, "seed 2": Curve()})
    found = curve.read(tmp_path)
    assert found["seed 2"] == Curve()
    assert found["seed 1"].points == kept.points
    assert found["seed 1"].figures["accuracy"] == [(3, 0.5)]
    assert math.isnan(found["seed 1"].figures["f1[그]"][0][1])
    assert curve.read(tmp_path / "of an older version") == {}


def test_a_training_that_goes_on_has_the_curve_of_what_went_before(tmp_path):
    def state():
        layer = keras.layers.Dense(1)
        layer.build((None, 1))
        optimizer = AdamW(lambda step: 0.1, 0.0, 1.0)
        optimizer.build(layer.trainable_variables)
        return TrainingState(str(tmp_path), layer, optimizer)

    first = state()
    first.curve.add(5, 2.0, 0.1)
    first.curve.judge(5, {"accuracy": 0.5})
    first.step.assign(5)
    first.save()
    first.curve.add(9, 1.0, 0.1)  # and then it is killed
    again = state()
    assert again.restore() == 5
    assert again.curve == Curve([Point(5, 5, 2.0, 0.1)], {"accuracy": [(5, 0.5)]})
