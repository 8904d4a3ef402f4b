"""How long and how large a run will be: an estimate, with the formula shown."""

import math
import os
import time
from pathlib import Path
from typing import Any

from components.records.formats import encodings
from configs.analyze import Analyze, TaggedWords
from configs.encoder import Encoder
from configs.experiment import Experiment
from models import families
from models import task as tasks
from models.checkpoints.layout import encoder_arguments
from models.families import Cost
from pipeline.run import sources
from pipeline.terminal.numbers import clock, size

# Share of a plain matrix product's rate that training reached on two cores, medians over BERT-small and MiniLM.
UTILIZATION = 0.5
# What no training and no model does, on two cores: imports and fixed costs (s), and per record of each source (s). Of
# them, ExampleGen, StatisticsGen and Transform take .00007: benchmarks/data_nodes.py, CPU seconds. The data nodes of a
# million records took 394 s in all, those of a million events 23 CPU s.
FIXED, PER_RECORD = (
    45.0,
    {"task.data": 0.00035, "corpus": 0.00007, "score": 0.0003, "events": 0.00004, "items": 0.00004},
)
PER_RECORD["train.teacher.texts"] = PER_RECORD["score"]
PER_RECORD[TaggedWords.section] = PER_RECORD["corpus"]  # nothing tokenizes them
_TITLE = 8  # tokens of a title, special ones included: films have 7
# A process with TensorFlow, TFX and Beam, before any model (bytes).
BASE_MEMORY = 1.4e9


def shape(experiment: Experiment, start: Path | None = None, names: int = 0) -> dict[str, Any]:
    """Arguments of the encoder that the experiment trains, of the Hugging Face folder ``start`` where there is one.

    Args:
      experiment: its sections ``encoder`` and ``vocabulary``.
      start: a Hugging Face folder.
      names: those that the records say themselves, such as items; 0 where the vocabulary is of pieces of text.
    """
    if start:
        return encoder_arguments(start / "config.json")
    vocabulary = experiment.vocabulary
    if vocabulary and vocabulary.path:
        pieces = lines(vocabulary.path, "text")
    else:
        pieces = vocabulary.learn if vocabulary and vocabulary.learn else names or 30_522
    given = experiment.encoder.arguments() if experiment.encoder else Encoder().arguments()
    if experiment.task and experiment.encoder is None:
        needed = families.load(tasks.load(experiment.task.type).family).required(experiment.task.own())
        given = given if "encoder" in needed else dict.fromkeys(given, 0)  # nothing is trained by steps
    return {"vocabulary_size": round(pieces), **given}


def cost(experiment: Experiment, size_of: dict[str, Any]) -> Cost:
    """What the network costs; ``size_of`` as ``shape`` gives it."""
    family = families.load(tasks.load(experiment.task.type).family if experiment.task else "text")
    return family.cost(size_of, size_of["vocabulary_size"])


def flops(
    experiment: Experiment, amounts: dict[str, tuple[int, float]], size_of: dict[str, Any], reads: Path | None = None
) -> dict[str, float]:
    """Operations of each training: 6 · parameters · tokens (Kaplan et al. 2020, section 2.1), forward and backward.

    Args:
      experiment: its budgets.
      amounts: records of each source, and their mean length in tokens.
      size_of: as ``shape`` gives it.
      reads: a text model that the vocabulary is learned with.
    """
    work, multiplied = {}, cost(experiment, size_of).multiplied
    if experiment.pretrain:
        budget = experiment.pretrain
        longest = math.inf if budget.pack else amounts["corpus"][1]
        row = sum(share * min(length, longest) for share, length in budget.lengths)
        step = min(budget.batch_size * row, budget.batch_tokens or math.inf)
        seen = budget.tokens or (budget.steps or 0) * step
        width = size_of["hidden_dim"]
        head = width * (size_of["vocabulary_size"] + width) * budget.mask_share
        work["pretraining"] = 6 * (multiplied + head) * seen
    if experiment.task:
        records, mean = amounts["task.data"]
        length = min(mean, _longest(experiment, mean))
        trainings = len(experiment.train.seeds or [experiment.seed]) + experiment.train.refit
        epochs = experiment.train.epochs * trainings + (experiment.train.prune.recover if experiment.train.prune else 0)
        if tune := experiment.tune:
            choices = tune.space.get("epochs")
            most = int(max(choices)) if isinstance(choices, list) else experiment.train.epochs
            epochs = most * (tune.trials + trainings)
        seen = records * length * sources.of(experiment)["task"].trained * epochs
        work["fine-tuning"] = 6 * multiplied * seen
        if reads:
            model, count = encoder_arguments(reads / "config.json"), size_of["vocabulary_size"]
            of_model = families.load("text").cost(model, model["vocabulary_size"])
            work["titles"] = 2 * of_model.multiplied * count * _TITLE
            # Every step projects the vectors of all titles.
            steps = seen / (experiment.train.batch_size * getattr(experiment.task, "max_length", 1))
            work["fine-tuning"] += 6 * count * model["hidden_dim"] * size_of["hidden_dim"] * steps
        if experiment.score:
            records, mean = amounts["score"]
            # Forward alone.
            work["scoring"] = 2 * multiplied * records * min(mean, _longest(experiment, mean))
    if experiment.analyze:
        records, mean = amounts["task.data" if experiment.task else "corpus"]
        length = min(mean, getattr(experiment.task, "max_length", 128))
        tagged, _ = amounts.get(TaggedWords.section, (0, 0))
        work["analysis"] = 2 * multiplied * length * _passes(experiment, experiment.analyze, records, tagged)
    return work


def _longest(experiment: Experiment, mean: float) -> float:
    """Tokens of a record beyond which nothing is read; ``mean`` where all is."""
    own = experiment.task.own() if experiment.task else {}
    if "stride" in own or "max_length" not in own:
        return mean
    assert experiment.task is not None
    the_task = tasks.load(experiment.task.type)
    sides = 2 if the_task.separate_encoding or the_task.family == "translation" else 1
    return float(sides * own["max_length"])


def judged(experiment: Experiment, amounts: dict[str, tuple[int, float]], size_of: dict[str, Any]) -> float:
    """Operations of the answers that a training is judged by: the eval split after each epoch, the test split once."""
    if experiment.task is None or (kind := sources.of(experiment)["task"]).trained == 1:
        return 0.0
    records, mean = amounts["task.data"]
    trainings = len(experiment.train.seeds or [experiment.seed])
    share = kind.shares.get("eval", 0) * experiment.train.epochs * trainings + kind.shares.get("test", 0)
    return 2 * cost(experiment, size_of).multiplied * records * min(mean, _longest(experiment, mean)) * share


def _passes(experiment: Experiment, analyze: Analyze, records: int, tagged: int) -> float:
    """How many rows an analysis takes forward through the network: backward counts as two."""
    rows = min(analyze.sentences, records)
    attention, importance = rows, 3 * rows * (2 if experiment.task else 1)
    # Each sentence, a shifted one, and those with tags: through the network, those of random weights, the one before.
    vectors = (2 * rows + min(analyze.sentences, tagged)) * (2 + analyze.probes.seeds)
    curves = 28 * min(300, rows) if experiment.task and analyze.pruning_curves else 0
    return attention + importance + vectors + curves


def memory(experiment: Experiment, size_of: dict[str, Any]) -> float:
    """Peak bytes: weights, gradients, two moments, the activations of the longest step; all in float32."""
    train, steps = experiment.train, []
    if experiment.task:
        step = train.batch_size * getattr(experiment.task, "max_length", 128)
        steps.append(min(step, train.batch_tokens or step))
    if experiment.pretrain:
        pretrain = experiment.pretrain
        steps.append(math.ceil(pretrain.batch_size / pretrain.accumulate) * pretrain.max_length)
    of = cost(experiment, size_of)
    return BASE_MEMORY + 16 * of.parameters + of.activations * max(steps, default=0)


def text(
    experiment: Experiment,
    amounts: dict[str, tuple[int, float]],
    start: Path | None,
    reads: Path | None = None,
    *,
    names: int = 0,
) -> str:
    """The estimate in one line; ``amounts`` and ``reads`` as in ``flops``, ``start`` and ``names`` as in ``shape``."""
    rate = UTILIZATION * product_rate()
    size_of = shape(experiment, start, names)
    work = flops(experiment, amounts, size_of, reads)
    seconds = {name: amount / rate for name, amount in work.items()}
    most = {"fine-tuning": "at most "} if experiment.train.early_stopping else {}
    parts = " + ".join(f"{name} {most.get(name, '')}{clock(each)}" for name, each in seconds.items())
    nouns = {kind.source.section: kind.noun for kind in sources.of(experiment).values()}
    others = sum((PER_RECORD.get(nouns[name]) or PER_RECORD[name]) * records for name, (records, _) in amounts.items())
    total = sum(seconds.values()) + FIXED + others + judged(experiment, amounts, size_of) / rate
    cores, bytes_ = len(os.sched_getaffinity(0)), memory(experiment, size_of)
    return (
        f"estimate: {clock(total)} on {cores} cores ({parts} + the other nodes; {sum(work.values()) / 1e12:.1f} TFLOP "
        f"at {rate / 1e9:.0f} GFLOP/s, half of a matrix product's rate here) · {size(bytes_)} of memory"
    )


def product_rate() -> float:
    """Operations a second of a single-precision matrix product on all cores, the best of eight, 1024 × 1024.

    By CPU seconds: what else runs for these milliseconds says nothing about the hours to come.
    """
    import numpy as np

    a = np.ones((1024, 1024), np.float32)
    best = float("inf")
    for _ in range(8):
        began = time.process_time()
        a @ a
        best = min(best, time.process_time() - began)
    return len(os.sched_getaffinity(0)) * 2 * 1024**3 / best


def tokens(text: str) -> float:
    """WordPiece tokens of a text, special ones included, where no vocabulary is at hand.

    1.3 a word of English, 0.6 a Hangul syllable, 1 a Han or Kana letter; and at least one for every five letters, for
    long words and for text without spaces.
    """
    hangul = sum("가" <= letter <= "힣" for letter in text)
    alone = sum("\u3040" <= letter <= "\u30ff" or "\u3400" <= letter <= "\u9fff" for letter in text)
    return 2 + alone + max(1.3 * len(text.split()), 0.6 * hangul, (len(text) - alone) / 6)


def lines(path: str, kind: str) -> float:
    """Lines of a file, exactly; rows where it is Parquet."""
    if kind == "parquet":
        import pyarrow.parquet

        with encodings.open_bytes(path) as stream:
            return int(pyarrow.parquet.read_metadata(stream).num_rows)
    count = 0
    with encodings.open_bytes(path) as stream:
        while chunk := stream.read(1 << 20):
            count += chunk.count(b"\n")
    return count
