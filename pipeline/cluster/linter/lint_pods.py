"""Lint rules for the Kubernetes document: what Kubeflow's driver and then Kubernetes accept."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig

from configs.clusters.kubernetes import label_key, label_value, mount, volume_name
from pipeline.cluster.linter.finding import Documents, Finding, Node, Spec, misfit

# In the message, and read by no release: backend/src/v2/driver/k8s.go, kubeflow/pipelines#10704.
_UNREAD = {"enabledSharedMemory": "emptyDirMounts at /dev/shm", "podAffinity": "nodeAffinity"}


def _documents(given: Documents) -> Iterator[Finding]:
    """Vertex reads one YAML document; Kubeflow the platform ``kubernetes`` of the second."""
    if given.kind == "vertex" and given.platform:
        yield Finding("pipeline", "has a document for Kubernetes", "Vertex", "compile it for kind: vertex")
    for name in given.platform.get("platforms", {}):
        if given.kind == "kubeflow" and name != "kubernetes":
            yield Finding("pipeline", f"has a document for the platform {name!r}", "Kubeflow", "remove it")


def _executors(given: Documents) -> Iterator[Finding]:
    """visitor.go looks pods up by executor: what is left over is dropped without a word."""
    labels = {node.component.get("executorLabel", ""): node for node in given.nodes}
    for label, pod in given.pods.items():
        node = labels.get(label)
        if node is None:
            fault = f"has a pod for the executor {label!r}, which is not there"
            yield Finding("pipeline", fault, "Kubeflow", "name an executor of the first document")
        elif not node.container:
            fault = "has a pod and runs no container: importers run in Kubeflow's own"
            yield Finding(node.name, fault, "Kubeflow", "take the node out of nodes:")
        else:
            for rule in (_fields, _labels, _volumes, _idle):
                yield from rule(node, pod)


def _fields(node: Node, pod: Spec) -> Iterator[Finding]:
    if fault := misfit(pod, KubernetesExecutorConfig()):
        yield Finding(node.name, f"has a pod that {fault}", "Kubeflow", "remove or rename the field")
    for field in sorted(pod.keys() & _UNREAD):
        yield Finding(node.name, f"has {field}, which no release reads", "Kubeflow", f"use {_UNREAD[field]}")


def _labels(node: Node, pod: Spec) -> Iterator[Finding]:
    metadata = pod.get("podMetadata", {})
    selector = pod.get("nodeSelector", {}).get("labels", {})
    expressions = [each for term in pod.get("nodeAffinity", ()) for each in term.get("matchExpressions", ())]
    labels = [*metadata.get("labels", {}).items(), *selector.items()]
    keys = [*(key for key, _ in labels), *metadata.get("annotations", {}), *(each["key"] for each in expressions)]
    values = [*(value for _, value in labels), *(value for each in expressions for value in each.get("values", ()))]
    checks: list[tuple[Callable[[str], str], list[Any]]] = [(label_key, keys), (label_value, values)]
    for valid, given in checks:
        for each in given:
            try:
                valid(each)
            except ValueError as error:
                what = "key" if valid is label_key else "value"
                yield Finding(
                    node.name, f"has {each!r} as a label's {what}", "Kubernetes", str(error).split("; received")[0]
                )


def _volumes(node: Node, pod: Spec) -> Iterator[Finding]:
    """The driver names a volume as what it holds is named."""
    secrets = [(each["secretName"], each["mountPath"]) for each in pod.get("secretAsVolume", ())]
    claims = [(each.get("constant", ""), each["mountPath"]) for each in pod.get("pvcMount", ())]
    folders = [(each["volumeName"], each["mountPath"]) for each in pod.get("emptyDirMounts", ())]
    for name, path in (*secrets, *claims):
        try:
            volume_name(name)
        except ValueError as error:
            fault = f"mounts {name!r}, whose name becomes that of a volume: {error}"
            yield Finding(node.name, fault, "Kubernetes", "give the secret or the claim another name")
        try:
            mount(path)
        except ValueError as error:
            yield Finding(node.name, f"mounts {name!r}: {error}", "Kubernetes", "choose another mount")
    for name, times in Counter(name for name, _ in (*secrets, *claims, *folders)).items():
        if times > 1:
            fault = f"has {times} volumes called {name!r}"
            yield Finding(node.name, fault, "Kubernetes", "mount it once, or give one of them another name")
    for path, times in Counter(path.rstrip("/") for _, path in (*secrets, *claims, *folders)).items():
        if times > 1:
            yield Finding(node.name, f"mounts {times} volumes at {path}", "Kubernetes", "choose another mount")


def _idle(node: Node, pod: Spec) -> Iterator[Finding]:
    tolerated = [each.get("key", "") for each in pod.get("tolerations", ())]
    if "nvidia.com/gpu" in tolerated and "accelerator" not in node.container.get("resources", {}):
        fault = "may run on a GPU's machine and asks for no GPU: it would not see it"
        yield Finding(node.name, fault, "Kubernetes", "give its pool gpu: {type: …}, or no toleration", error=False)


RULES = (_documents, _executors)
