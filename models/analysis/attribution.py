"""Which words an answer rests on, by four methods, and how far each of them can be believed.

Integrated gradients (Sundararajan et al. 2017), occlusion (as ``models.explain``), attention rollout (Abnar & Zuidema
2020) and the last block's attention. A word of high value should matter: what the score falls by when the highest ones
are hidden, less what it falls by without random words, is a method's faithfulness (DeYoung et al. 2020, "comprehensive-
ness", against chance). So a figure says whether attention explains this model.

Axes: n tokens of a text, W its words, R rows, H heads, D hidden, C classes.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models.analysis.subject import Subject

# Points between a text and its baseline, at their midpoints; four times as many, up to the last, where gradients do not
# add up to within ``_COMPLETE``: a model that is sure of itself turns within a small part of the way.
STEPS = (50, 200, 800)
_COMPLETE = 0.01
_AT_ONCE = 200  # points
METHODS = ("integrated gradients", "occlusion", "rollout", "attention")
_TOP = 0.2  # of the words are hidden
_RANDOM = 5  # draws of as many random words
_LEAST = 5  # words of a text: of fewer, a fifth is none
_IDS = tf.TensorSpec([None, None], tf.int64)


@dataclasses.dataclass(frozen=True)
class Text:
    """A text as a model reads it.

    Attributes:
      ids: int64 (n,).
      segments: int64 (n,).
      word: the number of the word that each token belongs to, int (n,); -1 for special ones.
    """

    ids: np.ndarray
    segments: np.ndarray
    word: np.ndarray

    @property
    def words(self) -> int:
        """W."""
        return int(self.word.max(initial=-1)) + 1

    def without(self, words: Sequence[int], mask_id: int) -> np.ndarray:
        """Its ids, [MASK] being every piece of these words: int64 (n,)."""
        return np.where(np.isin(self.word, list(words)), mask_id, self.ids)

    def by_word(self, values: np.ndarray) -> np.ndarray:
        """Sums of values (n,): (W,)."""
        inside = self.word >= 0
        return np.bincount(self.word[inside], values[inside], self.words)


@dataclasses.dataclass(frozen=True)
class Attribution:
    """Figures over texts.

    Attributes:
      completeness: how far integrated gradients are from adding up to what they explain, as a share of it: (N,).
      agreement: Spearman's correlation with occlusion over a text's words, by method: (N,); NaN where all are alike.
      faithfulness: what the score falls by without a fifth of the words, the highest ones, less the same of random
        words, by method: (N,).
    """

    completeness: np.ndarray
    agreement: Mapping[str, np.ndarray]
    faithfulness: Mapping[str, np.ndarray]

    @property
    def texts(self) -> int:
        """N."""
        return len(self.completeness)

    def mean(self, method: str) -> tuple[float, float]:
        """Faithfulness of a method, and its standard error; NaN of one text."""
        values = self.faithfulness[method]
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
        return float(values.mean()), float(error)

    def explains(self, method: str) -> bool:
        """Whether its words matter: by two standard errors more than random ones, and half as much as the best's."""
        value, error = self.mean(method)
        return value > 2 * error and value >= max(self.mean(each)[0] for each in METHODS) / 2

    def metrics(self) -> Iterator[tuple[str, float]]:
        """By name; without one, faithfulness and agreement are those of integrated gradients."""
        yield "completeness", float(np.median(self.completeness))
        for method in METHODS:
            name = "" if method == METHODS[0] else f"_{method}"
            yield f"faithfulness{name}", self.mean(method)[0]
            if method != "occlusion" and np.isfinite(self.agreement[method]).any():
                yield f"agreement{name}", float(np.nanmean(self.agreement[method]))


def integrated(
    slopes: Callable[[np.ndarray], np.ndarray], vectors: np.ndarray, baseline: np.ndarray, steps: int = STEPS[0]
) -> np.ndarray:
    """Integrated gradients of each token along the straight line from the baseline: (n,).

    Args:
      slopes: points (R, n, D) to the gradient of the number at each, likewise.
      vectors: (n, D).
      baseline: (n, D).
      steps: R.
    """
    share = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    change = vectors - baseline
    points = np.array_split(share[:, None, None], -(-steps // _AT_ONCE))
    total = sum(slopes(baseline + each * change).sum(axis=0) for each in points)
    return np.asarray((change * total / steps).sum(axis=-1))


def rollout(attentions: Sequence[np.ndarray]) -> np.ndarray:
    """What of each token has come to each other one through all blocks: (n, n).

    Args:
      attentions: of each block, (H, n, n). Half of what a block gives is its residual: the identity.
    """
    size = attentions[0].shape[-1]
    mixed = [each.mean(axis=0) + np.eye(size) for each in attentions]
    return functools.reduce(
        lambda below, block: (block / block.sum(axis=-1, keepdims=True)) @ below, mixed, np.eye(size)
    )


class Asked:
    """A model that is asked about rows of ids of one length.

    Args:
      looked: its task ``explains``.
    """

    def __init__(self, looked: Subject) -> None:
        self.mask_id = looked.vocabulary.mask_id
        the_task, model, encoder = looked.the_task, looked.model, looked.encoder
        assert the_task is not None

        @tf.function(input_signature=[_IDS, _IDS], autograph=False)
        def scores(ids: Any, segments: Any) -> tuple[Any, Any]:
            outputs = model(_batch(ids, segments), training=False)
            return the_task.explained(outputs), outputs["logits"]

        @tf.function(
            input_signature=[_IDS, _IDS, tf.TensorSpec([None, None, None]), tf.TensorSpec([], tf.int32)],
            autograph=False,
        )
        def slopes(ids: Any, segments: Any, points: Any, chosen: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(points)
                # Rows without padding: the tokens of the grid, one row after the other, are the real ones.
                with encoder.embedded(tf.reshape(points, [-1, encoder.hidden_dim])):
                    logits = model(_batch(ids, segments), training=False)["logits"]
                number = tf.reduce_sum(logits[:, chosen])
            return tape.gradient(number, points)

        @tf.function(input_signature=[_IDS, _IDS], autograph=False)
        def attended(ids: Any, segments: Any) -> dict[str, Any]:
            batch = _batch(ids, segments)
            out: dict[str, Any] = encoder(*batch.values(), return_all=True)
            return {"vectors": out["hidden_states"][0], "attentions": out["attentions"]}

        self.scores, self.slopes, self.attended = scores, slopes, attended


def _batch(ids: Any, segments: Any) -> dict[str, Any]:
    return {"token_ids": ids, "segment_ids": segments, "padding_mask": tf.ones_like(ids, tf.bool)}


def values(asked: Asked, text: Text) -> tuple[dict[str, np.ndarray], float]:
    """What each word is worth by each method, (W,) each; and the completeness of integrated gradients.

    Args:
      asked: the model.
      text: of one word or more.
    """
    bare = text.without(range(text.words), asked.mask_id)
    rows = [text.ids, bare, *(text.without([word], asked.mask_id) for word in range(text.words))]
    segments = np.broadcast_to(text.segments, (len(rows), len(text.ids)))
    scores, logits = (each.numpy() for each in asked.scores(np.stack(rows), segments))
    chosen = int(scores[0].argmax())
    found = asked.attended(np.stack(rows[:2]), segments[:2])
    vectors, baseline = found["vectors"].numpy()
    attentions = [each.numpy()[0] for each in found["attentions"]]

    def slopes(points: np.ndarray) -> np.ndarray:
        repeated = [np.broadcast_to(each, (len(points), len(each))) for each in (text.ids, text.segments)]
        found: np.ndarray = asked.slopes(*repeated, points, chosen).numpy()
        return found

    change = float(logits[0, chosen] - logits[1, chosen])
    for steps in STEPS:
        gradients = integrated(slopes, vectors, baseline, steps)
        completeness = abs(float(gradients.sum()) - change) / max(abs(change), 1e-9)
        if completeness <= _COMPLETE:
            break
    by_token = {
        "integrated gradients": gradients,
        "rollout": rollout(attentions)[0],  # the head reads [CLS]
        "attention": attentions[-1].mean(axis=0)[0],
    }
    by_word = {method: text.by_word(value) for method, value in by_token.items()}
    return {**by_word, "occlusion": scores[0, chosen] - scores[2:, chosen]}, completeness


def falls(
    asked: Asked, text: Text, ranked: Mapping[str, np.ndarray], generator: np.random.Generator
) -> dict[str, float]:
    """What the score falls by without a fifth of the words, the highest of each method, less that of random words."""
    count = max(1, round(_TOP * text.words))
    hidden = [np.argsort(-value, kind="stable")[:count] for value in ranked.values()]
    hidden += [generator.permutation(text.words)[:count] for _ in range(_RANDOM)]
    rows = np.stack([text.ids, *(text.without(words.tolist(), asked.mask_id) for words in hidden)])
    scores = asked.scores(rows, np.broadcast_to(text.segments, rows.shape))[0].numpy()
    fall = scores[0].max() - scores[1:, scores[0].argmax()]
    return dict(zip(ranked, (fall[: len(ranked)] - fall[len(ranked) :].mean()).tolist(), strict=True))


def of(looked: Subject, records: tf.data.Dataset, texts: int, seed: int = 0) -> Attribution | None:
    """The figures over the first records that have five words or more; None where none has.

    Args:
      looked: reads text, and its task ``explains`` one number of a row.
      records: transformed ones, one an element.
      texts: at most.
      seed: of random words.
    """
    asked, generator = Asked(looked), np.random.default_rng(seed)
    completeness = list[float]()
    faithfulness, agreement = ({method: list[float]() for method in METHODS} for _ in range(2))
    long = (text for text in _texts(looked, records) if text.words >= _LEAST)
    for text in itertools.islice(long, texts):
        ranked, rest = values(asked, text)
        completeness.append(rest)
        fall = falls(asked, text, ranked, generator)
        for method in METHODS:
            faithfulness[method].append(fall[method])
            agreement[method].append(spearman(ranked[method], ranked["occlusion"]))
    if not completeness:
        return None
    arrays = ({method: np.array(each) for method, each in found.items()} for found in (agreement, faithfulness))
    return Attribution(np.array(completeness), *arrays)


def words(ids: np.ndarray, continues: np.ndarray, special: Sequence[int]) -> np.ndarray:
    """The number of the word that each token belongs to, int (n,); -1 for special ones."""
    inside = ~np.isin(ids, list(special))
    number = np.cumsum(inside & ~continues[ids]) - 1
    return np.where(inside, np.maximum(number, 0), -1)


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Rank correlation; NaN where all values of one are alike."""
    from scipy import stats

    ranks = [stats.rankdata(each) for each in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1]) if all(np.ptp(each) > 0 for each in ranks) else float("nan")


def _texts(looked: Subject, records: tf.data.Dataset) -> Iterator[Text]:
    marks = looked.marks
    assert marks.continues is not None
    for record in records:
        ids, segments = (np.asarray(record[name]) for name in ("token_ids", "segment_ids"))
        yield Text(ids, segments, words(ids, marks.continues, list(marks.special.values())))
