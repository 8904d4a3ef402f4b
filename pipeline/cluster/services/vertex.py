"""Vertex AI Pipelines, through Google's client."""

import contextlib
import datetime
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google.auth
import requests
from google.api_core import exceptions, retry
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import aiplatform, aiplatform_v1
from typing_extensions import override

from configs.base import ConfigError
from configs.clusters.vertex import Vertex
from pipeline.cluster import follow
from pipeline.cluster.follow import SUBMIT_SECONDS, Outputs, RunState, Task, patience, read_verdict
from pipeline.run.result import Pushed, RunError

if TYPE_CHECKING:  # a run is looked at without TFX
    from pipeline.cluster.compile import Compiled

_CONSOLE = "https://console.cloud.google.com"
_LOGGING = "https://logging.googleapis.com/v2/entries:list"
# Vertex calls a cache hit skipped, and skipped not triggered.
_TASKS = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "ran",
    "SKIPPED": "cached",
    "NOT_TRIGGERED": "skipped",
    "CANCEL_PENDING": "running",
    "CANCELLING": "running",
    "CANCELLED": "failed",
    "FAILED": "failed",
}
_STATES = {"SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELLED": "stopped"}
_TIMEOUT = 60.0  # seconds to answer


class Service(follow.Service):
    """Vertex in the environment's project and region.

    Args:
      environment: where.
    """

    def __init__(self, environment: Vertex) -> None:
        self.environment = environment
        self.parent = f"projects/{environment.project}/locations/{environment.region}"

    @functools.cached_property
    def jobs(self) -> aiplatform_v1.PipelineServiceClient:
        """The client that looks at jobs."""
        endpoint = f"{self.environment.region}-aiplatform.googleapis.com"
        return aiplatform_v1.PipelineServiceClient(client_options={"api_endpoint": endpoint})

    @override
    def check(self, made: "Compiled") -> list[str]:
        return []

    @override
    def submit(self, made: "Compiled", name: str, root: str) -> str:
        """See ``follow.Service``: the id is ours, so that Vertex itself refuses a second one."""
        with self._job(made, name, root) as job:
            patience(self, SUBMIT_SECONDS)(self._create)(job)
        return name

    def _create(self, job: aiplatform.PipelineJob) -> None:
        with contextlib.suppress(exceptions.AlreadyExists):  # the answer to an earlier attempt was lost
            job.submit(service_account=self.environment.service_account, network=self.environment.network)

    @override
    def find(self, name: str) -> str | None:
        try:
            self._get(name)
        except exceptions.NotFound:
            return None
        return name

    @override
    def address(self, run: str) -> str:
        place = f"locations/{self.environment.region}/pipelines/runs/{run}"
        return f"{_CONSOLE}/vertex-ai/{place}?project={self.environment.project}"

    @override
    def look(self, run: str) -> RunState:
        job = self._get(run)
        now = datetime.datetime.now(datetime.UTC)
        return RunState(
            state=_STATES.get(job.state.name.removeprefix("PIPELINE_STATE_"), "running"),  # type: ignore[arg-type]
            seconds=_seconds(job.create_time, job.end_time, now),
            tasks={each.task_name: self._task(each, now) for each in job.job_detail.task_details},
            error=job.error.message,
        )

    @override
    def outputs(self, run: str) -> Outputs:
        nodes = {each.task_name: each.outputs for each in self._get(run).job_detail.task_details}

        def one(node: str, output: str) -> tuple[str | None, dict[str, Any]]:
            found = nodes[node][output].artifacts if node in nodes and output in nodes[node] else []
            return (found[0].uri, dict(found[0].metadata or {})) if found else (None, {})

        evaluation, _ = one("Evaluator", "evaluation")
        blessed = one("Evaluator", "blessing")[1].get("blessed")
        baseline = one("Baseline", "baseline")[1].get("version")
        pushed = one("Pusher", "pushed_model")[1]
        return Outputs(
            evaluation=evaluation,
            verdict=read_verdict(evaluation) if evaluation else None,
            blessed=None if blessed is None else bool(blessed),
            baseline=int(baseline) if baseline else None,
            pushed=Pushed(version=int(pushed["pushed_version"]), path=pushed["pushed_destination"])
            if pushed.get("pushed") and pushed.get("is_new")
            else None,
        )

    @override
    def last_line(self, run: str, node: str) -> str:
        return ""

    @override
    def log(self, run: str, node: str) -> Iterator[str]:
        """See ``follow.Service``: what Cloud Logging kept of the node's last attempt."""
        job = next((_job_of(each) for each in self._get(run).job_detail.task_details if each.task_name == node), "")
        if not job:
            raise RunError(
                f"{node} ran in no container of its own, so it has no log; the run is at {self.address(run)}"
            )
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
        body: dict[str, Any] = {
            "resourceNames": [f"projects/{self.environment.project}"],
            "filter": f'resource.type="ml_job" AND resource.labels.job_id="{job}"',
            "orderBy": "timestamp asc",
            "pageSize": 1000,
        }
        while True:
            answer = session.post(_LOGGING, json=body, timeout=_TIMEOUT)
            answer.raise_for_status()
            page = answer.json()
            for entry in page.get("entries", []):
                yield str(entry.get("textPayload") or entry.get("jsonPayload", {}).get("message", ""))
            if not page.get("nextPageToken"):
                return
            body["pageToken"] = page["nextPageToken"]

    @override
    def stop(self, run: str) -> None:
        self.jobs.cancel_pipeline_job(name=f"{self.parent}/pipelineJobs/{run}", timeout=_TIMEOUT)

    @override
    def recur(self, made: "Compiled", root: str, schedule: str) -> str:
        """See ``follow.Service``. The new one is made first: between the two there may be both, never none."""
        environment = self.environment
        with self._job(made, None, root) as job:
            earlier = aiplatform.PipelineJobSchedule.list(
                filter=f'display_name="{made.name}"', project=environment.project, location=environment.region
            )
            created = job.create_schedule(
                schedule,
                made.name,
                service_account=environment.service_account,
                network=environment.network,
            )
        for each in earlier:
            each.delete()
        number = created.resource_name.rpartition("/")[2]
        return (
            f"{_CONSOLE}/vertex-ai/locations/{environment.region}/pipelines/schedules/{number}"
            f"?project={environment.project}"
        )

    @override
    def transient(self, error: Exception) -> bool:
        late = (exceptions.DeadlineExceeded, exceptions.GatewayTimeout, exceptions.BadGateway, exceptions.Aborted)
        return retry.if_transient_error(error) or isinstance(error, late)

    @override
    def explain(self, error: Exception) -> Exception | None:
        if isinstance(error, exceptions.RetryError):
            error = error.cause
        place = f"Vertex in {self.environment.project}, {self.environment.region}"
        login = "log in with gcloud auth application-default login, or name a key in GOOGLE_APPLICATION_CREDENTIALS"
        if isinstance(error, GoogleAuthError) or getattr(error, "code", None) == 401:
            return ConfigError(f"{place} does not know who asks ({_first(error)}); {login}")
        if isinstance(error, exceptions.Forbidden):
            return ConfigError(
                f"{place} does not let this user do so ({_first(error)}); it takes the role roles/aiplatform.user, and "
                f"roles/iam.serviceAccountUser on {self.environment.service_account or 'the default service account'}"
            )
        if isinstance(error, exceptions.ServiceUnavailable | requests.exceptions.ConnectionError):
            return RunError(
                f"{place} cannot be reached ({_first(error)}); check region: in the environment, the network"
            )
        if isinstance(error, exceptions.GoogleAPICallError | requests.exceptions.RequestException):
            return RunError(f"{place} refused the request: {_first(error)}")
        return None

    def _get(self, run: str) -> aiplatform_v1.PipelineJob:
        return self.jobs.get_pipeline_job(name=f"{self.parent}/pipelineJobs/{run}", timeout=_TIMEOUT)

    @contextlib.contextmanager
    def _job(self, made: "Compiled", name: str | None, root: str) -> Iterator[aiplatform.PipelineJob]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pipeline.yaml"
            path.write_text(made.text, "utf-8")
            yield aiplatform.PipelineJob(
                display_name=made.name,
                template_path=str(path),
                job_id=name,
                pipeline_root=root,
                enable_caching=None,  # each task says so itself
                encryption_spec_key_name=self.environment.encryption_key,
                labels=self.environment.labels or None,
                project=self.environment.project,
                location=self.environment.region,
            )

    def _task(self, task: Any, now: datetime.datetime) -> Task:
        job = _job_of(task)
        query = f"logs/query;query=resource.labels.job_id%3D%22{job}%22?project={self.environment.project}"
        return Task(
            state=_TASKS.get(task.state.name, "pending"),  # type: ignore[arg-type]
            seconds=_seconds(task.start_time or task.create_time, task.end_time, now),
            error=task.error.message,
            log=f"{_CONSOLE}/{query}" if job else "",
        )


def _job_of(task: Any) -> str:
    """The number of the job that ran a node's container."""
    detail = task.executor_detail
    return str(detail.container_detail.main_job or detail.custom_job_detail.job).rpartition("/")[2]


def _seconds(start: Any, end: Any, now: datetime.datetime) -> float:
    """Between two times, each a datetime or None; until now where the second one is not known yet."""
    return max(0.0, ((end or now) - start).total_seconds()) if start else 0.0


def _first(error: Exception) -> str:
    lines = str(getattr(error, "message", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
