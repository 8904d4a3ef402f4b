"""Kubeflow Pipelines 2, through kfp's client."""

import contextlib
import functools
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kfp
import kfp_server_api
import urllib3
from google.api_core.exceptions import RetryError
from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials
from typing_extensions import override

from configs.base import ConfigError
from configs.clusters.kubeflow import Auth, Kubeflow
from pipeline.cluster import follow
from pipeline.cluster.follow import SUBMIT_SECONDS, Outputs, RunState, patience
from pipeline.cluster.services import backend
from pipeline.cluster.services.page import Page
from pipeline.cluster.services.runs import Runs
from pipeline.run.result import RunError

if TYPE_CHECKING:  # a run is looked at without TFX
    from pipeline.cluster.compile import Compiled

# A gateway's answers for a busy or absent server. Other 5xx errors are the server's own and transient, too.
_TRANSIENT = (408, 429)


class Service(follow.Service):
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

    @functools.cached_property
    def client(self) -> kfp.Client:
        """The client; asks for nothing where a namespace is given."""
        namespace = {"namespace": self.environment.namespace} if self.environment.namespace else {}
        return _Client(host=self.host, **namespace, **self._access)

    @override
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

    @override
    def find(self, name: str) -> str | None:
        found = self.client.list_runs(namespace=self.environment.namespace, filter=_named(name)).runs
        return str(found[0].run_id) if found else None

    @override
    def address(self, run: str) -> str:
        return f"{self.host}/#/runs/details/{run}"

    @override
    def check(self, made: "Compiled") -> list[str]:
        try:
            healthz = self._page.json("/apis/v2beta1/healthz")
        except (kfp_server_api.ApiException, RunError):  # a gateway may hide it
            healthz = {}
        return backend.check(made, self.environment, backend.server(healthz))

    @override
    def look(self, run: str) -> RunState:
        return self._runs.look(run)

    @override
    def outputs(self, run: str) -> Outputs:
        return self._runs.outputs(run)

    @override
    def last_line(self, run: str, node: str) -> str:
        return self._runs.last_line(run, node)

    @override
    def log(self, run: str, node: str) -> Iterator[str]:
        return self._runs.log(run, node)

    @override
    def stop(self, run: str) -> None:
        self.client.terminate_run(run)

    @override
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

    @override
    def transient(self, error: Exception) -> bool:
        if isinstance(error, kfp_server_api.ApiException):
            return error.status in _TRANSIENT or (error.status or 0) >= 500
        return isinstance(error, urllib3.exceptions.HTTPError)

    @override
    def explain(self, error: Exception) -> Exception | None:
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

    @functools.cached_property
    def _page(self) -> Page:
        return Page(self.client.runs.api_client)

    @functools.cached_property
    def _runs(self) -> Runs:
        return Runs(self._page, self.environment, self.address)


class _Client(kfp.Client):
    """kfp's client without its faults: it retries a refused token five times and parses a login page as JSON."""

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


def _message(error: kfp_server_api.ApiException) -> str:
    """The server's message. The server answers JSON; a gateway in front of it may not."""
    with contextlib.suppress(ValueError, TypeError):
        body = json.loads(error.body)
        if isinstance(body, dict) and (told := body.get("message") or body.get("error")):
            return str(told).splitlines()[0]
    return str(error.reason or "no reason given")
