import pathlib

import numpy as np
import pytest

from models.checkpoints import weights
from models.translation import checkpoint
from models.translation.transformer import Transformer

GOLDEN = pathlib.Path(__file__).parents[3] / "data" / "mbart_tiny.npz"


@pytest.fixture(scope="session")
def golden() -> dict:
    return dict(np.load(GOLDEN))


@pytest.fixture(scope="session")
def mbart(golden) -> Transformer:
    """The network of the golden values, whose weights transformers made."""
    network = Transformer(
        vocabulary_size=30,
        num_layers=2,
        num_decoder_layers=3,
        hidden_dim=24,
        num_heads=4,
        intermediate_dim=40,
        max_positions=16,
    )
    stored = {name.removeprefix("weight/"): value for name, value in golden.items() if name.startswith("weight/")}
    stored |= {name: value[2:] for name, value in stored.items() if name.endswith("embed_positions.weight")}
    used = set()
    for variable, names in checkpoint.tensors(network):
        variable.assign(weights.value_of(variable, names, stored, GOLDEN))
        used |= set(names)
    assert used == stored.keys()
    return network
