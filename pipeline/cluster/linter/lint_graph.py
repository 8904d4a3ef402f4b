"""Lint rules for the graph: tasks, dependencies, executors, conditions."""

import graphlib
import re
from collections.abc import Iterator
from typing import Any

import celpy

from pipeline.cluster.linter.finding import Documents, Finding, Spec

# Argo Workflows: workflowFieldNameFmt and workflowFieldMaxLength; less "-driver", which Kubeflow appends.
_TASK = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*")
_TASK_LENGTH = 128 - len("-driver")


def _references(given: Documents) -> Iterator[Finding]:
    """References to missing tasks, outputs or parameters: addImplicitDependencies; Vertex checks the same."""
    where = given.where
    for scope in given.scopes():
        tasks: Spec = scope.get("dag", {}).get("tasks", {})
        parameters = scope.get("inputDefinitions", {}).get("parameters", {})
        for name, task in tasks.items():
            for other in task.get("dependentTasks", ()):
                if other not in tasks:
                    yield Finding(name, f"waits for {other!r}, which is no task", where, "name a task of the same DAG")
            for key, field, value in _sources(task):
                if field == "componentInputParameter" and value not in parameters:
                    fault = f"takes {key!r} from the parameter {value!r}, which its DAG does not declare"
                    yield Finding(name, fault, where, "write the value into the experiment")
                elif isinstance(value, dict) and "producerTask" in value:
                    yield from _produced(given, name, key, value, tasks)


def _sources(task: Spec) -> Iterator[tuple[str, str, Any]]:
    """Input, field and value of everything that a task is given."""
    for kind in ("parameters", "artifacts"):
        for key, source in task.get("inputs", {}).get(kind, {}).items():
            yield from ((key, field, value) for field, value in source.items())


def _produced(given: Documents, name: str, key: str, source: Spec, tasks: Spec) -> Iterator[Finding]:
    producer, where = source["producerTask"], given.where
    if producer not in tasks:
        # step_builder.py: a dynamic exec property names "<node>_task", which nothing is called.
        dynamic = producer.removesuffix("_task") in tasks and producer.endswith("_task")
        why = "a dynamic exec property, channel.future(), compiles to that" if dynamic else "no task is called so"
        cure = "pass the artifact and read it in the executor" if dynamic else "name a task of the same DAG"
        yield Finding(name, f"takes {key!r} from the task {producer!r}: {why}", where, cure)
        return
    component = given.components.get(tasks[producer].get("componentRef", {}).get("name", ""), {})
    for field, kind in (("outputArtifactKey", "artifacts"), ("outputParameterKey", "parameters")):
        if field in source and source[field] not in component.get("outputDefinitions", {}).get(kind, {}):
            fault = f"takes {key!r} from {producer}, which has no output {source[field]!r}"
            yield Finding(name, fault, where, "name one of its outputs")


def _cycles(given: Documents) -> Iterator[Finding]:
    for scope in given.scopes():
        waits = {name: _upstream(task) for name, task in scope.get("dag", {}).get("tasks", {}).items()}
        try:
            graphlib.TopologicalSorter(waits).prepare()
        except graphlib.CycleError as error:
            circle: list[str] = error.args[1]
            fault = f"waits for itself: {' → '.join(circle)}"
            yield Finding(circle[0], fault, given.where, "remove one of these edges")


def _upstream(task: Spec) -> set[str]:
    inner = [value for _, _, value in _sources(task) if isinstance(value, dict)]
    return {*task.get("dependentTasks", ()), *(value["producerTask"] for value in inner if "producerTask" in value)}


def _names(given: Documents) -> Iterator[Finding]:
    if given.kind != "kubeflow":
        return
    for scope in given.scopes():
        tasks: Spec = scope.get("dag", {}).get("tasks", {})
        for name in tasks:
            # A digit first is refused where one task waits for another, and every task waits for its driver.
            if not _TASK.fullmatch(name) or len(name) > _TASK_LENGTH:
                fault = f"has a name that is not letters, digits and -, a letter first, at most {_TASK_LENGTH}"
                yield Finding(name, fault, "Argo Workflows", "use with_id(...)")
            elif name.removesuffix("-driver") in tasks and name.endswith("-driver"):
                fault = f"is called like the driver that is run for {name.removesuffix('-driver')}"
                yield Finding(name, fault, "Kubeflow", "use with_id(...)")


def _executors(given: Documents) -> Iterator[Finding]:
    for scope in given.scopes():
        for name, task in scope.get("dag", {}).get("tasks", {}).items():
            reference = task.get("componentRef", {}).get("name", "")
            if reference not in given.components:
                fault = f"is of the component {reference!r}, which is not there"
                yield Finding(name, fault, given.where, "compile again")
    for node in given.nodes:
        if not node.component:
            continue
        if not node.executor:
            fault = f"has the executor {node.component.get('executorLabel')!r}, which is not there"
            yield Finding(node.name, fault, given.where, "compile again")
        elif given.kind == "kubeflow" and not node.executor.keys() & {"container", "importer"}:
            # visitor.go: "non-container and non-importer executor not implemented".
            kind = next(iter(node.executor))
            cure = "use components.evaluate.baseline, or an importer" if kind == "resolver" else "use a container"
            yield Finding(node.name, f"is run by a {kind}, which is not implemented", "Kubeflow", cure)


def _conditions(given: Documents) -> Iterator[Finding]:
    for node in given.nodes:
        condition = node.task.get("triggerPolicy", {}).get("condition")
        if not condition:
            continue
        if given.kind == "kubeflow" and "importer" in node.executor:
            # dag.go: one container is driver and importer, nothing can look at the condition first.
            fault = "is an importer under a condition"
            yield Finding(node.name, fault, "Kubeflow", "move it out of Cond(...); importing costs nothing")
        try:
            celpy.Environment().compile(condition)
        except celpy.CELParseError:
            # compiler_utils.py writes "Unknown Comparison Operation" for what it does not know, such as !=.
            fault = f"runs under {condition!r}, which is no CEL"
            yield Finding(node.name, fault, given.where, "compare with ==, < or >")
        inputs = node.task.get("inputs", {}).get("artifacts", {})
        for key in re.findall(r"inputs\.artifacts\['([^']+)'\]", condition):
            if key not in inputs:
                fault = f"runs under a condition on {key!r}, which it is not given"
                yield Finding(node.name, fault, given.where, "compile again")


RULES = (_references, _cycles, _names, _executors, _conditions)
