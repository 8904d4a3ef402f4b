"""Vertex AI as the place where an experiment runs."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import override

from configs.base import Name, Section
from configs.clusters.cluster import Cluster, Image
from configs.clusters.pools import Gpu, VertexPool
from configs.yaml.document import Key

# Google Cloud, "Requirements for labels".
_CLOUD_LABEL = re.compile(r"[a-z0-9_-]{0,63}")
_CLOUD_LABELS = 64
_ON_WORKERS = ("Pretrainer", "Trainer")


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


CloudLabels = Annotated[
    dict[Annotated[str, AfterValidator(_cloud_key)], Annotated[str, AfterValidator(_cloud_label)]],
    AfterValidator(_cloud_labels),
]


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
