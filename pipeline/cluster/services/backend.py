"""Features that an older Kubeflow release would silently drop.

Read in kubeflow/pipelines, tags 2.0.5 to 2.17.0: the driver's uses of ``KubernetesExecutorConfig``
(backend/src/v2/driver), and the compiler's of retries and labels (backend/src/v2/compiler/argocompiler/container.go).
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from configs.base import ConfigError
from configs.clusters.kubeflow import Kubeflow

if TYPE_CHECKING:  # a run is looked at without TFX
    from pipeline.cluster.compile import Compiled

Release = tuple[int, ...]
# The first release that reads a field of the Kubernetes document, and the environment's key for it.
_SINCE: Mapping[str, tuple[Release, str]] = {
    "tolerations": ((2, 1, 0), "tolerations"),
    "imagePullSecret": ((2, 1, 0), "image_pull_secrets"),
    "imagePullPolicy": ((2, 1, 0), "image_pull_policy"),
    "activeDeadlineSeconds": ((2, 1, 0), "timeout_seconds"),
    "podMetadata": ((2, 1, 0), "labels and annotations"),
    "emptyDirMounts": ((2, 3, 0), "shared_memory"),
}
_AFFINITY: Release = (2, 14, 0)
# Older compilers also give every pod the labels of the first node that they come to.
_RETRIES: Release = (2, 4, 1)


@dataclasses.dataclass(frozen=True)
class Server:
    """The release of a Kubeflow server, as far as it is known.

    Attributes:
      oldest, newest: that it may be.
    """

    oldest: Release
    newest: Release

    def __str__(self) -> str:
        if self.oldest == self.newest:
            return f"Kubeflow {_told(self.oldest)}"
        return "this Kubeflow" + (", older than 2.14," if self.newest < _AFFINITY else "")


def server(healthz: Mapping[str, Any]) -> Server:
    """The release behind ``/apis/v2beta1/healthz``, asked of the API or through the page, which renames the fields.

    The images of 2.4.0 to 2.15.2 were built without their tag and say ``unknown``; from 2.14.0 on there is a
    ``pipeline_store``.
    """
    if not healthz or healthz.get("apiServerReady") is False:
        return Server((0,), (999,))
    for field in ("tag_name", "apiServerTagName", "frontendTagName"):
        if found := re.match(r"(\d+)\.(\d+)\.(\d+)", healthz.get(field) or ""):
            release = tuple(int(part) for part in found.groups())
            return Server(release, release)
    if healthz.get("pipeline_store") or healthz.get("pipelineStore"):
        return Server(_AFFINITY, (999,))
    return Server((0,), (2, 13, 999))


def check(made: "Compiled", environment: Kubeflow, server: Server) -> list[str]:
    """What a person should know before the experiment goes to ``server``.

    Args:
      made: what is to be submitted.
      environment: whose words are used.
      server: the server.

    Raises:
      ConfigError: the server would drop something without a word; a line for each.
    """
    needs = dict(_needs(made, environment))
    refused = [
        f"{what}: {server} does not read it, and would drop it without a word; it takes Kubeflow {_told(since)} or "
        "later, or leave it out"
        for what, since in needs.items()
        if server.newest < since
    ]
    if refused:
        raise ConfigError("\n".join(refused))
    notices = [
        f"{what}: a Kubeflow older than {_told(since)} drops it without a word, and this one does not tell its release"
        for what, since in needs.items()
        if server.oldest < since
    ]
    if server.newest < _AFFINITY and _kept_away(made, environment):
        notices.append(
            f"{server} reads no affinity: only taints keep nodes without a GPU off the machines that have one; "
            f"it takes Kubeflow {_told(_AFFINITY)}"
        )
    return notices


def _needs(made: "Compiled", environment: Kubeflow) -> Iterator[tuple[str, Release]]:
    """Keys of the environment, and the release that each takes."""
    if environment.retries.count:
        yield f"retries.count ({environment.retries.count}; 0 tries no node again)", _RETRIES
    used = {found[0] for node in made.nodes if (found := environment.machine(node))}
    for name in sorted(used):
        pool = environment.pools[name]
        if pool.affinity:
            yield f"pools.{name}.affinity", _AFFINITY
        if len(used) > 1 and (pool.labels or pool.annotations):
            yield f"labels and annotations of pools.{name}", _RETRIES
    pods = _pods(made).values()
    for field, (since, key) in _SINCE.items():
        if any(field in pod for pod in pods):
            yield key, since


def _kept_away(made: "Compiled", environment: Kubeflow) -> bool:
    """Whether a pod has rules of ours beside those that the environment names."""
    own = {name for name, pool in environment.pools.items() if pool.affinity}
    return any(
        "nodeAffinity" in pod and (environment.machine(node) or ("", None))[0] not in own
        for node, pod in _pods(made).items()
    )


def _pods(made: "Compiled") -> dict[str, Mapping[str, Any]]:
    """The Kubernetes document by node."""
    kubernetes = made.platform.get("platforms", {}).get("kubernetes", {})
    executors = kubernetes.get("deploymentSpec", {}).get("executors", {})
    return {name.removesuffix("_executor"): pod for name, pod in executors.items()}


def _told(release: Release) -> str:
    return ".".join(map(str, release))
