"""The sources of an experiment, each as its record kind."""

from typing import Any

from components.records.kind import Kind, load
from configs.experiment import Experiment
from models import task


def of(experiment: Experiment) -> dict[str, Kind[Any]]:
    """By the name of nodes and files: ``corpus``, ``task`` and its kind's sides, ``score``, ``teacher``, ``probe``."""
    kinds: dict[str, Kind[Any]] = {}
    if experiment.corpus:
        kinds["corpus"] = load("corpus")(experiment.corpus)
    if experiment.task:
        the_task = task.load(experiment.task.type)(experiment.task.own())
        kind = load(the_task.schema)
        kinds["task"] = kind(experiment.task.data, the_task.label_names or (), experiment.evaluate.slices)
        kinds |= kinds["task"].sides
    if experiment.scored:
        kinds["score"] = load(kind.unlabelled)(experiment.scored)
    if experiment.taught_on:
        kinds["teacher"] = load("teacher_texts")(experiment.taught_on)
    if tagged := experiment.tagged_words:
        kinds["probe"] = load("token_classification")(tagged)
    return kinds
