"""``tfx-bert report``: writes a run's report again, and opens it."""

import webbrowser
from pathlib import Path

from rich.console import Console

from components.evaluate.report.report import Mistake
from configs.yaml.document import near
from pipeline.run import report as run_report
from pipeline.run.result import RunResult, find
from pipeline.terminal.numbers import plain

_MISTAKES = 50


def report(root: Path, run: str | None, *, show: bool, texts: bool) -> None:
    """Writes ``report.html`` of a run.

    Args:
      root: the environment's ``runs`` folder.
      run: as ``result.find`` takes it.
      show: whether to open it in the browser.
      texts: whether to show the records that the model is wrong about, with their text.

    Raises:
      RunError: there is no such run; or, with ``texts``, it has no model that could be asked.
    """
    folder = find(root, run)
    result = RunResult.read(folder)
    path = run_report.write(folder.absolute(), result, mistakes(folder, result) if texts else ())
    Console(highlight=False, markup=False).print(f"report: {near(path)}", soft_wrap=True)
    if show:
        webbrowser.open(path.absolute().as_uri())


def mistakes(folder: Path, result: RunResult) -> list[Mistake]:
    """The worst mistakes on the test split, the surest first."""
    from pipeline.review.errors import test_answers
    from pipeline.terminal import noise

    with noise.captured(folder / "errors.log"):
        answers = test_answers(folder, result)
    worst = sorted((answer for answer in answers if answer.wrong), key=lambda each: -each.wrong)[:_MISTAKES]
    return [
        Mistake(
            each.origin,
            each.text,
            each.expected,
            each.summary if each.score is None else f"{each.summary} {plain(each.score)}",
        )
        for each in worst
    ]
