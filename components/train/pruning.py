"""Heads that a trained model can do without: found on the eval split, and cut (Michel et al. 2019)."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models import families, task
from models.analysis import importance
from models.bert import pruned
from models.bert.encoder import BertEncoder
from models.training import replicas
from schemas import DataError

Heads = list[tuple[int, int]]
_GENTLER = 10  # a rate as in training would move the weights that the cut has left in place


def dispensable(
    the_task: task.Task, model: Any, records: tf.data.Dataset, share: float, sizes: Mapping[str, Any]
) -> Heads:
    """The least important heads, (layer, head) each; every layer keeps one (Michel et al. 2019, section 4.1).

    Args:
      the_task: whose loss they are of no importance to.
      model: what ``the_task.build`` made, trained.
      records: of the eval split, transformed.
      share: of all heads.
      sizes: how large batches are, as ``Task.batches`` takes it.

    Raises:
      DataError: no record of the split has a loss.
    """
    encoder = _encoder(the_task, model)
    batches = the_task.batches(the_task.training_rows(records), seed=0, epoch=0, **sizes)
    values = importance.of_heads(model, encoder, the_task.loss, the_task.row_weights, batches)
    if not (values >= 0).all():
        raise DataError(
            "train.prune orders heads by their part in the loss of the eval split, and no record of that split has a "
            "loss: give the eval split more records, or remove train.prune."
        )
    return importance.lowest(importance.normalised(values), share)


def without(heads: Heads, the_task: task.Task, model: Any, vocabulary: Any) -> tuple[Any, Any]:
    """The network without these heads, and the model of it, with the weights of ``model``; built in the scope of all.

    Args:
      heads: of ``dispensable``.
      the_task: that ``model`` was trained for.
      model: what ``the_task.build`` made.
      vocabulary: that made the ids.
    """
    family, encoder = families.load(the_task.family), _encoder(the_task, model)
    with replicas.strategy().scope():
        network = family.pruned(model, vocabulary, pruned.without(heads, encoder))
        narrow = the_task.build(network)
    pruned.copy(model, encoder, narrow, _encoder(the_task, narrow))
    return network, narrow


def count(the_task: task.Task, model: Any) -> tuple[int, int]:
    """How many heads and how many parameters a model has."""
    return sum(map(len, _encoder(the_task, model).kept_heads)), model.count_params()


def recovery(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a pruned model is trained with, of the settings that the whole one was trained with."""
    kept = {name: value for name, value in settings.items() if name not in ("prune", "early_stopping", "average")}
    return kept | {"epochs": settings["prune"]["recover"], "learning_rate": settings["learning_rate"] / _GENTLER}


def _encoder(the_task: task.Task, model: Any) -> BertEncoder:
    encoder: BertEncoder = families.load(the_task.family).encoder(model)
    return encoder
