"""The peer of our training: transformers and torch, with the same weights, records and hyper-parameters.

    PEER_PYTHON benchmarks/peers/torch_bert.py JOB.json

Runs in an environment of its own (torch, transformers, numpy), so it imports nothing of this project. The job's
``mode``: ``finetune`` trains and prints one JSON line; ``steps`` answers every line of standard input with a timed
round over the batches of an ``.npz``. With ``head`` it pretrains: the vocabulary's projection of the ``masked`` tokens
or of ``all``.
"""

import contextlib
import json
import math
import os
import pathlib
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Threads that wait for each other sleep: CPU seconds count work, and other load does not multiply them.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def classifier(job):
    """From the weights in ``base``."""
    return transformers.BertForSequenceClassification.from_pretrained(
        job["base"], num_labels=len(job["labels"]), classifier_dropout=job["dropout"]
    )


class Gathered(torch.nn.Module):
    """A masked language model that scores the vocabulary for the hidden tokens only."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, places, hidden, **inputs):
        """The mean loss of the ``hidden`` tokens (M,) at ``places`` (M,) of the flattened rows."""
        sequence = self.model.bert(**inputs).last_hidden_state
        scores = self.model.cls(sequence.flatten(0, 1)[places])
        return transformers.modeling_outputs.MaskedLMOutput(loss=torch.nn.functional.cross_entropy(scores, hidden))


def pretrained(job):
    """From random weights."""
    shape = job["encoder"]
    config = transformers.BertConfig(
        vocab_size=job["vocabulary"],
        num_hidden_layers=shape["num_layers"],
        hidden_size=shape["hidden_dim"],
        num_attention_heads=shape["num_heads"],
        intermediate_size=shape["intermediate_dim"],
        max_position_embeddings=shape["max_positions"],
        hidden_dropout_prob=shape["dropout"],
        attention_probs_dropout_prob=shape["attention_dropout"],
    )
    model = transformers.BertForMaskedLM(config)
    return Gathered(model) if job["head"] == "masked" else model


def build(job):
    """The model, its optimizer, its schedule. Vectors (biases, LayerNorm) are not decayed."""
    torch.manual_seed(job["seed"])
    settings = job["settings"]
    model = pretrained(job) if "head" in job else classifier(job)
    parameters = list(model.named_parameters())
    groups = [
        {"params": [p for _, p in parameters if p.ndim > 1], "weight_decay": settings["weight_decay"]},
        {"params": [p for _, p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings["learning_rate"], fused=True)
    schedule = transformers.get_linear_schedule_with_warmup(
        optimizer, round(settings["warmup"] * job["steps"]), job["steps"]
    )
    return model, optimizer, schedule


def step(model, optimizer, schedule, batch, clip_norm):
    """One optimizer step."""
    loss = model(**batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
    return float(loss.detach())


def padded(rows, labels):
    """Rows of ids as one batch, padded to the longest."""
    width = max(map(len, rows))
    ids, mask = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)], mask[index, : len(row)] = row, 1
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "labels": torch.tensor(labels)}


def accuracy(model, rows, labels, batch_size):
    """Share of right answers."""
    model.eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            batch = padded(rows[start : start + batch_size], labels[start : start + batch_size])
            right += int((model(**batch).logits.argmax(-1) == batch["labels"]).sum())
    return right / len(rows)


def finetune(job):
    """Trains as the job says; the epoch that did best on the eval split answers the test split."""
    settings, size = job["settings"], job["settings"]["batch_size"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["base"])
    splits = {}
    for name, records in job["splits"].items():
        encoded = tokenizer([text for text, _ in records], truncation=True, max_length=job["max_length"], padding=False)
        splits[name] = (encoded["input_ids"], [job["labels"].index(label) for _, label in records])
    rows, labels = splits["train"]
    epoch_steps = math.ceil(len(rows) / size)
    clock = time.perf_counter(), time.process_time()
    model, optimizer, schedule = build({**job, "steps": epoch_steps * settings["epochs"]})
    order = np.random.default_rng(job["seed"])
    best, weights = -1.0, {}
    for _ in range(settings["epochs"]):
        model.train()
        places = order.permutation(len(rows))
        for start in range(0, len(rows), size):
            chosen = places[start : start + size]
            batch = padded([rows[i] for i in chosen], [labels[i] for i in chosen])
            step(model, optimizer, schedule, batch, settings["clip_norm"])
        trained = time.perf_counter() - clock[0], time.process_time() - clock[1]
        score = accuracy(model, *splits["eval"], size)
        if score > best:
            best, weights = score, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(weights)
    found = accuracy(model, *splits["test"], size)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    return {"accuracy": found, "eval": best, "wall": trained[0], "cpu": trained[1], "versions": versions}


STORED = ("token_ids", "padding_mask", "label_id", "masked_indices", "masked_ids")


def inputs(batch, job):
    """What the model takes."""
    found = {"input_ids": batch["token_ids"], "attention_mask": batch["padding_mask"]}
    head = job.get("head")
    if head == "masked":
        found |= {"places": batch["masked_indices"], "hidden": batch["masked_ids"]}
    elif head == "all":
        labels = np.full(batch["token_ids"].size, -100)
        labels[batch["masked_indices"]] = batch["masked_ids"]
        found["labels"] = labels.reshape(batch["token_ids"].shape)
    else:
        found["labels"] = batch["label_id"]
    return {name: torch.tensor(value.astype(np.int64)) for name, value in found.items()}


def peak():
    """Operations a second of the best of ten matrix products."""
    a, best = torch.ones(2048, 2048), 0.0
    for _ in range(10):
        clock = time.perf_counter()
        a @ a
        best = max(best, 2 * 2048**3 / (time.perf_counter() - clock))
    return best


def steps(job):
    """Gives the machine's peak, then answers every line with the seconds that one pass over the batches takes."""
    stored = np.load(job["batches"])
    batches = [
        inputs({name: stored[f"{name}_{i}"] for name in STORED if f"{name}_{i}" in stored}, job)
        for i in range(job["count"])
    ]
    model, optimizer, schedule = build(job)
    model.train()
    yield {"peak": peak()}
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for batch in batches:
            loss = step(model, optimizer, schedule, batch, job["settings"]["clip_norm"])
        yield {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "loss": loss}


def main():
    """Answers on standard output; what libraries say goes to standard error."""
    job = json.loads(pathlib.Path(sys.argv[1]).read_text("utf-8"))
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for answer in steps(job) if job["mode"] == "steps" else [finetune(job)]:
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
