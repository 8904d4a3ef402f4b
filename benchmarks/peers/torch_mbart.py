"""The peer of our translation: transformers' mBART with torch, with the same weights, batches and hyper-parameters.

    PEER_PYTHON benchmarks/peers/torch_mbart.py JOB.json

Runs in an environment of its own (torch, transformers, numpy; ctranslate2), so it imports nothing of this project. The
job's ``mode``: ``steps`` trains on the batches of an ``.npz``, ``generate`` translates them by beam search, and
``ctranslate2`` does so with CTranslate2. Each answers every line of standard input with the seconds of a round.
"""

import contextlib
import json
import os
import pathlib
import shutil
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

CORES = len(os.sched_getaffinity(0))


def stored(job):
    """The batches, each a dict of arrays."""
    kept = np.load(job["batches"])
    return [
        {name.removesuffix(f"_{i}"): kept[name] for name in kept if name.endswith(f"_{i}")} for i in range(job["count"])
    ]


def inputs(batch):
    """What the model takes; ``labels`` are -100 where nothing is to be predicted."""
    found = {"input_ids": batch["token_ids"], "attention_mask": batch["padding_mask"]}
    if "target_in" in batch:
        found |= {"decoder_input_ids": batch["target_in"], "decoder_attention_mask": batch["target_mask"]}
        found["labels"] = np.where(batch["target_mask"], batch["target_out"], -100)
    return {name: torch.tensor(value.astype(np.int64)) for name, value in found.items()}


def loss_of(model, batch, smoothing):
    """Label-smoothed cross-entropy, the mean over real pieces."""
    given = dict(batch)
    labels = given.pop("labels")
    logits = model(**given, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=smoothing)


def steps(job):
    """The machine's peak and the first batch's loss without dropout, then a pass over the batches a line."""
    from torch_bert import peak

    batches, settings, smoothing = [inputs(batch) for batch in stored(job)], job["settings"], job["smoothing"]
    model = transformers.MBartForConditionalGeneration.from_pretrained(job["model"])
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": settings["weight_decay"]}, {"params": vectors, "weight_decay": 0.0}]
    betas = (0.9, settings["beta_2"])
    optimizer = torch.optim.AdamW(groups, lr=settings["learning_rate"], betas=betas, fused=True)
    model.eval()
    with torch.inference_mode():
        first = float(loss_of(model, batches[0], smoothing))
    model.train()
    yield {"peak": peak(), "loss": first}
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for batch in batches:
            loss = loss_of(model, batch, smoothing)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip_norm"])
            optimizer.step()
            optimizer.zero_grad()
            last = float(loss.detach())
        yield {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "loss": last}


def by_torch(job):
    """A function of a batch: ids of the best answers, by ``generate``."""
    model = transformers.MBartForConditionalGeneration.from_pretrained(job["model"]).eval()
    model.generation_config.forced_eos_token_id = None

    def generate(batch):
        given = inputs(batch)
        how = {"num_beams": job["beam"], "length_penalty": job["length_penalty"], "max_new_tokens": job["longest"]}
        with torch.inference_mode():
            found = model.generate(**given, **how, use_cache=True, do_sample=False)
        return [row[1:].tolist() for row in found]

    return generate


def by_ctranslate2(job):
    """A function of a batch: the same by CTranslate2, in float32."""
    import ctranslate2
    from ctranslate2.converters.transformers import MBartLoader

    folder = pathlib.Path(job["model"])
    model = transformers.MBartForConditionalGeneration.from_pretrained(folder)
    model.config.normalize_before = True  # what the loader asks for, and transformers 4.57 no longer says of mBART
    pieces = (folder / "vocab.txt").read_text("utf-8").splitlines()
    spec = MBartLoader().get_model_spec(model)
    for register in (spec.register_source_vocabulary, spec.register_target_vocabulary):
        register(pieces)
    spec.config.bos_token = spec.config.decoder_start_token = "[CLS]"
    spec.config.eos_token, spec.config.unk_token = "[SEP]", "[UNK]"
    spec.config.add_source_bos = spec.config.add_source_eos = False
    out = pathlib.Path(job["batches"]).parent / "ctranslate2"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    spec.validate()
    spec.optimize(quantization="float32")
    spec.save(str(out))
    translator = ctranslate2.Translator(str(out), compute_type="float32", intra_threads=CORES, inter_threads=1)
    ids = {piece: i for i, piece in enumerate(pieces)}

    def translate(batch):
        rows = [row[keep].tolist() for row, keep in zip(batch["token_ids"], batch["padding_mask"], strict=True)]
        found = translator.translate_batch(
            [[pieces[i] for i in row] for row in rows],
            beam_size=job["beam"],
            length_penalty=job["length_penalty"],
            max_decoding_length=job["longest"],
        )
        return [[ids[piece] for piece in each.hypotheses[0]] for each in found]

    return translate


def translated(job):
    """Says that it is ready, then translates every batch a line."""
    translate = {"generate": by_torch, "ctranslate2": by_ctranslate2}[job["mode"]](job)
    batches = stored(job)
    yield {"peak": None}
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        answers = [row for batch in batches for row in translate(batch)]
        yield {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "answers": answers}


def main():
    """Answers on standard output; what libraries say goes to standard error."""
    job = json.loads(pathlib.Path(sys.argv[1]).read_text("utf-8"))
    torch.manual_seed(job["seed"])
    torch.set_num_threads(CORES)
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for answer in steps(job) if job["mode"] == "steps" else translated(job):
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
