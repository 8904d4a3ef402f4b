"""What Kubeflow Pipelines and Vertex AI share as places where an experiment runs."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from configs.base import Section
from configs.clusters.kubernetes import (
    INT32,
    Labels,
    Seconds,
)
from configs.clusters.pools import Machine
from configs.clusters.schedule import fault
from configs.yaml.document import Key
from configs.yaml.validate import nearest, one_of

# Every node that a pipeline of ours may have; tests hold it against pipeline.create_pipeline.
NODES = (
    "Checkpoint",
    "Teacher",
    "Digest",
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "DataGate",
    "CatalogueDigest",
    "CatalogueExampleGen",
    "CatalogueStatisticsGen",
    "CatalogueSchemaGen",
    "CatalogueExampleValidator",
    "CatalogueDataGate",
    "CorpusDigest",
    "CorpusExampleGen",
    "CorpusStatisticsGen",
    "CorpusSchemaGen",
    "CorpusExampleValidator",
    "CorpusDataGate",
    "VocabularyGen",
    "CorpusTransform",
    "Transform",
    "TeacherDigest",
    "TeacherExampleGen",
    "TeacherInferrer",
    "Pretrainer",
    "Tuner",
    "Trainer",
    "Analyzer",
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
# No container where the platform imports by itself (``Cluster.has_importer``): a pool for it means nothing.
_IMPORTED = ("Checkpoint", "Teacher")

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

    def node_path(self, path: Path, experiment: str) -> str:
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
            elif node in _IMPORTED and self.has_importer:
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
