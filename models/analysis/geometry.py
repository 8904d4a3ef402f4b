"""How the vectors of a layer lie: anisotropy, dimension, outliers; and how alike two layers are.

Axes: N tokens, D hidden.
"""

import numpy as np

_PAIRS = 10_000
_OUTLIER = 6  # times the median's mean absolute value (Kovaleva et al. 2021 look at dimensions so far out)


def anisotropy(vectors: np.ndarray, *, centred: bool = False) -> float:
    """Mean cosine of random pairs of tokens (Ethayarajh 2019, section 4.1): 0 where directions are spread evenly.

    Args:
      vectors: (N, D); N is at least 2.
      centred: less their mean: what is left when the common direction is taken out.
    """
    generator = np.random.default_rng(0)
    first = generator.integers(0, len(vectors), _PAIRS)
    second = (first + generator.integers(1, len(vectors), _PAIRS)) % len(vectors)
    given = vectors.astype(float) - (vectors.mean(axis=0) if centred else 0)
    unit = given / np.maximum(np.linalg.norm(given, axis=1, keepdims=True), 1e-12)
    return float(np.einsum("nd,nd->n", unit[first], unit[second]).mean())


def rank(vectors: np.ndarray) -> float:
    """Participation ratio of the covariance's eigenvalues, (Σλ)²/Σλ²: 1 for a line, D for a ball."""
    centred = vectors.astype(float) - vectors.mean(axis=0)
    covariance = centred.T @ centred
    squares = float(np.square(covariance).sum())
    return float(np.trace(covariance) ** 2 / squares) if squares else 0.0


def outliers(vectors: np.ndarray) -> list[int]:
    """Dimensions whose mean absolute value is more than six times the median dimension's."""
    size = np.abs(vectors).mean(axis=0)
    return np.flatnonzero(size > _OUTLIER * np.median(size)).tolist()


def cka(a: np.ndarray, b: np.ndarray) -> float:
    """Linear centred kernel alignment (Kornblith et al. 2019, section 3): 1 for a rotation and a factor.

    Args:
      a: (N, D), of the same tokens as ``b``; of fewer than some D tokens, unrelated vectors look alike.
      b: (N, D').
    """
    x, y = (given.astype(float) - given.mean(axis=0) for given in (a, b))
    own = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.square(x.T @ y).sum() / own) if own else float("nan")
