"""Writes tests/data/mbart_tiny.npz, with transformers and torch as the reference.

Weights under the names of transformers, ragged batches, and what ``MBartForConditionalGeneration`` makes of them;
losses with and without label smoothing are ``torch.nn.functional.cross_entropy``'s. In a throwaway environment, from
the repository's root:

    python3.11 -m venv /tmp/golden && /tmp/golden/bin/pip install torch==2.15.0 transformers==5.24.0 safetensors
    /tmp/golden/bin/python tests/golden/make_mbart_golden.py
"""

from pathlib import Path

import numpy as np
import torch
import transformers

FILE = Path(__file__).parents[1] / "data" / "mbart_tiny.npz"
PAD, CLS, SEP, VOCABULARY = 0, 2, 3, 30
SOURCES, TARGETS = (9, 4, 12, 1), (5, 11, 1, 7)


def main() -> None:
    torch.manual_seed(0)
    config = transformers.MBartConfig(
        vocab_size=VOCABULARY, d_model=24, encoder_layers=2, decoder_layers=3, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=40, max_position_embeddings=16,
        activation_function="gelu", scale_embedding=False, pad_token_id=PAD, bos_token_id=CLS, eos_token_id=SEP,
        decoder_start_token_id=CLS, forced_eos_token_id=None, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.MBartForConditionalGeneration(config).eval()
    with torch.no_grad():
        # Wide enough that a wrong GELU, epsilon or scale shows; biases and LayerNorms too, which start as constants.
        for name, parameter in model.named_parameters():
            is_scale = "norm" in name and name.endswith("weight")
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (1.0 if is_scale else 0.0))
    mask, target_mask = (torch.arange(max(each))[None] < torch.tensor(each)[:, None] for each in (SOURCES, TARGETS))
    token_ids = torch.randint(4, VOCABULARY, mask.shape) * mask
    target_out = torch.where(target_mask, torch.randint(4, VOCABULARY, target_mask.shape), -100)
    target_out[torch.arange(len(TARGETS)), torch.tensor(TARGETS) - 1] = SEP
    target_in = torch.cat([torch.full((len(TARGETS), 1), CLS), target_out[:, :-1]], 1) * target_mask
    target_in = target_in.clamp(min=0)
    inputs = {"input_ids": token_ids, "attention_mask": mask.long(), "decoder_input_ids": target_in}
    with torch.no_grad():
        out = model(**inputs, decoder_attention_mask=target_mask.long(), labels=target_out)
        logits = out.logits[target_mask]
        smooth = torch.nn.functional.cross_entropy(logits, target_out[target_mask], label_smoothing=0.1)
        best = model.generate(
            input_ids=token_ids, attention_mask=mask.long(), num_beams=1, do_sample=False, max_new_tokens=10,
        )  # fmt: skip
    weights = {f"weight/{name}": parameter for name, parameter in model.named_parameters()}
    tensors = dict(
        token_ids=token_ids, padding_mask=mask, target_in=target_in, target_out=target_out.clamp(min=0),
        target_mask=target_mask, states=out.encoder_last_hidden_state[mask], logits=logits, loss=out.loss,
        smooth_loss=smooth, greedy=best, **weights,
    )  # fmt: skip
    np.savez_compressed(FILE, **{name: value.detach().numpy() for name, value in tensors.items()})


if __name__ == "__main__":
    main()
