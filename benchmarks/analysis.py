"""What it costs to look into a model: heads beside ``run_bertology``, and the analysis as ``analyze: {}`` asks for it.

    python -m benchmarks.analysis heads --torch PYTHON [--rows 256] [--rounds 3]
    python -m benchmarks.analysis whole

``heads``: entropy and importance of MiniLM's heads on film snippets, beside the algorithm of transformers'
run_bertology.py (``peers/run_bertology.py``: one row a batch, torch), with the same weights on the same rows. Stock:
the gradients of all weights are computed, as the script does; frozen: those of the head mask alone. The sides take
turns; the first round is not counted. PYTHON has torch and transformers 4.57. That they compute the same is printed.

``whole``: the default analysis on as many film snippets as ``sentiment`` has in its splits test and eval, in a process
of its own, from its imports on: seconds, and the largest resident memory. The head is untrained and its labels are not
the snippets': figures of the task say nothing, costs are the same.
"""

import argparse
import functools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.measure import BUILD, ROOT, Cost, execute, spread, table, timed
from benchmarks.training import column
from configs.analyze import Analyze
from models.analysis import importance, run
from models.analysis.subject import Subject, load
from models.bert.encoder import BertEncoder
from models.checkpoints import checkpoint
from models.tasks.classification import Task
from models.text import tokenization
from models.text.tokenization import TextRules, Tokenizer

BASE = ROOT / "data" / "minilm"
PEER = Path(__file__).parent / "peers" / "run_bertology.py"
TEST, EVAL = 1035, 1043  # records of sentiment
CONFIG: dict[str, Any] = {"labels": ["negative", "positive"], "max_length": 64}


def subject(tokenizer: Tokenizer) -> Subject:
    """MiniLM under an untrained classifier."""
    keras.utils.set_random_seed(1)
    encoder, the_task = BertEncoder(**checkpoint.read(BASE).encoder), Task(CONFIG)
    model = the_task.build(encoder)
    checkpoint.load(BASE, encoder)
    return Subject(model, encoder, the_task, tokenizer)


def snippets(tokenizer: Tokenizer, count: int) -> tuple[list[list[int]], list[int]]:
    """Ids of the first film snippets, and a label each; any: the figures are of the loss."""
    pieces = tokenizer.tokenize(column("movie_reviews.csv", "text")[:count])
    ids, _ = tokenization.single(pieces, tokenizer.cls_id, tokenizer.sep_id, CONFIG["max_length"])
    return ids.to_list(), [place % 2 for place in range(count)]


def records(rows: list[list[int]], labels: list[int]) -> tf.data.Dataset:
    """As Transform gives them."""
    ids = tf.ragged.constant(rows, tf.int64)
    features = {"token_ids": ids, "segment_ids": tf.zeros_like(ids), "label_id": tf.constant(labels, tf.int64)}
    told = {
        "label": tf.constant([CONFIG["labels"][label] for label in labels]),
        "length_bucket": tf.fill([len(rows)], ""),
    }
    return tf.data.Dataset.from_tensor_slices({**features, **told})


class Peer:
    """The peer's process: a line asks for a pass."""

    def __init__(self, python: str, folder: Path, job: Mapping[str, Any]) -> None:
        self.found, self.versions = folder / f"{job['frozen']}.npz", ""
        file = folder / f"{job['frozen']}.json"
        file.write_text(json.dumps({**job, "found": str(self.found)}), "utf-8")
        self._process = subprocess.Popen(
            [python, str(PEER), str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def round(self) -> Cost:
        """One pass over the rows."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        self.versions = answer["versions"]
        return Cost(answer["wall"], answer["cpu"])


def heads(options: argparse.Namespace) -> None:
    """Importance and entropy: ours and run_bertology's, in turns."""
    tokenizer = Tokenizer(checkpoint.read(BASE).vocabulary, TextRules("bert_uncased"))
    looked, (rows, labels) = subject(tokenizer), snippets(tokenizer, options.rows)
    data, found = records(rows, labels), dict[str, np.ndarray]()

    def ours() -> Cost:
        with timed() as cost:
            found["importance"] = run.importance_of(looked, data, options.rows)
            found["entropy"] = run.heads_of(looked, run.record_batches(looked, data)).entropy
        return cost

    BUILD.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=BUILD))
    job = {"base": str(BASE), "kernel": looked.model.logits.kernel.numpy().tolist(), "rows": rows, "labels": labels}
    peers = {
        name: Peer(options.torch, folder, {**job, "frozen": frozen})
        for name, frozen in (("run_bertology, stock", False), ("run_bertology, frozen", True))
    }
    sides: dict[str, Callable[[], Cost]] = {"ours": ours, **{name: each.round for name, each in peers.items()}}
    costs: dict[str, list[Cost]] = {name: [] for name in sides}
    for _ in range(options.rounds + 1):
        for name, once in sides.items():
            costs[name].append(once())
    counted = {name: each[1:] for name, each in costs.items()}
    median = {name: statistics.median(each.cpu for each in several) for name, several in counted.items()}
    theirs = next(iter(peers.values()))
    normal = functools.partial(importance.normalised)
    apart = np.abs(normal(np.load(theirs.found)["importance"]) - normal(found["importance"])).max()
    table(
        f"Entropy and importance of {looked.encoder.num_layers} × {looked.encoder.num_heads} heads, {len(rows)} rows",
        ["", "CPU s", "wall s", "CPU of ours"],
        [
            [
                name,
                spread([each.cpu for each in several], 2),
                spread([each.wall for each in several], 2),
                f"{median[name] / median['ours']:.2f} ×",
            ]
            for name, several in counted.items()
        ],
        [
            theirs.versions,
            f"importance, of length 1 within a layer: at most {apart:.1e} apart",
            "ours: also distance and the shares of attention by eight targets",
        ],
    )


def whole() -> None:
    """The default analysis in a process of its own."""
    done = execute([sys.executable, "-m", "benchmarks.analysis", "look"], BUILD / "analysis.log")
    table(
        f"analyze: {{}} of MiniLM, {TEST} + {EVAL} film snippets",
        ["CPU s", "wall s", "largest memory"],
        [[f"{done.cost.cpu:.0f}", f"{done.cost.wall:.0f}", f"{done.peak / 1e9:.2f} GB"]],
        [f"figures: {BUILD / 'analysis.log'}"],
    )


def look() -> None:
    """What the node Analyzer does with the records of ``sentiment``, less reading them."""
    tokenizer = Tokenizer(checkpoint.read(BASE).vocabulary, TextRules("bert_uncased"))
    settings, texts = Analyze().looked, column("movie_reviews.csv", "text")[: TEST + EVAL]
    rows, labels = snippets(tokenizer, TEST + EVAL)
    shown = settings["sentences"]
    data = run.Data(
        texts=texts[:shown],
        labels=[CONFIG["labels"][label] for label in labels[:shown]],
        test=records(rows[:TEST], labels[:TEST]),
        chosen=records(rows[TEST:], labels[TEST:]),
    )
    found = run.analyze(subject(tokenizer), data, settings, before=load(BASE, None, tokenizer))
    print(json.dumps(found.metrics, indent=1))


def main() -> None:
    """Chooses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("heads", "whole", "look"))
    parser.add_argument("--torch", default=sys.executable, help="a Python with torch and transformers 4.57")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.what == "heads":
        heads(options)
    elif options.what == "whole":
        whole()
    else:
        look()


if __name__ == "__main__":
    main()
