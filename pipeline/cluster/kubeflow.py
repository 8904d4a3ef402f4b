"""Kubeflow Pipelines 2, through kfp's client."""

import contextlib
import dataclasses
import datetime
import functools
import json
import os
import posixpath
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kfp
import kfp_server_api
import pydantic
import urllib3
from google.api_core.exceptions import RetryError
from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

from components import verdict
from components.verdict import Verdict
from configs.cluster import Auth, Kubeflow
from configs.experiment import ConfigError
from pipeline.cluster import argo, backend
from pipeline.cluster.argo import Workflow
from pipeline.cluster.follow import SUBMIT_SECONDS, Outputs, Seen, Task, patience, read_verdict
from pipeline.cluster.page import Page
from pipeline.result import RunError

if TYPE_CHECKING:  # a run is looked at without TFX
    from pipeline.cluster.compile import Compiled

# Answers of a gateway whose server is busy or away; of 5xx the others are the server's own fault, and pass as well.
_TRANSIENT = (408, 429)
# By v1beta1, and by v2beta1.
_STATES = {
    "Succeeded": "succeeded", "Skipped": "succeeded", "Failed": "failed", "Error": "failed",
    "SUCCEEDED": "succeeded", "SKIPPED": "succeeded", "FAILED": "failed", "CANCELED": "stopped",
}  # fmt: skip
_TASKS = {"SUCCEEDED": "ran", "CACHED": "cached", "SKIPPED": "skipped", "FAILED": "failed"}
# What Argo says of a pod whose events say more, asked once it has waited so long.
_VAGUE, _ASK_SECONDS = ("", "PodInitializing", "ContainerCreating"), 60.0
# The API's times are of 1970 or of the year 1 where they are not known.
_UNKNOWN = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


class Service:
    """A Kubeflow as the environment describes it.

    Args:
      environment: where, and how it is told who asks.

    Raises:
      ConfigError: the environment names no host, or a variable that is not set.
    """

    def __init__(self, environment: Kubeflow) -> None:
        if environment.host is None:
            raise ConfigError(
                "host: is missing in the environment, so there is no Kubeflow to submit to; give the address of its "
                "API, or only write the YAML with tfx-bert compile"
            )
        self.environment, self.host = environment, environment.host.rstrip("/")
        self._access = _access(environment.auth)
        self._asked_of_pods: set[str] = set()  # runs

    @functools.cached_property
    def client(self) -> kfp.Client:
        """The client; asks for nothing where a namespace is given."""
        namespace = {"namespace": self.environment.namespace} if self.environment.namespace else {}
        return _Client(host=self.host, **namespace, **self._access)

    def submit(self, made: "Compiled", name: str, root: str) -> str:
        """See ``follow.Service``: before a second attempt the run of the first one is looked for."""
        with _written(made) as path:
            return str(patience(self, SUBMIT_SECONDS)(self._create)(path, name, root))

    def _create(self, path: str, name: str, root: str) -> str:
        if there := self.find(name):
            return there
        run = self.client.create_run_from_pipeline_package(
            path,
            run_name=name,
            experiment_name=self.environment.experiment,
            namespace=self.environment.namespace,
            pipeline_root=root,
            enable_caching=None,  # each task says so itself
            service_account=self.environment.service_account,
        )
        return str(run.run_id)

    def find(self, name: str) -> str | None:
        """See ``follow.Service``."""
        found = self.client.list_runs(namespace=self.environment.namespace, filter=_named(name)).runs
        return str(found[0].run_id) if found else None

    def address(self, run: str) -> str:
        """See ``follow.Service``."""
        return f"{self.host}/#/runs/details/{run}"

    def check(self, made: "Compiled") -> list[str]:
        """See ``follow.Service``."""
        try:
            healthz = self._page.json("/apis/v2beta1/healthz")
        except (kfp_server_api.ApiException, ValueError):  # a gateway may hide it
            healthz = {}
        return backend.check(made, self.environment, backend.server(healthz))

    def look(self, run: str) -> Seen:
        """See ``follow.Service``."""
        now = datetime.datetime.now(datetime.UTC)
        found, workflow = self._run(run)
        if not workflow:
            return self._by_tasks(run, now)
        state = _STATES.get(found.get("status", ""), "running")
        tasks = {node: workflow.task(node, now) for node in workflow.nodes}
        return Seen(
            state="stopped" if state == "failed" and workflow.stopped else state,  # type: ignore[arg-type]
            seconds=_seconds(found.get("created_at"), found.get("finished_at"), now),
            tasks={node: self._told(run, node, task, workflow) for node, task in tasks.items()},
            error=(found.get("error") or workflow.error) if state == "failed" else "",
            notice=self._unheld(run, workflow) if state == "running" else "",
        )

    def _by_tasks(self, run: str, now: datetime.datetime) -> Seen:
        """By Kubeflow's own tasks, which name neither reasons nor what waits: Argo has not begun, or is not told of."""
        found = self._page.json(f"/apis/v2beta1/runs/{run}", view="FULL")
        tasks = {
            task["name"]: Task(
                state=_TASKS.get(task.get("state", ""), "running"),  # type: ignore[arg-type]
                seconds=_seconds(task.get("create_time"), task.get("end_time"), now),
                error=task.get("status_metadata", {}).get("message", ""),
                log=self.address(run),
            )
            for task in found.get("tasks", [])
        }
        return Seen(
            state=_STATES.get(found.get("state", ""), "running"),  # type: ignore[arg-type]
            seconds=_seconds(found.get("created_at"), found.get("finished_at"), now),
            tasks=tasks,
            error=found.get("error", {}).get("message", ""),
        )

    def _told(self, run: str, node: str, task: Task, workflow: Workflow) -> Task:
        """With what Kubernetes says of a pod that waits: Argo knows that it waits, and seldom why."""
        if task.waits > _ASK_SECONDS and task.reason.partition(":")[0] in _VAGUE:
            pod = workflow.pods(node)[-1].name
            if events := self._page.text("/k8s/pod/events", podname=pod, podnamespace=workflow.namespace):
                warnings = [each for each in json.loads(events).get("items", []) if each.get("type") == "Warning"]
                if warnings:
                    task = dataclasses.replace(task, reason=f"{warnings[-1]['reason']}: {warnings[-1]['message']}")
        return dataclasses.replace(task, log=self.address(run))

    def _unheld(self, run: str, workflow: Workflow) -> str:
        """That a machine which is taken away ends the run, where machines may be and Argo does not hold their pods."""
        pods = [pod for node in workflow.nodes for pod in workflow.pods(node) if pod.phase == "Running"]
        spot = re.search("spot|preemptible", self.environment.model_dump_json(include={"pools"}), re.IGNORECASE)
        if not pods or not spot or run in self._asked_of_pods:
            return ""
        self._asked_of_pods.add(run)
        pod = self._page.text("/k8s/pod", podname=pods[0].name, podnamespace=workflow.namespace)
        if not pod or argo.FINALIZER in json.loads(pod).get("metadata", {}).get("finalizers", []):
            return ""
        return (
            "Argo does not retry a node whose pod is deleted with its machine; it would with "
            "ARGO_POD_STATUS_CAPTURE_FINALIZER=true on its controller. While this command follows, it submits again"
        )

    def outputs(self, run: str) -> Outputs:
        """See ``follow.Service``. Of what a run made the API names what its nodes were told to read and write."""
        _, workflow = self._run(run)
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
        return Outputs(
            evaluation=evaluation,
            verdict=self._verdict(evaluation, workflow.namespace, session) if evaluation else None,
            blessed=None if blessed is None else bool(blessed),
        )

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
        """As the page reads it, which has the access that the nodes have; else as this machine does."""
        text = self._page.artifact(f"{folder}/{verdict.FILE}", namespace, session)
        if text:
            with contextlib.suppress(pydantic.ValidationError):  # what the page says of a failure
                return Verdict.model_validate_json(text)
        return read_verdict(folder)

    def log(self, run: str, node: str) -> Iterator[str]:
        """See ``follow.Service``: every attempt's, of pods that are there and of those that are gone."""
        _, workflow = self._run(run)
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

    def _no_log(self, run: str, node: str, workflow: Workflow) -> str:
        task = workflow.task(node, datetime.datetime.now(datetime.UTC))
        if task.state == "cached":
            return f"{node} has no log: Kubeflow reused what an earlier run made"
        why = task.error or task.reason
        return (
            f"{self.host} gives no log of {node}{f' ({why})' if why else ''}; it is at {self.address(run)}, and while "
            f"its pod is there: kubectl logs -n {workflow.namespace or self.environment.namespace or 'kubeflow'} "
            f"-l pipeline/runid={run} -c main --prefix --tail=-1"
        )

    def stop(self, run: str) -> None:
        """See ``follow.Service``."""
        self.client.terminate_run(run)

    def recur(self, made: "Compiled", root: str, schedule: str) -> str:
        """See ``follow.Service``. The new one is made first: between the two there may be both, never none."""
        client, environment = self.client, self.environment
        folder = client.create_experiment(environment.experiment, namespace=environment.namespace).experiment_id
        with _written(made) as path:
            earlier = client.list_recurring_runs(experiment_id=folder, filter=_named(made.name), page_size=100)
            # Kubeflow's schedules begin with seconds.
            cron = f"0 {schedule}" if len(schedule.split()) == 5 else schedule
            created = client.create_recurring_run(
                experiment_id=folder,
                job_name=made.name,
                cron_expression=cron,
                no_catchup=True,
                pipeline_package_path=path,
                pipeline_root=root,
                enable_caching=None,
                service_account=environment.service_account,
            )
        for each in earlier.recurring_runs or []:
            client.delete_recurring_run(each.recurring_run_id)
        return f"{self.host}/#/recurringrun/details/{created.recurring_run_id}"

    def transient(self, error: Exception) -> bool:
        """See ``follow.Service``."""
        if isinstance(error, kfp_server_api.ApiException):
            return error.status in _TRANSIENT or (error.status or 0) >= 500
        return isinstance(error, urllib3.exceptions.HTTPError)

    def explain(self, error: Exception) -> Exception | None:
        """See ``follow.Service``."""
        if isinstance(error, RetryError):
            error = error.cause
        if isinstance(error, urllib3.exceptions.HTTPError):
            why = getattr(error, "reason", None) or error
            return RunError(f"{self.host} cannot be reached ({why}); check host: in the environment, and the network")
        if isinstance(error, OSError) and self.environment.auth.in_cluster:
            return ConfigError(
                f"auth.in_cluster: there is no token at {error.filename}; mount a projected service account token with "
                "the audience pipelines.kubeflow.org, or set another key"
            )
        if not isinstance(error, kfp_server_api.ApiException):
            return None
        if error.status in (401, 403) or 300 <= (error.status or 0) < 400:
            return ConfigError(self._refused(error))
        return RunError(f"{self.host} refused the request: {_message(error)} ({error.status})")

    def _refused(self, error: kfp_server_api.ApiException) -> str:
        auth, status = self.environment.auth, error.status
        asked = {
            401: "does not know who asks",
            403: f"does not let this user do so, {_message(error)}",
        }.get(status, f"answers with the login page {(error.headers or {}).get('Location', '')}")
        if given := next((key for key, value in auth if value), None):
            return (
                f"{self.host} {asked} ({status}): auth.{given} is set in the environment ({getattr(auth, given)}), but "
                "what it stands for has expired or has no access; renew it, or set another key of auth"
            )
        return (
            f"{self.host} {asked} ({status}): set auth.token in the environment, to the name of a variable that holds "
            "a bearer token, or auth.cookie, auth.iap_client_id, or auth.in_cluster"
        )

    def _run(self, run: str) -> tuple[dict[str, Any], Workflow]:
        """A run by the v1beta1 API, the only one that gives Argo's Workflow; both empty where that is refused."""
        try:
            found = self._page.json(f"/apis/v1beta1/runs/{run}")
        except kfp_server_api.ApiException as error:
            if error.status != 404:
                raise
            found = {}
        return found.get("run", {}), Workflow(found.get("pipeline_runtime", {}).get("workflow_manifest", ""))

    @functools.cached_property
    def _page(self) -> Page:
        return Page(self.client.runs.api_client)


class _Client(kfp.Client):
    """kfp's client asks a host five times that refuses a token, and takes the login page behind a redirect for JSON."""

    def _load_config(self, *arguments: Any, **named: Any) -> Any:
        config = super()._load_config(*arguments, **named)
        config.retries = urllib3.Retry(total=None, connect=2, read=0, redirect=0, status=0, raise_on_redirect=False)
        return config

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:  # noqa: ARG002 (kfp's signature)
        return self._healthz_api.healthz_service_get_healthz()


@contextlib.contextmanager
def _written(made: "Compiled") -> Iterator[str]:
    """The YAML as a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(made.text, "utf-8")
        yield str(path)


def _access(auth: Auth) -> dict[str, Any]:
    """Arguments of the client."""
    if auth.in_cluster:
        return {"credentials": ServiceAccountTokenVolumeCredentials()}
    if auth.iap_client_id:
        return {"client_id": auth.iap_client_id}
    for key, argument, variable in (("token", "existing_token", auth.token), ("cookie", "cookies", auth.cookie)):
        if variable:
            if not os.environ.get(variable):
                raise ConfigError(f"auth.{key}: names the variable {variable}, which is not set; export {variable}=…")
            return {argument: os.environ[variable]}
    return {}


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _seconds(start: str | None, end: str | None, now: datetime.datetime) -> float:
    """Between two times of the API, which are long ago where they are not known yet."""
    begun, ended = (datetime.datetime.fromisoformat(each) if each else _UNKNOWN for each in (start, end))
    return max(0.0, ((ended if ended >= begun else now) - begun).total_seconds()) if begun > _UNKNOWN else 0.0


def _message(error: kfp_server_api.ApiException) -> str:
    """What the server says; it speaks JSON, a gateway before it may not."""
    with contextlib.suppress(ValueError, TypeError):
        body = json.loads(error.body)
        if isinstance(body, dict) and (told := body.get("message") or body.get("error")):
            return str(told).splitlines()[0]
    return str(error.reason or "no reason given")
