"""Translation beside its peers: the same weights, batches and texts, verses of 25 words in the mean.

    python -m benchmarks.translation training|decoding|serving [--peer-python PYTHON] [--checkpoint DIR] [--rounds 5]

``training``: the Trainer's loop beside transformers' mBART with torch, over the same batches by tokens; what counts are
real pieces of the targets. ``decoding``: 32 sentences of 25 words, beam 4: the signature that a server calls, strings
in and out, beside ``generate`` of transformers, and CTranslate2 where PYTHON has it, ids in and out. ``serving``: our
server with 32 requests at a time beside the bare loop over the same SavedModel in batches of 16.

PYTHON has torch and transformers, and ctranslate2. Rounds take turns, the first is not counted. DIR is the folder
``assets.extra/checkpoint`` of a pushed version; without it the weights are random, and all answers of all sides are as
long as they may be: ⌈1.5 · S⌉ + 10 pieces. ``tfx-bert data fetch bible_es`` brings the verses.
"""

import argparse
import contextlib
import dataclasses
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import serving, training
from benchmarks.measure import BUILD, Cost, spread, table, timed
from benchmarks.translators import WORDS, Translators, products
from pipeline import loader
from serving.servable import Servable

SENTENCES = 32
TRAINING, DECODING, SERVING = 1.2, 3.0, 0.8  # what is asked for: times, times, share
PAIRS = 8000  # that batches are made of
AT_ONCE = 32


def train(options: argparse.Namespace, given: Translators) -> None:
    """A row a side, and whether ours is as many times faster as is asked for."""
    batches = given.batches(options.steps, PAIRS)
    arrays = list(batches.as_numpy_iterator())
    network = given.network(options.checkpoint)
    weights, first = given.saved(network, "weights"), given.first_loss(network, arrays[0])

    def work(all_tokens: bool) -> float:
        return sum(products(network, batch, all_tokens=all_tokens) for batch in arrays)

    with tempfile.TemporaryDirectory() as logs:
        loop = given.loop(network, Path(logs))
        sides = [training.ours("ours", loop, batches, work(False), "target_mask")]
        if options.peer_python:
            settings = {name: given.settings[name] for name in training.SETTINGS.keys() - {"warmup"}}
            job = {"model": str(weights), "settings": {**settings, "beta_2": given.settings["beta_2"]}, "seed": 1}
            job |= {"smoothing": given.task.config.label_smoothing}
            process = training.Peer(options.peer_python, "torch_mbart.py", job, arrays)
            assert abs(process.ready["loss"] - first) < 1e-4, (process.ready, first)
            sides.append(training.peer("torch", process, arrays, work(True), "target_mask"))
        peaks = training.rounds(sides, options.rounds)
    training.report(options, sides, peaks, "real target pieces")
    if options.peer_python:
        ratio = statistics.median(b.wall / a.wall for a, b in zip(sides[0].costs[1:], sides[1].costs[1:], strict=True))
        print(f"{ratio:.2f} times; at least {TRAINING}: {'yes' if ratio >= TRAINING else 'NO'}")


@dataclasses.dataclass
class Decoder:
    """One that translates.

    Attributes:
      name: as in the table.
      round: translates all sentences once: what it cost, and the answers.
      answers: of the last round.
      costs: of the rounds, so far.
    """

    name: str
    round: Callable[[], tuple[Cost, list[str]]]
    answers: list[str] = dataclasses.field(default_factory=list)
    costs: list[Cost] = dataclasses.field(default_factory=list)


def served(folder: Path, texts: Sequence[str]) -> Decoder:
    """Ours: the signature that a server calls."""
    call, given = Servable(folder).signatures["serving_default"], np.array([text.encode() for text in texts], object)

    def once() -> tuple[Cost, list[str]]:
        with timed() as cost:
            answers = dict(zip(call.outputs, call.call(given), strict=True))
        return cost, [text.decode() for text in answers["translation"]]

    return Decoder("ours", once)


def decoders(options: argparse.Namespace, given: Translators, texts: Sequence[str]) -> list[Decoder]:
    """All that take part."""
    weights, batch, config = given.translating(), given.asked(texts), given.task.config
    found = [served(given.exported(weights), texts)]
    longest = int((3 * batch["padding_mask"].sum(1).max() + 1) // 2 + 10)
    job = {"model": str(weights), "beam": config.beam, "length_penalty": config.length_penalty, "seed": 1}
    for name, mode in (("torch, generate", "generate"), ("CTranslate2", "ctranslate2")):
        if not options.peer_python:
            continue
        try:
            process = training.Peer(
                options.peer_python, "torch_mbart.py", {**job, "mode": mode, "longest": longest}, [batch]
            )
        except ValueError:  # it ended before it said anything
            print(f"{name} did not start: see above")
            continue

        def once(process: training.Peer = process) -> tuple[Cost, list[str]]:
            cost = process.round()
            return cost, given.written(process.said["answers"])

        found.append(Decoder(name, once))
    return found


def decode(options: argparse.Namespace, given: Translators) -> None:
    """A row a decoder, and whether ours needs as few CPU seconds as is asked for."""
    texts = given.sentences(SENTENCES)
    found = decoders(options, given, texts)
    for number in range(options.rounds + 1):
        for each in found:
            cost, each.answers = each.round()
            each.costs += [cost] if number else []

    def ratio(each: Decoder, what: str) -> list[float]:
        return [getattr(a, what) / getattr(b, what) for a, b in zip(each.costs, found[0].costs, strict=True)]

    rows = [
        (
            each.name,
            spread([1000 * cost.cpu / len(texts) for cost in each.costs]),
            spread([1000 * cost.wall / len(texts) for cost in each.costs]),
            spread(ratio(each, "cpu"), 2),
            spread(ratio(each, "wall"), 2),
            f"{statistics.fmean(map(given.length, each.answers)):.1f}",
            str(sum(a == b for a, b in zip(each.answers, found[0].answers, strict=True))),
        )
        for each in found
    ]
    notes = [
        f"{each.name}: {statistics.median(ratio(each, 'cpu')):.2f} times the CPU of ours; at least {DECODING}: "
        f"{'yes' if statistics.median(ratio(each, 'cpu')) >= DECODING else 'NO'}"
        for each in found[1:2]
    ]
    table(
        f"{len(texts)} sentences of {WORDS} words, beam {given.task.config.beam}: milliseconds a sentence, "
        f"median (min–max) of {options.rounds} rounds",
        ("", "CPU ms", "wall ms", "× ours, CPU", "× ours, wall", "pieces", "as ours"),
        rows,
        notes,
    )


def serve(options: argparse.Namespace, given: Translators) -> None:
    """The share of the bare loop's rate that the server reaches."""
    folder, texts = given.exported(given.translating()), given.sentences(200)
    threads, batch = len(os.sched_getaffinity(0)), AT_ONCE // len(os.sched_getaffinity(0))
    loads, loops = [], []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving.started(*serving.ours(folder)))
        serving.load(server, texts, AT_ONCE, 2.0)
        for _ in range(options.rounds):
            loads.append(serving.load(server, texts, AT_ONCE, options.seconds))
            loops.append(serving.bare(folder, texts, batch, threads, options.seconds))
    shares = [load.rate / rate for load, (_, rate) in zip(loads, loops, strict=True)]
    rows = [
        (
            "tfx-bert serve",
            spread([each.cpu for each in loads]),
            spread([each.rate for each in loads]),
            spread([each.p50 for each in loads], 0),
            spread([each.p99 for each in loads], 0),
        ),
        ("bare loop", spread([cpu for cpu, _ in loops]), spread([rate for _, rate in loops]), "", ""),
    ]
    share = statistics.median(shares)
    table(
        f"sentences of {WORDS} words, {AT_ONCE} requests at a time; the bare loop in batches of {batch}",
        ("", "CPU ms", "sentences/s", "p50 ms", "p99 ms"),
        rows,
        [f"the server reaches {spread(shares, 2)} of it; at least {SERVING}: {'yes' if share >= SERVING else 'NO'}"],
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("training", "decoding", "serving"))
    parser.add_argument("--encoder", default="translation_small", choices=loader.encoder_names())
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="trained weights and their vocabulary")
    parser.add_argument("--peer-python", metavar="PYTHON", help="an interpreter with torch and transformers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="of training in a round")
    parser.add_argument("--seconds", type=float, default=10.0, help="of serving in a round")
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    given = Translators(options.encoder, options.checkpoint)
    {"training": train, "decoding": decode, "serving": serve}[options.what](options, given)


if __name__ == "__main__":
    main()
