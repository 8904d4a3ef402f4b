"""Machines that nodes of the pipeline run on."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from configs.base import Section
from configs.clusters.kubernetes import (
    Annotations,
    LabelKey,
    Labels,
    LabelValue,
    PodLabels,
    Quantity,
    Resource,
    Seconds,
    TaintKey,
    quantity,
)

# Twice the largest machine that a cloud rents out, 1,920 cores and 32 TiB (Amazon EC2, u7inh-32tb.480xlarge): a slip is
# not a pod that waits for ever.
_MOST_CORES, _MOST_MEMORY = 4096, "64Ti"
_NUMBER = re.compile("[0-9]{1,18}")  # what the scheduler reads as an int64


def _cores(value: float) -> float:
    if round(value, 3) != value:  # Kubernetes, "CPU resource units": no finer than 1m
        raise ValueError(f"takes cores in steps of 0.001, received {value}")
    return value


def _memory(value: str) -> str:
    if quantity(value) > quantity(_MOST_MEMORY):
        raise ValueError(f"no machine has more than {_MOST_MEMORY}, received {value!r}")
    return value


class Gpu(Section):
    """Accelerators of one container.

    Attributes:
      type: as the platform names it: ``nvidia-l4`` (a GKE node label, and Vertex's NVIDIA_L4).
      count: of one machine; several share each batch.
      resource: the Kubernetes resource that a container asks for.
    """

    type: str
    count: Annotated[int, Field(ge=1, le=16)] = 1
    resource: Resource = "nvidia.com/gpu"

    @property
    def accelerator(self) -> str:
        """Vertex' word for the type: ``NVIDIA_L4``."""
        return self.type.upper().replace("-", "_")


class Toleration(Section):
    """A Kubernetes toleration."""

    key: TaintKey | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: Seconds | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:  # ValidateTolerations
        if self.operator == "Exists" and self.value:
            raise ValueError("operator Exists takes no value; leave it out, or use operator: Equal")
        if self.operator == "Equal" and not self.key:
            raise ValueError("operator Equal needs a key")
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError("seconds counts from when a pod is told to leave: it needs effect: NoExecute")
        return self


class Requirement(Section):
    """One rule over a node's labels: ``{key: pool, operator: In, values: [l4]}``."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = "In"
    values: list[LabelValue] = []
    weight: Annotated[int, Field(ge=1, le=100)] | None = None  # a preference instead of a requirement

    @model_validator(mode="after")
    def _sound(self) -> Self:  # ValidateNodeSelectorRequirement
        some = ("values", bool(self.values))
        none = ("no values", not self.values)
        number = ("one value, a whole number", len(self.values) == 1 and _NUMBER.fullmatch(self.values[0]))
        takes, sound = {"In": some, "NotIn": some, "Exists": none, "DoesNotExist": none}.get(self.operator, number)
        if not sound:
            raise ValueError(f"operator {self.operator} takes {takes}; received {self.values}")
        return self

    def fits(self, value: str | None) -> bool:
        """Whether a machine with this value of the label does, or one without the label."""
        match self.operator:
            case "In" | "NotIn":
                return (value in self.values) is (self.operator == "In")
            case "Exists" | "DoesNotExist":
                return (value is not None) is (self.operator == "Exists")
            case _:
                number = int(value) if value and _NUMBER.fullmatch(value) else None
                bound, above = int(self.values[0]), self.operator == "Gt"
                return number is not None and (number > bound if above else number < bound)


class Machine(Section):
    """What a node of the pipeline gets.

    Attributes:
      cpu: cores.
      memory: ``32Gi``.
      gpu: none where left out.
    """

    cpu: Annotated[float, Field(gt=0, le=_MOST_CORES), AfterValidator(_cores)] | None = None
    memory: Annotated[Quantity, AfterValidator(_memory)] | None = None
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

    shared_memory: Annotated[Quantity, AfterValidator(_memory)] | None = None
    node_selector: Labels = {}
    tolerations: list[Toleration] = []
    affinity: list[Requirement] = []
    labels: PodLabels = {}
    annotations: Annotations = {}

    @property
    def required(self) -> list[Requirement]:
        """Everything that a machine must fulfil."""
        selected = [Requirement(key=key, values=[value]) for key, value in self.node_selector.items()]
        return [*selected, *(rule for rule in self.affinity if rule.weight is None)]

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        for key in dict.fromkeys(rule.key for rule in self.required):
            rules = [rule for rule in self.required if rule.key == key]
            named = [value for rule in rules if rule.operator == "In" for value in rule.values]
            asked = {rule.operator for rule in rules}
            if (named and not any(all(rule.fits(value) for rule in rules) for value in named)) or (
                "DoesNotExist" in asked and asked & {"In", "Exists", "Gt", "Lt"}
            ):
                raise ValueError(f"no machine can have a label {key} that node_selector and affinity both take")
        return self


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
