"""A YAML file, and ``--set`` overrides, as an ``Experiment``."""

import functools
import importlib
import importlib.util
import math
import operator
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

import pydantic

import configs
import models.tasks
from components.records.kind import load as load_kind
from configs.base import ConfigError, Share
from configs.encoder import Encoder
from configs.evaluation import Bless, Evaluate, Threshold
from configs.events import UnlabelledEvents
from configs.experiment import Experiment, Task
from configs.sources import LabelRanges
from configs.training import Train
from configs.yaml.document import Document, Key, near, read, write
from configs.yaml.validate import nearest, one_of, raise_all, shown, validate
from models import families
from models.task import TEACHER, Metric
from models.task import load as load_task
from pipeline import asked

FOLDER = Path(configs.__path__[0])
EXPERIMENTS = FOLDER / "experiments"
ENCODERS = FOLDER / "encoders"


def load(path: Path | str, overrides: Sequence[str] = ()) -> Experiment:
    """Reads an experiment.

    Args:
      path: a YAML file, or the name of one in ``configs/experiments/``.
      overrides: ``a.b=c``, applied in order.

    Raises:
      ConfigError: one line for every fault found.
    """
    document = read(_find(str(path)))
    if "kind" in document.values and "name" not in document.values:
        raise ConfigError(f"{document.file} is an environment, not an experiment: pass it as --env {document.file}")
    return resolve(document, overrides)


def resolve(document: Document, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment that ``document`` describes, which is changed by ``overrides``; see ``load``."""
    for assignment in overrides:
        if assignment.startswith("encoder."):
            _expand_encoder(document)
        document.override(assignment)
    complaints = _expand_encoder(document)
    model, unknown = _composed(document)
    # The metrics of an unknown task are unknown, too.
    ignore: tuple[tuple[Key, ...], ...] = (("evaluate", "bless"),) if unknown else ()
    experiment, faults = validate(model, document, (*ignore, ("encoder",)) if complaints else ignore)
    raise_all(complaints + unknown + faults)
    assert experiment is not None
    raise_all([document.complain(path, sentence) for path, sentence in _contradictions(experiment)])
    return experiment


def save_resolved(experiment: Experiment, path: Path) -> None:
    """Writes every value, defaults included, as YAML that ``load`` reads again; whole or not at all."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        file.write(write(experiment.dump()))
    Path(file.name).replace(path)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an experiment's YAML, for editors: every task in ``models/tasks/``, every encoder's name."""
    task: Any = functools.reduce(operator.or_, [_task_model(name) for name in task_types()])
    whole = _experiment_model((task | None, None), task_types())
    schema = whole.model_json_schema(by_alias=True)
    schema["properties"]["encoder"]["anyOf"].insert(0, {"enum": encoder_names(), "type": "string"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def encoder_names() -> list[str]:
    """The files of ``configs/encoders/``, smallest name first."""
    return sorted(file.stem for file in ENCODERS.glob("*.yaml"))


def task_types() -> list[str]:
    """The files of ``models/tasks/``."""
    return sorted(file.stem for file in Path(models.tasks.__path__[0]).glob("[!_]*.py"))


def _find(name: str) -> Path:
    file, known = Path(name), EXPERIMENTS / f"{name}.yaml"
    if file.exists() or file.suffix in (".yaml", ".yml"):
        return file
    if known.is_file():
        return near(known)
    names = sorted(experiment.stem for experiment in EXPERIMENTS.glob("*.yaml"))
    raise ConfigError(f"{name}: no such file, and no experiment in {near(EXPERIMENTS)}/: {one_of(name, names)}")


def _expand_encoder(document: Document) -> list[str]:
    """Puts the values of ``configs/encoders/NAME.yaml`` in the place of the name."""
    name = document.values.get("encoder")
    if not isinstance(name, str):
        return []
    if name not in encoder_names():
        return [
            document.complain(
                ("encoder",), f"{one_of(name, encoder_names())} Or give the values themselves: {{num_layers: …}}"
            )
        ]
    encoder = read(near(ENCODERS / f"{name}.yaml"))
    document.values["encoder"] = encoder.values
    document.places |= {("encoder", *path): place for path, place in encoder.places.items()}
    return []


def _composed(document: Document) -> tuple[type[Experiment], list[str]]:
    """``Experiment`` with the section of this task's type, and what is wrong with that type."""
    section = document.values.get("task")
    known = task_types()
    if not isinstance(section, dict):
        return _experiment_model((Task | None, None), known), []
    name = section.get("type")
    if name in known or _is_module(name):
        recipe, train = load_task(name).recipe(section), document.values.get("train", {})
        if recipe and isinstance(train, dict):
            document.values["train"] = {**recipe, **train}
        gate, evaluate = load_task(name).gate, document.values.get("evaluate", {})
        if gate and isinstance(evaluate, dict) and isinstance(bless := evaluate.get("bless", {}), dict):
            document.values["evaluate"] = {**evaluate, "bless": {**gate, **bless}}
        return _experiment_model((_task_model(name), ...), [name]), []
    where: tuple[Key, ...] = ("task", "type") if "type" in section else ("task",)
    received = f"there is no task {shown(name)}" if "type" in section else "type is missing"
    close = nearest(name, known) if isinstance(name, str) else None
    hint = f", did you mean {close}?" if close else ""
    sentence = f"{received}; models/tasks/ has {', '.join(known)}{hint}"
    return _experiment_model((Any, ...), known), [document.complain(where, sentence)]


def _is_module(name: object) -> TypeGuard[str]:
    """Whether a task's type is the path of a module that can be imported, such as ``family.task``."""
    try:
        return isinstance(name, str) and "." in name and importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # of its package; "..task"
        return False


def _task_model(name: str) -> type[Task]:
    """The keys that every task has, and those of the task's own module."""
    config = importlib.import_module(load_task(name).__module__).Config
    only: Any = Literal[name]
    data: Any = load_kind(load_task(name).schema).data
    return pydantic.create_model(f"{name}_task", __base__=(config, Task), type=(only, ...), data=(data, ...))


def _experiment_model(task: Any, names: Sequence[str]) -> type[Experiment]:
    """``Experiment`` with this field ``task``, and a bound in ``evaluate.bless`` for each figure of these tasks."""
    metrics = {metric.name: metric for name in names for metric in load_task(name).metrics}
    bounds: Any = {name: (_bound(metric) | None, None) for name, metric in metrics.items()}
    headlines = {load_task(name).metrics[0] for name in names}
    if len(headlines) == 1 and (headline := headlines.pop()).most != 1:
        of_slice: Any = _bound(headline)
        slices = dict[str, of_slice | Annotated[dict[str, of_slice], pydantic.Field(min_length=1)]]
        bounds |= {"slices": (slices, {}), "max_regression": (Threshold, 0.01 * headline.most)}
    bless: Any = pydantic.create_model("Bless", __base__=Bless, __doc__=Bless.__doc__, **bounds)
    evaluate: Any = pydantic.create_model(
        "Evaluate", __base__=Evaluate, __doc__=Evaluate.__doc__, bless=(bless, bless())
    )
    families_of = {load_task(name).family for name in names}
    shape: Any = functools.reduce(operator.or_, [families.load(name).shape or Encoder for name in sorted(families_of)])
    answered = {load_kind(load_kind(load_task(name).schema).unlabelled).data for name in names}
    score: Any = functools.reduce(operator.or_, sorted(answered, key=lambda data: data.__name__))
    sections: Any = {"encoder": (shape | None, None), "score": (score | None, None)}
    return pydantic.create_model(
        "Experiment", __base__=Experiment, task=task, evaluate=(evaluate, evaluate()), **sections
    )


def _bound(metric: Metric) -> Any:
    if metric.better == "lower":
        return Threshold
    return Share if metric.most == 1 else Annotated[float, pydantic.Field(ge=0, le=metric.most)]


def _contradictions(experiment: Experiment) -> Iterator[tuple[tuple[Key, ...], str]]:
    """Conflicts between sections that are valid by themselves: path and sentence."""
    bless = experiment.evaluate.bless.model_dump(exclude_defaults=True).keys()
    if experiment.task is None:
        if experiment.train != Train():
            yield ("train",), "there is no task to train; pretraining reads $.pretrain"
        for key in sorted(bless - {"mlm_loss", "max_regression"}):
            yield (
                ("evaluate", "bless", key),
                "judges a task, and there is none; mlm_loss judges pretraining",
            )
    else:
        if "mlm_loss" in bless:
            yield ("evaluate", "bless", "mlm_loss"), "judges experiments that pretrain alone; this one has a task"
        yield from _task_contradictions(experiment, experiment.task)
    if experiment.explain and not (experiment.task and load_task(experiment.task.type).explains):
        able = ", ".join(name for name in task_types() if load_task(name).explains)
        asked = f"{experiment.task.type} answers with more than one number" if experiment.task else "there is no task"
        yield ("explain",), f"{asked}: remove explain, which is for {able}"
    family = families.load(load_task(experiment.task.type).family if experiment.task else "text")
    required = family.required(experiment.task.own() if experiment.task else {})
    if experiment.checkpoint is None and any(getattr(experiment, name) is None for name in required):
        yield (), f"without a checkpoint, {' and '.join(required)} must be given"
    if experiment.analyze and experiment.task and not family.analyzed:
        yield ("analyze",), f"looks into BERT encoders, and a model of {experiment.task.type} has none; remove it"
    if experiment.analyze and experiment.task and experiment.task.own().get("objective") == "counts":
        yield ("analyze",), "looks into the heads of an encoder, and objective: counts has none; remove it"
    if experiment.train.prune and experiment.task and not family.analyzed:
        yield (
            ("train", "prune"),
            f"cuts heads of BERT encoders, and a model of {experiment.task.type} has none; remove it",
        )
    if experiment.train.prune and experiment.task and experiment.task.own().get("objective") == "counts":
        yield ("train", "prune"), "cuts the heads of an encoder, and objective: counts has none; remove it"
    if family.mode and experiment.text.mode not in (None, family.mode):
        yield (
            ("text", "mode"),
            f"{experiment.task and experiment.task.type} writes text, which takes mode {family.mode}",
        )
    if experiment.train.batch_tokens and not (experiment.task and load_task(experiment.task.type).by_tokens):
        yield ("train", "batch_tokens"), "this task makes batches of rows: give batch_size alone"
    frozen, layers = experiment.train.freeze, getattr(experiment.encoder, "num_layers", math.inf)
    if frozen and experiment.checkpoint is None and experiment.corpus is None:
        yield ("train", "freeze"), "keeps what was learned before, and this experiment begins with random weights"
    elif isinstance(frozen, int) and frozen > layers:
        yield ("train", "freeze"), f"{frozen} is more than $.encoder.num_layers {layers}"
    yield from _score_contradictions(experiment)
    yield from _teacher_contradictions(experiment)
    yield from _try_contradictions(experiment)
    positions = getattr(experiment.encoder, "max_positions", math.inf)
    lengths = {
        "pretrain": experiment.pretrain and experiment.pretrain.max_length,
        "task": getattr(experiment.task, "max_length", 0),
    }
    for section, length in lengths.items():
        if length and length > positions:
            yield (section, "max_length"), f"{length} is longer than $.encoder.max_positions {positions}"


def _score_contradictions(experiment: Experiment) -> Iterator[tuple[tuple[Key, ...], str]]:
    scored = experiment.scored
    if scored is None or experiment.task is None:
        if experiment.score:
            yield ("score",), "is answered by a task's model, and there is no task"
        return
    if scored.format == "text":
        yield ("score", "format"), "plain text has no columns; use csv, tsv, jsonl or parquet"
    if isinstance(scored, UnlabelledEvents):
        return
    if (scored.text_pair is None) != (getattr(experiment.task.data, "text_pair", None) is None):
        yield ("score", "text_pair"), "the task takes one text, not a pair"
    elif scored.text_pair == scored.text:
        yield ("score", "text_pair"), f"column {shown(scored.text)} is the text already"


def _teacher_contradictions(experiment: Experiment) -> Iterator[tuple[tuple[Key, ...], str]]:
    teacher, task = experiment.train.teacher, experiment.task
    if task is None:
        return
    if teacher is None:
        if experiment.evaluate.bless.teacher is not None:
            yield ("evaluate", "bless", TEACHER), "is a share of the teacher's figure: give $.train.teacher"
        return
    if not load_task(task.type).taught:
        able = ", ".join(name for name in task_types() if load_task(name).taught)
        yield (
            ("train", "teacher"),
            f"is for {able}; a model of {task.type} gives no answer of one number or one a label",
        )
    if teacher.experiment == experiment.name:
        yield ("train", "teacher", "experiment"), "is this experiment; a teacher is another one's model"
    if (texts := experiment.taught_on) is None:
        return
    if texts.format == "text":
        yield ("train", "teacher", "texts", "format"), "plain text has no columns; use csv, tsv, jsonl or parquet"
    if (texts.text_pair is None) != (getattr(task.data, "text_pair", None) is None):
        yield ("train", "teacher", "texts", "text_pair"), "the task takes one text, not a pair"


def _try_contradictions(experiment: Experiment) -> Iterator[tuple[tuple[Key, ...], str]]:
    if experiment.task is None:
        if experiment.try_:
            yield ("try",), "is answered by a task's model, and there is no task"
        return
    for index, each in enumerate(experiment.try_):
        try:
            asked.arguments(each, experiment.task)
        except ValueError as error:
            yield ("try", index), str(error)


def _task_contradictions(experiment: Experiment, task: Task) -> Iterator[tuple[tuple[Key, ...], str]]:
    records, bless = load_kind(load_task(task.type).schema), experiment.evaluate.bless
    data, columns = task.data, dict[str, str]()
    if data.format == "text":
        yield ("task", "data", "format"), "plain text has no labels; use csv, tsv, jsonl or parquet"
    for key, column in data.columns:
        if column in columns and key in data.keys:
            yield ("task", "data", key), f"column {shown(column)} is the {columns[column]} already"
        columns.setdefault(column, key.partition("_")[0].partition(".")[0])
    for index, column in enumerate(experiment.evaluate.slices):
        if column in load_task(task.type).slices:
            yield ("evaluate", "slices", index), f"{shown(column)} is a slice anyway; remove it"
        if column in columns:
            anyway = "; labels are slices anyway" if "label" in columns.values() else ""
            yield ("evaluate", "slices", index), f"{shown(column)} is the {columns[column]}{anyway}"
        elif column in records.features():
            yield ("evaluate", "slices", index), f"the records have a {shown(column)} of their own; rename that column"
    if getattr(task, "titles", None) and not records(data).sides:
        yield ("task", "titles"), "needs the titles of the items: give $.task.data.catalogue"
    the_task, named = load_task(task.type)(task.own()), experiment.evaluate.baselines
    baselines, labels = the_task.baselines, the_task.label_names
    places: dict[tuple[Key, ...], list[str]] = {
        ("evaluate", "baselines"): named if isinstance(named, list) else [],
        ("evaluate", "bless", "beats"): bless.beats,
    }
    for place, names in places.items():
        there = [*baselines, *([TEACHER] if experiment.train.teacher else [])]
        for index, name in enumerate(names):
            if name not in there:
                sentence = one_of(name, there) if there else f"{task.type} has no baselines"
                yield (*place, index), sentence
    for kind in ("precision", "recall"):
        for label in sorted(getattr(bless, kind).keys() - set(labels or ())):
            if labels is None:
                yield ("evaluate", "bless", kind), f"judges labels, and {task.type} has none"
                break
            if labels:  # else they are read from the data
                yield ("evaluate", "bless", kind, label), one_of(label, list(labels))
    added = load_task(task.type).slices
    judged = [*added, *experiment.evaluate.slices]
    for column, bounds in bless.slices.items():
        where: tuple[Key, ...] = ("evaluate", "bless", "slices", column)
        if column not in judged:
            hint = (
                "recall judges labels"
                if column == "label" or columns.get(column, "text") != "text"
                else "$.evaluate.slices adds columns"
            )
            yield where, f"{one_of(column, judged)}; {hint}"
        elif column in added and isinstance(bounds, dict):
            for value in sorted(bounds.keys() - set(added[column])):
                yield (*where, value), one_of(value, list(added[column]))
    if isinstance(ranges := getattr(data, "label", None), LabelRanges):
        for label in sorted(ranges.ranges.keys() ^ set(labels or ())):
            known = label in (labels or ())
            sentence = f"{label} has no range" if known else one_of(label, list(labels or ()))
            yield ("task", "data", "label", "ranges", *(() if known else (label,))), sentence
