"""``deterministic: true``: two trainings, the same weights, bit for bit.

Determinism of operations cannot be switched off again in a process: this file runs itself in one of its own.
"""

import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deterministic")
    ran = subprocess.run(
        [os.environ["WARM_PYTHON"], "-m", __name__, str(folder)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    return pickle.loads((folder / "found").read_bytes())


@pytest.mark.parametrize("kind", ["classification", "pretraining"])
def test_two_trainings_end_with_the_same_bits(runs, kind):
    first, second = runs[kind]
    assert all(np.array_equal(one, other) for one, other in zip(first["weights"], second["weights"], strict=True))
    assert any((one != other).any() for one, other in zip(first["weights"], first["start"], strict=True))


def test_the_trainers_switch_it_on(runs):
    assert runs["switched"] == [False, True]


def main(folder):
    from tensorflow.python.framework import config

    from components.train import training
    from tests.unit.models.training import test_workers as workers

    workers.write(pathlib.Path(folder) / "corpus.gz")
    training.seeded(7, {})
    switched = [config.is_op_determinism_enabled()]
    training.seeded(7, {"deterministic": True})
    switched.append(config.is_op_determinism_enabled())
    found = {"switched": switched}
    for kind, name in (("classification", "classification"), ("packed", "pretraining")):
        found[name] = [workers.trained(kind, folder, f"{name}-{number}", dropout=0.1) for number in range(2)]
    (pathlib.Path(folder) / "found").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
