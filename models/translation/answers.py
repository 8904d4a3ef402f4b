"""What the signatures of a translation model answer beside the translation."""

from typing import Any

import tensorflow as tf

from models.task import Tensors
from models.translation import translator
from models.translation.transformer import Transformer


def mean_state(network: Transformer, token_ids: tf.RaggedTensor) -> tf.Tensor:
    """The mean of the encoder's states over the pieces of each row: float32 (B, D)."""
    mask = tf.sequence_mask(token_ids.row_lengths())
    states = network.encode(token_ids.to_tensor(), mask).states
    return tf.math.segment_mean(states, token_ids.value_rowids())


def scored(model: Any, the_task: Any, record: Tensors) -> dict[str, Any]:
    """How likely a translation is.

    Args:
      model: a ``Translator``.
      the_task: fitted.
      record: ``text`` and ``target``, string (B,).

    Returns:
      ``log_probability`` float32 (B,), nats, and ``pieces`` int64 (B,) of the target, [SEP] included.
    """
    features = the_task.featurize(record, the_task.tokenizer)
    length = the_task.config.max_length
    rows = {"token_ids": features["source_ids"][:, :length], "target_ids": features["target_ids"][:, : length + 1]}
    batch = translator.with_target(rows)
    losses = translator.piece_losses(model(batch, training=False), batch)
    pieces = rows["target_ids"].row_lengths() - 1
    total = tf.reduce_sum(tf.RaggedTensor.from_row_lengths(losses, pieces), axis=1)
    return {"log_probability": -total, "pieces": pieces}
