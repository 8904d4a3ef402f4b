"""The baseline of a candidate where there is no MLMD to ask: the newest model that was pushed and is another one."""

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components import files
from components.versions import versions
from models import identity, progress


class Executor(base_executor.BaseExecutor):
    """Copies the version: whoever compares with it later must find the same."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Fills ``baseline``, or leaves it without a model."""
        pushed = exec_properties["pushed"]
        candidate = identity.digest(path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"])))
        baseline = artifact_utils.get_single_instance(output_dict["baseline"])
        for version in reversed(versions(pushed)):
            with files.opened(f"{pushed}/{version}") as place:
                if not identity.is_model(place, candidate):
                    files.copy(place, path_utils.serving_model_path(baseline.uri))
                    baseline.set_string_custom_property("version", str(version))
                    progress.emit(progress.Summary(f"v{version}"))
                    return
        progress.emit(progress.Summary("no other model was pushed"))


class Spec(component_spec.ComponentSpec):
    """See ``Baseline``."""

    PARAMETERS = {"pushed": component_spec.ExecutionParameter(type=str)}
    INPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}
    OUTPUTS = {"baseline": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class Baseline(base_component.BaseComponent):
    """What a candidate is compared with, on a cluster. What was pushed was blessed, and stays where it is.

    Open-source Kubeflow implements no Resolver nodes, and Vertex only TFX's own strategies. Never cache this node:
    other runs push too.

    Args:
      model: the candidate.
      pushed: the folder of the versions.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, model: types.BaseChannel, pushed: str) -> None:
        super().__init__(spec=Spec(model=model, pushed=pushed, baseline=types.Channel(type=standard_artifacts.Model)))
