"""What Kubeflow gives beside kfp's own client: newer and older APIs, logs, pods, and files in a bucket.

The page's server (frontend/server) reads pods and buckets with its own access. Where ``host`` is the API itself, which
has no page, the API's own paths give the logs.
"""

import base64
import contextlib
import json
from typing import Any

import kfp_server_api

from pipeline.cluster.services.argo import Pod, Workflow
from pipeline.run.result import RunError

# Seconds to connect, and to answer: kfp itself waits for ever.
TIMEOUT = (10, 60)
# The page's names of object stores.
_SOURCES = {"gs": "gcs"}


class Page:
    """Kubeflow's HTTP interfaces.

    Args:
      client: that knows the host, and how it is told who asks.
    """

    def __init__(self, client: kfp_server_api.ApiClient) -> None:
        self._client = client

    def json(self, path: str, **query: str) -> dict[str, Any]:
        """The API's answer as JSON. kfp's classes lack v1beta1 and the fields of newer servers.

        Raises:
          ApiException: it refuses.
          RunError: something else answers.
        """
        try:
            found: dict[str, Any] = json.loads(self._get(path, query).data)
        except ValueError:
            host = self._client.configuration.host
            raise RunError(
                f"{host}{path} answers with something else than Kubeflow's API does; check host: in the environment, "
                "and what stands before it"
            ) from None
        return found

    def known(self, path: str, **query: str) -> dict[str, Any]:
        """The page's answer as JSON; empty if there is none."""
        with contextlib.suppress(ValueError):
            found: dict[str, Any] = json.loads(self.text(path, **query) or "{}")
            return found
        return {}

    def text(self, path: str, **query: str) -> str | None:
        """The answer's text; None if it is refused, or is the HTML page that answers unknown paths."""
        with contextlib.suppress(kfp_server_api.ApiException):
            answer = self._get(path, query)
            if "text/html" not in answer.headers.get("Content-Type", ""):
                return str(answer.data.decode("utf-8", "replace"))
        return None

    def artifact(self, address: str, namespace: str, session: str = "") -> str | None:
        """A file in a bucket.

        Args:
          address: with its scheme.
          namespace: of the run.
          session: how the nodes got at the bucket, from an artifact's metadata, where the page's own access is another.
        """
        scheme, _, rest = address.partition("://")
        bucket, _, key = rest.partition("/")
        query = {"source": _SOURCES.get(scheme, scheme), "bucket": bucket, "key": key, "namespace": namespace}
        found = self.text("/artifacts/get", **query)
        return self.text("/artifacts/get", **query, providerInfo=session) if found is None and session else found

    def log(self, run: str, pod: Pod, workflow: Workflow) -> str | None:
        """The log of a pod: from Kubernetes while the pod exists, from the bucket afterwards."""
        found = self.text(
            "/k8s/pod/logs",
            podname=pod.name,
            runid=run,
            podnamespace=workflow.namespace,
            createdat=workflow.created[:10],
        )
        if found is None:
            found = self.text(f"/apis/v1alpha1/runs/{run}/nodes/{pod.name}/log")
        return self._kept(run, pod, workflow) if found is None and pod.log else found

    def _kept(self, run: str, pod: Pod, workflow: Workflow) -> str | None:
        repository = workflow.repository
        scheme, store = ("gs", repository["gcs"]) if "gcs" in repository else ("minio", repository.get("s3", {}))
        found = self.artifact(f"{scheme}://{store.get('bucket', '')}/{pod.log}", workflow.namespace)
        if found is None:
            with contextlib.suppress(kfp_server_api.ApiException, RunError):
                answer = self.json(f"/apis/v1beta1/runs/{run}/nodes/{pod.id}/artifacts/main-logs:read")
                found = base64.b64decode(answer["data"]).decode("utf-8", "replace")
        return found

    def _get(self, path: str, query: dict[str, str]) -> Any:
        given = [(name, value) for name, value in query.items() if value]
        return self._client.call_api(
            path, "GET", query_params=given, auth_settings=["Bearer"], _preload_content=False,
            _return_http_data_only=True, _request_timeout=TIMEOUT,
        )  # fmt: skip
