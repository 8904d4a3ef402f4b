"""Recommenders beside RecBole's: one split, one rule of ranks, seeds in turn; and what events and requests cost.

    python -m benchmarks.recommendation quality --peer-python PATH [--seeds 3] [--data ratings.dat] [--peer-seconds N]
    python -m benchmarks.recommendation titles [--seeds 3]
    python -m benchmarks.recommendation chain | events | request

``quality``: ``causal``, ``cloze`` and ``counts`` on MovieLens-100k (``tfx-bert data fetch movies``) beside SASRec,
BERT4Rec and GRU4Rec of RecBole 1.2.1 in an environment of its own (``pip install recbole==1.2.1 torch==2.2.2
'numpy<1.25' 'pandas<2.1' 'scipy<1.12'``, Python 3.10). RecBole trains with its defaults, and its scores go through our
ranks. FILE is MovieLens-1M's ``ratings.dat``. Finished trainings stay in build/recommendation.jsonl: a second call goes
on. ``titles``, ``chain``, ``events`` and ``request``: benchmarks/cold_items.py, benchmarks/chains.py,
benchmarks/events.py and benchmarks/item_request.py.
"""

import argparse
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import chains, cold_items, events, item_request, recommenders
from benchmarks.measure import Results, spread, table
from benchmarks.recommenders import OURS, PEERS, Setting

# Whose quality and CPU seconds are compared.
PAIRS = {"SASRec": "causal", "BERT4Rec": "cloze", "GRU4Rec": "counts"}
SHARE = 5  # of ours, the CPU seconds that a peer must take at least
FIGURES = ("hit_10", "ndcg_10", "mrr")
# hit_10 and ndcg_10 on MovieLens-1M over the full catalogue. BERT4Rec: asash/bert4rec_repro; gSASRec, SASRec: the
# README of asash/gSASRec. SASRec with cross-entropy: Klenitskiy & Vasilev 2023. Seen items are not excluded everywhere.
PUBLISHED = {
    "BERT4Rec, the authors' code, trained to its end": (0.282, 0.152),
    "gSASRec": (0.300, 0.173),
    "SASRec with binary cross-entropy": (0.239, 0.126),
    "SASRec with cross-entropy, about": (0.30, 0.17),
}


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of several seeds; NaN of one."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def mean_error(values: Sequence[float]) -> str:
    """``.0971 ± .0021``: mean and standard error; of one seed the value."""
    mean = f"{statistics.fmean(values):.4f}".removeprefix("0")
    return f"{mean} ± {standard_error(values):.4f}".replace("± 0", "± ") if len(values) > 1 else mean


def verdict(peer: str, theirs: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether ours is not worse than a peer by more than a standard error, and how often its CPU seconds fit."""
    ahead = statistics.fmean(each["ndcg_10"] for each in ours) - statistics.fmean(each["ndcg_10"] for each in theirs)
    error = math.hypot(*(standard_error([each["ndcg_10"] for each in side]) for side in (ours, theirs)))
    ratio = statistics.fmean(each["cpu"] for each in theirs) / statistics.fmean(each["cpu"] for each in ours)
    stopped = sum(not each["ended"] for each in theirs)
    least = "at least " if stopped else ""
    quality = "one seed, so no standard error" if math.isnan(error) else "yes" if ahead >= -error else "NO"
    told = [
        f"{PAIRS[peer]} − {peer}: ndcg_10 {ahead:+.4f} ± {error:.4f}; "
        f"not below by more than a standard error: {quality}",
        f"{peer} ÷ {PAIRS[peer]}: {least}{ratio:.1f} times the CPU seconds to the best epoch; at least {SHARE}: "
        f"{'yes' if ratio >= SHARE else 'not known' if stopped else 'NO'}",
    ]
    if stopped:
        told.append(
            f"{stopped} of {len(theirs)} trainings of {peer} were stopped before RecBole's early stopping ended"
        )
    return told


def report(found: Mapping[str, Sequence[Mapping[str, Any]]], setting: Setting) -> None:
    """A row a recommender, the verdicts, and what is published where the data is MovieLens-1M."""
    rows = [
        (
            f"{who}{' (RecBole)' * (who in PEERS)}",
            str(len(seeds)),
            *(mean_error([each[figure] for each in seeds]) for figure in FIGURES),
            spread([each["epoch"] for each in seeds], 0),
            spread([each["cpu"] for each in seeds], 0),
            spread([each["cpu_all"] for each in seeds], 0),
        )
        for who, seeds in found.items()
    ]
    notes = [
        "CPU s, best: from the first step to the epoch that did best on the eval split, its judging included; "
        "CPU s, all: to the end of early stopping",
        "theirs by their own figures, seen items in the ranking: "
        + (
            ", ".join(f"{who} {mean_error([s['own_ndcg_10'] for s in found[who]])}" for who in found if who in PEERS)
            or "none ran"
        ),
    ]
    for peer, own in PAIRS.items():
        if peer in found and own in found:
            notes += verdict(peer, found[peer], found[own])
    if setting.published:
        notes += [f"published: {who}: hit_10 {hit:.3f}, ndcg_10 {ndcg:.3f}" for who, (hit, ndcg) in PUBLISHED.items()]
    columns = ("", "seeds", *FIGURES, "best epoch", "CPU s, best", "CPU s, all")
    table(f"{setting.title}: mean ± standard error over seeds; full ranking, seen items excluded", columns, rows, notes)


def quality(options: argparse.Namespace) -> None:
    """Trains what is missing, prints the table after every round of seeds."""
    setting = recommenders.setting(options.data)
    names = [name for name in (*OURS, *(PEERS if options.peer_python else ())) if name in (options.only or [name])]
    results, found = Results("recommendation"), dict[str, list[dict[str, Any]]]()
    for seed, name in itertools.product(range(1, options.seeds + 1), names):
        if name in OURS:
            one = recommenders.ours(results, setting, name, seed)
        else:
            limits = recommenders.Limits(options.peer_epochs, options.peer_seconds)
            one = recommenders.peer(results, setting, name, seed, options.peer_python, limits)
        found.setdefault(name, []).append(one)
        if name == names[-1]:
            report(found, setting)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("quality", "titles", "chain", "events", "request"))
    parser.add_argument("--data", type=Path, metavar="FILE", help="ratings.dat of MovieLens-1M")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=(*OURS, *PEERS), help="only these; repeatable")
    parser.add_argument("--peer-python", metavar="PATH", help="an interpreter with recbole")
    parser.add_argument("--peer-epochs", type=int, default=300, help="of a peer at most")
    parser.add_argument(
        "--peer-seconds", type=float, default=0.0, help="CPU seconds of a peer's training at most; 0: all"
    )
    parser.add_argument("--events", type=int, default=1_000_000, help="of ``events``; beside a tenth of them")
    options = parser.parse_args()
    match options.what:
        case "quality":
            quality(options)
        case "titles":
            cold_items.report(options.seeds)
        case "chain":
            chains.report()
        case "events":
            events.report(options.events)
        case "request":
            item_request.report()


if __name__ == "__main__":
    main()
