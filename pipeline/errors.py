"""``tfx-bert errors``: where a model is wrong on the test split. The only place that shows the text of records."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline import lineage, noise
from pipeline.figures import plain, share
from pipeline.result import RunError, RunResult, find

_BATCH = 64


@dataclass(frozen=True)
class Answer:
    """What a model says about a test record.

    Attributes:
      origin: ``file:line``.
      text: of the record; both texts of a pair.
      label: the right one.
      predicted: the model's.
      score: of ``predicted``, 0 to 1.
    """

    origin: str
    text: str
    label: str
    predicted: str
    score: float


def errors(root: Path, run: str | None, number: int) -> None:
    """Prints the confusion matrix and the ``number`` most confident mistakes of a run's model.

    Raises:
      RunError: there is no such run, or it trained no classifier.
    """
    folder = find(root, run)
    result = RunResult.read(folder)
    with noise.captured(folder / "errors.log") as terminal:
        console = Console(file=terminal, highlight=False, markup=False)
        with console.status("asking the model about the test split"):
            answers = test_answers(folder, result)
        wrong = [answer for answer in answers if answer.label != answer.predicted]
        head = f"{result.name} #{result.number} · {len(wrong):,} of {len(answers):,} wrong"
        console.print(f"{head} ({share(len(wrong) / len(answers))})")
        console.print(_matrix(answers))
        for answer in sorted(wrong, key=lambda each: -each.score)[:number]:
            line = Text.assemble(
                (answer.label, "green"), " became ", (answer.predicted, "red"), f" {plain(answer.score)}  ", answer.text
            )
            console.print(line, soft_wrap=True)
            console.print(Text(f"  {answer.origin}", "dim"), soft_wrap=True)


def test_answers(folder: Path, result: RunResult) -> list[Answer]:
    """The answers of a run's model to every record of the test split, in the order of the files.

    Args:
      folder: ``runs/<experiment>/<number>``.
      result: of that run.

    Raises:
      RunError: the run has no test split or no classifier.
    """
    if result.remote:
        raise RunError(
            f"{result.name}/{result.number} ran on {result.remote.kind}, where its test split and its model are: "
            f"{result.remote.address}; only runs of this machine can be asked about their mistakes"
        )
    known = lineage.executions(folder.parent, result.pipeline_run) if result.pipeline_run else []
    examples, models = lineage.outputs(known, "ExampleGen", "examples"), lineage.outputs(known, "Trainer", "model")
    if not examples or not models:
        raise RunError(f"{result.name}/{result.number} trained no classifier, so there are no mistakes to show")
    noise.hush()
    import tensorflow as tf
    import tensorflow_text  # noqa: F401 (its ops are in the graph)

    module = tf.saved_model.load(str(Path(models[-1]) / "Format-Serving"))
    ask = module.signatures["serving_examples"]
    argument = next(iter(ask.structured_input_signature[1]))
    files = sorted(tf.io.gfile.glob(f"{examples[-1]}/Split-test/*"))
    answers: list[Answer] = []
    for batch in tf.data.TFRecordDataset(files, "GZIP").batch(_BATCH):
        answers += _answers(batch, ask(**{argument: batch}), tf)
    return answers


def _answers(batch: Any, outputs: Any, tf: Any) -> list[Answer]:
    found = []
    names, scores = outputs["labels"].numpy(), outputs["scores"].numpy()
    for serialized, labels, row in zip(batch.numpy(), names, scores, strict=True):
        features = tf.train.Example.FromString(serialized).features.feature

        def value(name: str, features: Any = features) -> str:
            return str(features[name].bytes_list.value[0].decode()) if name in features else ""

        best = row.argmax()
        text = " | ".join(part for part in (value("text"), value("text_pair")) if part)
        found.append(Answer(value("origin"), text, value("label"), labels[best].decode(), float(row[best])))
    return found


def _matrix(answers: list[Answer]) -> Table:
    """Rows are the right labels, columns the answers."""
    labels = sorted({answer.label for answer in answers} | {answer.predicted for answer in answers})
    cells = Counter((answer.label, answer.predicted) for answer in answers)
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("right ↓  answered →", style="dim")
    for label in labels:
        table.add_column(label, justify="right")
    for right in labels:
        row = [
            (f"{cells[right, got]:,}", "bold green" if right == got else "red" if cells[right, got] else "dim")
            for got in labels
        ]
        table.add_row(right, *(Text(*cell) for cell in row))
    return table
