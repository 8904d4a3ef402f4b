"""A Kubeflow run as its APIs and its page report it: states, reasons, logs, outputs."""

import contextlib
import dataclasses
import datetime
import json
import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Any

import kfp_server_api
import pydantic

from components.evaluate import verdict
from components.evaluate.verdict import Verdict
from configs.clusters.kubeflow import Kubeflow
from models import progress
from pipeline.cluster.follow import Outputs, RunState, Task, read_verdict
from pipeline.cluster.services import argo
from pipeline.cluster.services.argo import Workflow
from pipeline.cluster.services.page import Page
from pipeline.run.result import Pushed, RunError

# By v1beta1, and by v2beta1.
_STATES = {
    "Succeeded": "succeeded", "Skipped": "succeeded", "Failed": "failed", "Error": "failed",
    "SUCCEEDED": "succeeded", "SKIPPED": "succeeded", "FAILED": "failed", "CANCELED": "stopped",
}  # fmt: skip
_TASKS = {"SUCCEEDED": "ran", "CACHED": "cached", "SKIPPED": "skipped", "FAILED": "failed"}
# Seconds of waiting after which a pod's events are asked for: they say more than Argo does.
_VAGUE, _ASK_SECONDS = ("", "PodInitializing", "ContainerCreating"), 60.0
# The API writes unknown times as 1970 or as year 1.
_UNKNOWN = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


class Runs:
    """Reads runs.

    Args:
      page: of Kubeflow.
      environment: that they were submitted from.
      address: where a person looks at a run.
    """

    def __init__(self, page: Page, environment: Kubeflow, address: Callable[[str], str]) -> None:
        self._page, self._environment, self._address = page, environment, address
        self._seen: dict[str, Workflow] = {}  # as last looked at, by run
        self._asked_of_pods: set[str] = set()  # runs

    def look(self, run: str) -> RunState:
        """The state of a run."""
        now = datetime.datetime.now(datetime.UTC)
        found, workflow = self._run(run)
        self._seen[run] = workflow
        if not workflow:
            return self._by_tasks(run, now)
        state = _STATES.get(found.get("status", ""), "running")
        tasks = {node: workflow.task(node, now) for node in workflow.nodes}
        return RunState(
            state="stopped" if state == "failed" and workflow.stopped else state,  # type: ignore[arg-type]
            seconds=_seconds(found.get("created_at"), found.get("finished_at"), now),
            tasks={node: self._told(run, node, task, workflow) for node, task in tasks.items()},
            error=(found.get("error") or workflow.error) if state == "failed" else "",
            notice=self._unheld(run, workflow) if state == "running" else "",
        )

    def _by_tasks(self, run: str, now: datetime.datetime) -> RunState:
        """States from Kubeflow's own task list, which has no reasons. Used while Argo's Workflow is not available."""
        found = self._page.json(f"/apis/v2beta1/runs/{run}", view="FULL")
        tasks = {
            task["name"]: Task(
                state=_TASKS.get(task.get("state", ""), "running"),  # type: ignore[arg-type]
                seconds=_seconds(task.get("create_time"), task.get("end_time"), now),
                error=task.get("status_metadata", {}).get("message", ""),
                log=self._address(run),
            )
            for task in found.get("tasks", [])
        }
        return RunState(
            state=_STATES.get(found.get("state", ""), "running"),  # type: ignore[arg-type]
            seconds=_seconds(found.get("created_at"), found.get("finished_at"), now),
            tasks=tasks,
            error=found.get("error", {}).get("message", ""),
        )

    def _told(self, run: str, node: str, task: Task, workflow: Workflow) -> Task:
        """Adds Kubernetes' reason for a waiting pod. Argo seldom knows it."""
        if task.waits > _ASK_SECONDS and task.reason.partition(":")[0] in _VAGUE:
            pod = workflow.pods(node)[-1].name
            events = self._page.known("/k8s/pod/events", podname=pod, podnamespace=workflow.namespace).get("items", [])
            warnings = [f"{each['reason']}: {each['message']}" for each in events if each.get("type") == "Warning"]
            task = dataclasses.replace(task, reason=warnings[-1] if warnings else task.reason)
        return dataclasses.replace(task, log=self._address(run))

    def _unheld(self, run: str, workflow: Workflow) -> str:
        """That a machine which is taken away ends the run, where machines may be and Argo does not hold their pods."""
        pods = [pod for node in workflow.nodes for pod in workflow.pods(node) if pod.phase == "Running"]
        spot = re.search("spot|preemptible", self._environment.model_dump_json(include={"pools"}), re.IGNORECASE)
        if not pods or not spot or run in self._asked_of_pods:
            return ""
        self._asked_of_pods.add(run)
        pod = self._page.known("/k8s/pod", podname=pods[0].name, podnamespace=workflow.namespace)
        if not pod or argo.FINALIZER in pod.get("metadata", {}).get("finalizers", []):
            return ""
        return (
            "Argo does not retry a node whose pod is deleted with its machine; it would with "
            "ARGO_POD_STATUS_CAPTURE_FINALIZER=true on its controller. As long as this command follows the run, it "
            "submits it again instead"
        )

    def outputs(self, run: str) -> Outputs:
        """What a run produced, found through its nodes' arguments: the API names no artifacts."""
        workflow = self._workflow(run)
        artifacts = workflow.executor_input("Evaluator").get("outputs", {}).get("artifacts", {})
        evaluation = next((each["uri"] for each in artifacts.get("evaluation", {}).get("artifacts", [])), None)
        given = workflow.executor_input("Pusher").get("inputs", {}).get("artifacts", {}).get("model_blessing", {})
        blessing: dict[str, Any] = next(iter(given.get("artifacts", [])), {})
        if evaluation is None and blessing:  # the Evaluator was reused; what it made lies in one folder
            evaluation = f"{posixpath.dirname(blessing['uri'])}/evaluation"
        if not workflow:
            evaluation = self._by_tasks_evaluation(run)
        metadata = blessing.get("metadata", {})
        blessed = metadata.get("blessed")
        session = metadata.get("store_session_info", "")
        namespace = workflow.namespace or self._environment.namespace or ""
        return Outputs(
            evaluation=evaluation,
            verdict=self._verdict(evaluation, namespace, session) if evaluation else None,
            blessed=None if blessed is None else bool(blessed),
            pushed=self._pushed(run, workflow),
        )

    def _pushed(self, run: str, workflow: Workflow) -> Pushed | None:
        """The new version: its number from Pusher's summary, its folder from Pusher's arguments."""
        version = re.fullmatch(r"v(\d+)", self.last_line(run, "Pusher"))
        values = workflow.executor_input("Pusher").get("inputs", {}).get("parameterValues", {})
        if not version or "push_destination" not in values:
            return None
        folder = json.loads(values["push_destination"])["filesystem"]["base_directory"]
        return Pushed(version=int(version[1]), path=f"{folder}/{version[1]}")

    def _by_tasks_evaluation(self, run: str) -> str | None:
        tasks = self._page.json(f"/apis/v2beta1/runs/{run}", view="FULL").get("tasks", [])
        found = (
            artifact["uri"]
            for task in tasks
            if task["name"] == "Evaluator"
            for output in task.get("outputs", {}).get("artifacts", [])
            if output["artifact_key"] == "evaluation"
            for artifact in output["artifacts"]
        )
        return next(found, None)

    def _verdict(self, folder: str, namespace: str, session: str) -> Verdict | None:
        """The verdict, read by the page, which has the nodes' access; otherwise by this machine."""
        text = self._page.artifact(f"{folder}/{verdict.FILE}", namespace, session)
        if text:
            with contextlib.suppress(pydantic.ValidationError):  # the page's answer to a failed read
                return Verdict.model_validate_json(text)
        return read_verdict(folder)

    def log(self, run: str, node: str) -> Iterator[str]:
        """The log lines of every attempt, whether its pod still exists or not."""
        workflow = self._workflow(run)
        pods, told = workflow.pods(node), False
        for number, pod in enumerate(pods, 1):
            text = self._page.log(run, pod, workflow)
            if len(pods) > 1:
                yield f"==> {node}, attempt {number} of {len(pods)}: {pod.message or pod.phase.lower()} <=="
            if text is not None:
                told = True
                yield from text.splitlines()
        if not told:
            raise RunError(self._no_log(run, node, workflow))

    def last_line(self, run: str, node: str) -> str:
        """The summary line of a node; empty if its log is not available."""
        workflow = self._workflow(run)
        pods = workflow.pods(node)
        lines = (self._page.log(run, pods[-1], workflow) or "").splitlines() if pods else []
        told = (event.text for line in reversed(lines) if isinstance(event := progress.read(line), progress.Summary))
        return next(told, "")

    def _no_log(self, run: str, node: str, workflow: Workflow) -> str:
        task = workflow.task(node, datetime.datetime.now(datetime.UTC))
        if task.state == "cached":
            return f"{node} has no log: Kubeflow reused what an earlier run made"
        why = task.error or task.reason
        namespace = workflow.namespace or self._environment.namespace or "kubeflow"
        return (
            f"{self._environment.host} gives no log of {node}{f' ({why})' if why else ''}; it is at "
            f"{self._address(run)}, and while its pod is there: kubectl logs -n {namespace} -l pipeline/runid={run} "
            "-c main --prefix --tail=-1"
        )

    def _workflow(self, run: str) -> Workflow:
        """The Workflow as last read. It can be a megabyte, so it is kept."""
        return self._seen.get(run) or self._run(run)[1]

    def _run(self, run: str) -> tuple[dict[str, Any], Workflow]:
        """A run by the v1beta1 API, the only one that gives Argo's Workflow; both empty where that is refused."""
        try:
            found = self._page.json(f"/apis/v1beta1/runs/{run}")
        except kfp_server_api.ApiException as error:
            if error.status != 404:
                raise
            found = {}
        return found.get("run", {}), Workflow(found.get("pipeline_runtime", {}).get("workflow_manifest", ""))


def _seconds(start: str | None, end: str | None, now: datetime.datetime) -> float:
    """Elapsed seconds; the API reports unknown times as 1970."""
    begun, ended = (datetime.datetime.fromisoformat(each) if each else _UNKNOWN for each in (start, end))
    return max(0.0, ((ended if ended >= begun else now) - begun).total_seconds()) if begun > _UNKNOWN else 0.0
