"""Machines that nodes of the pipeline run on, and Kubernetes' words for them."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from configs.experiment import Section

# Kubernetes writes the thousand with a small letter, and only that.
_BYTES = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("kMGTP", 1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGTP", 1)},
}
_QUANTITY = re.compile(rf"\d+(\.\d+)?({'|'.join(_BYTES)})")
# Kubernetes, "Labels and Selectors": an optional prefix that is a DNS subdomain, a slash, a name.
_LABEL = re.compile(r"([a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _quantity(value: str) -> str:
    if not _QUANTITY.fullmatch(value):
        raise ValueError(f"takes a Kubernetes quantity such as 32Gi, received {value!r}")
    return value


def label_key(key: str) -> str:
    """The key of a label or an annotation.

    Raises:
      ValueError: Kubernetes refuses it.
    """
    prefix, slash, name = key.rpartition("/")
    if not _LABEL.fullmatch(name) or (slash and (len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix))):
        raise ValueError(
            f"takes a label's key such as team or example.org/team, its name letters, digits, -, _ and ., at most 63; "
            f"received {key!r}"
        )
    return key


def label_value(value: str) -> str:
    """The value of a label.

    Raises:
      ValueError: Kubernetes refuses it.
    """
    if value and not _LABEL.fullmatch(value):
        raise ValueError(
            f"takes letters, digits, -, _ and ., at most 63, a letter or digit first and last; received {value!r}"
        )
    return value


Quantity = Annotated[str, AfterValidator(_quantity)]
LabelKey = Annotated[str, AfterValidator(label_key)]
Labels = dict[LabelKey, Annotated[str, AfterValidator(label_value)]]


def quantity(value: str) -> int:
    """Bytes of a Kubernetes quantity: ``32Gi``."""
    number = re.match(r"[\d.]+", value)
    assert number
    return int(float(number[0]) * _BYTES[value[number.end() :]])


class Gpu(Section):
    """Accelerators of one container.

    Attributes:
      type: as the platform names it: ``nvidia-l4`` (a GKE node label, and Vertex's NVIDIA_L4).
      count: of one machine; several share each batch.
      resource: the Kubernetes resource that a container asks for.
    """

    type: str
    count: Annotated[int, Field(ge=1, le=16)] = 1
    resource: str = "nvidia.com/gpu"

    @property
    def accelerator(self) -> str:
        """Vertex' word for the type: ``NVIDIA_L4``."""
        return self.type.upper().replace("-", "_")


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
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError("seconds counts from when a pod is told to leave: it needs effect: NoExecute")
        return self


class Requirement(Section):
    """One rule over a node's labels: ``{key: pool, operator: In, values: [l4]}``."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = "In"
    values: list[str] = []
    weight: Annotated[int, Field(ge=1, le=100)] | None = None  # a preference instead of a requirement

    @model_validator(mode="after")
    def _sound(self) -> Self:
        some = ("values", bool(self.values))
        none = ("no values", not self.values)
        number = ("one value, a whole number", len(self.values) == 1 and self.values[0].lstrip("-").isdecimal())
        takes, sound = {"In": some, "NotIn": some, "Exists": none, "DoesNotExist": none}.get(self.operator, number)
        if not sound:
            raise ValueError(f"operator {self.operator} takes {takes}; received {self.values}")
        return self


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
    annotations: dict[LabelKey, str] = {}


class VertexPool(Machine):
    """Machines of Vertex of one kind.

    Attributes:
      workers: machines that train together.
      machine_type: of Compute Engine, where there are several; for one Vertex chooses by ``cpu`` and ``memory``.
    """

    workers: Annotated[int, Field(ge=1)] = 1
    machine_type: str | None = None

    @model_validator(mode="after")
    def _sized(self) -> Self:
        if self.workers > 1 and not self.machine_type:
            raise ValueError(f"{self.workers} workers need a machine_type, such as g2-standard-8")
        if self.workers == 1 and self.machine_type:
            raise ValueError("machine_type is of several workers; for one give cpu and memory, which Vertex chooses by")
        if self.machine_type and (self.cpu or self.memory):
            raise ValueError(f"{self.machine_type} has its own cpu and memory; leave them out")
        return self
