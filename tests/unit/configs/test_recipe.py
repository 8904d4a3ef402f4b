import pytest
import yaml

from configs import recipe
from configs.training import Train


@pytest.mark.parametrize(
    ("width", "records", "pretrained", "expected"),
    [
        (384, 3520, True, "{epochs: 5, batch_size: 32, learning_rate: 1e-4}"),  # 110 steps an epoch
        (384, 8000, True, "{epochs: 3, batch_size: 32, learning_rate: 1e-4}"),
        (768, 100_000, True, "{epochs: 3, batch_size: 32, learning_rate: 3e-5}"),
        (768, 160, True, "{epochs: 20, batch_size: 16, learning_rate: 3e-5}"),
        (128, 8000, False, "{epochs: 8, batch_size: 32, learning_rate: 3e-4}"),
        (256, 1, False, "{epochs: 20, batch_size: 16, learning_rate: 2e-4}"),
    ],
)
def test_numbers_by_width_and_records(width, records, pretrained, expected):
    found = recipe.suited(width, records, pretrained=pretrained)
    assert found.yaml() == expected
    assert Train.model_validate({**yaml.safe_load(found.yaml()), "learning_rate": found.learning_rate})


def test_more_records_never_take_fewer_steps_nor_more_epochs():
    steps, epochs = [], []
    for records in range(1000, 40_000, 500):
        found = recipe.suited(384, records, pretrained=True)
        steps.append(found.epochs * -(-records // found.batch_size))
        epochs.append(found.epochs)
    assert epochs == sorted(epochs, reverse=True)
    assert min(steps) >= 550


@pytest.mark.parametrize(
    ("records", "labels", "pretrained", "expected"),
    [(255, 2, True, "mean"), (256, 2, True, None), (16, 2, False, None)],
)
def test_of_few_records_a_label_the_mean_of_the_tokens_is_read(records, labels, pretrained, expected):
    assert recipe.pooling(records, labels, pretrained=pretrained) == expected


def test_the_reason_holds_the_numbers():
    why = recipe.suited(128, 4000, pretrained=False).why
    assert why == "128 wide: 3e-4; 4,000 records to train on: 1,000 steps, at least 8 epochs from nothing"
