"""Writes tests/data/bert_tiny_importance.npz: heads of the tiny model, by torch's autograd and by transformers' masks.

Runs in a throwaway environment, from the repository's root; transformers 5 has no head masks any more:

    python3.11 -m venv /tmp/golden && /tmp/golden/bin/pip install torch==2.9.1 transformers==4.57.6
    /tmp/golden/bin/python tests/golden/make_importance_golden.py
"""

from pathlib import Path

import numpy as np
import torch
import transformers

DATA = Path(__file__).parents[1] / "data"
CUT = ((0, 1), (1, 0), (1, 3), (2, 2))  # layer, head


def main() -> None:
    known = np.load(DATA / "bert_tiny.npz")
    model = transformers.BertForPreTraining.from_pretrained(DATA / "bert_tiny", attn_implementation="eager").eval()
    model.requires_grad_(False)
    ids, segments, real = (
        torch.tensor(known[n].astype(np.int64)) for n in ("token_ids", "segment_ids", "padding_mask")
    )
    labels = torch.full_like(ids, -100).flatten()
    labels[known["masked_indices"]] = torch.tensor(known["masked_ids"].astype(np.int64))
    labels = labels.reshape(ids.shape)
    shape = model.config.num_hidden_layers, model.config.num_attention_heads
    slopes, spread, tokens = [], torch.zeros(shape), 0
    for row in range(len(ids)):
        size = int(real[row].sum())
        inputs = {
            "input_ids": ids[row : row + 1, :size], "token_type_ids": segments[row : row + 1, :size],
            "attention_mask": real[row : row + 1, :size],
        }  # fmt: skip
        ones = torch.ones(shape, requires_grad=True)
        out = model(**inputs, head_mask=ones, output_attentions=True)
        for layer, weights in enumerate(out.attentions):
            spread[layer] -= torch.special.xlogy(weights, weights).sum((0, 2, 3)).detach()
        tokens += size
        where = labels[row, :size] >= 0
        if where.any():
            logits = out.prediction_logits[0, where]
            loss = torch.nn.functional.cross_entropy(logits, labels[row, :size][where])
            slopes.append(torch.autograd.grad(loss, ones)[0])
    mask = torch.ones(shape)
    for head in CUT:
        mask[head] = 0
    whole = {"input_ids": ids, "token_type_ids": segments, "attention_mask": real}
    masked = model.bert(**whole, head_mask=mask).last_hidden_state
    width = model.config.hidden_size // shape[1]
    for layer, head in CUT:
        output = model.bert.encoder.layer[layer].attention.output.dense
        output.weight[:, head * width : (head + 1) * width] = 0
    zeroed = model.bert(**whole).last_hidden_state
    np.savez_compressed(
        DATA / "bert_tiny_importance.npz", slopes=torch.stack(slopes).numpy(), nats=(spread / tokens).numpy(),
        mask=mask.numpy(), masked=masked.numpy(), zeroed=zeroed.numpy(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
