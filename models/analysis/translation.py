"""Where the heads of a translator look: the encoder's, the decoder's at the pieces before, and across at the source."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from models.analysis import attention, run
from models.analysis.attention import ACROSS, Heads, Marks
from models.analysis.run import Analysis
from models.analysis.sections import of_heads
from models.task import Task
from models.translation.transformer import Transformer

STACKS = {"encoder": "encoder", "decoder": "decoder", "cross": "decoder to source"}
_SIZES = {"batch_size": 64, "batch_tokens": 1 << 12}
_LEFT_OUT = (
    "importance, pruning curves, probes and geometry are of BERT encoders; of a translator, attention is looked at"
)


def analyze(network: Transformer, the_task: Task, marks: Marks, records: tf.data.Dataset) -> Analysis:
    """Figures of the three stacks of heads, with the right translations given to the decoder.

    Args:
      network: the trained one; what a memory would put behind a source is not there.
      the_task: that was trained on.
      marks: of the pieces of both languages.
      records: transformed pairs.
    """
    found = heads(network, marks, the_task.batches(the_task.training_rows(records), seed=0, epoch=0, **_SIZES))
    return Analysis(
        dict(metrics(found)),
        [section for name, each in found.items() for section in of_heads(each, f": {STACKS[name]}")],
        {f"{name}_{key}": value for name, each in found.items() for key, value in run.arrays_of_heads(each).items()},
        [_LEFT_OUT],
    )


def heads(network: Transformer, marks: Marks, batches: tf.data.Dataset) -> dict[str, Heads]:
    """By the names of ``STACKS``.

    Args:
      network: the trained one.
      marks: of the pieces.
      batches: with ``token_ids`` and ``padding_mask`` (B, S), ``target_in`` and ``target_mask`` (B, T).
    """
    # A source ends with [SEP], and what the decoder reads begins with [CLS].
    ends = {name: {end: marks.special[end]} for name, end in (("encoder", "[SEP]"), ("decoder", "[CLS]"))}
    by_side = {name: dataclasses.replace(marks, special=special) for name, special in ends.items()}

    @tf.function(input_signature=[batches.element_spec], autograph=False)
    def of_batch(batch: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        source = {name: batch[name] for name in ("token_ids", "padding_mask")}
        target = {"token_ids": batch["target_in"], "padding_mask": batch["target_mask"]}
        seen = network.attentions(*source.values(), *target.values())
        return {
            "encoder": attention.sums(seen.encoder, source, by_side["encoder"], causal=False),
            "decoder": attention.sums(seen.decoder, target, by_side["decoder"], causal=True),
            "cross": attention.sums_across(seen.cross, target, source, marks),
        }

    parts = list(map(of_batch, batches))
    names = {"encoder": by_side["encoder"].names, "decoder": by_side["decoder"].names, "cross": ACROSS}
    return {name: attention.figures([part[name] for part in parts], names[name]) for name in STACKS}


def metrics(found: Mapping[str, Heads]) -> Iterator[tuple[str, float]]:
    """Every figure by its name."""
    for name, each in found.items():
        for key, value in run.of_heads(each):
            yield f"{name}_{key}", float(value)
