"""The digest of a source that lies where only the nodes see it: what its ExampleGen is reused by."""

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.records import readers
from components.records.kind import load
from configs.sources import Source
from models import progress


class Executor(base_executor.BaseExecutor):
    """Reads every file in every run."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Gives ``digest``.

        Raises:
          DataError: a pattern that no file matches.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        kind = load(exec_properties["kind"])
        found = readers.digest(kind.data.model_validate_json(exec_properties["source"]))
        artifact_utils.get_single_instance(output_dict["digest"]).value = found
        progress.emit(progress.Summary(found[:8]))


class Spec(component_spec.ComponentSpec):
    """See ``SourceDigest``."""

    PARAMETERS = {
        "kind": component_spec.ExecutionParameter(type=str),
        "source": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {"digest": component_spec.ChannelParameter(type=standard_artifacts.String)}


class SourceDigest(base_component.BaseComponent):
    """What a source holds, in 64 characters: the same for the same files, in every run. Never cache this node.

    Args:
      source: ``corpus``, ``task.data`` or ``score`` of the experiment, as its ExampleGen is to read it.
      kind: as that ExampleGen takes it.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, source: Source, kind: str) -> None:
        given = {"kind": kind, "source": source.model_dump_json()}
        super().__init__(spec=Spec(**given, digest=types.Channel(type=standard_artifacts.String)))
