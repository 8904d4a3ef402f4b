"""What ``check`` says of the training's numbers that the YAML leaves out."""

import pytest

from pipeline import loader
from pipeline.start import advice

MINILM = {"hidden_dim": 384}
REASON = "(384 wide: 1e-4; 3,520 records to train on: 550 steps)"


@pytest.fixture
def of(tmp_path):
    def load(train, more=""):
        file = tmp_path / "x.yaml"
        task = "task: {type: classification, data: {path: r.csv}, labels: [a, b]}"
        file.write_text(f"name: x\ncheckpoint: data/minilm\n{task}\n{train}\n{more}")
        return loader.load(str(file))

    return load


def test_neither_is_given(of):
    assert advice.left_out(of(""), 3520, MINILM) == (
        "$.train says no epochs and no learning_rate, so epochs: 3 and learning_rate: 3e-5 is taken; "
        f"better: train: {{epochs: 5, learning_rate: 1e-4}} {REASON}"
    )


def test_one_is_given(of):
    assert advice.left_out(of("train: {epochs: 4}"), 3520, MINILM) == (
        "$.train says no learning_rate, so learning_rate: 3e-5 is taken; "
        f"better: train: {{learning_rate: 1e-4}} {REASON}"
    )


def test_what_a_person_chose_is_theirs(of):
    assert advice.left_out(of("train: {epochs: 1, learning_rate: 1e-5}"), 3520, MINILM) is None
    assert advice.left_out(of("", "tune: {trials: 2, space: {learning_rate: [1e-5, 1e-4]}}"), 3520, MINILM) is None


def test_what_is_taken_may_suit(of):
    assert advice.left_out(of(""), 50_000, {"hidden_dim": 768}) is None


def test_other_families_have_numbers_of_their_own():
    assert advice.left_out(loader.load("movies"), 1000, {"hidden_dim": 64}) is None
