import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from models.bert.losses import cross_entropy, sigmoid_divergence, softmax_divergence

LOGITS = [[2.0, -1.0, 0.5], [0.1, 0.2, -0.3], [-1.5, 3.0, 0.0], [0.0, 0.0, 1.0]]
LABELS = [0, 2, 1, 2]


@pytest.mark.parametrize(
    ("weights", "smoothing", "loss", "gradient"),
    [
        (None, 0.0, 0.568174, [0.090074, 0.099547, -0.189621]),
        ([1.0, 2.0, 5.0], 0.0, 0.786223, [0.138576, 0.15315, -0.291725]),
        (None, 0.1, 0.677341, [0.081741, 0.091214, -0.172955]),
        ([1.0, 2.0, 5.0], 0.1, 0.842938, [0.129545, 0.140875, -0.270419]),
    ],
)
def test_it_equals_torch(weights, smoothing, loss, gradient):
    """The figures are those of ``torch.nn.CrossEntropyLoss(weight=…, label_smoothing=…)``, torch 2."""
    logits = tf.Variable(LOGITS)
    with tf.GradientTape() as tape:
        got = cross_entropy(logits, tf.constant(LABELS), weights, smoothing)
    assert float(got) == pytest.approx(loss, abs=1e-6)
    np.testing.assert_allclose(tape.gradient(got, logits)[1], gradient, atol=1e-6)


SCORES = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.1, 0.45, 0.45], [0.3, 0.3, 0.4]], np.float32)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_the_divergence_from_a_softmax_is_kl_at_the_temperature_times_its_square(temperature):
    """What ``torch.nn.KLDivLoss`` is given in DistilBERT's training, by SciPy."""
    softened = special.softmax(np.log(np.maximum(SCORES, 1e-37)) / temperature, axis=1)
    student = special.softmax(np.array(LOGITS) / temperature, axis=1)
    expected = temperature**2 * special.rel_entr(softened, student).sum(axis=1)
    logits = tf.Variable(LOGITS)
    with tf.GradientTape() as tape:
        got = softmax_divergence(logits, tf.constant(SCORES), temperature)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)
    # Hinton et al. 2015, equation 2, times T².
    np.testing.assert_allclose(tape.gradient(got, logits), temperature * (student - softened), atol=1e-5)
    nothing = softmax_divergence(tf.math.log(tf.constant(SCORES[[0, 2, 3]])), tf.constant(SCORES[[0, 2, 3]]), 3.0)
    np.testing.assert_allclose(nothing, 0, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_divergence_from_sigmoids_is_the_mean_of_their_labels(temperature):
    kept = np.clip(SCORES.astype(float), 2.0**-23, 1 - 2.0**-23)
    softened = special.expit(special.logit(kept) / temperature)
    student = special.expit(np.array(LOGITS) / temperature)
    each = special.rel_entr(softened, student) + special.rel_entr(1 - softened, 1 - student)
    got = sigmoid_divergence(tf.constant(LOGITS), tf.constant(SCORES), temperature)
    np.testing.assert_allclose(got, temperature**2 * each.mean(axis=1), rtol=1e-4)
