"""An analysis as sections of a page, each with what its figures say and what they do not."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.analysis import importance, likeness, pruning_curve
from models.analysis.attribution import METHODS
from models.figures import Section

if TYPE_CHECKING:
    from models.analysis.attention import Heads
    from models.analysis.attribution import Attribution
    from models.analysis.probing import Probe
    from models.analysis.pruning_curve import Curve
    from models.analysis.run import Found


def sections(found: "Found") -> Iterator[Section]:
    """In the order in which a person reads them."""
    if found.heads:
        yield from of_heads(found.heads)
    if found.heads and found.divergence is not None:
        yield _alike(found.heads, found.divergence)
    if found.importance is not None:
        yield Section(
            "Importance of heads",
            _numbers(found.importance.shape[1]),
            _by_layer(importance.normalised(found.importance)),
            "map",
            "How much a row's loss changes with a head (Michel et al. 2019): the absolute slope of each row by itself, "
            "mean over the rows, of length 1 within a layer. To lose the head may change more than its slope says.",
        )
    if found.explanations:
        yield _attribution(found.explanations)
    if found.curve:
        yield _curve(found.curve)
    for name, probe in found.probes.items():
        yield _probe(name, probe)
    if found.probes:
        yield _best(found.probes)
    if found.geometry:
        yield Section(
            "Geometry by layer",
            ["layer", "mean cosine", "without the mean", "rank", "outliers"],
            [[str(layer), *values] for layer, values in enumerate(zip(*found.geometry.values(), strict=True))],
            note="Of the first pieces of words. Mean cosine of random pairs: 0 where directions are spread, 1 in one "
            "line. Rank: participation ratio of the covariance. Outliers: dimensions six times the median one.",
        )
    if found.cka is not None:
        yield Section(
            "Likeness of layers",
            ["layer", *map(str, range(len(found.cka)))],
            [[str(layer), *row] for layer, row in enumerate(found.cka.tolist())],
            "map",
            "Linear CKA (Kornblith et al. 2019): 1 where two layers differ by a rotation and a factor only.",
        )
    if found.before:
        yield Section(
            "Moved by training",
            ["layer", "CKA with before", "change of the weights"],
            [[str(layer), *values] for layer, values in enumerate(zip(*found.before.values(), strict=True))],
            note="Each layer beside the same one of the model that training began from. Change: length of the change "
            "over the length before. Layer 0 is the embeddings.",
        )
    if found.cloze:
        yield Section(
            "Cloze by frequency",
            ["hidden pieces", "nats", "accuracy", "pieces"],
            [
                [name, each.loss, each.accuracy, each.count]
                for name, each in {"all": found.cloze.mlm, **found.cloze.bands}.items()
            ],
            note="What the MLM head makes of hidden pieces of the test split. Frequent ones are half of the train "
            f"split's text. Frequencies alone: {found.cloze.unigram_loss:.2f} nats.",
        )
    if found.left_out:
        yield Section("Not looked at", ["what, and why"], [[sentence] for sentence in found.left_out])


def _numbers(heads: int) -> list[str]:
    return ["layer ╲ head", *(str(head + 1) for head in range(heads))]


def _by_layer(values: np.ndarray) -> list[list[str | float]]:
    return [[str(layer + 1), *row] for layer, row in enumerate(values.tolist())]


def of_heads(heads: "Heads", of: str = "") -> Iterator[Section]:
    """Of the heads of one stack; ``of`` stands behind each title."""
    roles, count = heads.roles(), heads.entropy.shape[1]
    counted = Counter(role for layer in roles for role in layer)
    told = ", ".join(f"{number} {role}" for role, number in counted.most_common())
    yield Section(
        f"Roles of heads{of}",
        _numbers(count),
        [[str(layer + 1), *row] for layer, row in enumerate(roles)],
        note=f"{told}; over {heads.rows:,} rows. A role is what most of a head's attention goes to (Clark et al. "
        "2019): more than half to the token before, the next one or itself; more than .6 to a special token or "
        "punctuation; broad: entropy above .9. They are the roles in one model of one seed. A head that looks at [SEP] "
        "mostly finds nothing to look for.",
    )
    shown = [("Entropy", heads.entropy, "0: all attention on one token; 1: on all tokens of the row alike.")]
    shown += [("Distance", heads.distance, "Mean distance of what is looked at, in tokens.")]
    for name in ("[SEP]", "previous", "next"):
        if name in heads.mass:
            note = f"Uniform attention would give {heads.uniform[name]:.2f}."
            shown.append((f"Attention to {name}", heads.mass[name], note))
    for title, values, note in shown:
        yield Section(f"{title}{of}", _numbers(count), _by_layer(values), "map", note)
    yield Section(
        f"Attention by what it goes to{of}",
        ["target", "share", "uniform", "lift", "largest of a head"],
        [
            [name, mass.mean(), heads.uniform[name], float(heads.lift(name).mean()), mass.max()]
            for name, mass in heads.mass.items()
        ],
        note="Mean over all heads. Lift: share over that of uniform attention. Attention says where a head looks, "
        "not what decides the answer.",
    )


def _alike(heads: "Heads", divergence: np.ndarray) -> Section:
    roles = [role for layer in heads.roles() for role in layer]
    count = heads.entropy.shape[1]
    names = [f"{place // count + 1}-{place % count + 1}" for place in range(len(roles))]
    # Of heads alike in role, those that are together in the legend are together in the table.
    order = sorted(range(len(roles)), key=lambda place: (roles[place], place))
    places = likeness.placed(np.sqrt(divergence)).tolist()
    return Section(
        "Heads that look alike",
        ["layer-head", "role", "first axis", "second axis"],
        [[names[place], roles[place], *places[place]] for place in order],
        "points",
        "Heads near each other look at the same tokens: square root of the Jensen–Shannon divergence of their "
        "attention, in a plane by classical multidimensional scaling (Clark et al. 2019, section 6). The axes mean "
        "nothing by themselves.",
    )


def _curve(curve: "Curve") -> Section:
    shares = (0.0, *pruning_curve.SHARES)
    columns = [[curve.whole, *values] for values in (curve.by_importance, curve.random)]
    names = ["least important first", "random order"]
    return Section(
        "Heads masked",
        ["share of heads", *names],
        [list(row) for row in zip(shares, *columns, strict=True)],
        "lines",
        f"Headline figure of {curve.records} records with heads masked and nothing trained again: the lower bound of "
        "what pruning costs. The order is by importance on the eval split. Each layer keeps a head.",
    )


def _attribution(found: "Attribution") -> Section:
    rows: list[Sequence[str | float]] = []
    for method in METHODS:
        value, error = found.mean(method)
        alike = found.agreement[method]
        agreement = "" if method == "occlusion" or np.isnan(alike).all() else float(np.nanmean(alike))
        rows.append([method, value, "" if np.isnan(error) else error, agreement])
    best = max(METHODS, key=lambda method: found.mean(method)[0])
    told = ""
    for method, said in (("attention", "Attention of the last block"), ("rollout", "Attention rolled out")):
        does = "explains" if found.explains(method) else "does not explain"
        figures = f"{found.mean(method)[0]:.3f} against {found.mean(best)[0]:.3f} of {best}"
        told += f"{said} {does} these answers: {figures}. "
    return Section(
        "Which words an answer rests on",
        ["method", "faithfulness", "standard error", "agreement with occlusion"],
        rows,
        note=f"{told}Faithfulness, over {found.texts} texts of the test split: what the score of the answer falls by "
        "when the fifth of the words with the highest values is hidden, less what it falls by without random words. A "
        "method explains if that is two standard errors above 0 and half of the best method's. Agreement: Spearman's "
        "correlation over the words of a text. Integrated gradients miss what they explain by "
        f"{100 * float(np.median(found.completeness)):.1f} % (median).",
    )


def _probe(name: str, probe: "Probe") -> Section:
    columns = {"this model": probe.accuracy, "random weights": probe.random, "control task": probe.control}
    drawn = {said: values.mean(axis=1) for said, values in columns.items() if np.isfinite(values).all()}
    drawn["majority"] = np.full(len(probe.accuracy), probe.majority)
    return Section(
        f"Probe: {name}",
        ["layer", *drawn],
        [[layer, *(float(values[layer]) for values in drawn.values())] for layer in range(len(probe.accuracy))],
        "lines",
    )


def _best(probes: "Mapping[str, Probe]") -> Section:
    rows: list[Sequence[str | float]] = []
    for name, probe in probes.items():
        best = probe.best
        gain, error = probe.gain
        control, selectivity = probe.control[best].mean(), probe.selectivity[best].mean()
        rows.append(
            [
                name,
                best,
                f"{probe.accuracy[best].mean():.3f} ± {probe.accuracy[best].std(ddof=1):.3f}"
                if probe.accuracy.shape[1] > 1
                else f"{probe.accuracy[best].mean():.3f}",
                float(probe.random.mean(axis=1).max()),
                f"{gain:+.3f} ± {error:.3f}".replace("-", "−"),
                "" if np.isnan(control) else float(control),
                "" if np.isnan(selectivity) else float(selectivity),
                probe.majority,
                probe.examples,
            ]
        )
    return Section(
        "Probes",
        ["task", "best layer", "accuracy", "random weights", "gain", "control", "selectivity", "majority", "examples"],
        rows,
        note="What a linear probe reads from a layer; it does not say that the model uses it. Gain: over the best "
        "layer of random weights. Selectivity: accuracy less that of a control task, where each word has a random "
        "class (Hewitt & Liang 2019). Mean of the seeds.",
    )
