"""What pretraining BERT-base would cost on GPUs. On paper: nothing of it was run, and the trainer uses one node.

    python -m benchmarks.cost_on_paper

The operations are counted in the graph of this project's forward pass. The rest are assumptions, each with its source.
"""

import dataclasses
from typing import Any

from configs.encoder import Encoder
from pipeline import loader
from pipeline.start import estimate

# Devlin et al. 2019, A.2: a million steps of 256 rows, nine in ten of 128 tokens, the rest of 512; 15 % masked.
ROWS = {128: 0.9 * 1e6 * 256, 512: 0.1 * 1e6 * 256}
MASK_SHARE = 0.15
VOCABULARY = 30_522
# Share of the peak that training reaches. Assumed: one GPU's in Megatron-LM (Shoeybi et al. 2019, section 1).
UTILIZATION = 0.30
# GPUs, and the share of their joint rate that is left. Assumed within a node; eight nodes: NVIDIA's 6.86 for a BERT of
# 4 B parameters (NeMo documentation, "BERT Results").
SCALING = {1: 1.0, 8: 0.9, 64: 0.9 * 6.86 / 8}


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU and its price.

    Attributes:
      peak: dense TF32, which TensorFlow computes float32 products with on these: TFLOP/s, NVIDIA's data sheets.
      price: on demand, a GPU and an hour with its share of the machine: USD.
      source: of the price.
    """

    name: str
    peak: float
    price: float
    source: str


GPUS = (
    Gpu("NVIDIA L4", 60, 0.8536, "Google Cloud g2-standard-8, us-central1, September 2026"),
    Gpu("NVIDIA A100 40 GB", 156, 21.957642 / 8, "AWS p4d.24xlarge, us-east-1, price list of July 2026"),
    Gpu("NVIDIA H100 80 GB", 495, 55.04 / 8, "AWS p5.48xlarge, us-east-1, price list of July 2026"),
)


def counted(encoder: dict[str, Any], length: int, vocabulary: int = VOCABULARY) -> int:
    """Operations of one row's forward pass with both heads, as TensorFlow's profiler counts them in the graph.

    Args:
      encoder: arguments of ``BertEncoder``.
      length: tokens of the row, none of them padding.
      vocabulary: pieces.
    """
    import tensorflow as tf

    from models.bert.encoder import BertEncoder
    from models.bert.heads import PretrainingModel

    model = PretrainingModel(BertEncoder(vocabulary_size=vocabulary, **encoder), next_sentence=True)
    row, masked = tf.TensorSpec([1, length], tf.int32), tf.TensorSpec([round(MASK_SHARE * length)], tf.int32)

    @tf.function(autograph=False, input_signature=[row, masked])
    def forward(token_ids: tf.Tensor, places: tf.Tensor) -> Any:
        out = model.encoder(token_ids, tf.zeros_like(token_ids), tf.ones_like(token_ids, tf.bool))
        hidden = tf.gather(tf.reshape(out["sequence"], [-1, model.encoder.hidden_dim]), places)
        return model.masked_language(hidden), model.next_sentence(out["pooled"])

    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation() | {"output": "none"}
    return int(tf.compat.v1.profiler.profile(forward.get_concrete_function().graph, options=options).total_float_ops)


def total() -> float:
    """Operations of the whole pretraining; the backward pass has twice those of the forward pass."""
    encoder = loader.load("from_scratch", ["encoder=bert_base"]).encoder or Encoder()
    return sum(3 * rows * counted(encoder.arguments(), length) for length, rows in ROWS.items())


def table(operations: float) -> str:
    """Hours and dollars by GPU and number of GPUs, as Markdown."""
    lines = ["| | " + " | ".join(f"{count} GPU{'s' * (count > 1)}" for count in SCALING) + " |", "|---" * 4 + "|"]
    for gpu in GPUS:
        cells = []
        for count, scaling in SCALING.items():
            hours = operations / (gpu.peak * 1e12 * UTILIZATION * count * scaling) / 3600
            cells.append(f"{hours:,.0f} h, ${hours * count * gpu.price:,.0f}")
        lines.append(f"| {gpu.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table and what it rests on."""
    operations = total()
    tokens = sum(rows * length for length, rows in ROWS.items())
    budget = f"pretrain={{tokens: {tokens:.0f}, pack: true, objectives: [mlm]}}"
    experiment = loader.load("from_scratch", ["encoder=bert_base", budget])
    shape = {**estimate.shape(experiment), "vocabulary_size": VOCABULARY}
    amounts = {"corpus": (1, 1.0), "task.data": (1, 1.0)}
    estimated = estimate.flops(experiment, amounts, shape)["pretraining"]
    print(table(operations))
    print(f"\n{operations:.4g} operations for {tokens / 1e9:.1f} B tokens; 3 times those counted in the forward pass.")
    print(f"tfx-bert check would say {estimated:.3g}: without the products of attention.")
    print(
        f"Assumed: {UTILIZATION:.0%} of the dense TF32 peak; {', '.join(f'{n}: {s:.2f}' for n, s in SCALING.items())}"
    )
    for gpu in GPUS:
        print(f"{gpu.name}: {gpu.peak:g} TFLOP/s, ${gpu.price:.2f} an hour ({gpu.source})")


if __name__ == "__main__":
    main()
