"""Lints a compiled pipeline: finds what open-source Kubeflow 2 or Vertex would refuse or silently drop.

The rules were read in the sources: kubeflow/pipelines (``backend/src/apiserver/template``, ``backend/src/v2``), Argo
Workflows (``workflow/validate``, ``workflow/controller``), google-cloud-aiplatform and TFX. Where it is not obvious, a
rule names its place.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from kfp.pipeline_spec import pipeline_spec_pb2

from configs.base import ConfigError
from pipeline.cluster.compile import Compiled
from pipeline.cluster.linter import lint_containers, lint_graph, lint_pods
from pipeline.cluster.linter.finding import Documents, Finding, Kind, Node, Spec, lines, misfit

# Argo Workflows, workflow/packer: of the whole object, which holds both documents and more; etcd takes 1.5 MiB.
_WORKFLOW_BYTES = 1_048_576
# MAX_ARG_STRLEN of Linux: one argument of a process. Settings reach driver, launcher and container as one.
_ARGUMENT_BYTES = 131_072
# Argo Workflows: GlobalVarValidWorkflowVariablePrefix, and its expressions.
_TEMPLATE_TAG = re.compile(r"\{\{\s*(=|(item|steps|inputs|outputs|pod|workflow|tasks)\.)")
# Kubernetes, Container.args: of two dollars one is left, and $(NAME) is a variable where the container has one.
_EXPANSION = re.compile(r"\$\$|\$\((KFP|ARGO|KUBERNETES|TFX_BERT)_\w+\)")
# Kubeflow: NewV2SpecTemplate; it becomes the generateName of a workflow.
_KUBEFLOW_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*-*")
# google.cloud.aiplatform: _VALID_NAME_PATTERN of the job's id, which is the name, a dash and 14 digits.
_VERTEX_NAME = re.compile(r"[a-z][-a-z0-9]{0,112}")
_DAY = 86_400  # seconds


def check(compiled: Compiled, kind: Kind) -> list[str]:
    """The notices about a compiled pipeline, a line each.

    Raises:
      ConfigError: its errors, a line each.
    """
    found = findings(compiled.pipeline, compiled.platform, kind)
    if errors := lines(each for each in found if each.error):
        raise ConfigError("\n".join(errors))
    return lines(found)


def findings(pipeline: Spec, platform: Spec, kind: Kind) -> list[Finding]:
    """Everything that is wrong.

    Args:
      pipeline: the PipelineSpec, as JSON.
      platform: the PlatformSpec, as JSON; empty where there is none.
      kind: for whom it was compiled.
    """
    given = Documents(pipeline, platform, kind)
    rules = (_version, _name, _fields, _sizes, _required, _tags, _twins, _retries)
    more = (*lint_graph.RULES, *lint_containers.RULES, *lint_pods.RULES)
    # protobuf maps are unordered
    return [found for rule in (*rules, *more) for found in sorted(rule(given), key=str)]


def _version(given: Documents) -> Iterator[Finding]:
    version = given.pipeline.get("schemaVersion")
    if given.kind == "kubeflow" and version != "2.1.0":
        yield Finding(
            "pipeline", f"has schema version {version}, 2.1.0 is read", "Kubeflow", "set use_pipeline_spec_2_1=True"
        )


def _name(given: Documents) -> Iterator[Finding]:
    name = given.pipeline.get("pipelineInfo", {}).get("name", "")
    if given.kind == "kubeflow" and not _KUBEFLOW_NAME.fullmatch(name):
        takes = "takes lower-case letters, digits, - and ."
    elif given.kind == "vertex" and not _VERTEX_NAME.fullmatch(name):
        takes = "takes lower-case letters, digits and -, a letter first, at most 113"
    else:
        return
    yield Finding("pipeline", f"is called {name!r}, a name {takes}", given.where, "change $.name")


def _fields(given: Documents) -> Iterator[Finding]:
    """Unknown fields. Kubeflow parses the document strictly, but ignores unknown fields in its deploymentSpec."""
    if given.kind != "kubeflow":
        return
    deployment = given.pipeline.get("deploymentSpec", {})
    for document, message, what in (
        (given.pipeline, pipeline_spec_pb2.PipelineSpec(), "refuses it"),
        (deployment, pipeline_spec_pb2.PipelineDeploymentConfig(), "drops it"),
    ):
        if fault := misfit(document, message):
            yield Finding("pipeline", f"{fault}, and Kubeflow {what}", "Kubeflow", "remove or rename the field")


def _sizes(given: Documents) -> Iterator[Finding]:
    whole = _bytes([given.pipeline, given.platform])
    if given.kind == "kubeflow" and whole > _WORKFLOW_BYTES:
        limit = f"a workflow holds {_WORKFLOW_BYTES:,}"
        yield Finding("pipeline", f"has {whole:,} bytes, {limit}", "Argo Workflows", "split the experiment")
    for node in given.nodes:
        size = max(_bytes(each) for each in (node.task, node.component, node.container))
        if size > _ARGUMENT_BYTES:
            yield Finding(
                node.name,
                f"has settings of {size:,} bytes, they travel as one argument of at most {_ARGUMENT_BYTES:,}",
                "Linux",
                "give fewer, longer files, or an address with a * such as gs://bucket/*.csv",
            )


def _required(given: Documents) -> Iterator[Finding]:
    """TFX's compiler drops the defaults of runtime parameters from a 2.1.0 spec, and a run passes none."""
    for name, parameter in given.pipeline.get("root", {}).get("inputDefinitions", {}).get("parameters", {}).items():
        if "defaultValue" not in parameter and not parameter.get("isOptional"):
            yield Finding(
                "pipeline",
                f"asks for the parameter {name!r}, which has no default and is not passed",
                given.where,
                "write the value into the experiment",
            )


def _tags(given: Documents) -> Iterator[Finding]:
    """Argo's template tags in settings. Kubeflow pastes settings into Argo's template, which would expand them."""
    if given.kind != "kubeflow":
        return
    for node in given.nodes:
        for what, value in _texts(given, node):
            if tag := _TEMPLATE_TAG.search(value):
                fault = f"has {tag[0]!r} in {what}, which is taken for a template's tag"
                yield Finding(node.name, fault, "Argo Workflows", "write it with a blank between the braces: { {")
        for key, value in node.parameters.items():
            if isinstance(value, str) and (found := _EXPANSION.search(value)):
                fault = f"has {found[0]!r} in its setting {key!r}, which does not reach the node as it is"
                yield Finding(node.name, fault, "Kubernetes", "write it without $, rename a column for instance")


def _texts(given: Documents, node: Node) -> Iterator[tuple[str, str]]:
    """User-written texts of a node and its pod, with their places."""
    for key, value in node.parameters.items():
        if isinstance(value, str):
            yield f"its setting {key!r}", value
    yield from (("its arguments", each) for each in node.container.get("args", ()))
    yield from ((f"its variable {each['name']}", each["value"]) for each in node.container.get("env", ()))
    yield "its pod", json.dumps(given.pods.get(node.component.get("executorLabel", ""), {}))


def _twins(given: Documents) -> Iterator[Finding]:
    """argo.go, hashComponentContainer: one component is kept for every distinct container, that of the first task."""
    if given.kind != "kubeflow":
        return
    first: dict[str, Node] = {}
    for node in sorted((node for node in given.nodes if node.container), key=lambda node: node.name):
        twin = first.setdefault(json.dumps(node.container, sort_keys=True), node)
        if _interface(twin) != _interface(node):
            fault = f"runs the same container as {twin.name} with other inputs or outputs, and would get those"
            yield Finding(node.name, fault, "Kubeflow", "give it an environment variable of its own")


def _interface(node: Node) -> dict[str, Any]:
    return {key: value for key, value in node.component.items() if key != "executorLabel"}


def _retries(given: Documents) -> Iterator[Finding]:
    """Argo Workflows, processNodeRetries: the factor is an int32, the longest duration is that of all attempts."""
    if given.kind != "kubeflow":
        return
    for node in given.nodes:
        policy = node.task.get("retryPolicy")
        if not policy or not policy.get("maxRetryCount"):
            continue
        factor, longest = policy.get("backoffFactor", 0), policy.get("backoffMaxDuration", "0s")
        if float(factor) != int(factor):
            fault = f"has a retryPolicy with the factor {factor}, whole numbers are read"
            yield Finding(node.name, fault, "Argo Workflows", f"set retries.factor to {int(factor)}")
        if float(longest.removesuffix("s")) < _DAY:
            fault = f"has no further attempt {longest} after its first one began, however long that one ran"
            cure = "set backoffMaxDuration to longer than the node may take"
            yield Finding(node.name, fault, "Argo Workflows", cure)


def _bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
