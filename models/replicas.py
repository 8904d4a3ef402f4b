"""Several GPUs of one machine train together: each holds the weights, and computes its share of every batch's rows.

``tf.distribute.MirroredStrategy`` keeps the copies. A step is what one device would do with the whole batch: losses are
means over the rows of all replicas, gradients their sums, and every replica applies them to its own copy. So the number
of GPUs decides the time and no weight, but for dropout, which draws other numbers.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

# Of a pretraining batch: a masked token an element, where all else has a row an element.
_BY_TOKEN = ("masked_indices", "masked_ids")


@functools.cache
def strategy() -> Any:
    """A ``tf.distribute.Strategy``: mirrored over the GPUs, or TensorFlow's default one, which adds nothing.

    What is trained, and the optimizer's state, are made in its ``scope()``.
    """
    several = len(tf.config.list_logical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()


def share(batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rows of this replica; none where there are fewer rows than replicas.

    Args:
      batch: of the whole step: tensors with a row an element, among them ``token_ids`` (B, S). ``masked_indices`` count
        through the flattened (B · S) rows.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return batch
    rows, length = tf.unstack(tf.shape(batch["token_ids"]))
    first, end = ((context.replica_id_in_sync_group + i) * rows // context.num_replicas_in_sync for i in (0, 1))
    part = {name: value[first:end] for name, value in batch.items() if name not in _BY_TOKEN}
    if "masked_indices" in batch:
        row = batch["masked_indices"] // length
        mine = (row >= first) & (row < end)
        part |= {name: tf.boolean_mask(batch[name], mine) for name in _BY_TOKEN}
        part["masked_indices"] -= first * length
    return part


def mean(losses: Any) -> Any:
    """This replica's part of the mean over all of them: float32 scalar; their sum is the mean, 0 of nothing.

    Args:
      losses: float32 (N,), of this replica.
    """
    context, count = tf.distribute.get_replica_context(), tf.cast(tf.size(losses), losses.dtype)
    if context.num_replicas_in_sync > 1:
        count = context.all_reduce("SUM", count)
    return tf.math.divide_no_nan(tf.reduce_sum(losses), count)


def total(gradients: Sequence[Any]) -> Sequence[Any]:
    """The sums over the replicas; None stays None."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return gradients
    summed = iter(context.all_reduce("SUM", [gradient for gradient in gradients if gradient is not None]))
    return [None if gradient is None else next(summed) for gradient in gradients]


def diverge(model: Any) -> None:
    """Lets dropout draw other numbers on each replica; the first one's, which a checkpoint keeps, stay as they are."""
    weights = {id(variable) for variable in model.weights}
    for seeds in (variable for variable in model.variables if id(variable) not in weights):
        first, *others = strategy().experimental_local_results(seeds.value)
        for number, copy in enumerate(others, 1):
            # Seeds are below 2^32.
            copy.assign(first + tf.constant([number << 32, 0], first.dtype))
