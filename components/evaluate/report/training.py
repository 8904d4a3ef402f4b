"""The parts of a report that a training gives: its curves, and its calibration."""

from collections.abc import Container, Mapping

from components.evaluate.report import chart, html
from components.train.fine_tuning import Calibration
from models.training.curve import Curve

_LINE = 3  # points that a line needs


def compared(runs: Mapping[str, Mapping[str, Curve]]) -> str:
    """The curves of several runs, those of trainings with one name on the same axes.

    Args:
      runs: by the name of a run, its curves by the name of a training.
    """
    names = dict.fromkeys(name for trainings in runs.values() for name in trainings)
    drawn = (
        _curves(name, {run: trainings[name] for run, trainings in runs.items() if name in trainings}) for name in names
    )
    return html.section("Training", *drawn)


def curves(trainings: Mapping[str, Curve]) -> str:
    """Loss, learning rate and the figures of the eval split, each on axes of its own, by optimizer step."""
    drawn = [_curves(name, {name: curve}) for name, curve in trainings.items() if not name.startswith("seed ")]
    seeds = {name: curve for name, curve in trainings.items() if name.startswith("seed ")}
    if seeds:
        drawn.append(_curves("fine-tuning", seeds))
    return html.section("Training", *drawn)


def _curves(title: str, trainings: Mapping[str, Curve]) -> str:
    """Charts; figures that were taken less often than a line needs are in a table."""
    loss = [
        chart.Series(name, [(point.step, point.loss) for point in curve.points]) for name, curve in trainings.items()
    ]
    rate = [
        chart.Series(name, [(point.step, point.learning_rate) for point in curve.points])
        for name, curve in trainings.items()
    ]
    taken = [(name, values) for curve in trainings.values() for name, values in curve.figures.items()]
    figures = dict.fromkeys(name for name, values in taken if len(values) >= _LINE)
    charts = [
        chart.lines("optimizer step", "training loss (nats)", loss),
        *(
            chart.lines(
                "optimizer step",
                f"{figure} of the eval split",
                [chart.Series(name, curve.figures.get(figure, [])) for name, curve in trainings.items()],
            )
            for figure in figures
        ),
        chart.lines("optimizer step", "learning rate", rate),
    ]
    body = "\n".join(filter(None, [*charts, _few(trainings, figures)]))
    return f"<h3>{html.text(title)}</h3>\n{body}" if body else ""


def _few(trainings: Mapping[str, Curve], drawn: Container[str]) -> str:
    """A row for each figure of the eval split that no chart shows, a column for each step that it was taken at."""
    rows = [
        (training, name, dict(values))
        for training, curve in trainings.items()
        for name, values in curve.figures.items()
        if name not in drawn
    ]
    if not rows:
        return ""
    steps = sorted({step for *_, values in rows for step in values})
    cells = (
        [
            html.text(name if len(trainings) == 1 else f"{name}, {training}"),
            *(html.figure(values[step]) if step in values else "" for step in steps),
        ]
        for training, name, values in rows
    )
    return html.table(["figure of the eval split", *(f"step {step:,}" for step in steps)], cells)


def calibration(found: Calibration | None) -> str:
    """Expected calibration error before and after temperature scaling."""
    if found is None:
        return ""
    rows = [
        ["as trained", "1.00", html.figure(found.ece_before)],
        ["after dividing the logits", f"{found.temperature:.2f}", html.figure(found.ece_after)],
    ]
    said = (
        "Expected calibration error of the eval split: how far a score is from the share of right answers, "
        "mean over 15 bins. 0 is best."
    )
    return html.section("Calibration", html.table(["scores", "temperature", "error"], rows), html.note(said))
