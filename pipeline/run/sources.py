"""The sources of an experiment, each as its record kind."""

from typing import Any

from components.records.kind import Kind, load
from configs.experiment import Experiment
from models import task


def of(experiment: Experiment) -> dict[str, Kind[Any]]:
    """By the name that their nodes and files carry: ``corpus``, ``task``, ``score``, those that the experiment has."""
    kinds: dict[str, Kind[Any]] = {}
    if experiment.corpus:
        kinds["corpus"] = load("corpus")(experiment.corpus)
    if experiment.task:
        kind, labels = load(task.load(experiment.task.type).schema), getattr(experiment.task, "labels", ())
        kinds["task"] = kind(experiment.task.data, labels, experiment.evaluate.slices)
    if experiment.scored:
        kinds["score"] = load("score")(experiment.scored)
    return kinds
