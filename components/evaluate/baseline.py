"""The baseline of a candidate where there is no MLMD to ask: the newest model that was pushed and is another one.

Two nodes: one looks what was pushed, in every run; the other copies that, once. So an evaluation is reused as long as
it would compare the same two models.
"""

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.deploy.versions import model_of, versions
from components.storage import files
from models import progress
from models.export import identity


class VersionExecutor(base_executor.BaseExecutor):
    """Compares the candidate with what was pushed, the newest first."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Gives ``version``: its number and what it is, ``3@9e1b…``; empty where no other model was pushed."""
        pushed = exec_properties["pushed"]
        candidate = identity.digest(path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"])))
        found = ((number, model_of(f"{pushed}/{number}")) for number in reversed(versions(pushed)))
        other = next((f"{number}@{model}" for number, model in found if model not in (candidate, None)), "")
        artifact_utils.get_single_instance(output_dict["version"]).value = other
        progress.emit(progress.Summary(_told(other)))


class Executor(base_executor.BaseExecutor):
    """Copies the version: whoever compares with it later must find the same."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Fills ``baseline``, or leaves it without a model."""
        self._log_startup(input_dict, output_dict, exec_properties)
        number = _number(exec_properties["version"])
        baseline = artifact_utils.get_single_instance(output_dict["baseline"])
        if number:
            files.copy(f"{exec_properties['pushed']}/{number}", path_utils.serving_model_path(baseline.uri))
            baseline.set_string_custom_property("version", number)
        else:  # an object store keeps no empty folder, and one that vanished is none to be found again
            with files.fileio.open(f"{baseline.uri}/NONE", "w") as file:
                file.write("")
        progress.emit(progress.Summary(_told(exec_properties["version"])))


def _number(version: str) -> str:
    return version.partition("@")[0]


def _told(version: str) -> str:
    return f"v{_number(version)}" if version else "no other model was pushed"


class VersionSpec(component_spec.ComponentSpec):
    """See ``BaselineVersion``."""

    PARAMETERS = {"pushed": component_spec.ExecutionParameter(type=str)}
    INPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}
    OUTPUTS = {"version": component_spec.ChannelParameter(type=standard_artifacts.String)}


class BaselineVersion(base_component.BaseComponent):
    """Which version a candidate is compared with, on a cluster. What was pushed was blessed, and stays where it is.

    Open-source Kubeflow implements no Resolver nodes, and Vertex only TFX's own strategies. Never cache this node:
    other runs push too.

    Args:
      model: the candidate.
      pushed: the folder of the versions.
    """

    SPEC_CLASS = VersionSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(VersionExecutor)

    def __init__(self, model: types.BaseChannel, pushed: str) -> None:
        version = types.Channel(type=standard_artifacts.String)
        super().__init__(spec=VersionSpec(model=model, pushed=pushed, version=version))


class Spec(component_spec.ComponentSpec):
    """See ``Baseline``."""

    PARAMETERS = {
        "pushed": component_spec.ExecutionParameter(type=str),
        "version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {"baseline": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class Baseline(base_component.BaseComponent):
    """That version, as a Model.

    Args:
      pushed: the folder of the versions.
      version: of ``BaselineVersion``.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, pushed: str, version: types.BaseChannel) -> None:
        baseline = types.Channel(type=standard_artifacts.Model)
        super().__init__(spec=Spec(pushed=pushed, version=version.future()[0].value, baseline=baseline))
