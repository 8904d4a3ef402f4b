"""The parts of a report that a training gives: its curves, and its calibration."""

from collections.abc import Mapping

from components.evaluate.report import chart, html
from components.train.fine_tuning import Calibration
from models.training.curve import Curve


def curves(trainings: Mapping[str, Curve]) -> str:
    """Loss, learning rate and the figures of the eval split, each on axes of its own, by optimizer step."""
    drawn = [_curves(name, {name: curve}) for name, curve in trainings.items() if not name.startswith("seed ")]
    seeds = {name: curve for name, curve in trainings.items() if name.startswith("seed ")}
    if seeds:
        drawn.append(_curves("fine-tuning", seeds))
    return html.section("Training", *drawn)


def _curves(title: str, trainings: Mapping[str, Curve]) -> str:
    loss = [
        chart.Series(name, [(point.step, point.loss) for point in curve.points]) for name, curve in trainings.items()
    ]
    rate = [
        chart.Series(name, [(point.step, point.learning_rate) for point in curve.points])
        for name, curve in trainings.items()
    ]
    figures = dict.fromkeys(name for curve in trainings.values() for name in curve.figures)
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
    body = "\n".join(filter(None, charts))
    return f"<h3>{html.text(title)}</h3>\n{body}" if body else ""


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
