"""``tfx-bert diff``: two runs side by side."""

from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.review.errors import Answer, test_answers
from pipeline.review.history import RESOLVED, changed
from pipeline.run.result import RunError, RunResult, find
from pipeline.terminal import noise
from pipeline.terminal.numbers import plain


def diff(root: Path, a: str, b: str) -> None:
    """Prints what differs between two runs: configuration, data, metrics, predictions.

    Raises:
      RunError: there is no such run.
    """
    folders = find(root, a), find(root, b)
    first, second = (RunResult.read(folder) for folder in folders)
    with noise.captured(folders[1] / "diff.log") as terminal:
        console = Console(file=terminal, highlight=False, markup=False)
        console.print(f"{first.name} #{first.number} → {second.name} #{second.number}")
        for line in changed(folders[0] / RESOLVED, folders[1] / RESOLVED) or ["configuration: the same"]:
            console.print(f"  {line}", soft_wrap=True, markup=False)
        for line in _data(first, second) or ["data: the same"]:
            console.print(f"  {line}", soft_wrap=True, markup=False)
        console.print(_metrics(first, second))
        with console.status("asking both models about the test split"):
            try:
                answers = [
                    test_answers(folder, result) for folder, result in zip(folders, (first, second), strict=True)
                ]
            except RunError as error:
                console.print(Text(f"predictions: {error}", "dim"), soft_wrap=True)
                return
        console.print(flips(*answers), soft_wrap=True)


def flips(before: list[Answer], after: list[Answer]) -> str:
    """Counts the test records whose answer changed, for better and for worse.

    Of answers that are hardly ever right to the letter, such as translations, also those that came nearer to the right
    one, or are farther from it.
    """
    # Match records by text: an inserted row would shift every line number. Of equal texts, such as the histories of two
    # people who bought one and the same item, the first is the first.
    then = defaultdict[str, list[Answer]](list)
    for answer in reversed(before):
        then[answer.text].append(answer)
    shared = [(then[answer.text].pop(), answer) for answer in after if then[answer.text]]
    flipped = [(old, new) for old, new in shared if old.summary != new.summary]
    mended = sum(old.wrong > 0 and not new.wrong for old, new in flipped)
    broken = sum(new.wrong > 0 and not old.wrong for old, new in flipped)
    others = [(old, new) for old, new in flipped if old.wrong and new.wrong and old.score is None]
    nearer, farther = (
        sum(new.wrong < old.wrong for old, new in others),
        sum(new.wrong > old.wrong for old, new in others),
    )
    moved = f" · {nearer:,} nearer · {farther:,} farther" if nearer or farther else ""
    shown = f"  first {flipped[0][1].origin}" if flipped else ""
    counted = f"{len(flipped):,} of {len(shared):,} flipped · {mended:,} mended · {broken:,} broken"
    return f"predictions: {counted}{moved}{shown}"


def _data(first: RunResult, second: RunResult) -> list[str]:
    names = sorted(first.data.keys() | second.data.keys())
    return [
        f"{name} {first.data.get(name, 'none')[:8]}→{second.data.get(name, 'none')[:8]}"
        for name in names
        if first.data.get(name) != second.data.get(name)
    ]


def _metrics(first: RunResult, second: RunResult) -> Table:
    table = Table.grid(padding=(0, 2))
    for name in [*first.metrics, *(name for name in second.metrics if name not in first.metrics)]:
        old, new = first.metrics.get(name), second.metrics.get(name)
        change = "" if old is None or new is None else f"{'+' if new >= old else ''}{plain(new - old)}"
        table.add_row(f"  {name}", *(plain(value) if value is not None else "–" for value in (old, new)), change)
    return table
