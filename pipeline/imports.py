"""Files from outside enter a run under the digest of their content: TFX does not see edits in place."""

import dataclasses
import pathlib
import shutil
from typing import TYPE_CHECKING

import schemas
from components import digest
from components.versions import versions
from configs.environment import Environment
from configs.experiment import ConfigError, Experiment, FromExperiment
from configs.loader import near

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

# A base model is a TFX Model that carries a Hugging Face folder; an imported checkpoint takes the same shape.
_CHECKPOINT = pathlib.Path("Format-Serving") / "assets.extra" / "checkpoint"
# What a Hugging Face folder holds beside these (other formats of the same weights, READMEs) is not read.
_FILES = ("config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "tokenizer_config.json")


def checkpoint(experiment: Experiment, environment: Environment) -> pathlib.Path | None:
    """The experiment's checkpoint as a base model: the folder that an Importer points to.

    Raises:
      ConfigError: there is no such folder, or the experiment it names pushed no base model.
    """
    begin = start(experiment, environment)
    if begin is None:
        return None
    source = begin.folder
    if not (source / "config.json").is_file():
        raise ConfigError(
            f"$.checkpoint: {source} is no Hugging Face BERT folder: it must hold config.json, vocab.txt and "
            "model.safetensors"
        )
    root = environment.folder(experiment.name) / "imports"
    return _place(root, source, [name for name in _FILES if (source / name).is_file()], _CHECKPOINT)


@dataclasses.dataclass(frozen=True)
class Start:
    """What training starts from: a Hugging Face folder, and what a person calls it, such as ``chat-bert v4``."""

    folder: pathlib.Path
    name: str


def start(experiment: Experiment, environment: Environment) -> Start | None:
    """The experiment's checkpoint; None where it starts from nothing.

    Raises:
      ConfigError: the experiment that is named pushed no base model.
    """
    given = experiment.checkpoint
    if isinstance(given, FromExperiment):
        folder = _latest(given, environment)
        return Start(folder / "assets.extra" / "checkpoint", f"{given.experiment} v{folder.name}")
    return Start(pathlib.Path(given), given) if given else None


def vocabulary(experiment: Experiment, environment: Environment) -> str | None:
    """An imported vocabulary: a ``vocab.txt``, or the checkpoint's folder; None if one is to be learned."""
    base = checkpoint(experiment, environment)
    if base:
        return str((base / _CHECKPOINT).absolute())
    given = experiment.vocabulary.path if experiment.vocabulary else None
    if given is None:
        return None
    source = pathlib.Path(given)
    if not source.is_file():
        raise ConfigError(f"$.vocabulary.path: there is no file {source}")
    root = environment.folder(experiment.name) / "imports"
    return str((_place(root, source.parent, [source.name], pathlib.Path()) / source.name).absolute())


def schema(experiment: Experiment, environment: Environment, kind: str) -> pathlib.Path:
    """The schema that the records of ``kind`` are held against: a file alone in its folder."""
    text = schemas.dump(schemas.resolve("corpus") if kind == "corpus" else task_schema(experiment, kind))
    folder = environment.folder(experiment.name) / "imports" / digest.of_text(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.pbtxt").write_text(text, "utf-8")
    return folder / "schema.pbtxt"


def task_schema(experiment: Experiment, kind: str) -> "Schema":
    """What the task's records must look like: the user's own schema, or that of ``kind`` with what the YAML says."""
    task = experiment.task
    assert task is not None
    return schemas.resolve(
        kind,
        labels=getattr(task, "labels", ()),
        slices=dict.fromkeys(experiment.evaluate.slices, ()),
        pair=task.data.text_pair is not None,
        path=task.schema_,
    )


def _latest(given: FromExperiment, environment: Environment) -> pathlib.Path:
    """The newest version that the experiment pushed."""
    folder = environment.pushed(given.experiment)
    there = versions(folder)
    if not there:
        raise ConfigError(
            f"$.checkpoint: experiment {given.experiment} has pushed no model to {near(folder)}; run it first"
        )
    return folder / str(there[-1])


def _place(root: pathlib.Path, source: pathlib.Path, names: list[str], below: pathlib.Path) -> pathlib.Path:
    """Copies files to ``root/<digest>/below``, once; ``root/<digest>``."""
    folder = root / digest.of_files([str(source / name) for name in names], names=names)[:32]
    if not folder.is_dir():
        staged = folder.with_suffix(".part")
        shutil.rmtree(staged, ignore_errors=True)  # of a run that was killed
        (staged / below).mkdir(parents=True)
        for name in names:
            shutil.copyfile(source / name, staged / below / name)
        staged.rename(folder)
    return folder
