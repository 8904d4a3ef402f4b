"""Snippets that Transform's graph tokenizes in a CPU second, beside other tokenizers; and whether the ids agree.

    python -m benchmarks.tokenization [EXPERIMENT] [--passes 7]

The graph is the one that Transform saved and that serving runs: raw text in, [CLS] and [SEP], cutting and length
bucket included. Peers: Hugging Face's BertWordPieceTokenizer, whose ids are the reference, and
tensorflow-text's tokenizers. Batches of 1,000 rows; the candidates take turns, the first pass is not counted.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_text
import tensorflow_transform as tft
import tokenizers

from benchmarks import runs
from benchmarks.measure import spread, table
from components.train import training
from models.text.tokenization import TextRules, Tokenizer
from pipeline import loader

BATCH = 1000

Tokenize = Callable[[Any], Any]


def in_graph(tokenize: Tokenize) -> Tokenize:
    """``tokenize`` without the cost of tracing in each pass."""
    compiled: Tokenize = tf.function(tokenize, input_signature=[tf.TensorSpec([None], tf.string)])
    return compiled


def from_transform(data: runs.Prepared) -> Tokenize:
    """Transform's saved graph: text to ragged ids."""
    layer = tft.TFTransformOutput(str(data.graph)).transform_features_layer()
    return in_graph(lambda text: layer({"text": text})["token_ids"])


def hugging_face(tokenizer: Tokenizer, max_length: int) -> tokenizers.BertWordPieceTokenizer:
    """The reference, set up as the experiment is."""
    pieces = {piece: index for index, piece in enumerate(tokenizer.vocabulary)}
    mode = tokenizer.rules.mode
    if mode not in ("bert_uncased", "cased"):
        raise ValueError(f"the reference has no mode {mode}")
    lower = mode == "bert_uncased"
    reference = tokenizers.BertWordPieceTokenizer(pieces, lowercase=lower, strip_accents=lower)
    reference.enable_truncation(max_length)
    return reference


def candidates(data: runs.Prepared, tokenizer: Tokenizer, reference: Any) -> dict[str, Tokenize]:
    """By name, from a batch of texts to something; ours and tensorflow-text's take a string tensor."""
    fast = tensorflow_text.FastBertTokenizer(list(tokenizer.vocabulary), lower_case_nfd_strip_accents=True)
    keys = tf.lookup.KeyValueTensorInitializer(list(tokenizer.vocabulary), tf.range(tokenizer.size, dtype=tf.int64))
    slow = tensorflow_text.BertTokenizer(tf.lookup.StaticHashTable(keys, -1), lower_case=True)
    rules = TextRules("bert_uncased", ((r"https?://\S+", "[URL]"),), ("[URL]",))
    ruled = Tokenizer([*tokenizer.vocabulary, "[URL]"], rules)
    return {
        "Transform's graph": from_transform(data),
        "WordPiece alone": in_graph(tokenizer.tokenize),
        "WordPiece alone, one rule, one reserved piece": in_graph(ruled.tokenize),
        "tensorflow-text FastBertTokenizer": in_graph(lambda text: fast.tokenize(text).flat_values),
        "tensorflow-text BertTokenizer": in_graph(lambda text: slow.tokenize(text).flat_values),
        "Hugging Face tokenizers": reference.encode_batch,
    }


def seconds(named: dict[str, Tokenize], texts: list[str], passes: int) -> dict[str, list[float]]:
    """CPU seconds of each pass over all the texts, the candidates in turn."""
    python = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    tensors = [tf.constant(batch) for batch in python]
    found: dict[str, list[float]] = {name: [] for name in named}
    for _ in range(passes + 1):
        for name, tokenize in named.items():
            batches: list[Any] = python if name.startswith("Hugging Face") else tensors
            began = time.process_time()
            for batch in batches:
                tokenize(batch)
            found[name].append(time.process_time() - began)
    return {name: each[1:] for name, each in found.items()}


def main() -> None:
    """Prints a line for each tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="sentiment")
    parser.add_argument("--passes", type=int, default=7)
    parser.add_argument("--sample", type=int, metavar="N", help="only N records: tries the script out")
    options = parser.parse_args()
    experiment = loader.load(options.experiment)
    assert experiment.task is not None
    data = runs.prepare(experiment, options.sample)
    tokenizer = Tokenizer.read(training.vocabulary_folder(str(data.graph)))
    texts = [text for split in ("train", "eval", "test") for text, _ in data.records(split)]
    reference = hugging_face(tokenizer, experiment.task.own()["max_length"])
    ids = from_transform(data)(tf.constant(texts)).to_list()
    same = sum(mine == each.ids for mine, each in zip(ids, reference.encode_batch(texts), strict=True))
    found = seconds(candidates(data, tokenizer, reference), texts, options.passes)
    peer = found["Hugging Face tokenizers"]
    rows = [
        (
            name,
            spread([len(texts) / second for second in mine], 0),
            spread([other / second for other, second in zip(peer, mine, strict=True)], 1),
        )
        for name, mine in found.items()
    ]
    table(
        f"Tokenizing {len(texts):,} snippets, {sum(map(len, texts)) / len(texts):.0f} characters and "
        f"{sum(map(len, ids)) / len(ids):.0f} tokens each: {options.passes} passes, median (min–max)",
        ("", "rows per CPU s", "times Hugging Face"),
        rows,
        [
            f"rows of Transform's graph with the reference's ids: {same:,} of {len(texts):,}",
            "target: at least 200,000 rows per CPU s in Transform's graph",
        ],
    )


if __name__ == "__main__":
    main()
