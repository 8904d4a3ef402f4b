"""Several GPUs train together, of one machine or of many: each holds the weights, and computes its share of a batch.

``tf.distribute``'s mirrored strategies keep the copies. A step is what one device would do with the whole batch: losses
are means over the rows of all replicas, gradients their sums, and every replica applies them to its own copy. So the
number of GPUs decides the time and no weight, but for dropout, which draws other numbers.

On many machines the same program runs on each, a *worker*; ``TF_CONFIG`` names them all. Every worker reads the whole
batches and judges the model, so all decide alike. The *chief*, the first of them, alone writes.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

# Of a pretraining batch: a masked token an element, where all else has a row an element.
_BY_TOKEN = ("masked_indices", "masked_ids")


class WorkerLost(RuntimeError):
    """Another worker ended before the training did."""


@functools.cache
def strategy() -> Any:
    """A ``tf.distribute.Strategy``: mirrored over workers and GPUs, or TensorFlow's default one, which adds nothing.

    Create the model and the optimizer's state in its ``scope()``. Several workers wait for each other here,
    and TensorFlow refuses them once it has run an operation in the process.
    """
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec()
    if sum(map(cluster.num_tasks, cluster.jobs)) > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    several = len(tf.config.list_logical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()


def chief() -> bool:
    """Whether this process is the worker that writes, or the only one."""
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    first = "chief" not in resolver.cluster_spec().jobs and resolver.task_id == 0
    return bool(first or resolver.task_type != "worker")


def gathered(value: int) -> list[int]:
    """Collects ``value`` from every replica, in the order of their ids. Waits for all of them."""
    values = strategy().experimental_distribute_values_from_function(lambda _: tf.constant([value]))
    return [int(each) for each in strategy().gather(values, axis=0)]


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Runs a training on all workers: they start together, and none leaves before all have finished.

    Raises:
      WorkerLost: another one ended; a restart of all goes on from the checkpoint.
    """
    strategy()
    try:
        yield
        gathered(0)
    except tf.errors.OpError as error:
        if "Collective ops is aborted" not in error.message:
            raise
        raise WorkerLost(
            "another worker of this training ended, and its log says why; "
            "start all of them again, and they go on from the last checkpoint"
        ) from error


def share(batch: Mapping[str, Any], part: Any = 0, parts: int = 1) -> Mapping[str, Any]:
    """The rows of this replica; none where there are fewer rows than replicas.

    Args:
      batch: of the whole step: tensors with a row an element, among them ``token_ids`` (B, S). ``masked_indices`` count
        through the flattened (B · S) rows.
      part: which micro-batch of these, int scalar.
      parts: how many of them there are.

    Returns:
      The rows; of a pretraining batch also ``step_rows`` and ``step_masked``, int32 scalars: rows and masked tokens of
      the whole step, where these are not all of them.
    """
    context = tf.distribute.get_replica_context()
    shares = context.num_replicas_in_sync * parts
    if shares == 1:
        return batch
    rows, length = tf.unstack(tf.shape(batch["token_ids"]))
    number = context.replica_id_in_sync_group * parts + part
    first, end = ((number + i) * rows // shares for i in (0, 1))
    mine = {name: value[first:end] for name, value in batch.items() if name not in _BY_TOKEN}
    if "masked_indices" in batch:
        row = batch["masked_indices"] // length
        here = (row >= first) & (row < end)
        mine |= {name: tf.boolean_mask(batch[name], here) for name in _BY_TOKEN}
        mine["masked_indices"] -= first * length
        mine |= {"step_rows": rows, "step_masked": tf.size(batch["masked_ids"])}
    return mine


def mean(losses: Any, weights: Any = None, step_count: Any = None) -> Any:
    """This replica's share of the global mean, a float32 scalar: the replicas' shares sum to it. 0 without rows.

    Args:
      losses: float32 (N,), of this replica, each times its weight.
      weights: float32 (N,), whose sum over all replicas divides; 1 each where left out.
      step_count: that sum over the whole step, where it is known; None asks the other replicas.
    """
    context = tf.distribute.get_replica_context()
    mine = tf.cast(tf.size(losses), losses.dtype) if weights is None else tf.reduce_sum(weights)
    count = mine if step_count is None else tf.cast(step_count, losses.dtype)
    if step_count is None and context.num_replicas_in_sync > 1:
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
    """Gives each replica its own dropout seeds. The first replica's stay as they are: a checkpoint keeps them."""
    weights = {id(variable) for variable in model.weights}
    ids = strategy().experimental_distribute_values_from_function(lambda context: context.replica_id_in_sync_group)
    for seeds in (variable for variable in model.variables if id(variable) not in weights):
        for number, copy in zip(*map(strategy().experimental_local_results, (ids, seeds.value)), strict=True):
            # Seeds and counts are below 2^32. Higher bits come from an earlier call.
            copy.assign(copy % 2**32 + tf.constant([number << 32, 0], copy.dtype))
