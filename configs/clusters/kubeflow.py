"""Kubeflow Pipelines as the place where an experiment runs."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import override

from configs.base import Section
from configs.clusters.cluster import Cluster
from configs.clusters.kubernetes import (
    INT32,
    Mount,
    Namespace,
    ObjectName,
    PodLabels,
    SecretKey,
    VolumeName,
    free_variable,
    object_name,
    volume_name,
)
from configs.clusters.pools import Pool
from configs.yaml.document import Key


def _service_account(name: str) -> str:
    if "@" in name:
        raise ValueError(
            f"takes the name of a Kubernetes service account, received {name!r}; "
            "Workload Identity binds it to one of Google Cloud's"
        )
    return object_name(name)


def _host(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:/_\[\]-]+", name):
        raise ValueError(
            f"takes a host, a domain such as .example.org, or a network such as 10.0.0.0/8; received {name!r}"
        )
    return name


def _variable(name: str) -> str:
    # Whoever writes the secret itself here is not to find it in a log.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name):
        raise ValueError("takes the name of an environment variable, such as KFP_TOKEN; never the secret itself")
    return name


Variable = Annotated[str, AfterValidator(_variable)]
PodVariable = Annotated[Variable, AfterValidator(free_variable)]
Host = Annotated[str, AfterValidator(_host)]
ServiceAccount = Annotated[str, AfterValidator(_service_account)]


class Secret(Section):
    """A Kubernetes secret by name: keys as environment variables, or all of it as files."""

    name: ObjectName
    env: dict[SecretKey, PodVariable] = {}  # key in the secret → variable
    mount: Mount | None = None

    @model_validator(mode="after")
    def _used(self) -> Self:
        if not self.env and not self.mount:
            raise ValueError("no node would see it: give env: {KEY: VARIABLE}, or mount: /folder")
        return self


class Volume(Section):
    """A PersistentVolumeClaim by name, mounted into every node."""

    claim: VolumeName
    mount: Mount


class Auth(Section):
    """How Kubeflow is told who asks. Secrets are named, never written: ``token: KFP_TOKEN`` is a variable's name.

    Attributes:
      token: variable that holds a bearer token.
      cookie: variable that holds a session cookie, such as Dex's ``authservice_session=…``.
      iap_client_id: OAuth client of Google's Identity-Aware Proxy.
      in_cluster: the service account's token that Kubernetes projects into a pod.
    """

    token: Variable | None = None
    cookie: Variable | None = None
    iap_client_id: str | None = None
    in_cluster: bool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name, value in self if value]
        if len(given) > 1:
            raise ValueError(f"there is one way to say who asks; received {' and '.join(given)}")
        return self


class Kubeflow(Cluster):
    """Kubeflow Pipelines 2.

    Attributes:
      kind: ``kubeflow``.
      host: its API; without it an experiment compiles, and is not submitted.
      namespace: of the run, where there are several.
      auth: how it is told who asks.
      experiment: Kubeflow's folder of runs.
      pools: Kubernetes nodes by name.
      labels: of every pod.
      secrets, volumes: by name, for every node.
      no_proxy: hosts that the nodes ask directly where a secret sets a proxy, beside those of the cluster.
      image_pull_secrets: by name.
      image_pull_policy: of every node.
      timeout_seconds: of one node, its retries not counted.
      pending_seconds: how long a pod may wait for a machine while somebody follows; then the run is stopped.
    """

    kind: Literal["kubeflow"]
    host: Annotated[str, Field(pattern=r"^https?://")] | None = None
    namespace: Namespace | None = None
    service_account: ServiceAccount | None = None
    auth: Auth = Auth()
    experiment: Annotated[str, Field(min_length=1, max_length=128)] = "tfx-bert"  # apiserver/validation/length.go
    pools: Mapping[str, Pool] = {}
    labels: PodLabels = {}
    secrets: list[Secret] = []
    volumes: list[Volume] = []
    no_proxy: list[Host] = []
    image_pull_secrets: list[ObjectName] = []
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    timeout_seconds: Annotated[int, Field(ge=60, le=INT32)] | None = None
    pending_seconds: Annotated[int, Field(ge=60, le=INT32)] = 21600

    @property
    def mounted(self) -> tuple[str, ...]:
        """The volumes' folders."""
        return tuple(volume.mount.rstrip("/") + "/" for volume in self.volumes)

    @property
    def proxied(self) -> bool:
        """Whether a secret tells the nodes to ask through a proxy."""
        variables = {variable.upper() for secret in self.secrets for variable in secret.env.values()}
        return not variables.isdisjoint(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"))

    @override
    def contradictions(self) -> Iterator[tuple[tuple[Key, ...], str]]:
        yield from super().contradictions()
        stores = ("gs://", "s3://", "minio://")
        if not self.pipeline_root.startswith(stores):
            yield ("pipeline_root",), f"Kubeflow takes gs://, s3:// or minio://, received {self.pipeline_root!r}"
        if self.workspace and "://" in self.workspace and not self.workspace.startswith(stores):
            yield ("workspace",), f"takes gs://, s3://, minio:// or a folder on a volume, received {self.workspace!r}"
        elif self.workspace and "://" not in self.workspace and not f"{self.workspace}/".startswith(self.mounted):
            cure = "give a gs://, s3:// or minio:// address, or a folder on one of the volumes"
            yield ("workspace",), f"no volume is mounted at {self.workspace}; {cure}"
        yield from self._mounted()

    def _mounted(self) -> Iterator[tuple[tuple[Key, ...], str]]:
        """What a pod can have once only; Kubeflow names a volume as what it holds."""
        named: list[tuple[str, tuple[Key, ...], str]] = []
        for number, volume in enumerate(self.volumes):
            named += [("volume", ("volumes", number, "claim"), volume.claim)]
            named += [("mount", ("volumes", number, "mount"), volume.mount)]
        for number, secret in enumerate(self.secrets):
            named += [("variable", ("secrets", number, "env", key), name) for key, name in secret.env.items()]
            if secret.mount:
                named += [("volume", ("secrets", number, "name"), secret.name)]
                named += [("mount", ("secrets", number, "mount"), secret.mount)]
        times = Counter((what, name) for what, _, name in named)
        for what, place, name in named:
            if times[what, name] > 1:
                yield place, f"there are {times[what, name]} of the {what} {name!r} in each pod; give it once"
            elif what == "volume":
                try:
                    volume_name(name)
                except ValueError as error:
                    yield place, f"what is mounted gives its volume the name: {error}"
