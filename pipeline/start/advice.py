"""A word on the training's numbers that an experiment leaves out, beside those that suit it."""

from typing import Any

from configs import recipe
from configs.experiment import Experiment
from models import task as tasks

_KEYS = ("epochs", "learning_rate")


def left_out(experiment: Experiment, records: float, size_of: dict[str, Any]) -> str | None:
    """What is taken where the YAML says neither epochs nor rate, and what suits better; None where nothing is to say.

    Args:
      experiment: with its task.
      records: of the train split.
      size_of: as ``estimate.shape`` gives it.
    """
    train = experiment.train
    missing = [key for key in _KEYS if key not in train.model_fields_set]
    searched = set(experiment.tune.space) if experiment.tune else set()
    if experiment.task is None or not missing or searched & {*missing}:
        return None
    if tasks.load(experiment.task.type).family != "text":
        return None
    found = recipe.suited(size_of["hidden_dim"], round(records), pretrained=experiment.encoder is None)
    if all(getattr(found, key) == getattr(train, key) for key in missing):
        return None
    taken = " and ".join(f"{key}: {_written(getattr(train, key))}" for key in missing)
    better = ", ".join(f"{key}: {_written(getattr(found, key))}" for key in missing)
    return f"$.train says no {' and no '.join(missing)}, so {taken} is taken; better: train: {{{better}}} ({found.why})"


def _written(value: float) -> str:
    return recipe.written(value) if isinstance(value, float) else str(value)
