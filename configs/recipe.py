"""Which epochs, learning rate, batch size and pooling suit a fine-tuning, from what is known before it.

``tfx-bert init`` writes what these rules say as numbers into the YAML, and ``tfx-bert check`` compares. What each rule
rests on stands in docs/fine_tuning.md.
"""

import math
from dataclasses import dataclass

# The peak rate by the width. 768 and wider: Devlin et al. 2019, A.3. Narrower encoders want more: the list of Turc et
# al. 2019 for theirs goes up to 3e-4. What was measured for MiniLM (384) and bert_tiny (128): docs/fine_tuning.md.
_RATES = ((128, 3e-4), (256, 2e-4), (384, 1e-4), (512, 7e-5))
_WIDEST = 3e-5
# Steps that a fine-tuning has at least, as far as 20 epochs give them: fewer are undertrained, whatever the number of
# epochs (Mosbach et al. 2021; Zhang et al. 2021).
_STEPS, _FEWEST, _MOST = 550, 3, 20
_FROM_NOTHING = 8  # epochs at least, where no pretrained weights are: the encoder learns its language too
_FEW = 1_000  # records, of which a batch is half as large, so that an epoch has twice the steps
_PER_LABEL = 128  # records of a label, below which the mean of the tokens is learned from sooner than [CLS]


@dataclass(frozen=True)
class Recipe:
    """What suits, and why in one line."""

    epochs: int
    learning_rate: float
    batch_size: int
    why: str

    def yaml(self) -> str:
        """The section ``train`` on one line."""
        return f"{{epochs: {self.epochs}, batch_size: {self.batch_size}, learning_rate: {written(self.learning_rate)}}}"


def suited(width: int, records: int, *, pretrained: bool) -> Recipe:
    """The rules.

    Args:
      width: of the encoder.
      records: of the train split.
      pretrained: whether training starts from weights that know the language.
    """
    rate = next((rate for most, rate in _RATES if width <= most), _WIDEST)
    batch = 16 if records < _FEW else 32
    an_epoch = max(1, math.ceil(records / batch))
    least = _FEWEST if pretrained else _FROM_NOTHING
    epochs = min(_MOST, max(least, math.ceil(_STEPS / an_epoch)))
    passes = "" if pretrained else f", at least {_FROM_NOTHING} epochs from nothing"
    why = f"{width} wide: {written(rate)}; {records:,} records to train on: {epochs * an_epoch:,} steps{passes}"
    return Recipe(epochs, rate, batch, why)


def pooling(records: float, labels: int, *, pretrained: bool) -> str | None:
    """Which vector of a text a classifier reads, where it is not transformers' pooled [CLS].

    Args:
      records: of the train split.
      labels: how many there are.
      pretrained: whether training starts from weights that know the language.
    """
    return "mean" if pretrained and records < _PER_LABEL * labels else None


def written(rate: float) -> str:
    """``1.5e-4``, as YAML and people write it."""
    digits, exponent = f"{rate:e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"
