"""Writes tests/data/label_errors.npz: which labels cleanlab doubts, by the rule of confident learning alone.

Runs in a throwaway environment, from the repository's root:

    python3.11 -m venv /tmp/golden && /tmp/golden/bin/pip install cleanlab==2.9.0
    /tmp/golden/bin/python tests/golden/make_label_errors_golden.py
"""

from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues

DATA = Path(__file__).parents[1] / "data"
# Records, labels, share of wrong ones, how sure the classifier is, labels without a record.
CASES = (
    (400, 2, 0.1, 2.0, 0),
    (600, 6, 0.2, 3.0, 0),
    (300, 3, 0.3, 0.5, 0),
    (200, 4, 0.1, 2.0, 1),
    (50, 2, 0.0, 8.0, 0),
)


def main() -> None:
    """Draws each case and asks cleanlab."""
    arrays = {}
    for number, (records, labels, wrong, sure, absent) in enumerate(CASES):
        generator = np.random.default_rng(number)
        shares = generator.dirichlet(np.full(labels - absent, 2.0))
        true = generator.choice(labels - absent, size=records, p=shares)
        given = np.where(generator.random(records) < wrong, generator.integers(0, labels - absent, records), true)
        logits = generator.normal(size=(records, labels))
        logits[np.arange(records), true] += sure
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        found = find_label_issues(
            given, scores, filter_by="confident_learning", return_indices_ranked_by="normalized_margin"
        )
        arrays |= {f"labels_{number}": given, f"scores_{number}": scores, f"doubted_{number}": found}
    np.savez_compressed(DATA / "label_errors.npz", **arrays)


if __name__ == "__main__":
    main()
