"""Temperature scaling (Guo et al. 2017, section 4.2): divides logits by one number, so that scores are calibrated.

The order of a text's scores stays, and so does its label.
"""

from typing import Any

import numpy as np

# Bounds: uninformative logits would otherwise get an infinite temperature.
_BOUND = 10.0


def temperature(logits: np.ndarray, right: np.ndarray) -> float:
    """The T that makes the negative log-likelihood of ``logits / T`` least, from .1 to 10; 1 where no answer is wrong.

    Without a wrong answer there is no least: the surer, the better.

    Args:
      logits: float32 (N, C).
      right: int (N,), places of the right classes, of a softmax; or (N, C) of 0 and 1, of a sigmoid each.
    """
    from scipy import optimize, special

    if right.ndim == 2:  # a sigmoid is a softmax over 0 and the logit
        logits = np.stack([np.zeros(logits.size), logits.ravel()], axis=1)
    logits, classes = logits.astype(np.float64), right.ravel().astype(int)
    if (logits.argmax(axis=1) == classes).all():
        return 1.0

    def loss(log_temperature: float) -> float:
        scores = special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scores[np.arange(len(classes)), classes].mean())

    bound = np.log(_BOUND)
    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def expected_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: mean gap of confidence and accuracy over equal bins (Guo et al. 2017, eq. 3)."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def divide(layer: Any, by: float) -> None:
    """Divides the output of a ``keras.layers.Dense`` through its weights, so that every export format agrees."""
    for variable in layer.variables:
        variable.assign(variable / by)
