"""Where an experiment runs when it is not this machine: Kubeflow Pipelines or Vertex AI."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import override

from configs.clusters.kubernetes import (
    INT32,
    Labels,
    Mount,
    Namespace,
    ObjectName,
    PodLabels,
    Seconds,
    SecretKey,
    VolumeName,
    free_variable,
    object_name,
    volume_name,
)
from configs.clusters.pools import Gpu, Machine, Pool, VertexPool
from configs.clusters.schedule import fault
from configs.experiment import Name, Section
from configs.yaml.document import Key
from configs.yaml.validate import nearest, one_of

# Every node that a pipeline of ours may have; tests hold it against pipeline.create_pipeline.
NODES = (
    "Checkpoint",
    "Digest",
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "DataGate",
    "CorpusDigest",
    "CorpusExampleGen",
    "CorpusStatisticsGen",
    "CorpusSchemaGen",
    "CorpusExampleValidator",
    "CorpusDataGate",
    "VocabularyGen",
    "CorpusTransform",
    "Transform",
    "Pretrainer",
    "Tuner",
    "Trainer",
    "BaselineVersion",
    "Baseline",
    "Evaluator",
    "ServingValidator",
    "ScoreDigest",
    "ScoreExampleGen",
    "BulkInferrer",
    "Pusher",
    "VertexPusher",
)
TRAINERS = ("Pretrainer", "Tuner", "Trainer")
_ON_WORKERS = ("Pretrainer", "Trainer")
# No container where the platform imports by itself (``Cluster.has_importer``): a pool for it means nothing.
_IMPORTED = "Checkpoint"

# Google Cloud, "Requirements for labels".
_CLOUD_LABEL = re.compile(r"[a-z0-9_-]{0,63}")
_CLOUD_LABELS = 64
# Argo Workflows starts no attempt later than so long after the first one began; long, so that a training that ran for
# days is tried again too.
LAST_ATTEMPT = 30 * 86_400  # seconds


# S3's names and Google's, then what is in no pattern and no query.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^?*\[\]#@\s]*)?$")


def _address(value: str) -> str:
    if "://" not in value and not value.startswith("/"):
        raise ValueError(
            f"takes an address such as gs://bucket/runs, or an absolute path on a volume; received {value!r}"
        )
    scheme, found, rest = value.partition("://")
    if found and not _BUCKET.match(rest):
        # Whoever writes keys here is not to find them in a log.
        raise ValueError(
            f"takes {scheme}://BUCKET/FOLDER: a bucket of lower-case letters, digits, -, _ and ., and no keys, options "
            "or globs; keys and endpoints are variables (AWS_…), which secrets: sets"
        )
    return value.rstrip("/")


def _image(value: str) -> str:
    if not value or "://" in value or re.search(r"\s", value):
        raise ValueError(f"takes a container image such as registry.example.org/tfx-bert:1.0, received {value!r}")
    return value


def _cloud_label(value: str) -> str:
    if not _CLOUD_LABEL.fullmatch(value):
        raise ValueError(f"takes lower-case letters, digits, - and _, at most 63; received {value!r}")
    return value


def _cloud_key(key: str) -> str:
    if not re.match("[a-z]", _cloud_label(key)):
        raise ValueError(f"takes a label's key, a lower-case letter first; received {key!r}")
    if key == "vertex-ai-pipelines-run-billing-id":  # google.cloud.aiplatform_v1.PipelineJob.labels
        raise ValueError("is a label that Vertex writes; leave it out")
    return key


def _cloud_labels(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > _CLOUD_LABELS:
        raise ValueError(f"takes at most {_CLOUD_LABELS} labels, received {len(labels)}")
    return labels


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


def _beam_option(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z]\w*", name) or name == "runner":
        takes = (
            "stands beside options, not in them" if name == "runner" else "takes a flag without dashes, such as region"
        )
        raise ValueError(f"{takes}; received {name!r}")
    return name


Address = Annotated[str, AfterValidator(_address)]
Image = Annotated[str, AfterValidator(_image)]
BeamOption = Annotated[str, AfterValidator(_beam_option)]
Variable = Annotated[str, AfterValidator(_variable)]
PodVariable = Annotated[Variable, AfterValidator(free_variable)]
Host = Annotated[str, AfterValidator(_host)]
ServiceAccount = Annotated[str, AfterValidator(_service_account)]
CloudLabels = Annotated[
    dict[Annotated[str, AfterValidator(_cloud_key)], Annotated[str, AfterValidator(_cloud_label)]],
    AfterValidator(_cloud_labels),
]


class Retries(Section):
    """How often a node that failed is tried again, and how long after.

    Attributes:
      count: attempts after the first.
      backoff_seconds: before the second attempt.
      factor: what the wait grows by from attempt to attempt; whole, because Argo Workflows reads no other.
    """

    count: Annotated[int, Field(ge=0, le=10)] = 2
    backoff_seconds: Seconds = 30
    factor: Annotated[int, Field(ge=1, le=INT32)] = 2

    @model_validator(mode="after")
    def _soon(self) -> Self:
        last = self.backoff_seconds * self.factor ** max(self.count - 1, 0)
        if self.count and last > LAST_ATTEMPT:
            raise ValueError(f"attempt {self.count + 1} would wait for {last:,} seconds, the most is {LAST_ATTEMPT:,}")
        return self


class Beam(Section):
    """The runner of the data nodes.

    Attributes:
      runner: ``DirectRunner`` works inside the node's own container; ``DataflowRunner``, of Vertex only, needs the
        options ``temp_location`` and ``sdk_container_image``, the image of the target ``dataflow``.
      options: further flags, without dashes: ``{region: europe-west4}``.
    """

    runner: Literal["DirectRunner", "DataflowRunner"] = "DirectRunner"
    options: dict[BeamOption, str | int | float | bool] = {}


class Recorded(Section):
    """What every environment has.

    Attributes:
      runs: the folder of this machine with all that is known of the runs, ``<runs>/<experiment>/``.
    """

    runs: str = "runs"

    def folder(self, experiment: str) -> Path:
        """Everything of an experiment on this machine, absolute."""
        return Path(self.runs).absolute() / experiment


class Cluster(Recorded):
    """What Kubeflow and Vertex share.

    Attributes:
      image: with our packages in it; by digest, so that what is cached was made by this very code.
      pipeline_root: where artifacts go.
      workspace: where what outlives a run goes: imported files, checkpoints, pushed models. An address, or a folder
        on a volume; ``pipeline_root`` where left out.
      service_account: that the nodes run as.
      pools: machines by name.
      nodes: pool by node; ``default`` for those that are not named.
      caching: whether a node whose inputs, settings and image are unchanged is reused.
      retries: of every node.
      checkpoint_seconds: at least this long between two checkpoints of a training.
      beam: the runner of the data nodes.
      labels: of the run.
      schedule: a cron expression; the run recurs. On Kubeflow a second may come first, on Vertex ``TZ=Asia/Seoul``.
    """

    kind: Literal["kubeflow", "vertex"]
    image: Image
    pipeline_root: Address
    workspace: Address | None = None
    service_account: str | None = None
    pools: Mapping[str, Machine] = {}
    nodes: dict[str, str] = {}
    caching: bool = True
    retries: Retries = Retries()
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 600.0
    beam: Beam = Beam()
    labels: Labels = {}
    schedule: str | None = None

    def machine(self, node: str) -> tuple[str, Machine] | None:
        """The pool of a node, and its name; None where the platform decides."""
        name = self.nodes.get(node, self.nodes.get("default"))
        return (name, self.pools[name]) if name else None

    @property
    def has_importer(self) -> bool:
        """Whether the platform's own importer reads a checkpoint in the workspace; else a node of ours copies it."""
        return self.home("").startswith("gs://")

    @property
    def mounted(self) -> tuple[str, ...]:
        """Folders that every node has beside its own: nothing below them is copied before a run."""
        return ()

    @property
    def beam_options(self) -> dict[str, str | int | float | bool]:
        """What the data nodes tell Beam."""
        if self.beam.runner == "DirectRunner":
            return {"runner": self.beam.runner, "direct_running_mode": "in_memory", **self.beam.options}
        return {"runner": self.beam.runner, **self.beam.options}

    @property
    def beam_pipeline_args(self) -> list[str]:
        """The same as flags."""
        return [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in self.beam_options.items()
            if value is not False
        ]

    def home(self, experiment: str) -> str:
        """Everything of an experiment that outlives a run, as the nodes see it."""
        return f"{self.workspace or self.pipeline_root}/{experiment}"

    def seen(self, path: Path, experiment: str) -> str:
        """What the nodes call a file in ``folder``."""
        return f"{self.home(experiment)}/{path.relative_to(self.folder(experiment)).as_posix()}"

    def pushed(self, experiment: str) -> str:
        """The versions that an experiment pushed."""
        return f"{self.home(experiment)}/serving_model/{experiment}"

    def checkpoints(self, experiment: str) -> str:
        """Where the trainings of an experiment keep their checkpoints."""
        return f"{self.home(experiment)}/checkpoints"

    def contradictions(self) -> Iterator[tuple[tuple[Key, ...], str]]:
        """Values that are right by themselves and do not go together: path and sentence."""
        for node, pool in self.nodes.items():
            if node != "default" and node not in NODES:
                yield ("nodes", node), _no_node(node)
            elif node == _IMPORTED and self.has_importer:
                yield ("nodes", node), "it only names files and runs on no machine; leave it out"
            if pool not in self.pools:
                known = one_of(pool, list(self.pools)) if self.pools else f"received {pool!r}, and there are no pools"
                yield ("nodes", node), known
        if self.schedule and (
            wrong := fault(self.schedule, seconds=self.kind == "kubeflow", zone=self.kind == "vertex")
        ):
            yield ("schedule",), wrong
        yield from self._dataflow()

    def _dataflow(self) -> Iterator[tuple[tuple[Key, ...], str]]:
        if self.beam.runner != "DataflowRunner":
            return
        if self.kind == "kubeflow":
            why = "TensorFlow leaves empty objects for folders on gs://, and Kubeflow's launcher cannot download them"
            yield ("beam", "runner"), f"{why} (kubeflow/pipelines#13476); use DirectRunner, or kind: vertex"
            return
        options = self.beam_options
        if missing := [name for name in ("temp_location", "sdk_container_image") if not options.get(name)]:
            yield ("beam", "options"), f"DataflowRunner needs {' and '.join(missing)} too"
        if (temp := options.get("temp_location")) and not str(temp).startswith("gs://"):
            yield ("beam", "options", "temp_location"), f"Dataflow takes a gs:// address, received {temp!r}"
        if options.get("sdk_container_image") == self.image:
            cure = "give the image of deploy/Dockerfile's target dataflow"
            yield ("beam", "options", "sdk_container_image"), f"the nodes' image cannot start Beam's workers; {cure}"


def _no_node(name: str) -> str:
    small = {node.lower(): node for node in NODES}
    close = nearest(name, list(small))
    hint = f"did you mean {small[close]}?" if close else f"there are default, {', '.join(NODES)}"
    return f"there is no node {name!r}; {hint}"


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


def _network(value: str) -> str:
    # google.cloud.aiplatform_v1.PipelineJob.network
    if not re.fullmatch(r"projects/[0-9]+/global/networks/[a-z]([-a-z0-9]{0,61}[a-z0-9])?", value):
        raise ValueError(
            "takes projects/NUMBER/global/networks/NAME, with the project's number, such as "
            f"projects/123456789012/global/networks/default; received {value!r}"
        )
    return value


def _encryption_key(value: str) -> str:
    # google.cloud.aiplatform_v1.EncryptionSpec.kms_key_name
    if not re.fullmatch(r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+", value):
        raise ValueError(f"takes projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY, received {value!r}")
    return value


def _registry(value: str) -> str:
    if not re.match(r"([a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io)/", value):
        raise ValueError(
            "takes an image in Artifact Registry, the only place that Vertex serves from, such as "
            f"europe-west4-docker.pkg.dev/my-project/nlp/tensorflow-serving:2.20.0; received {value!r}"
        )
    return value


class Endpoint(Section):
    """Where Vertex serves what was pushed, in a stock TensorFlow Serving container.

    Attributes:
      name: of the endpoint and of the model in the registry, made where there is none; the experiment's where left out.
      image: TensorFlow Serving, copied to Artifact Registry; with a ``gpu`` one of its GPU images.
      machine_type: of Compute Engine.
      gpu: none where left out.
      min_replicas, max_replicas: machines.
      traffic: percent for the new version. The one before it gets the rest, and is undeployed where that is nothing.
      service_account: that the container runs as.
    """

    name: Name | None = None
    image: Annotated[Image, AfterValidator(_registry)]
    machine_type: str = "n1-standard-4"
    gpu: Gpu | None = None
    min_replicas: Annotated[int, Field(ge=1)] = 1
    max_replicas: Annotated[int, Field(ge=1)] = 1
    traffic: Annotated[int, Field(ge=1, le=100)] = 100
    service_account: str | None = None

    @model_validator(mode="after")
    def _replicas(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas is {self.max_replicas}, less than min_replicas, {self.min_replicas}")
        return self


class Vertex(Cluster):
    """Vertex AI Pipelines.

    Attributes:
      kind: ``vertex``.
      project, region: of Google Cloud.
      pools: machines by name; several ``workers`` train one model.
      network: a VPC to peer with.
      encryption_key: a KMS key for everything that is written.
      endpoint: where what was pushed is served; nowhere where left out.
    """

    kind: Literal["vertex"]
    project: str
    region: str
    pools: Mapping[str, VertexPool] = {}
    network: Annotated[str, AfterValidator(_network)] | None = None
    encryption_key: Annotated[str, AfterValidator(_encryption_key)] | None = None
    labels: CloudLabels = {}
    endpoint: Endpoint | None = None

    @property
    @override
    def beam_options(self) -> dict[str, str | int | float | bool]:
        """See ``Cluster``; Dataflow works in the same project and region."""
        dataflow = self.beam.runner == "DataflowRunner"
        where: dict[str, str] = {"project": self.project, "region": self.region} if dataflow else {}
        return {**where, **super().beam_options}

    @override
    def contradictions(self) -> Iterator[tuple[tuple[Key, ...], str]]:
        yield from super().contradictions()
        for key in ("pipeline_root", "workspace"):
            if (address := getattr(self, key)) and not address.startswith("gs://"):
                yield (key,), f"Vertex takes a gs:// address, received {address!r}"
        for node, pool in self.nodes.items():
            if node not in _ON_WORKERS and pool in self.pools and self.pools[pool].workers > 1:
                yield ("nodes", node), f"only {' and '.join(_ON_WORKERS)} run on several workers; {pool} has several"
        if self.service_account and "@" not in self.service_account:
            yield ("service_account",), f"Vertex takes its e-mail address, received {self.service_account!r}"
