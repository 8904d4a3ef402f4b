"""``tfx-bert errors``: where a model is wrong on the test split. The only place that shows the text of records."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from models import families
from models.export import golden
from models.task import Task, nth, strings
from pipeline.inference.predict import task_of
from pipeline.run import lineage
from pipeline.run.result import RunError, RunResult, find
from pipeline.terminal import noise, sections
from pipeline.terminal.numbers import plain, share

_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model says about a test record.

    Attributes:
      origin: ``file:line``.
      text: what the model was asked; both texts of a pair.
      expected: the right answer.
      summary: the model's answer; of a classifier the label alone.
      wrong: how wrong that is, 0 for right.
      score: of a classifier's answer, 0 to 1.
      row: its row metrics, float64 (K,).
    """

    origin: str
    text: str
    expected: str
    summary: str
    wrong: float
    score: float | None = None
    row: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0), compare=False)


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
            the_task, answers = _asked(folder, result)
        wrong = [answer for answer in answers if answer.wrong]
        head = f"{result.name} #{result.number} · {len(wrong):,} of {len(answers):,} wrong"
        console.print(f"{head} ({share(len(wrong) / len(answers))})")
        for section in the_task.sections(np.stack([answer.row for answer in answers]), {}):
            if section.drawn == "heat":
                console.print(sections.table(section))
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
    return _asked(folder, result)[1]


def made(folder: Path, result: RunResult) -> tuple[Path, str]:
    """The folder of a run's SavedModel, and that of the records that it learned from and was judged by.

    Args:
      folder: ``runs/<experiment>/<number>``.
      result: of that run.

    Raises:
      RunError: the run was not on this machine, or has no task.
    """
    if result.remote:
        raise RunError(
            f"{result.name}/{result.number} ran on {result.remote.kind}, where its records and its model are: "
            f"{result.remote.address}; only runs of this machine can be asked about their mistakes"
        )
    known = lineage.executions(folder.parent, result.pipeline_run) if result.pipeline_run else []
    examples, models = lineage.outputs(known, "ExampleGen", "examples"), lineage.outputs(known, "Trainer", "model")
    if not examples or not models:
        raise RunError(f"{result.name}/{result.number} trained on no task, so there are no mistakes to show")
    return Path(models[-1]) / "Format-Serving", examples[-1]


def _asked(folder: Path, result: RunResult) -> tuple[Task, list[Answer]]:
    """The task of a run, and the answers of its model."""
    model, examples = made(folder, result)
    noise.hush()
    import tensorflow as tf
    import tensorflow_text  # noqa: F401 (its ops are in the graph)

    the_task, inputs = task_of(model), list(golden.read(model / "assets.extra")["inputs"])
    module = tf.saved_model.load(str(model))
    ask = module.signatures["serving_examples"]
    argument = next(iter(ask.structured_input_signature[1]))
    files = sorted(tf.io.gfile.glob(f"{examples}/Split-test/*"))
    answers: list[Answer] = []
    for batch in tf.data.TFRecordDataset(files, "GZIP").batch(_BATCH):
        outputs = {name: value.numpy() for name, value in ask(**{argument: batch}).items()}
        answers += [
            _answer(serialized, nth(outputs, index), the_task, inputs) for index, serialized in enumerate(batch.numpy())
        ]
    return the_task, answers


def _answer(serialized: bytes, answer: dict[str, Any], the_task: Task, inputs: list[str]) -> Answer:
    from models.training.reading import raw

    features = raw(serialized)
    gold = {name: features.get(name, np.zeros(0)) for name in the_task.gold}
    row = np.array(the_task.row_metrics(answer, gold), float)
    asked = {name: strings(features[name]) for name in inputs if name in features}
    text = families.load(the_task.family).shown(asked)
    summary = answer["label"].item().decode() if the_task.single_label else the_task.summarize(answer)
    score = answer["score"].item() if the_task.single_label else None
    (origin,) = strings(features["origin"])
    return Answer(origin, text, the_task.expected({**answer, **gold}), summary, the_task.wrong(row), score, row)
