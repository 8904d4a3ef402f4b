"""Looks into a model: every figure that its kind and its records allow, and one sentence for each that they do not."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models.analysis import (
    attention,
    attribution,
    geometry,
    importance,
    likeness,
    probing,
    pruning_curve,
    shown,
    states,
    subject,
)
from models.analysis.example import Example
from models.analysis.sections import sections
from models.analysis.subject import Subject
from models.bert.heads import masked_of_rows, mlm_loss
from models.figures import Section
from models.judging import eval_rows
from models.pretraining import mlm_figures

_CELLS = 1 << 19  # B·S² of a batch of records
_ROWS = 32
_CURVE = 300  # records of the pruning curves
_ORDERING = 500  # records of the eval split by whose losses heads are ordered
_ALIKE = 128  # rows over which heads are compared with each other: N² divergences a token


@dataclasses.dataclass(frozen=True)
class Data:
    """What a model is shown; none of it was trained on.

    Attributes:
      texts: for probes and geometry; none where ids are no pieces of text.
      labels: of each text; empty where records are no single texts with one label.
      tagged: texts with the tags of their words, for the probe ``pos``; they may be among ``texts``.
      test: transformed records of the test split; None for a base model.
      chosen: of the eval split, by which heads are ordered; likewise.
      masked: batches of a base model's own loss; None without an MLM head.
      unigrams: log-probabilities of the pieces in the train split, float64 (V,); likewise.
      shown: texts whose attention a page shows.
    """

    texts: Sequence[str] = ()
    labels: Sequence[str] = ()
    tagged: Sequence[tuple[str, Sequence[str]]] = ()
    test: tf.data.Dataset | None = None
    chosen: tf.data.Dataset | None = None
    masked: tf.data.Dataset | None = None
    unigrams: np.ndarray | None = None
    shown: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What was found.

    Attributes:
      metrics: figures by their names, as ``analyze.bless`` has them.
      sections: for a page.
      arrays: by name: of heads (L, H), of layers (L+1, …).
      left_out: what could not be looked at, a sentence each.
      examples: texts with their attention.
    """

    metrics: dict[str, float]
    sections: list[Section]
    arrays: dict[str, np.ndarray]
    left_out: list[str]
    examples: Sequence[Example] = ()


@dataclasses.dataclass
class Found:
    """What ``sections`` draws; what is None was not looked at."""

    heads: attention.Heads | None = None
    divergence: np.ndarray | None = None
    importance: np.ndarray | None = None
    curve: pruning_curve.Curve | None = None
    explanations: attribution.Attribution | None = None
    probes: Mapping[str, probing.Probe] = dataclasses.field(default_factory=dict)
    geometry: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    cka: np.ndarray | None = None
    cloze: mlm_figures.Figures | None = None
    before: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    left_out: list[str] = dataclasses.field(default_factory=list)


def analyze(
    looked: Subject,
    data: Data,
    settings: Mapping[str, Any],
    *,
    max_regression: float = 0.01,
    before: Subject | None = None,
) -> Analysis:
    """Every figure.

    Args:
      looked: the model.
      data: that it is shown.
      settings: ``configs.analyze.Analyze`` as a dict.
      max_regression: how far the headline may fall for heads to count as prunable.
      before: the base model that it was trained from, of the same shape.
    """
    found = Found()
    given = _asked(looked, data, settings)
    inputs = _inputs(looked, data, given, settings["sentences"])
    found.heads = heads_of(looked, inputs)
    found.divergence = _divergence(looked, inputs)
    _importance(looked, data, settings, found)
    _attribution(looked, data, found)
    if given is None:
        found.left_out.append("probes and geometry read texts; this model reads items")
    else:
        own = states.of(looked.encoder, given.rows)
        found.left_out += given.left_out
        found.probes = probing.of(looked, given, settings["probes"]["seeds"], own)
        _geometry(looked, given, own, before, found)
    lower = bool(looked.the_task and looked.the_task.metrics[0].better == "lower")
    return Analysis(
        dict(metrics(found, max_regression, lower_is_better=lower)),
        list(sections(found)),
        _arrays(found),
        found.left_out,
        shown.of(looked, data.shown) if looked.reads_text else (),
    )


def _asked(looked: Subject, data: Data, settings: Mapping[str, Any]) -> probing.Asked | None:
    if not looked.reads_text:
        return None
    if not data.texts:
        raise ValueError("there are no texts to look at: the test split and the eval split are empty")
    return probing.asked(looked, settings["probes"]["tasks"], data.texts, data.labels, data.tagged)


def batch_size(looked: Subject) -> int:
    """Records at once: attention takes memory by the square of a row's length."""
    return max(1, min(_ROWS, _CELLS // looked.max_length**2))


def _inputs(looked: Subject, data: Data, given: probing.Asked | None, sentences: int) -> tf.data.Dataset:
    """Batches that attention is looked at in: records of the test split, or where there are none, texts."""
    if data.test is not None and looked.the_task is not None:
        return record_batches(looked, data.test.take(sentences))
    assert given is not None
    ids = given.rows.ids[: len(data.texts)]  # behind them are shifted and tagged ones
    return tf.data.Dataset.from_generator(
        lambda: _padded(ids),
        output_signature=dict.fromkeys(("token_ids", "segment_ids"), _IDS) | {"padding_mask": _MASK},
    )


def record_batches(looked: Subject, records: tf.data.Dataset) -> tf.data.Dataset:
    """What a model with a task takes, of transformed records."""
    assert looked.the_task is not None
    return eval_rows.batches(looked.the_task, records, batch_size(looked)).map(lambda taken, _: taken)


def heads_of(looked: Subject, inputs: tf.data.Dataset) -> attention.Heads:
    """Where heads look.

    Args:
      looked: the model.
      inputs: batches that it takes.
    """
    marks, causal = looked.marks, looked.encoder.causal

    @tf.function(input_signature=[inputs.element_spec], autograph=False)
    def of_batch(batch: Mapping[str, Any]) -> dict[str, Any]:
        attentions = looked.family.attended(looked.model, batch)["attentions"]
        return attention.sums(attentions, batch, marks, causal=causal)

    return attention.figures(map(of_batch, inputs), marks.names)


def _divergence(looked: Subject, inputs: tf.data.Dataset) -> np.ndarray:
    """How unlike heads are, over the first rows: (L·H, L·H)."""

    @tf.function(input_signature=[inputs.element_spec], autograph=False)
    def of_batch(batch: Mapping[str, Any]) -> dict[str, Any]:
        return likeness.divergences(looked.family.attended(looked.model, batch)["attentions"], batch)

    parts, rows = list[dict[str, Any]](), 0.0
    for batch in inputs:
        parts.append(of_batch(batch))
        rows += float(parts[-1]["rows"])
        if rows >= _ALIKE:
            break
    return likeness.mean(parts)


_IDS, _MASK = tf.TensorSpec([None, None], tf.int64), tf.TensorSpec([None, None], tf.bool)


def _padded(ids: Sequence[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for places in states.batches([len(each) for each in ids]):
        lengths = np.array([len(ids[place]) for place in places])
        mask = np.arange(lengths.max()) < lengths[:, None]
        grid = np.zeros(mask.shape, np.int64)
        grid[mask] = np.concatenate([ids[place] for place in places])
        yield {"token_ids": grid, "segment_ids": np.zeros_like(grid), "padding_mask": mask}


def _importance(looked: Subject, data: Data, settings: Mapping[str, Any], found: Found) -> None:
    """On the eval split what orders heads, on the test split what is printed."""
    sentences = settings["sentences"]
    if looked.the_task is None:
        if data.masked is None or data.unigrams is None:
            found.left_out.append("importance and cloze: the model has no MLM head, so it has no loss")
        else:
            found.cloze = mlm_figures.evaluate(looked.model, data.masked, data.unigrams)
            found.importance = importance.of_heads(looked.model, looked.encoder, mlm_loss, masked_of_rows, data.masked)
        found.left_out.append("pruning curves are of a task's headline figure; this is a base model")
        return
    if data.test is None or data.chosen is None:
        found.left_out.append("importance and pruning curves: texts alone have no right answers")
        return
    found.importance = importance_of(looked, data.test, sentences)
    ordering = importance_of(looked, data.chosen, min(sentences, _ORDERING))
    if np.isnan(found.importance).any() or np.isnan(ordering).any():
        found.importance = None
        found.left_out.append("importance and pruning curves: no record of the split has a loss")
        return
    if settings["pruning_curves"]:
        size = batch_size(looked)
        found.curve = pruning_curve.of(looked, importance.normalised(ordering), data.test.take(_CURVE), size)


def importance_of(looked: Subject, records: tf.data.Dataset, sentences: int) -> np.ndarray:
    """Importance of heads by the task's loss, not normalised: (L, H).

    Args:
      looked: a model with a task.
      records: transformed ones.
      sentences: records at most.
    """
    assert looked.the_task is not None
    the_task = looked.the_task
    sizes = {"batch_size": batch_size(looked), **({"batch_tokens": 1 << 14} if the_task.by_tokens else {})}
    batches = the_task.batches(the_task.training_rows(records.take(sentences)), seed=0, epoch=0, **sizes)
    return importance.of_heads(looked.model, looked.encoder, the_task.loss, the_task.row_weights, batches)


def _attribution(looked: Subject, data: Data, found: Found) -> None:
    the_task = looked.the_task
    if the_task is None or data.test is None or not looked.reads_text:
        return
    if not the_task.explains or the_task.separate_encoding:
        found.left_out.append("which words an answer rests on: it is not one number of one row")
        return
    found.explanations = attribution.of(looked, data.test, _TEXTS)
    if found.explanations is None:
        found.left_out.append("which words an answer rests on: no text of the test split has five words")


_TEXTS = 24  # whose answers are explained: fifty rows forward and backward each


def _geometry(looked: Subject, given: probing.Asked, own: states.States, before: Subject | None, found: Found) -> None:
    if given.of_texts < _FEW:
        found.left_out.append(f"geometry: {given.of_texts} words are fewer than {_FEW}")
        return
    layers = own.words[:, : given.of_texts]
    found.geometry = {
        "anisotropy": [geometry.anisotropy(layer) for layer in layers],
        "anisotropy_centred": [geometry.anisotropy(layer, centred=True) for layer in layers],
        "rank": [geometry.rank(layer) for layer in layers],
        "outliers": [float(len(geometry.outliers(layer))) for layer in layers],
    }
    found.cka = np.array([[geometry.cka(a, b) for b in layers] for a in layers])
    if before is None:
        return
    # The same pieces have the same ids: a checkpoint brings its vocabulary.
    other = states.of(before.encoder, given.rows.first(given.of_texts)).words
    found.before = {
        "cka_before": [geometry.cka(a, b) for a, b in zip(other, layers, strict=True)],
        "moved": subject.moved(before.encoder, looked.encoder),
    }


_FEW = 100  # words of which geometry says something


def metrics(found: Found, max_regression: float, *, lower_is_better: bool = False) -> Iterator[tuple[str, float]]:
    """Every figure by its name; those that are none are left out.

    Args:
      found: what was looked at.
      max_regression: as for ``analyze``.
      lower_is_better: of the headline.
    """
    for name, value in _all(found, max_regression, lower_is_better=lower_is_better):
        if math.isfinite(value):
            yield name, float(value)


def _all(found: Found, max_regression: float, *, lower_is_better: bool) -> Iterator[tuple[str, float]]:
    if found.heads:
        yield from of_heads(found.heads)
    if found.explanations:
        yield from found.explanations.metrics()
    if curve := found.curve:
        yield "prunable", curve.prunable(max_regression, lower_is_better=lower_is_better)
        for share, value in zip(pruning_curve.SHARES, curve.by_importance, strict=True):
            yield f"pruned_{100 * share:.0f}", value
    if cloze := found.cloze:
        for name, value in cloze.metrics().items():
            yield f"cloze_{name.removeprefix('mlm_')}", value
    for name, probe in found.probes.items():
        best = probe.best
        yield f"probe_{name}", probe.accuracy[best].mean()
        yield f"random_{name}", probe.random.mean(axis=1).max()
        yield f"majority_{name}", probe.majority
        yield f"gain_{name}", probe.gain[0]
        yield f"control_{name}", probe.control[best].mean()
        yield f"selectivity_{name}", probe.selectivity[best].mean()
        for layer, accuracy in enumerate(probe.accuracy.mean(axis=1)):
            yield f"probe_{name}@{layer}", accuracy
    for name, values in {**found.geometry, **found.before}.items():
        for layer, value in enumerate(values):
            yield f"{name}@{layer}", value


def of_heads(heads: attention.Heads) -> Iterator[tuple[str, float]]:
    """Figures of attention by their names."""
    yield "entropy_mean", heads.entropy.mean()
    yield "distance_mean", heads.distance.mean()
    for name, mass in heads.mass.items():
        yield f"mass[{name}]", mass.mean()
    roles = Counter(role for layer in heads.roles() for role in layer)
    for role, count in sorted(roles.items()):
        yield f"heads[{role}]", count / heads.entropy.size


def arrays_of_heads(heads: attention.Heads) -> dict[str, np.ndarray]:
    """Likewise of each head, (L, H)."""
    masses = {f"mass[{name}]": mass for name, mass in heads.mass.items()}
    return {"entropy": heads.entropy, "distance": heads.distance, **masses}


def _arrays(found: Found) -> dict[str, np.ndarray]:
    arrays = arrays_of_heads(found.heads) if found.heads else {}
    several = {"importance": found.importance, "cka": found.cka, "divergence": found.divergence}
    arrays |= {name: value for name, value in several.items() if value is not None}
    for name, probe in found.probes.items():
        arrays |= {f"probe_{name}": probe.accuracy, f"random_{name}": probe.random, f"control_{name}": probe.control}
    return arrays | {name: np.array(values) for name, values in {**found.geometry, **found.before}.items()}
