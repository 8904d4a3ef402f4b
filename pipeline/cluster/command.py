"""``tfx-bert compile``: writes the YAML for a cluster and stages the files that its nodes read."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from configs.base import ConfigError
from configs.environment import Environment, Local
from configs.experiment import Experiment
from pipeline.start.check import access
from pipeline.terminal import noise
from pipeline.terminal.numbers import size


def compile_to(experiment: Experiment, environment: Environment, output: str | None, *, cache: bool) -> None:
    """Writes the YAML.

    Raises:
      ConfigError: the environment is this machine, or its platform would refuse what was compiled.
    """
    if isinstance(environment, Local):
        raise ConfigError("--env: this machine needs no YAML; give kubeflow, vertex, or a file of one of these kinds")
    access(experiment, environment)
    noise.hush()
    with noise.captured(Path(environment.runs) / ".log-compile"):
        from pipeline.cluster.compile import compiled
        from pipeline.cluster.linter import lint

        made = compiled(experiment, environment, cache=cache)
        notices = lint.check(made, environment.kind)
    path = Path(output or f"build/{experiment.name}-{environment.kind}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(made.text, "utf-8")
    part.rename(path)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for notice in notices:
        console.print(Text.assemble(("! ", "yellow"), notice))
    console.print(f"{path}: {len(made.nodes)} nodes for {environment.kind}")
    total = size(sum(each.stat().st_size for each in made.imports.values()))
    console.print(
        f"reads {len(made.imports)} files of this machine, {total}, below {environment.home(experiment.name)}/imports"
    )
