"""The peer of our analysis: the algorithm of transformers' ``run_bertology.py``, entropy and importance of heads.

    PEER_PYTHON benchmarks/peers/run_bertology.py JOB.json

Runs in an environment of its own (torch, transformers 4.57, numpy): transformers 5 has no head masks any more. Every
line of standard input is answered with the seconds of a pass over the rows, one row a batch as the script has it by
default. One thing is not the script's: it adds up the gradients of the head mask over the rows before it takes their
absolute value, for it never sets them to zero; here they are, so that both sides compute the same figure.
"""

import contextlib
import json
import os
import pathlib
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
# Threads that wait for each other sleep: CPU seconds count work, and other load does not multiply them.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def classifier(job):
    """The model of the job, with the weights of its head."""
    model = transformers.BertForSequenceClassification.from_pretrained(
        job["base"], num_labels=2, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor(job["kernel"]).T)
        model.classifier.bias.zero_()
    model.requires_grad_(not job["frozen"])
    return model


def entropy(weights):
    """Nats over the last axis; 0·ln 0 is 0."""
    product = weights * torch.log(weights)
    product[weights == 0] = 0
    return -product.sum(dim=-1)


def figures(model, rows, labels):
    """Importance, not normalised, and entropy in nats, mean over the tokens of all rows: (L, H) each."""
    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    importance, spread, tokens = torch.zeros(layers, heads), torch.zeros(layers, heads), 0
    mask = torch.ones(layers, heads, requires_grad=True)
    for row, label in zip(rows, labels, strict=True):
        ids, real = torch.tensor(row)[None], torch.ones(1, len(row))
        out = model(ids, attention_mask=real, labels=torch.tensor([label]), head_mask=mask, output_attentions=True)
        out.loss.backward()
        for layer, weights in enumerate(out.attentions):
            spread[layer] += (entropy(weights.detach()) * real.unsqueeze(1)).sum(-1).sum(0).detach()
        importance += mask.grad.abs().detach()
        mask.grad = None
        tokens += len(row)
    return importance / len(rows), spread / tokens


def passes(job):
    """Answers every line with the seconds of a pass; the last one's figures go to the job's file."""
    model = classifier(job)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        importance, spread = figures(model, job["rows"], job["labels"])
        cost = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        np.savez(job["found"], importance=importance, entropy=spread)
        yield {**cost, "versions": f"torch {torch.__version__}, transformers {transformers.__version__}"}


def main():
    """Answers on standard output; what libraries say goes to standard error."""
    job = json.loads(pathlib.Path(sys.argv[1]).read_text("utf-8"))
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for answer in passes(job):
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
