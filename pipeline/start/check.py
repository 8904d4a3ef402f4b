"""``tfx-bert check``: what a run would stumble over, found in seconds and without importing TFX."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from components.records import readers
from components.records.head import Head
from components.records.kind import Kind
from components.storage.s3_errors import Closed
from configs.base import ConfigError
from configs.environment import Environment, Local
from configs.experiment import Experiment, Task
from configs.sources import Source
from models import families
from models.checkpoints import checkpoint as checkpoints
from models.checkpoints import layout
from pipeline.run import imports, sources
from pipeline.run.result import RunError
from pipeline.start import advice, estimate, lengths, preview
from pipeline.terminal.numbers import size
from schemas import DataError

# TFX copies every record a few times (examples, transformed examples), and a model is kept per version.
MIN_FREE = 2_000_000_000  # bytes


def check(experiment: Experiment, environment: Environment) -> None:
    """Prints what is there, and an estimate.

    Raises:
      ConfigError, DataError, RunError: all faults, a line each, as the kind of the first.
    """
    console = Console(highlight=False, markup=False)
    console.print(Text.assemble(("✓ ", "green"), f"{experiment.name}: the YAML holds together"))
    faults: list[Exception] = []
    remarks: list[str] = []
    amounts, names = dict[str, tuple[int, float]](), 0
    kinds = {kind.source.section: kind for kind in sources.of(experiment).values()}
    for name, look_at in _looks(experiment, environment):
        try:
            told = look_at()
        except (ConfigError, DataError, RunError) as error:
            faults.append(error)
            continue
        if isinstance(told, Head):
            amounts[name] = round(kinds[name].records_of(told)), told.tokens
            names += len(told.names)
            remarks += filter(None, [kinds[name].remark(told)])
            told = preview.summary(told, kinds[name])
        if told:
            console.print(Text.assemble(("✓ ", "green"), told), soft_wrap=True)
    for remark in remarks:
        console.print(Text.assemble(("! ", "yellow"), remark), soft_wrap=True)
    if faults:
        raise type(faults[0])("\n".join(str(fault) for fault in faults))
    if len(amounts) < len(kinds):
        console.print(Text("estimate: none, because not all records can be counted here", "dim"))
        return
    start = imports.start(experiment, environment)
    reads = imports.reads(experiment, environment)
    folders = [each.folder if each else None for each in (start, reads)]
    if "task.data" in amounts:
        records = amounts["task.data"][0] * sources.of(experiment)["task"].trained
        if word := advice.left_out(experiment, records, estimate.shape(experiment, folders[0], names)):
            console.print(Text.assemble(("! ", "yellow"), word), soft_wrap=True)
    told = estimate.text(experiment, amounts, *folders, names=names)
    console.print(Text(told, "dim"), soft_wrap=True)


def access(experiment: Experiment, environment: Environment) -> None:
    """The part of ``check`` that takes no time, before a run.

    Raises:
      ConfigError, DataError, RunError: the first fault.
    """
    for kind in sources.of(experiment).values():
        _reachable(kind.source, environment)
        if not _elsewhere(kind.source, environment):
            try:
                preview.readable(kind)
            except DataError as error:
                Console(stderr=True, markup=False, highlight=False).print(_closed(error, environment), style="dim")
    if experiment.checkpoint:
        _start(experiment, environment)
    _reads(experiment, environment)
    _output(environment)


def every_node(from_nodes: Sequence[str], to_nodes: Sequence[str]) -> None:
    """Refuses to run a part of the DAG on a cluster.

    Raises:
      ConfigError: a part is asked for.
    """
    if from_nodes or to_nodes:
        raise ConfigError("--from and --to: a cluster runs every node, and reuses what is unchanged; leave them out")


def cores_here(environment: Environment) -> None:
    """Refuses to say from here how many cores the nodes of a cluster use.

    Raises:
      ConfigError: it is asked for.
    """
    if not isinstance(environment, Local):
        raise ConfigError("--cores: on a cluster a node uses those of its machine; give its pool another cpu")


def checkpoint(folder: Path, name: str | None = None, key: str = "checkpoint") -> tuple[checkpoints.Checkpoint, str]:
    """A Hugging Face BERT folder, and what it holds in one line.

    Args:
      folder: on this machine.
      name: what the person calls it.
      key: of the YAML, that names it.

    Raises:
      ConfigError: a file is missing, cut short, or describes no BERT.
    """
    pieces = "vocab.txt" if not (folder / "tokenizer.json").is_file() else "tokenizer.json"
    for file in ("config.json", pieces, layout.weights_file(folder).name):
        if not (folder / file).is_file():
            wrong = f"has no {file}; a Hugging Face BERT folder is expected" if folder.is_dir() else "is no folder"
            if next(folder.glob("*.index.json"), None):
                wrong = (
                    "holds its weights in several files; save it again: save_pretrained(FOLDER, max_shard_size='99GB')"
                )
            raise ConfigError(f"$.{key}: {name or folder} {wrong}{preview.demo_hint(str(folder))}")
    try:
        found, count = checkpoints.read(folder), checkpoints.checked(folder)
    except DataError as error:
        raise ConfigError(f"$.{key}: {error}") from None
    layers, width = found.encoder["num_layers"], found.encoder["hidden_dim"]
    millions = families.load("text").cost(found.encoder, found.encoder["vocabulary_size"]).parameters / 1e6
    return found, f"BERT of {layers} layers, {width} wide, {millions:.1f} M parameters, {count} tensors"


def _start(experiment: Experiment, environment: Environment) -> str:
    """The checkpoint, and that the experiment's rows and casing go with it."""
    start = imports.start(experiment, environment)
    assert start is not None
    found, told = checkpoint(start.folder, start.name)
    positions = found.encoder["max_positions"]
    for section in ("pretrain", "task"):
        if (length := getattr(getattr(experiment, section), "max_length", 0)) > positions:
            raise ConfigError(
                f"$.{section}.max_length: {length} is longer than the {positions} positions of {start.name}"
            )
    frozen, layers = experiment.train.freeze, found.encoder["num_layers"]
    if isinstance(frozen, int) and frozen > layers:
        raise ConfigError(f"$.train.freeze: {frozen} is more than the {layers} layers of {start.name}")
    if (mode := experiment.text.mode) and mode != found.rules["mode"]:
        raise ConfigError(
            f"$.text.mode: {start.name} was trained with {found.rules['mode']}, not {mode}; leave text.mode out"
        )
    return f"{start.name}: {told}"


def _reads(experiment: Experiment, environment: Environment) -> str | None:
    """The text model that the vocabulary is learned with; None where there is none."""
    reads = imports.reads(experiment, environment)
    if reads is None:
        return None
    _, told = checkpoint(reads.folder, reads.name, reads.key)
    return f"{reads.name}: {told}; for $.{reads.key}"


def _looks(experiment: Experiment, environment: Environment) -> Iterator[tuple[str, Callable[[], Head | str | None]]]:
    """Name and body of each thing to look at."""
    task, vocabulary, start = experiment.task, experiment.vocabulary, experiment.checkpoint
    for kind in sources.of(experiment).values():
        section = kind.source.section
        if place := _elsewhere(kind.source, environment):
            told = f"$.{section}: {place} is on a volume of the cluster and is not looked at"
            yield section, partial(str, told)
        else:
            yield section, partial(_look, experiment, environment, kind)
    if task and task.schema_:
        yield "schema", partial(_schema, experiment, task)
    if vocabulary and vocabulary.path:
        yield "vocabulary", partial(_file, "vocabulary.path", vocabulary.path)
    if start:
        yield "checkpoint", partial(_start, experiment, environment)
    yield "reads", partial(_reads, experiment, environment)
    yield "runs", partial(_output, environment)


def _elsewhere(source: Source, environment: Environment) -> str | None:
    """The first pattern that only the nodes of a cluster can read."""
    if isinstance(environment, Local):
        return None
    given = itertools.chain.from_iterable(readers.patterns(source).values())
    return next((pattern for pattern in given if pattern.startswith(environment.mounted)), None)


def _reachable(source: Source, environment: Environment) -> None:
    """Refuses a path that Beam's workers would look for in a folder of their own."""
    if not isinstance(environment, Local) or not environment.workers_elsewhere:
        return
    for key, patterns in readers.patterns(source).items():
        for pattern in patterns:
            if "://" not in pattern and not Path(pattern).is_absolute():
                cure = f"give {Path(pattern).absolute()}, if they see it under that name"
                told = f"the workers of $.beam_pipeline_args have a working folder of their own; {cure}"
                raise ConfigError(f"$.{source.section}.{key}: {pattern} is relative, and {told}")


def _look(experiment: Experiment, environment: Environment, kind: Kind[Any]) -> Head | str:
    _reachable(kind.source, environment)
    try:
        return preview.look(kind, _measure(experiment, environment, kind))
    except DataError as error:
        return _closed(error, environment)


def _measure(experiment: Experiment, environment: Environment, kind: Kind[Any]) -> lengths.Measure | None:
    """What counts the tokens of a source; None where there are none, or no vocabulary to count them by."""
    if not kind.tokenized:
        return None
    try:
        start = imports.start(experiment, environment)
        if start:
            checkpoint(start.folder, start.name)
    except (ConfigError, DataError, RunError):
        return None  # of which the look at the checkpoint tells
    path = experiment.vocabulary.path if experiment.vocabulary else None
    if path and not Path(path).is_file():
        return None  # likewise
    return lengths.measure(experiment, kind, start.folder if start else None)


def _closed(error: DataError, environment: Environment) -> str:
    """What is told of data that a cluster's nodes may read and this machine may not; raises any other error again."""
    cause: BaseException | None = error
    while cause and not isinstance(cause, Closed):
        cause = cause.__cause__ or cause.__context__
    if cause is None or isinstance(environment, Local):
        raise error
    return f"not looked at from here, the nodes have credentials and a network of their own: {error}"


def _file(key: str, path: str) -> str:
    if not Path(path).is_file():
        raise ConfigError(f"$.{key}: {path} is no file")
    return f"{path}: there"


def _schema(experiment: Experiment, given: Task) -> str:
    _file("task.schema", str(given.schema_))
    features = sources.of(experiment)["task"].schema(given.schema_).feature
    return f"{given.schema_}: {', '.join(feature.name for feature in features)}"


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
