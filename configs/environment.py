"""Where an experiment runs."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from configs.document import read
from configs.experiment import ConfigError, Section
from configs.loader import near
from configs.validate import one_of, raise_all, validate

FOLDER = Path(__file__).parent / "environments"


class Environment(Section):
    """One machine, Beam in-process.

    Attributes:
      kind: ``local``.
      orchestrator: what walks the DAG: ``local`` (TFX's LocalDagRunner) or ``beam`` (BeamDagRunner).
      runs: the folder that everything is written to, ``<runs>/<experiment>/``.
      checkpoint_root: training keeps its checkpoints in ``<checkpoint_root>/<experiment>/checkpoints``; ``runs`` where
        not given.
      checkpoint_seconds: at least this long between two checkpoints of a training.
      beam_pipeline_args: flags of the Beam runner that the data nodes use.
    """

    kind: Literal["local"] = "local"
    orchestrator: Literal["local", "beam"] = "local"
    runs: str = "runs"
    checkpoint_root: str | None = None
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0
    # DirectRunner otherwise tries to download the Prism runner first.
    beam_pipeline_args: list[str] = Field(default=["--direct_running_mode=in_memory"])

    def folder(self, experiment: str) -> Path:
        """Everything of an experiment, absolute."""
        return Path(self.runs).absolute() / experiment

    def pushed(self, experiment: str) -> Path:
        """The versions that an experiment pushed: what TF Serving is pointed to."""
        return self.folder(experiment) / "serving_model" / experiment

    def checkpoints(self, experiment: str) -> str:
        """Where the trainings of an experiment keep their checkpoints, on any file system of TensorFlow's."""
        root = f"{self.checkpoint_root}/{experiment}" if self.checkpoint_root else self.folder(experiment)
        return f"{root}/checkpoints"


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
    if kind != "local":
        raise ConfigError(
            document.complain(("kind",), f"this version runs on one machine only: {one_of(kind, ['local'])}")
        )
    environment, faults = validate(Environment, document)
    raise_all(faults)
    assert environment is not None
    return environment
