"""What a reviewer would say of a model before it is used: notices of a verdict, each with its figure and what to do."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from components.evaluate import bootstrap
from components.evaluate.verdict import SLICE_RECORDS, Reference
from components.train.fine_tuning import FineTuning
from models.figures import Figures
from models.task import Metric, Task
from models.training.curve import Curve

# A label is hardly ever answered below this share of its records. With fewer records than five, that is often chance.
_HARDLY, _LABEL_RECORDS = 0.1, 5
# A slice is far below the rest by this share of the largest value; of a figure without one, of the rest's figure.
_FAR, _FAR_RELATIVE = 0.05, 0.2
# What the last epoch brought is more than chance by this share of the same.
_IMPROVES, _IMPROVES_RELATIVE = 0.01, 0.02
# Temperatures (Guo et al. 2017, figure 2). Below: the scores are too low for what is right. Above: too high.
_UNSURE, _TOO_SURE = 0.75, 1.5
_NAMED = 3  # labels, and slices, that are named


def labels(the_task: Task, figures: Figures) -> Iterator[str]:
    """Labels whose records hardly ever get them."""
    rare = [
        (label, round(each.recall * each.records), each.records)
        for label, each in figures.labels.items()
        if each.records >= _LABEL_RECORDS and each.recall < _HARDLY
    ]
    if not rare:
        return
    rare.sort(key=lambda label: (label[1] / label[2], -label[2]))
    named = ", ".join(f"{label} ({right:,} of {records:,})" for label, right, records in rare[:_NAMED])
    more = f" and {len(rare) - _NAMED:,} more labels" if len(rare) > _NAMED else ""
    own = {"class_weights": "task.class_weights: balanced", "threshold": "a lower task.threshold"}
    advice = [
        cure for key, cure in own.items() if key in type(the_task.config).model_fields and not _given(the_task, key)
    ]
    cures = [*advice, "more train.epochs", f"more records of {'it' if len(rare) == 1 else 'them'}"]
    yield f"Hardly ever found on the test split: {named}{more}; try {', '.join(cures[:-1])} or {cures[-1]}"


def _given(the_task: Task, key: str) -> bool:
    return key == "class_weights" and the_task.config.class_weights is not None


def slices(the_task: Task, ids: np.ndarray, rows: np.ndarray, parts: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Slices whose 95 % interval lies below that of the rest, the worst first.

    Args:
      the_task: that was judged.
      ids: identities of the records, (N,).
      rows: their row metrics, float64 (N, K).
      parts: by the name of a slice, the identities of its records.
    """
    metric, found = the_task.metrics[0], list[tuple[float, str, np.ndarray]]()
    for name, inside in ((name, np.isin(ids, own)) for name, own in parts.items()):
        if min(inside.sum(), (~inside).sum()) < SLICE_RECORDS:
            continue
        less = _gain(metric, the_task.headline(rows[inside]), the_task.headline(rows[~inside]))
        if less >= _scale(metric, the_task.headline(rows[~inside]), _FAR, _FAR_RELATIVE):
            found.append((less, name, inside))
    for _, name, inside in sorted(found, key=lambda each: (-each[0], each[1]))[:_NAMED]:
        own, rest = (
            bootstrap.interval(bootstrap.resampled(the_task.headline, [rows[of]])[0]) for of in (inside, ~inside)
        )
        if own and rest and (own[0] > rest[1] if metric.better == "lower" else own[1] < rest[0]):
            yield (
                f"{name} is far below the rest: {metric.name} {_between(the_task.headline(rows[inside]), own)} on "
                f"{inside.sum():,} records, the rest {_between(the_task.headline(rows[~inside]), rest)}; look at its "
                "mistakes with tfx-bert errors, and add such records to train on"
            )


def baselines(the_task: Task, figure: float, compared: Sequence[Reference]) -> Iterator[str]:
    """Baselines whose headline figure is better by more than chance.

    Args:
      the_task: that was judged.
      figure: the model's headline.
      compared: what baselines came to, of those that no check is about.
    """
    metric = the_task.metrics[0]
    for each in compared:
        if each.value is None or each.low is None or each.high is None:
            continue
        if each.low > 0 if metric.better == "lower" else each.high < 0:
            yield (
                f"The baseline {each.name} is better: {metric.name} {each.value:.3f}, the model {figure:.3f}; "
                f"evaluate.bless.beats: [{each.name}] holds such a model back; try more records, more train.epochs, or "
                "a larger pretrained checkpoint"
            )


def training(the_task: Task, came_to: FineTuning, curve: Curve | None) -> Iterator[str]:
    """A training that ended too early, and scores that were far from the share of right answers.

    Args:
      the_task: that was trained.
      came_to: of the training.
      curve: of the seed whose weights are exported.
    """
    metric = the_task.chosen or the_task.metrics[0]
    values = [value for _, value in curve.figures.get(metric.name, [])] if curve else []
    if len(values) > 1 and came_to.epochs == came_to.planned:
        before = _best(metric, values[:-1])
        if _gain(metric, before, values[-1]) >= _scale(metric, before, _IMPROVES, _IMPROVES_RELATIVE):
            yield (
                f"Training still improved in its last epoch: {metric.name} of the eval split went from {before:.3f} to "
                f"{values[-1]:.3f}; try train.epochs: {2 * came_to.planned}, or a higher train.learning_rate"
            )
    if (sure := came_to.calibration) is None:
        return
    ece = f"expected calibration error {sure.ece_before:.3f} before it was corrected, {sure.ece_after:.3f} since"
    if sure.temperature < _UNSURE:
        yield (
            f"The model was less sure than it was right: temperature {sure.temperature:.2f}, {ece}; that is a sign of "
            "too short a training: more train.epochs, or a higher train.learning_rate"
        )
    elif sure.temperature > _TOO_SURE:
        yield (
            f"The model was surer than it was right: temperature {sure.temperature:.2f}, {ece}; fewer train.epochs, or "
            "more records"
        )


def _best(metric: Metric, values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return (min if metric.better == "lower" else max)(known, default=math.nan)


def _gain(metric: Metric, before: float, after: float) -> float:
    """How much better ``after`` is; NaN where one of them is."""
    return before - after if metric.better == "lower" else after - before


def _scale(metric: Metric, figure: float, share: float, relative: float) -> float:
    return relative * abs(figure) if metric.better == "lower" else share * metric.most


def _between(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
