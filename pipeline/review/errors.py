"""``tfx-bert errors``: where a model is wrong on the test split. The only place that shows the text of records."""

import dataclasses
from collections.abc import Mapping, Sequence
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
      likelihood: of the right answer under a model that has the signature ``score``: nats a piece, at most 0.
    """

    origin: str
    text: str
    expected: str
    summary: str
    wrong: float
    score: float | None = None
    row: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0), compare=False)
    likelihood: float | None = None


def errors(root: Path, run: str | None, number: int) -> None:
    """Prints the ``number`` worst mistakes of a run's model, and the confusion matrix of a classifier.

    Of a model that says how likely a right answer is, the least likely ones too: often such a reference is wrong.

    Raises:
      RunError: there is no such run, or it trained on no task.
    """
    folder = find(root, run)
    result = RunResult.read(folder)
    with noise.captured(folder / "errors.log") as terminal:
        console = Console(file=terminal, highlight=False, markup=False)
        with console.status("asking the model about the test split"):
            the_task, answers = _asked(folder, result, judge=True)
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
        unlikely = sorted((each.likelihood, place) for place, each in enumerate(answers) if each.likelihood is not None)
        if unlikely and number:
            console.print(
                "\nright answers that the model finds least likely, in nats a piece: often such a one is wrong"
            )
        for likelihood, place in unlikely[:number]:
            answer = answers[place]
            console.print(
                Text.assemble((answer.expected, "green"), f"  {plain(likelihood)}  ", answer.text), soft_wrap=True
            )
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


def _asked(folder: Path, result: RunResult, *, judge: bool = False) -> tuple[Task, list[Answer]]:
    """The task of a run, and the answers of its model; ``judge``: with the likelihoods of the right ones, if it can."""
    model, examples = made(folder, result)
    noise.hush()
    import tensorflow as tf
    import tensorflow_text  # noqa: F401 (its ops are in the graph)

    from models.training.reading import raw

    the_task, inputs = task_of(model), list(golden.read(model / "assets.extra")["inputs"])
    module = tf.saved_model.load(str(model))
    ask = module.signatures["serving_examples"]
    argument = next(iter(ask.structured_input_signature[1]))
    files = sorted(tf.io.gfile.glob(f"{examples}/Split-test/*"))
    answers: list[Answer] = []
    for batch in tf.data.TFRecordDataset(files, "GZIP").batch(_BATCH):
        outputs = {name: value.numpy() for name, value in ask(**{argument: batch}).items()}
        records = [raw(serialized) for serialized in batch.numpy()]
        found = [_answer(record, nth(outputs, index), the_task, inputs) for index, record in enumerate(records)]
        if judge and "score" in module.signatures:
            likely = _likelihoods(module.signatures["score"], records)
            found = [dataclasses.replace(one, likelihood=each) for one, each in zip(found, likely, strict=True)]
        answers += found
    return the_task, answers


def _likelihoods(signature: Any, records: Sequence[Mapping[str, np.ndarray]]) -> list[float]:
    """Of each record's right answer: nats a piece."""
    import tensorflow as tf

    names = signature.structured_input_signature[1]
    found = signature(**{name: tf.constant([record[name].item() for record in records]) for name in names})
    mean: list[float] = (found["log_probability"].numpy() / found["pieces"].numpy()).tolist()
    return mean


def _answer(features: Mapping[str, np.ndarray], answer: dict[str, Any], the_task: Task, inputs: list[str]) -> Answer:
    gold = {name: features.get(name, np.zeros(0)) for name in the_task.gold}
    row = np.array(the_task.row_metrics(answer, gold), float)
    asked = {name: strings(features[name]) for name in inputs if name in features}
    text = families.load(the_task.family).shown(asked)
    summary = answer["label"].item().decode() if the_task.single_label else the_task.summarize(answer)
    score = answer["score"].item() if the_task.single_label else None
    (origin,) = strings(features["origin"])
    return Answer(origin, text, the_task.expected({**answer, **gold}), summary, the_task.wrong(row), score, row)
