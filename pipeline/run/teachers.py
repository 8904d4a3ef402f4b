"""The teacher of ``train.teacher``: a pushed model, imported under the digest of its content."""

import dataclasses
import pathlib
from collections.abc import Iterator

from configs.base import ConfigError
from configs.environment import Environment
from configs.experiment import Experiment, Task
from models import task
from models.export import golden
from pipeline.run import imports

_KEY = "train.teacher"
_BELOW = pathlib.Path("Format-Serving")  # of a TFX Model
# What it hands over to trainings and tells people decides no answer.
_ASKED = ("saved_model.pb", "fingerprint.pb", "variables/", "assets/", f"assets.extra/{golden.FILE}")


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A pushed model.

    Attributes:
      folder: on this machine.
      name: what a person calls it, such as ``sentiment v3``.
    """

    folder: pathlib.Path
    name: str


def find(experiment: Experiment, environment: Environment) -> Teacher | None:
    """The experiment's teacher; None where it has none.

    Raises:
      ConfigError: the experiment that is named pushed no model, the folder holds none, or it has not learned the task.
    """
    given = experiment.train.teacher
    if given is None or experiment.task is None:
        return None
    if given.experiment:
        folder = imports.latest(given.experiment, environment, _KEY, "")
        found = Teacher(folder, f"{given.experiment} v{folder.name}")
    else:
        found = Teacher(pathlib.Path(given.model or ""), given.model or "")
    _fits(found, experiment.task)
    return found


def placed(teacher: Teacher, experiment: Experiment, environment: Environment) -> pathlib.Path:
    """The teacher as a Model: the folder that an Importer points to."""
    names = [name for name in _files(teacher.folder) if name.startswith(_ASKED)]
    return imports.place(environment.folder(experiment.name) / "imports", teacher.folder, names, _BELOW)


def _files(folder: pathlib.Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file())


def _fits(teacher: Teacher, student: Task) -> None:
    """Refuses a model that answers another question.

    Raises:
      ConfigError: saying which.
    """
    extra = teacher.folder / "assets.extra"
    if not (teacher.folder / "saved_model.pb").is_file() or not (extra / golden.FILE).is_file():
        raise ConfigError(f"$.{_KEY}: {teacher.name} is no folder of a pushed model: it must hold saved_model.pb")
    known = golden.answers(extra)
    if known is None:
        raise ConfigError(f"$.{_KEY}: {teacher.name} is a base model, which answers nothing; name a task's model")
    learned = known.dump()["type"]
    if learned != student.type:
        raise ConfigError(f"$.{_KEY}: {teacher.name} is a model of {learned}, and the student's task is {student.type}")
    labels, own = set(known.label_names or ()), set(task.load(student.type)(student.own()).label_names or ())
    if labels != own:
        told = " and ".join(
            f"{name} has {', '.join(sorted(more))}, which {other} lacks"
            for name, more, other in (
                (teacher.name, labels - own, "the student"),
                ("the student", own - labels, teacher.name),
            )
            if more
        )
        raise ConfigError(f"$.{_KEY}: {told}: both must have the same labels")
    pair = getattr(student.data, "text_pair", None) is not None
    if pair != ("text_pair" in golden.read(extra)["inputs"]):
        takes, reads = ("one text", "two") if pair else ("two texts", "one")
        raise ConfigError(f"$.{_KEY}: {teacher.name} takes {takes}, and the student's records have {reads}")
