"""``tfx-bert errors``: where a model is wrong on the test split. The only place that shows the text of records."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.export import golden
from models.task import Task, nth, strings
from pipeline.inference.predict import task_of
from pipeline.run import lineage
from pipeline.run.result import RunError, RunResult, find
from pipeline.terminal import noise
from pipeline.terminal.numbers import plain, share

_BATCH = 64


@dataclass(frozen=True)
class Answer:
    """What a model says about a test record.

    Attributes:
      origin: ``file:line``.
      text: what the model was asked; both texts of a pair.
      expected: the right answer.
      summary: the model's answer; of a classifier the label alone.
      wrong: how wrong that is, 0 for right.
      score: of a classifier's answer, 0 to 1.
    """

    origin: str
    text: str
    expected: str
    summary: str
    wrong: float
    score: float | None = None


def errors(root: Path, run: str | None, number: int) -> None:
    """Prints the ``number`` worst mistakes of a run's model, and the confusion matrix of a classifier.

    Raises:
      RunError: there is no such run, or it trained on no task.
    """
    folder = find(root, run)
    result = RunResult.read(folder)
    with noise.captured(folder / "errors.log") as terminal:
        console = Console(file=terminal, highlight=False, markup=False)
        with console.status("asking the model about the test split"):
            answers = test_answers(folder, result)
        wrong = [answer for answer in answers if answer.wrong]
        head = f"{result.name} #{result.number} · {len(wrong):,} of {len(answers):,} wrong"
        console.print(f"{head} ({share(len(wrong) / len(answers))})")
        if answers[0].score is not None:
            console.print(_matrix(answers))
        for answer in sorted(wrong, key=lambda each: -each.wrong)[:number]:
            score = "" if answer.score is None else f" {plain(answer.score)}"
            line = Text.assemble(
                (answer.expected, "green"), " became ", (answer.summary, "red"), f"{score}  ", answer.text
            )
            console.print(line, soft_wrap=True)
            console.print(Text(f"  {answer.origin}", "dim"), soft_wrap=True)


def test_answers(folder: Path, result: RunResult) -> list[Answer]:
    """The answers of a run's model to every record of the test split, in the order of the files.

    Args:
      folder: ``runs/<experiment>/<number>``.
      result: of that run.

    Raises:
      RunError: the run has no test split or no task.
    """
    if result.remote:
        raise RunError(
            f"{result.name}/{result.number} ran on {result.remote.kind}, where its test split and its model are: "
            f"{result.remote.address}; only runs of this machine can be asked about their mistakes"
        )
    known = lineage.executions(folder.parent, result.pipeline_run) if result.pipeline_run else []
    examples, models = lineage.outputs(known, "ExampleGen", "examples"), lineage.outputs(known, "Trainer", "model")
    if not examples or not models:
        raise RunError(f"{result.name}/{result.number} trained on no task, so there are no mistakes to show")
    noise.hush()
    import tensorflow as tf
    import tensorflow_text  # noqa: F401 (its ops are in the graph)

    model = Path(models[-1]) / "Format-Serving"
    the_task, inputs = task_of(model), list(golden.read(model / "assets.extra")["inputs"])
    module = tf.saved_model.load(str(model))
    ask = module.signatures["serving_examples"]
    argument = next(iter(ask.structured_input_signature[1]))
    files = sorted(tf.io.gfile.glob(f"{examples[-1]}/Split-test/*"))
    answers: list[Answer] = []
    for batch in tf.data.TFRecordDataset(files, "GZIP").batch(_BATCH):
        outputs = {name: value.numpy() for name, value in ask(**{argument: batch}).items()}
        answers += [
            _answer(serialized, nth(outputs, index), the_task, inputs) for index, serialized in enumerate(batch.numpy())
        ]
    return answers


def _answer(serialized: bytes, answer: dict[str, Any], the_task: Task, inputs: list[str]) -> Answer:
    import tensorflow as tf

    features = tf.train.Example.FromString(serialized).features.feature

    def values(name: str) -> Any:
        feature = features[name] if name in features else tf.train.Feature()
        kind = feature.WhichOneof("kind")
        return np.array(getattr(feature, kind).value if kind else [], object if kind == "bytes_list" else None)

    gold = {name: values(name) for name in the_task.gold}
    judged = np.array(the_task.row_metrics(answer, gold))
    text = " | ".join(part for name in inputs for part in strings(values(name)))
    summary = answer["label"].item().decode() if the_task.single_label else the_task.summarize(answer)
    score = answer["score"].item() if the_task.single_label else None
    (origin,) = strings(values("origin"))
    return Answer(origin, text, the_task.expected(gold), summary, the_task.wrong(judged), score)


def _matrix(answers: list[Answer]) -> Table:
    """Rows are the right labels, columns the answers."""
    labels = sorted({answer.expected for answer in answers} | {answer.summary for answer in answers})
    cells = Counter((answer.expected, answer.summary) for answer in answers)
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
