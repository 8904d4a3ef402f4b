"""The peer of our data nodes: `datasets` reads the same file, `tokenizers` makes ids of its texts.

    PEER_PYTHON benchmarks/peers/datasets_tokens.py FILE.csv vocab.txt FOLDER NUM_PROC

Runs in an environment of its own (datasets, tokenizers), so it imports nothing of this project. Neither validates,
splits, nor makes statistics. FOLDER takes what it writes. Prints one JSON line: seconds behind the imports.
"""

import json
import os
import resource
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import datasets
import tokenizers

MAX_LENGTH = 64


def cpu_seconds():
    """Of this process and of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def main():
    """Reads, tokenizes, writes Arrow files, as a training with transformers would."""
    file, vocabulary, folder, processes = sys.argv[1:]
    datasets.disable_progress_bars()
    tokenizer = tokenizers.BertWordPieceTokenizer(vocabulary, lowercase=True)
    tokenizer.enable_truncation(MAX_LENGTH)
    wall, cpu = time.perf_counter(), cpu_seconds()

    def tokenize(batch):
        return {"input_ids": [each.ids for each in tokenizer.encode_batch(batch["text"])]}

    records = datasets.load_dataset("csv", data_files=file, cache_dir=folder, split="train")
    records = records.map(tokenize, batched=True, num_proc=int(processes) if int(processes) > 1 else None)
    print(
        json.dumps({"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu, "records": len(records)}),
        flush=True,
    )


if __name__ == "__main__":
    main()
