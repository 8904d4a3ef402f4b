"""A checkpoint as a base model, where the platform's own importer cannot read it."""

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.storage import files
from models import progress


class Executor(base_executor.BaseExecutor):
    """Copies the folder: what a training started from stays with its run."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Fills ``model``.

        Raises:
          ValueError: there are no files.
        """
        del input_dict
        source, model = exec_properties["source_uri"], artifact_utils.get_single_instance(output_dict["model"])
        count = files.copy(source, model.uri)
        if not count:
            raise ValueError(f"there are no files in {source}; copy the run's imports there, as its submission says")
        model.set_string_custom_property("source_uri", source)
        progress.emit(progress.Summary(f"{count} files"))


class Spec(component_spec.ComponentSpec):
    """See ``CheckpointImporter``."""

    PARAMETERS = {"source_uri": component_spec.ExecutionParameter(type=str)}
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class CheckpointImporter(base_component.BaseComponent):
    """An Importer that runs in our own container.

    Kubeflow's takes what an object store serves, and its launcher then reads that with the credentials of the pod's
    environment, whatever is configured for pipeline_root; ``minio://`` it cannot read so at all (importer_launcher.go).

    Args:
      source_uri: a Model's folder, whose name holds the digest of its content.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, source_uri: str) -> None:
        super().__init__(spec=Spec(source_uri=source_uri, model=types.Channel(type=standard_artifacts.Model)))
