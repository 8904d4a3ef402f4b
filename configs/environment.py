"""Where an experiment runs: on this machine, or on a cluster."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from configs.base import ConfigError
from configs.clusters.cluster import Cluster, Recorded
from configs.clusters.kubeflow import Kubeflow
from configs.clusters.vertex import Vertex
from configs.yaml.document import Key, near, read
from configs.yaml.validate import one_of, raise_all, validate

FOLDER = Path(__file__).parent / "environments"


class Local(Recorded):
    """One machine, Beam in-process.

    Attributes:
      kind: ``local``.
      orchestrator: what walks the DAG: ``local`` (TFX's LocalDagRunner) or ``beam`` (BeamDagRunner).
      checkpoint_root: training keeps its checkpoints in ``<checkpoint_root>/<experiment>/checkpoints``; ``runs`` where
        not given.
      checkpoint_seconds: at least this long between two checkpoints of a training.
      beam_pipeline_args: flags of the Beam runner that the data nodes use.
    """

    kind: Literal["local"] = "local"
    orchestrator: Literal["local", "beam"] = "local"
    checkpoint_root: str | None = None
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0
    # DirectRunner otherwise tries to download the Prism runner first.
    beam_pipeline_args: list[str] = Field(default=["--direct_running_mode=in_memory"])

    @property
    def has_importer(self) -> bool:
        """TFX's Importer reads this machine's folders."""
        return True

    def node_path(self, path: Path, experiment: str) -> str:  # noqa: ARG002 (a cluster's name holds the experiment)
        """What the nodes call a file in ``folder``."""
        return str(path.absolute())

    def pushed(self, experiment: str) -> str:
        """The versions that an experiment pushed: what TF Serving is pointed to."""
        return f"{self.folder(experiment)}/serving_model/{experiment}"

    @property
    def workers_elsewhere(self) -> bool:
        """Whether Beam's workers may have another working folder than the nodes."""
        return any(f"--environment_type={each}" in self.beam_pipeline_args for each in ("EXTERNAL", "PROCESS"))

    def contradictions(self) -> Iterator[tuple[tuple[Key, ...], str]]:
        """Runners whose workers could not read what the nodes write to ``runs``: path and sentence."""
        flags = {
            name.lstrip("-"): value for name, _, value in (each.partition("=") for each in self.beam_pipeline_args)
        }
        runner, workers = flags.get("runner", ""), flags.get("environment_type", "")
        # Where Beam chooses: this process for Prism, and for a Flink or Spark that it starts here.
        flink, spark = flags.get("flink_master", "[auto]"), flags.get("spark_master_url", "local")
        elsewhere = {
            "PortableRunner": True,
            "FlinkRunner": flink not in ("[auto]", "[local]"),
            "SparkRunner": not re.fullmatch(r"local(\[.+\])?", spark),
        }.get(runner, False)
        if runner == "DataflowRunner":
            yield ("beam_pipeline_args",), "Dataflow's workers see no folder of this machine; give kind: vertex"
        elif workers == "DOCKER" or (elsewhere and not workers):
            cure = "--environment_type=EXTERNAL, PROCESS or LOOPBACK"
            wrong = f"{runner or 'Beam'} would start its workers in containers, which see no folder of this machine"
            yield ("beam_pipeline_args",), f"{wrong}; give {cure} (docs/deploy.md)"

    def checkpoints(self, experiment: str) -> str:
        """Where the trainings of an experiment keep their checkpoints: a folder, or an address."""
        root = f"{self.checkpoint_root}/{experiment}" if self.checkpoint_root else self.folder(experiment)
        return f"{root}/checkpoints"


Environment = Local | Cluster
_KINDS: dict[str, type[Local | Kubeflow | Vertex]] = {"local": Local, "kubeflow": Kubeflow, "vertex": Vertex}


def load(name: str) -> Environment:
    """Reads an environment.

    Args:
      name: a file in ``configs/environments/``, or a path to a YAML file.

    Raises:
      ConfigError: one line for every fault found.
    """
    known = FOLDER / f"{name}.yaml"
    path = near(known) if known.is_file() else Path(name)
    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--env: {one_of(name, sorted(file.stem for file in FOLDER.glob('*.yaml')))}, or a YAML file")
    document = read(path)
    kind = document.values.get("kind", "local")
    if kind not in _KINDS:
        raise ConfigError(document.complain(("kind",), one_of(kind, list(_KINDS))))
    environment, faults = validate(_KINDS[kind], document)
    raise_all(faults)
    assert environment is not None
    raise_all([document.complain(path, sentence) for path, sentence in environment.contradictions()])
    return environment
