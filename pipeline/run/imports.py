"""Imports files under the digest of their content, because TFX does not notice edits in place."""

import dataclasses
import json
import os
import pathlib
import posixpath
import shutil
import urllib.parse
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import schemas
from components import digest
from components.deploy.versions import versions
from components.records import readers
from components.records.head import Head
from components.records.record import Record
from components.storage.s3_errors import StoreError
from components.storage.s3_place import is_s3
from configs.base import ConfigError
from configs.environment import Environment, Local
from configs.experiment import Experiment, FromExperiment
from configs.sources import Source
from configs.yaml.document import near
from models import families, task
from models.checkpoints import layout, smaller, tf1_checkpoint
from pipeline.run import sources
from pipeline.start import preview
from schemas import DataError

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

AnySource = TypeVar("AnySource", bound=Source)
# A base model is a TFX Model that carries a Hugging Face folder; an imported checkpoint takes the same shape.
_CHECKPOINT = pathlib.Path("Format-Serving") / "assets.extra" / "checkpoint"


def checkpoint(experiment: Experiment, environment: Environment) -> pathlib.Path | None:
    """The experiment's checkpoint as a base model: the folder that an Importer points to.

    Raises:
      ConfigError: there is no such folder, or the experiment it names pushed no base model.
    """
    begin = start(experiment, environment)
    return placed(begin, experiment, environment) if begin else None


def placed(begin: "Start", experiment: Experiment, environment: Environment) -> pathlib.Path:
    """A Hugging Face folder as a base model.

    Raises:
      ConfigError: it is none.
    """
    source = begin.folder
    if not (source / "config.json").is_file():
        raise ConfigError(
            f"$.{begin.key}: {begin.name} is no Hugging Face BERT folder: it must hold config.json, vocab.txt and "
            f"{' or '.join(layout.WEIGHTS)}; or be one of Google's, with {tf1_checkpoint.CONFIG}, vocab.txt and "
            "bert_model.ckpt.*"
        )
    root = environment.folder(experiment.name) / "imports"
    # What it holds beside these (other formats of the same weights, READMEs) is not read.
    return place(root, source, [path.name for path in layout.files(source)], _CHECKPOINT)


@dataclasses.dataclass(frozen=True)
class Start:
    """What training starts from, or what the vocabulary is learned with: a Hugging Face folder.

    Attributes:
      folder: on this machine.
      name: what a person calls it, such as ``chat-bert v4``.
      key: of the YAML, that names it.
    """

    folder: pathlib.Path
    name: str
    key: str = "checkpoint"


def start(experiment: Experiment, environment: Environment) -> Start | None:
    """The experiment's checkpoint; None where it starts from nothing.

    Raises:
      ConfigError: the experiment that is named pushed no base model, or the bucket cannot be read.
    """
    given = experiment.checkpoint
    if isinstance(given, FromExperiment):
        folder = latest(given.experiment, environment, "checkpoint", "assets.extra/checkpoint")
        whole, name = folder / "assets.extra" / "checkpoint", f"{given.experiment} v{folder.name}"
        if given.layers is None and given.width is None:
            return Start(whole, name)
        return Start(_smaller(whole, given, environment.folder(experiment.name) / "converted"), f"{name}, smaller")
    if given and "://" in given:
        address = urllib.parse.urlsplit(given)
        name = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"  # no keys, no options
        return Start(_fetched(given, name, environment.folder(experiment.name) / "fetched"), name)
    if given and tf1_checkpoint.is_release(pathlib.Path(given)):
        return Start(_converted(pathlib.Path(given), environment.folder(experiment.name) / "converted"), given)
    return Start(pathlib.Path(given), given) if given else None


def reads(experiment: Experiment, environment: Environment) -> Start | None:
    """The text model that the vocabulary is learned with, such as that of ``titles``; None where there is none.

    Raises:
      ConfigError: the bucket cannot be read.
    """
    if experiment.task is None:
        return None
    own = experiment.task.own()
    folder = families.load(task.load(experiment.task.type).family).reads(own)
    found = start(experiment.model_copy(update={"checkpoint": folder}), environment)
    key = next((name for name, value in own.items() if value == folder), "")
    return dataclasses.replace(found, key=f"task.{key}") if found else None


def vocabulary(experiment: Experiment, environment: Environment) -> pathlib.Path | None:
    """The experiment's ``vocab.txt``; None where it names none."""
    given = experiment.vocabulary.path if experiment.vocabulary else None
    if given is None:
        return None
    source = pathlib.Path(given)
    if not source.is_file():
        raise ConfigError(f"$.vocabulary.path: there is no file {source}")
    root = environment.folder(experiment.name) / "imports"
    return place(root, source.parent, [source.name], pathlib.Path()) / source.name


def data(experiment: Experiment, environment: Environment, source: AnySource) -> tuple[AnySource, str | None]:
    """The source as its ExampleGen is to read it, and the digest of its files.

    A cluster gets the files of this machine with the other imports. What has an address, or lies on a volume of the
    cluster, is read where it is, and may be another when the run begins: then the digest is for a node to find.
    """
    if isinstance(environment, Local):
        return source, readers.digest(source)
    root, moved, elsewhere = environment.folder(experiment.name) / "imports", dict[str, list[str]](), False
    for key, patterns in readers.patterns(source).items():
        moved[key] = []
        for pattern in patterns:  # in their order: of two files of lines the first one has the source texts
            if "://" in pattern or pattern.startswith(environment.mounted):
                moved[key].append(pattern)
                elsewhere = True
            else:
                paths = map(pathlib.Path, readers.match(pattern, source, key))
                placed = (place(root, path.parent, [path.name], pathlib.Path()) / path.name for path in paths)
                moved[key] += [environment.node_path(path, experiment.name) for path in placed]
    return source.model_copy(update=moved), None if elsewhere else digest.of_text(json.dumps(moved))


def schema(experiment: Experiment, environment: Environment, records: "Schema") -> pathlib.Path:
    """A schema that records are held against: a file alone in its folder."""
    text = schemas.dump(records)
    folder = environment.folder(experiment.name) / "imports" / digest.of_text(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.pbtxt").write_text(text, "utf-8")
    return folder / "schema.pbtxt"


def labelled(experiment: Experiment, environment: Environment) -> Experiment:
    """The experiment with ``labels`` read from its data, if the task does not list them.

    Raises:
      ConfigError: the data is where this machine does not see it.
      DataError: it has no labels.
    """
    given = experiment.task
    if given is None or task.load(given.type)(given.own()).label_names != []:
        return experiment
    kind, cure = sources.of(experiment)["task"], "name them: labels: [...]"
    if not isinstance(environment, Local) and any(
        pattern.startswith(environment.mounted)
        for patterns in readers.patterns(kind.source).values()
        for pattern in patterns
    ):
        raise ConfigError(f"$.task.labels: left out, and the data is on a volume of the cluster; {cure}")
    labels = Counter(
        label
        for paths in readers.files(kind.source).values()
        for path in paths
        for record in kind.records(path)
        if isinstance(record, Record)
        for label in kind.labels_of(record)
    )
    if lacking := kind.lacking(Head(labels=labels)):
        preview.look(kind)  # why, where the rows are bad
        raise DataError(f"{', '.join(kind.source.path)}: {lacking}")
    return experiment.model_copy(update={"task": given.model_copy(update={"labels": sorted(labels)})})


def latest(name: str, environment: Environment, key: str, part: str) -> pathlib.Path:
    """The newest version that the experiment ``name`` pushed; what was pushed was blessed.

    Args:
      name: of the experiment.
      environment: where it ran.
      key: of the YAML, that names it.
      part: of the version, which is brought here if that is in a bucket.

    Raises:
      ConfigError: it has pushed none, or that cannot be seen.
    """
    folder = environment.pushed(name)
    try:
        there = versions(folder)
    except StoreError as error:
        raise ConfigError(f"$.{key}: what experiment {name} pushed cannot be seen: {error}") from error
    if not there:
        where = near(pathlib.Path(folder)) if isinstance(environment, Local) else folder
        raise ConfigError(f"$.{key}: experiment {name} has pushed no model to {where}; run it first")
    if "://" not in folder:
        return pathlib.Path(folder) / str(there[-1])
    from components.storage import files

    # Fetched, then imported like a folder of this machine: under the digest of its content.
    here = environment.folder(name) / "fetched" / str(there[-1])
    shutil.rmtree(here / part, ignore_errors=True)
    files.copy(posixpath.join(folder, str(there[-1]), part), str(here / part))
    return here


def _converted(source: pathlib.Path, root: pathlib.Path) -> pathlib.Path:
    """A release of Google's as a Hugging Face folder, made once."""
    names = tf1_checkpoint.files(source)
    target = root / digest.of_files([str(source / name) for name in names], names=names)[:32]
    if not target.is_dir():
        tf1_checkpoint.convert(source, target)
    return target


def _smaller(source: pathlib.Path, wanted: FromExperiment, root: pathlib.Path) -> pathlib.Path:
    """A part of a model as a Hugging Face folder, made once."""
    sizes = {"layers": wanted.layers, "width": wanted.width}
    target = root / digest.of_files(map(str, layout.files(source)), **sizes)[:32]
    if not layout.weights_file(target).is_file():
        try:
            smaller.write(source, target, **sizes)
        except ValueError as error:
            raise ConfigError(f"$.checkpoint: {error}") from None
    return target


def _fetched(address: str, name: str, root: pathlib.Path) -> pathlib.Path:
    """A Hugging Face folder in a bucket, here. A file of the size and time of the one there is that one."""
    here = root / digest.of_text(address)
    here.mkdir(parents=True, exist_ok=True)
    try:
        found, fetch = (_in_s3 if is_s3(address) else _by_arrow)(address)
        weights = next((file for file in layout.WEIGHTS if file in found), None)
        for file in layout.FILES:
            place, part = here / file, here / f"{file}.part"
            if file not in found or (file in layout.WEIGHTS and file != weights):
                place.unlink(missing_ok=True)
            elif not (place.exists() and (place.stat().st_size, place.stat().st_mtime_ns) == found[file]):
                fetch(file, part)
                os.utime(part, ns=(found[file][1], found[file][1]))
                part.replace(place)
    except StoreError as error:
        raise ConfigError(f"$.checkpoint: {name} cannot be read: {error.strerror}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"$.checkpoint: {name} cannot be read: {str(error).splitlines()[0]}") from None
    return here


# Size in bytes and time in nanoseconds by name; and what brings the file of a name here.
_Remote = tuple[dict[str, tuple[int, int]], Callable[[str, pathlib.Path], None]]


def _in_s3(address: str) -> _Remote:
    from components.storage.s3 import S3, download

    folder = address.rstrip("/")
    there = S3.listdir(folder) if S3.isdir(folder) else []
    stats = {file: S3.stat(f"{folder}/{file}") for file in layout.FILES if file in there}
    found = {file: (each.length, each.mtime_nsec) for file, each in stats.items()}
    return found, lambda file, part: download(f"{folder}/{file}", str(part))


def _by_arrow(address: str) -> _Remote:
    from pyarrow import fs

    if address.startswith("gs://") and "retry_limit_seconds" not in address:
        # otherwise Google's client retries for 15 minutes
        address += f"{'&' if '?' in address else '?'}retry_limit_seconds=30"
    system, folder = fs.FileSystem.from_uri(address)
    infos = system.get_file_info([f"{folder}/{file}" for file in layout.FILES])
    found = {info.base_name: (info.size, info.mtime_ns) for info in infos if info.is_file}
    return found, lambda file, part: fs.copy_files(f"{folder}/{file}", str(part), source_filesystem=system)


def place(root: pathlib.Path, source: pathlib.Path, names: Sequence[str], below: pathlib.Path) -> pathlib.Path:
    """Copies files to ``root/<digest>/below``, once; ``root/<digest>``. ``names`` are relative to ``source``."""
    folder = root / digest.of_files([str(source / name) for name in names], names=names)[:32]
    if not folder.is_dir():
        staged = folder.with_suffix(".part")
        shutil.rmtree(staged, ignore_errors=True)  # of a run that was killed
        (staged / below).mkdir(parents=True)
        for name in names:
            (staged / below / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, staged / below / name)
        staged.rename(folder)
    return folder
