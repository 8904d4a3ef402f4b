"""Writes tests/data/bert_tiny/ and the .npz files beside it, with transformers and torch as the reference.

Runs in a throwaway environment, from the repository's root:

    python3.11 -m venv /tmp/golden && /tmp/golden/bin/pip install torch==2.13.0 transformers==5.23.0 safetensors
    /tmp/golden/bin/python tests/golden/make_bert_golden.py
"""

from pathlib import Path

import numpy as np
import torch
import transformers

DATA = Path(__file__).parents[1] / "data"
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdef")]
LENGTHS = (9, 4, 12, 2)


def bert() -> None:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(PIECES), hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
        max_position_embeddings=16, hidden_act="gelu", attn_implementation="eager",
    )  # fmt: skip
    model = transformers.BertForPreTraining(config).eval()
    with torch.no_grad():
        # Wide enough that a wrong GELU, epsilon or scale shows; biases and LayerNorms too, which start as constants.
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (1.0 if name.endswith("LayerNorm.weight") else 0.0))
    model.save_pretrained(DATA / "bert_tiny")
    (DATA / "bert_tiny" / "vocab.txt").write_text("".join(f"{piece}\n" for piece in PIECES))
    (DATA / "bert_tiny" / "tokenizer_config.json").write_text('{"do_lower_case": true, "strip_accents": null}\n')
    (DATA / "bert_tiny" / "model.safetensors").chmod(0o644)

    length = max(LENGTHS)
    mask = torch.arange(length)[None] < torch.tensor(LENGTHS)[:, None]
    token_ids = torch.randint(5, len(PIECES), mask.shape) * mask
    segment_ids = (torch.arange(length)[None] >= torch.tensor(LENGTHS)[:, None] // 2).long() * mask
    labels = torch.where(mask & (torch.rand(mask.shape) < 0.4), torch.randint(5, len(PIECES), mask.shape), -100)
    next_label = torch.tensor([0, 1, 1, 0])
    out = model(
        input_ids=token_ids, token_type_ids=segment_ids, attention_mask=mask.long(), labels=labels,
        next_sentence_label=next_label, output_hidden_states=True, output_attentions=True,
    )  # fmt: skip
    pooled = model.bert(token_ids, mask.long(), segment_ids).pooler_output
    where = (labels >= 0).flatten().nonzero()[:, 0]
    save(
        "bert_tiny.npz", token_ids=token_ids, segment_ids=segment_ids, padding_mask=mask,
        hidden_states=torch.stack(out.hidden_states), attentions=torch.stack(out.attentions), pooled=pooled,
        masked_indices=where, masked_ids=labels.flatten()[where], mlm_logits=out.prediction_logits.flatten(0, 1)[where],
        next_sentence_label=next_label, nsp_logits=out.seq_relationship_logits, loss=out.loss,
    )  # fmt: skip


def heads() -> None:
    """The tiny encoder under the heads of fine-tuned models: weights of each head, and its logits."""
    torch.manual_seed(1)
    ids = np.load(DATA / "bert_tiny.npz")
    inputs = {
        "input_ids": ids["token_ids"],
        "token_type_ids": ids["segment_ids"],
        "attention_mask": ids["padding_mask"],
    }
    inputs = {name: torch.tensor(value.astype(np.int64)) for name, value in inputs.items()}
    kinds = {
        "classification": (transformers.BertForSequenceClassification, 3, "single_label_classification"),
        "multi_label": (transformers.BertForSequenceClassification, 3, "multi_label_classification"),
        "regression": (transformers.BertForSequenceClassification, 1, "regression"),
        "token_classification": (transformers.BertForTokenClassification, 5, None),
        "question_answering": (transformers.BertForQuestionAnswering, 2, None),
    }
    tensors = {}
    for name, (kind, count, problem) in kinds.items():
        model = kind.from_pretrained(DATA / "bert_tiny", num_labels=count, problem_type=problem).eval()
        layer = "qa_outputs" if hasattr(model, "qa_outputs") else "classifier"
        with torch.no_grad():
            for part, parameter in getattr(model, layer).named_parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.3)
                tensors[f"{name}/{layer}.{part}"] = parameter
            out = model(**inputs)
        start_end = torch.stack([out.start_logits, out.end_logits], -1) if "start_logits" in out else None
        tensors[f"{name}/logits"] = out.logits if start_end is None else start_end
    save("bert_tiny_heads.npz", **tensors)


def pruned() -> None:
    """The tiny model without some heads: zeros in what the projection reads of them. (layer, head) each."""
    cut = [(0, 1), (1, 0), (1, 2), (1, 3)]
    ids = np.load(DATA / "bert_tiny.npz")
    model = transformers.BertModel.from_pretrained(DATA / "bert_tiny").eval()
    width = model.config.hidden_size // model.config.num_attention_heads
    with torch.no_grad():
        for layer, head in cut:
            kernel = model.encoder.layer[layer].attention.output.dense.weight
            kernel[:, head * width : (head + 1) * width] = 0
        out = model(*(torch.tensor(ids[name]).long() for name in ("token_ids", "padding_mask", "segment_ids")))
    save("bert_tiny_pruned.npz", cut=torch.tensor(cut), sequence=out.last_hidden_state, pooled=out.pooler_output)


def items() -> None:
    """The tiny model asked for what comes next: positions count from the end, and the last token is what predicts."""
    torch.manual_seed(3)
    lengths = torch.tensor([12, 5, 1, 9])
    place = torch.arange(int(lengths.max()))[None]
    mask = place < lengths[:, None]
    token_ids = torch.randint(5, len(PIECES), mask.shape) * mask
    token_ids[0, 11] = token_ids[1, 4] = PIECES.index("[MASK]")
    inputs = {
        "input_ids": token_ids, "attention_mask": mask.long(), "token_type_ids": torch.zeros_like(token_ids),
        "position_ids": (lengths[:, None] - 1 - place).clamp(min=0),
    }  # fmt: skip
    with torch.no_grad():
        cloze = transformers.BertForMaskedLM.from_pretrained(DATA / "bert_tiny").eval()(**inputs).logits
        causal = transformers.BertLMHeadModel.from_pretrained(DATA / "bert_tiny", is_decoder=True).eval()
        logits = causal(**inputs, use_cache=False).logits
    save("bert_tiny_items.npz", token_ids=token_ids, lengths=lengths, cloze=cloze, causal=logits)


def torch_files() -> None:
    """What ``torch.save`` writes: the tiny model; and every type and layout of a tensor, with the values it has."""
    model = transformers.BertForPreTraining.from_pretrained(DATA / "bert_tiny")
    torch.save(model.state_dict(), DATA / "bert_tiny.bin")
    torch.manual_seed(2)
    base = torch.randn(4, 6)
    tensors = {
        "float": base, "half": base.half(), "bfloat": base.bfloat16(), "double": base.double(), "transposed": base.T,
        "slice": base[1:3, ::2], "scalar": base[2, 3], "empty": base[:0], "long": torch.arange(5),
        "int": torch.arange(5).int(), "bool": base > 0, "parameter": torch.nn.Parameter(base + 1),
    }  # fmt: skip
    torch.save(tensors, DATA / "tensors.bin")
    torch.save(tensors, DATA / "tensors_before_1_6.bin", _use_new_zipfile_serialization=False)
    save("tensors.npz", **{name: value.float() for name, value in tensors.items()})


def adamw() -> None:
    """30 steps on a table, a kernel, a bias and a LayerNorm scale; most gradients are long enough to be clipped."""
    torch.manual_seed(0)
    shapes = {"table": (12, 4), "kernel": (4, 3), "bias": (3,), "gamma": (4,)}
    parameters = {name: torch.nn.Parameter(torch.randn(shape)) for name, shape in shapes.items()}
    start = {f"start_{name}": parameter.detach().clone() for name, parameter in parameters.items()}
    decayed = [parameters["table"], parameters["kernel"]]
    rest = [parameters["bias"], parameters["gamma"]]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.999), eps=1e-6)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, num_warmup_steps=5, num_training_steps=30)
    steps, rows = 30, torch.randint(0, 12, (30, 6))
    gradients = {name: torch.randn(steps, *shape) * 0.2 for name, shape in shapes.items() if name != "table"}
    values = torch.randn(steps, 6, 4) * torch.linspace(0.01, 1, steps)[:, None, None]
    norms, rates, trace = [], [], {f"step_{name}": [] for name in shapes}
    for step in range(steps):
        parameters["table"].grad = torch.zeros(12, 4).index_add_(0, rows[step], values[step])
        for name, gradient in gradients.items():
            parameters[name].grad = gradient[step].clone()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0))
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
        for name, parameter in parameters.items():
            trace[f"step_{name}"].append(parameter.detach().clone())
    save(
        "adamw.npz", rows=rows, values=values, norms=torch.stack(norms), **start,
        rates=torch.tensor(rates, dtype=torch.float64),
        **{f"gradient_{name}": gradient for name, gradient in gradients.items()},
        **{name: torch.stack(values) for name, values in trace.items()},
    )  # fmt: skip


def save(name: str, **tensors: torch.Tensor) -> None:
    np.savez_compressed(DATA / name, **{key: tensor.detach().numpy() for key, tensor in tensors.items()})


if __name__ == "__main__":
    bert()
    heads()
    pruned()
    items()
    torch_files()
    adamw()
