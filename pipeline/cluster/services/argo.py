"""A run as Argo's Workflow reports it: pods of each node, reasons for waiting or failing, log keys.

Kubeflow's own states name neither pods nor reasons. Its v1beta1 API gives the Workflow beside them, in every release.
"""

import base64
import dataclasses
import datetime
import gzip
import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.cluster.follow import Task

_FAILED = ("Failed", "Error")
# Kubernetes takes names of 253 characters; Argo leaves room for a hyphen and the hash (workflow/util/pod_name.go).
_PREFIX = 242
# What Argo says of a pod that was there, and is no longer (workflow/controller/operator.go). It calls that an Error,
# and what Kubeflow lets it retry is Failed.
_DELETED = "pod deleted"
# Argo's finalizer: the pod cannot be deleted before Argo has seen how it ended (workflow/common/common.go).
FINALIZER = "workflows.argoproj.io/status"


@dataclasses.dataclass(frozen=True)
class Pod:
    """One attempt of a node, or its driver.

    Attributes:
      name: in Kubernetes.
      id: Argo's, of its node.
      phase: Argo's.
      message: what Kubernetes or Argo say of it.
      started: when Argo asked for it.
      log: key of its log in the bucket, where one was kept.
    """

    name: str
    id: str
    phase: str
    message: str
    started: datetime.datetime | None
    log: str | None


class Workflow:
    """A Workflow, as far as it came.

    Args:
      manifest: its JSON; empty where Argo has not begun yet.
    """

    def __init__(self, manifest: str) -> None:
        self._all: Mapping[str, Any] = json.loads(manifest or "{}")
        metadata, status = self._all.get("metadata", {}), self._all.get("status", {})
        self.name, self.namespace = metadata.get("name", ""), metadata.get("namespace", "")
        self.created: str = metadata.get("creationTimestamp", "")
        self._ids = metadata.get("annotations", {}).get("workflows.argoproj.io/pod-name-format") == "v1"
        nodes = status.get("nodes") or {}
        if packed := status.get("compressedNodes"):  # of a Workflow above 1 MiB (workflow/packer/packer.go)
            nodes = json.loads(gzip.decompress(base64.b64decode(packed)))
        inside = f"{self.name}.root."
        self._nodes = {node["name"].removeprefix(inside): node for node in nodes.values() if inside in node["name"]}
        self._outside = [node for node in nodes.values() if inside not in node["name"]]
        # Kubeflow stops a run this way. Its own states do not distinguish stopped from failed.
        self.stopped = self._all.get("spec", {}).get("activeDeadlineSeconds") == 0
        self.repository: Mapping[str, Any] = status.get("artifactRepositoryRef", {}).get("artifactRepository", {})
        self._message: str = status.get("message", "")

    def __bool__(self) -> bool:
        """Whether Argo knows any node."""
        return bool(self._nodes or self._outside)

    @property
    def nodes(self) -> set[str]:
        """The pipeline's nodes that began or were left out."""
        return {name.removesuffix("-driver") for name in self._nodes if "." not in name}

    @property
    def error(self) -> str:
        """The message of a run that failed before its first node or as a whole."""
        failed = (str(node.get("message", "")) for node in self._outside if node["phase"] in _FAILED)
        return next(filter(None, failed), self._message)

    def pods(self, node: str) -> list[Pod]:
        """The attempts of a node, oldest first; its driver's pod if there was no attempt."""
        attempt = re.compile(rf"{re.escape(node)}\.executor\((\d+)\)")
        numbered = {int(found[1]): each for name, each in self._nodes.items() if (found := attempt.fullmatch(name))}
        attempts = [numbered[number] for number in sorted(numbered)]
        # Without retries the container has no number; an importer is its own. A driver that is through says nothing.
        single = (self._nodes.get(name, {}) for name in (f"{node}.executor", node, f"{node}-driver"))
        one = (each for each in single if each.get("type") == "Pod" and not _through(each, node))
        return [self._pod(each) for each in attempts or [*one][:1]]

    def task(self, node: str, now: datetime.datetime) -> Task:
        """The state of a node: of its driver, which decides about the cache, and of the group with its container."""
        names = (f"{node}-driver", node)
        parts: list[Any] = [self._nodes[name] for name in names if name in self._nodes]
        if not parts:
            return Task()
        seconds = _between(parts[0].get("startedAt"), parts[-1].get("finishedAt"), now)
        if any(part["phase"] in _FAILED for part in parts):
            return Task("failed", seconds, error=self._why(node), deleted=self._deleted(node))
        if parts[-1]["phase"] in ("Omitted", "Skipped"):
            return Task("skipped")
        if node in self._nodes and self._nodes[node]["phase"] == "Succeeded":
            container = self._nodes.get(f"{node}.executor", {})
            return Task("cached" if container.get("phase") == "Skipped" else "ran", seconds)
        pods = self.pods(node)
        if pods and pods[-1].phase == "Pending":
            waits = (now - pods[-1].started).total_seconds() if pods[-1].started else 0.0
            state = "running" if len(pods) > 1 else "pending"
            return Task(state, seconds, reason=pods[-1].message, waits=waits)  # type: ignore[arg-type]
        return Task("running", seconds)

    def executor_input(self, node: str) -> dict[str, Any]:
        """The ExecutorInput that the driver passed to the launcher; empty if the node was cached or never started."""
        parameters = self._nodes.get(f"{node}-driver", {}).get("outputs", {}).get("parameters", [])
        patch = next((each.get("value") for each in parameters if each["name"] == "pod-spec-patch"), None)
        command = json.loads(patch)["containers"][0]["command"] if patch else []
        given = dict(itertools.pairwise(command)).get("--executor_input")
        found: dict[str, Any] = json.loads(given) if given else {}
        return found

    def _pod(self, node: Mapping[str, Any]) -> Pod:
        artifacts = node.get("outputs", {}).get("artifacts", [])
        stores = (store for each in artifacts if each["name"] == "main-logs" for store in each.values())
        log = next((store["key"] for store in stores if isinstance(store, dict) and "key" in store), None)
        prefix = f"{self.name}-{node.get('templateName', '')}"[:_PREFIX]
        return Pod(
            name=node["id"] if self._ids else f"{prefix}-{node['id'].rpartition('-')[2]}",
            id=node["id"],
            phase=node["phase"],
            message=node.get("message", ""),
            started=_time(node.get("startedAt")),
            log=log,
        )

    def _why(self, node: str) -> str:
        """The messages of the last attempt and of those before it."""
        messages = [each.message or each.phase for each in self.pods(node) if each.phase in _FAILED]
        if not messages:  # it got no pod at all
            parts = (f"{node}.executor", node, f"{node}-driver")
            return next((told for part in parts if (told := self._nodes.get(part, {}).get("message"))), "")
        *before, last = messages
        return f"{last} (the attempts before it: {'; '.join(before)})" if before else last

    def _deleted(self, node: str) -> bool:
        pods = self.pods(node)
        return bool(pods) and pods[-1].phase == "Error" and pods[-1].message == _DELETED


def _through(part: Mapping[str, Any], node: str) -> bool:
    return bool(part["displayName"] == f"{node}-driver" and part["phase"] == "Succeeded")


def _time(text: str | None) -> datetime.datetime | None:
    """A time as Kubernetes writes it."""
    return datetime.datetime.fromisoformat(text) if text else None


def _between(start: str | None, end: str | None, now: datetime.datetime) -> float:
    """Seconds between two such times; until now where the second one is not known yet."""
    begun = _time(start)
    return max(0.0, ((_time(end) or now) - begun).total_seconds()) if begun else 0.0
