"""Lint findings, and the documents that lint rules read."""

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from google.protobuf import json_format

Spec = dict[str, Any]
Kind = Literal["kubeflow", "vertex"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
      node: the task, or ``pipeline``.
      fault: what is wrong.
      platform: who refuses it, or drops it without a word.
      cure: what to do.
      error: whether the run would fail or do something else than the YAML says; a notice where not.
    """

    node: str
    fault: str
    platform: str
    cure: str
    error: bool = True

    def __str__(self) -> str:
        """One line."""
        return lines([self])[0]


def lines(findings: Iterable[Finding]) -> list[str]:
    """A line a fault, however many nodes have it."""
    nodes: dict[str, list[str]] = {}
    for found in findings:
        nodes.setdefault(f"{found.fault} ({found.platform}); {found.cure}", []).append(found.node)
    named = {
        told: ", ".join(names[:3]) + (f" and {len(names) - 3} more" * (len(names) > 3)) for told, names in nodes.items()
    }
    return [f"{names}: {told}" for told, names in named.items()]


def misfit(document: Spec, message: Any) -> str | None:
    """The reason why ``document`` is not valid JSON of the protobuf ``message``; None if it is."""
    try:
        json_format.ParseDict(document, message)
    except json_format.ParseError as error:
        unknown = re.search(r'no field named "(.+?)" at "(.+?)"', str(error))
        return f"has the unknown field {unknown[1]!r} at {unknown[2]}" if unknown else f"does not parse: {error}"
    return None


@dataclasses.dataclass(frozen=True)
class Node:
    """A task with its component and its executor; empty where they are missing.

    Attributes:
      name: of the task.
      task: PipelineTaskSpec.
      component: ComponentSpec.
      executor: ExecutorSpec.
    """

    name: str
    task: Spec
    component: Spec
    executor: Spec

    @property
    def container(self) -> Spec:
        """PipelineContainerSpec."""
        found: Spec = self.executor.get("container", {})
        return found

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings that were compiled in."""
        given = self.task.get("inputs", {}).get("parameters", {})
        return {key: each["runtimeValue"].get("constant") for key, each in given.items() if "runtimeValue" in each}


@dataclasses.dataclass(frozen=True)
class Documents:
    """The two documents.

    Attributes:
      pipeline: the PipelineSpec, as JSON.
      platform: the PlatformSpec; empty where there is none.
      kind: for whom.
    """

    pipeline: Spec
    platform: Spec
    kind: Kind

    @property
    def where(self) -> str:
        """The platform as its users call it."""
        return "Kubeflow" if self.kind == "kubeflow" else "Vertex"

    @property
    def components(self) -> Spec:
        """ComponentSpecs by name."""
        found: Spec = self.pipeline.get("components", {})
        return found

    @property
    def executors(self) -> Spec:
        """ExecutorSpecs by label."""
        found: Spec = self.pipeline.get("deploymentSpec", {}).get("executors", {})
        return found

    @property
    def pods(self) -> Spec:
        """KubernetesExecutorConfigs by the label of their executor."""
        kubernetes = self.platform.get("platforms", {}).get("kubernetes", {})
        found: Spec = kubernetes.get("deploymentSpec", {}).get("executors", {})
        return found

    @functools.cached_property
    def nodes(self) -> list[Node]:
        """Every task that is no DAG."""
        found = [
            self._node(name, task)
            for scope in self.scopes()
            for name, task in scope.get("dag", {}).get("tasks", {}).items()
        ]
        return [node for node in found if "dag" not in node.component]

    def scopes(self) -> Iterator[Spec]:
        """The root, and every other component that is a DAG."""
        yield self.pipeline.get("root", {})
        yield from (component for component in self.components.values() if "dag" in component)

    def _node(self, name: str, task: Spec) -> Node:
        component = self.components.get(task.get("componentRef", {}).get("name", ""), {})
        return Node(name, task, component, self.executors.get(component.get("executorLabel", ""), {}))
