"""Where an experiment runs when it is not this machine: Kubeflow Pipelines or Vertex AI."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from configs.experiment import Name, Section

# Every node that a pipeline of ours may have; tests hold it against pipeline.create_pipeline.
NODES = (
    "Checkpoint",
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "DataGate",
    "CorpusExampleGen",
    "CorpusStatisticsGen",
    "CorpusSchemaGen",
    "CorpusExampleValidator",
    "CorpusDataGate",
    "VocabularyGen",
    "CorpusTransform",
    "Transform",
    "Pretrainer",
    "Trainer",
    "Baseline",
    "Evaluator",
    "ServingValidator",
    "ScoreExampleGen",
    "BulkInferrer",
    "Pusher",
    "VertexPusher",
)
# The driver of Kubeflow's importers and the kubelet have no node of ours to run on; a pool for them means nothing.
_NO_CONTAINER = ("Checkpoint",)

_QUANTITY = re.compile(r"\d+(\.\d+)?([kMGTP]i?)?")
_BYTES = {"": 1, **{f"{unit}{i}": (1024 if i else 1000) ** n for n, unit in enumerate("kMGTP", 1) for i in ("", "i")}}


def _quantity(value: str) -> str:
    if not _QUANTITY.fullmatch(value):
        raise ValueError(f"takes a Kubernetes quantity such as 32Gi, received {value!r}")
    return value


def _address(value: str) -> str:
    if "://" not in value and not value.startswith("/"):
        raise ValueError(
            f"takes an address such as gs://bucket/runs, or an absolute path on a volume; received {value!r}"
        )
    return value.rstrip("/")


def _image(value: str) -> str:
    if value != value.strip() or not value or " " in value:
        raise ValueError(f"takes a container image such as registry.example.org/tfx-bert:1.0, received {value!r}")
    return value


Quantity = Annotated[str, AfterValidator(_quantity)]
Address = Annotated[str, AfterValidator(_address)]
Image = Annotated[str, AfterValidator(_image)]
Labels = dict[str, str]


def quantity(value: str) -> int:
    """Bytes of a Kubernetes quantity: ``32Gi``."""
    number = re.match(r"[\d.]+", value)
    assert number
    return int(float(number[0]) * _BYTES[value[number.end() :]])


class Gpu(Section):
    """Accelerators of one container.

    Attributes:
      type: as the platform names it: ``nvidia-l4`` (a GKE node label, and Vertex's NVIDIA_L4).
      count: on one node; more than one trains with MirroredStrategy.
      resource: the Kubernetes resource that a container asks for.
    """

    type: str
    count: Annotated[int, Field(ge=1, le=16)] = 1
    resource: str = "nvidia.com/gpu"


class Toleration(Section):
    """A Kubernetes toleration."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: int | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("operator Exists takes no value; leave it out, or use operator: Equal")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("operator Equal needs a key")
        return self


class Requirement(Section):
    """One rule over a node's labels: ``{key: pool, operator: In, values: [l4]}``."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = "In"
    values: list[str] = []
    weight: Annotated[int, Field(ge=1, le=100)] | None = None  # a preference instead of a requirement


class Machine(Section):
    """What a node of the pipeline gets.

    Attributes:
      cpu: cores.
      memory: ``32Gi``.
      gpu: none where left out.
    """

    cpu: Annotated[float, Field(gt=0)] | None = None
    memory: Quantity | None = None
    gpu: Gpu | None = None


class Pool(Machine):
    """Kubernetes nodes of one kind.

    Attributes:
      shared_memory: of ``/dev/shm``, which several GPUs of a node talk through.
      node_selector: labels that a node must have.
      tolerations: taints that it may have.
      affinity: further rules over its labels.
      labels, annotations: of the pod.
    """

    shared_memory: Quantity | None = None
    node_selector: Labels = {}
    tolerations: list[Toleration] = []
    affinity: list[Requirement] = []
    labels: Labels = {}
    annotations: Labels = {}


class Retries(Section):
    """How often a node that failed is tried again, and how long after."""

    count: Annotated[int, Field(ge=0, le=10)] = 2
    backoff_seconds: Annotated[int, Field(ge=0)] = 30
    factor: Annotated[float, Field(ge=1)] = 2.0
    max_seconds: Annotated[int, Field(ge=1)] = 600


class Beam(Section):
    """The runner of the data nodes.

    Attributes:
      runner: ``DirectRunner`` works inside the node's own container.
      options: further flags, without dashes: ``{region: europe-west4}``.
    """

    runner: Literal["DirectRunner", "DataflowRunner"] = "DirectRunner"
    options: dict[str, str | int | float | bool] = {}


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
      workspace: where what outlives a run goes: imported files, checkpoints, pushed models. ``pipeline_root`` where
        that is a ``gs://`` address.
      service_account: that the nodes run as.
      pools: machines by name.
      nodes: pool by node; ``default`` for those that are not named.
      caching: whether a node whose inputs, settings and image are unchanged is reused.
      retries: of every node.
      checkpoint_seconds: at least this long between two checkpoints of a training.
      beam: the runner of the data nodes.
      labels: of the run.
      schedule: a cron expression; the run recurs.
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
    def mounted(self) -> tuple[str, ...]:
        """Folders that every node has beside its own: nothing below them is copied before a run."""
        return ()

    @property
    def beam_pipeline_args(self) -> list[str]:
        """Flags of the Beam runner that the data nodes use."""
        direct = {"direct_running_mode": "in_memory"} if self.beam.runner == "DirectRunner" else {}
        options = {"runner": self.beam.runner, **direct, **self.beam.options}
        if self.beam.runner == "DataflowRunner":
            options.setdefault("sdk_container_image", self.image)
        return [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in options.items()
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

    @model_validator(mode="after")
    def _assigned(self) -> Self:
        for node, pool in self.nodes.items():
            if pool not in self.pools:
                raise ValueError(
                    f"nodes.{node}: there is no pool {pool!r}; there are {', '.join(self.pools) or 'none'}"
                )
            if node != "default" and node not in NODES:
                raise ValueError(f"nodes.{node}: there is no such node; there are default, {', '.join(NODES)}")
            if node in _NO_CONTAINER:
                raise ValueError(f"nodes.{node}: it only names files and runs on no machine; leave it out")
        if self.workspace is None and not self.pipeline_root.startswith("gs://"):
            raise ValueError(
                f"workspace is missing: TensorFlow reads and writes gs:// and folders, not {self.pipeline_root}; "
                "give a gs:// address, or a folder on one of the volumes"
            )
        return self


class Secret(Section):
    """A Kubernetes secret by name: keys as environment variables, or all of it as files."""

    name: str
    env: dict[str, str] = {}  # key in the secret → variable
    mount: str | None = None


class Volume(Section):
    """A PersistentVolumeClaim by name, mounted into every node."""

    claim: str
    mount: Annotated[str, Field(pattern=r"^/")]


class Auth(Section):
    """How Kubeflow is told who asks. Secrets are named, never written: ``token: KFP_TOKEN`` is a variable's name.

    Attributes:
      token: variable that holds a bearer token.
      cookie: variable that holds a session cookie, such as Dex's ``authservice_session=…``.
      iap_client_id: OAuth client of Google's Identity-Aware Proxy.
      in_cluster: the service account's token that Kubernetes projects into a pod.
    """

    token: str | None = None
    cookie: str | None = None
    iap_client_id: str | None = None
    in_cluster: bool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name, value in self if value]
        if len(given) > 1:
            raise ValueError(f"one of them; received {', '.join(given)}")
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
      secrets, volumes: by name, for every node.
      image_pull_secrets: by name.
      image_pull_policy: of every node.
      timeout_seconds: of one node, its retries not counted.
    """

    kind: Literal["kubeflow"]
    host: Annotated[str, Field(pattern=r"^https?://")] | None = None
    namespace: str | None = None
    auth: Auth = Auth()
    experiment: str = "tfx-bert"
    pools: Mapping[str, Pool] = {}
    secrets: list[Secret] = []
    volumes: list[Volume] = []
    image_pull_secrets: list[str] = []
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    timeout_seconds: Annotated[int, Field(ge=60)] | None = None

    @property
    def mounted(self) -> tuple[str, ...]:
        """The volumes' folders."""
        return tuple(volume.mount.rstrip("/") + "/" for volume in self.volumes)


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
      network: a VPC to peer with.
      encryption_key: a KMS key for everything that is written.
      endpoint: where what was pushed is served; nowhere where left out.
    """

    kind: Literal["vertex"]
    project: str
    region: str
    network: str | None = None
    encryption_key: str | None = None
    endpoint: Endpoint | None = None

    @model_validator(mode="after")
    def _bucket(self) -> Self:
        if not self.pipeline_root.startswith("gs://"):
            raise ValueError(f"pipeline_root: Vertex takes a gs:// address, received {self.pipeline_root!r}")
        if self.endpoint and self.workspace and not self.workspace.startswith("gs://"):
            raise ValueError(f"workspace: an endpoint serves from a gs:// address, received {self.workspace!r}")
        return self
