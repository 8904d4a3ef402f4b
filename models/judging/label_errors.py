"""Labels that are probably wrong: confident learning (Northcutt, Jiang & Chuang 2021, "Confident Learning", section 3).

A record's probabilities come from a classifier that has not seen the record's own label. A label is doubted where the
record is sure enough to belong to another one: surer than the records of that label are on average.
"""

import numpy as np

_FOLDS = 5
# The inverse of the penalty's weight, on standardized vectors: see benchmarks/label_errors.py.
_STRENGTH = 0.01
# Two probabilities are equal when they differ by less: sums of many have rounding errors.
_ROUNDING = 1e-6


def probabilities(vectors: np.ndarray, labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """What a logistic regression says of each record when it has learned from the other folds: float64 (N, C).

    Args:
      vectors: float (N, D).
      labels: the given ones, int (N,), each at least as often as there are folds to be judged.
      count: C, of all labels; one without records has probability 0.
      seed: of the folds.

    Raises:
      ValueError: fewer than two labels have a record in every fold.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    often = np.flatnonzero(np.bincount(labels, minlength=count) >= _FOLDS)
    if len(often) < 2:
        raise ValueError(f"labels are doubted where at least two of them have {_FOLDS} records. Received: {len(often)}")
    found = np.zeros((len(labels), count))
    judged = np.isin(labels, often)
    rare = np.flatnonzero(~judged)  # learned from in no fold, and not doubted: too few to tell
    places = np.flatnonzero(judged)
    for learned, asked in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(places, labels[places]):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=_STRENGTH, max_iter=1000))
        model.fit(vectors[places[learned]], labels[places[learned]])
        found[np.ix_(places[asked], model.classes_)] = model.predict_proba(vectors[places[asked]])
    found[rare, labels[rare]] = 1.0
    return found


def doubted(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The records whose labels are probably wrong, the most doubtful first: int (M,).

    They are those off the diagonal of the confident joint (section 3.1, equation 1), less those whose likeliest label
    is the given one, in the order of the normalized margin (section 3.2.4): the given label's probability less the
    highest one of the others.

    Args:
      probabilities: out of fold, float (N, C).
      labels: the given ones, int (N,).
    """
    rows = np.arange(len(labels))
    given = probabilities[rows, labels]
    # The mean self-confidence of each label; one without records is never the better one.
    thresholds = np.array(
        [np.mean(given[labels == k]) if k in labels else np.inf for k in range(probabilities.shape[1])]
    )
    confident = probabilities >= thresholds - _ROUNDING
    likeliest = np.where(confident, probabilities, -1.0).argmax(axis=1)
    off = confident.any(axis=1) & (likeliest != labels) & (probabilities.argmax(axis=1) != labels)
    margins = given - highest_other(probabilities, labels)
    places = np.flatnonzero(off)
    return places[np.argsort(margins[places], kind="stable")]


def highest_other(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The probability of the likeliest label that is not the given one: float (N,)."""
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -1.0
    return np.asarray(others.max(axis=1))
