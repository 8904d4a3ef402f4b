"""``tfx-bert predict``: texts in, answers out, from a pushed model."""

import codecs
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from rich.console import Console
from rich.text import Text

from components.deploy.versions import versions
from components.records.formats.encodings import undecodable
from models import families
from models.export import golden
from models.families import Family
from models.task import Task, brief, nth
from pipeline.asked import short
from pipeline.inference import whole
from pipeline.run.result import RunError
from pipeline.terminal import noise
from schemas import DataError

_BATCH = 32
_DECIDED = 8  # words of an answer that a person is shown
Item = TypeVar("Item")


def predict(root: Path, model: str | None, texts: Sequence[str], *, explain: bool = False) -> None:
    """Prints an answer for each text, or for each line of standard input.

    Args:
      root: the environment's ``runs`` folder.
      model: ``NAME`` or ``NAME/VERSION``; None is the model pushed last.
      texts: a tab separates the two texts of a pair.
      explain: whether to say which words, or items, decided each answer.

    Raises:
      RunError: there is no such model, or it answers no texts.
      DataError: a text is not UTF-8.
    """
    given = _decoded(texts) if texts else _lines(sys.stdin.buffer)
    folder = newest(root, model)
    the_task = task_of(folder)
    family = families.load(the_task.family)
    noise.hush()
    with noise.captured(root / folder.parents[2].name / "predict.log") as terminal:
        console = Console(file=terminal, highlight=False, markup=False)
        if not texts and sys.stdin.isatty():
            console.print(Text("one text a line, Ctrl-D ends", "dim"))
        with console.status(f"loading {folder}"):
            answer = load(folder, "explain" if explain else "serving_default")
        names = list(golden.read(folder / "assets.extra")["inputs"])
        for batch in batches(given, 1 if sys.stdin.isatty() else _BATCH):
            outputs = whole.answers(answer, the_task, _arguments(batch, family, names))
            for index, text in enumerate(batch):
                found = nth(outputs, index)
                told = "".join(f" · {each}" for each in the_task.told(found))
                line = ((f'"{short(text)}"', "dim"), " → ", the_task.summarize(found), (told, "dim"))
                console.print(Text.assemble(*line), soft_wrap=True)
                if explain:
                    console.print(Text(f"    {decided(found)}"), soft_wrap=True)


def _decoded(texts: Sequence[str]) -> list[str]:
    """Arguments of the command line as they are; Python has a lone surrogate for a byte that is not UTF-8."""
    for number, text in enumerate(texts, start=1):
        if reason := undecodable({"text": text}, "utf-8"):
            raise DataError(f"text {number} of the command line is {reason}")
    return list(texts)


def _lines(stream: BinaryIO) -> Iterator[str]:
    """The lines of standard input without their ends, and without a byte-order mark in front."""
    for number, line in enumerate(stream, start=1):
        text = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).decode("utf-8", "surrogateescape")
        if reason := undecodable({"text": text}, "utf-8"):
            raise DataError(f"line {number} of standard input is {reason}")
        yield text.rstrip("\r\n")


def newest(root: Path, model: str | None) -> Path:
    """The folder of a pushed model.

    Raises:
      RunError: there is none.
    """
    name, _, version = (model or "*").partition("/")
    latest = [
        folder / str(there[-1])
        for folder in root.glob(f"{name}/serving_model/*")
        if (there := [each for each in versions(folder) if not version or str(each) == version.removeprefix("v")])
    ]
    if not latest:
        which = f"{model} has" if model else "there is"
        raise RunError(f"{which} no pushed model in {root}/: tfx-bert run pushes one when it is blessed")
    # Of several experiments, the one that pushed last and answers; a base model answers nothing.
    return max(latest, key=lambda folder: (_answers(folder), folder.stat().st_mtime))


def _answers(folder: Path) -> bool:
    return (folder / "assets.extra" / golden.FILE).is_file() and golden.read(folder / "assets.extra")[
        "task"
    ] is not None


def task_of(folder: Path) -> Task:
    """What the model in ``folder`` was trained on.

    Raises:
      RunError: a base model, which answers nothing.
    """
    if not _answers(folder) or (the_task := golden.answers(folder / "assets.extra")) is None:
        name = folder.parent.name
        raise RunError(f"{folder} is a base model: start an experiment from it with checkpoint: {{experiment: {name}}}")
    return the_task


def decided(answer: Mapping[str, Any]) -> str:
    """``gorgeous +.21 · witty +.09 · film −.02``: what the number of the answer falls by without each, most first.

    Args:
      answer: of the signature ``explain``, one record.
    """
    names = answer["title"] if "title" in answer else answer["word"]
    names = [(name or item).decode() for name, item in zip(names, answer.get("item", names), strict=True)]
    effects = answer["effect"].tolist()
    most = sorted(range(len(effects)), key=lambda place: -abs(effects[place]))[:_DECIDED]
    # Less than half of what two digits show.
    shown = [f"{short(names[place])} {_signed(effects[place])}" for place in most if abs(effects[place]) >= 0.005]
    return " · ".join(shown) or "no word alone changes the answer by .01"


def _signed(effect: float) -> str:
    return ("−" if effect < 0 else "+") + brief(abs(effect))


def load(folder: Path, signature: str = "serving_default") -> Any:
    """A signature of a SavedModel: a list of strings by argument to tensors by output.

    Raises:
      RunError: it has no such signature.
    """
    import tensorflow as tf
    import tensorflow_text  # noqa: F401 (its ops are in the graph)

    module = tf.saved_model.load(str(folder))
    if signature not in module.signatures:
        raise RunError(f"{folder} has no signature {signature}: add explain: true to its experiment, and run it again")
    called = module.signatures[signature]

    def answer(arguments: dict[str, list[str]]) -> Any:
        # The signature holds its variables through the module.
        assert module is not None
        return called(**{name: tf.constant(values) for name, values in arguments.items()})

    return answer


def _arguments(batch: list[str], family: Family, names: list[str]) -> dict[str, list[str]]:
    rows = []
    for line in batch:
        try:
            rows.append(family.parse(line, names))
        except ValueError as error:
            raise RunError(f"{error}. Received: {short(line)!r}") from None
    return {name: [row[name] for row in rows] for name in names}


def batches(items: Iterable[Item], count: int) -> Iterator[list[Item]]:
    """Lists of ``count`` items; the last one, and what comes before a fault, may be shorter."""
    batch: list[Item] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == count:
                yield batch
                batch = []
    except DataError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
