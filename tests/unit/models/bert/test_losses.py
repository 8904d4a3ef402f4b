import numpy as np
import pytest
import tensorflow as tf

from models.bert.losses import cross_entropy

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
