import keras
import numpy as np
import pytest
from scipy import special

from models.training import calibration


def softmax_loss(logits, right):
    return -special.log_softmax(logits, axis=1)[np.arange(len(right)), right].mean()


def sigmoid_loss(logits, right):
    return -np.log(special.expit(np.where(right, logits, -logits))).mean()


def drawn(kind, sharper):
    """Labels drawn with the probabilities of some logits, and these logits ``sharper`` times as large."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4000, 3))
    if kind == "softmax":
        right = np.array([generator.choice(3, p=p) for p in special.softmax(logits, axis=1)])
    else:
        right = (generator.random(logits.shape) < special.expit(logits)).astype(np.float32)
    return (logits * sharper).astype(np.float32), right


@pytest.mark.parametrize("sharper", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(("kind", "loss"), [("softmax", softmax_loss), ("sigmoid", sigmoid_loss)])
def test_it_finds_how_much_too_sure_logits_are(kind, loss, sharper):
    logits, right = drawn(kind, sharper)
    found = calibration.temperature(logits, right)
    assert found == pytest.approx(sharper, rel=0.06)
    # Nothing on a fine grid is better.
    best = min(np.geomspace(0.1, 10, 2001), key=lambda each: loss(logits / each, right))
    assert found == pytest.approx(best, rel=0.003)


@pytest.mark.parametrize(
    ("logits", "right", "temperature"),
    [
        ([[2.0, -1.0], [-3.0, 1.0]], [0, 1], 1.0),  # all right
        ([[2.0, -1.0], [-3.0, 1.0]], [[1, 0], [0, 1]], 1.0),
        ([[2.0, -1.0], [-3.0, 1.0]], [1, 0], 10.0),  # all wrong
    ],
)
def test_where_there_is_no_best_one_it_stays_in_bounds(logits, right, temperature):
    assert calibration.temperature(np.array(logits), np.array(right)) == pytest.approx(temperature, rel=1e-3)


def test_a_divided_layer_gives_divided_logits():
    layer = keras.layers.Dense(3, bias_initializer="random_normal")
    vectors = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    before = layer(vectors).numpy()
    calibration.divide(layer, 2.5)
    np.testing.assert_allclose(layer(vectors), before / 2.5, atol=1e-6)
