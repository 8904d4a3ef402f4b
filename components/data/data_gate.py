"""The gate behind ExampleValidator: TFX only records anomalies, this node stops the run."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tfx import types
from tfx.components.example_validator import executor as example_validator
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, channel_utils, component_spec, standard_artifacts

from components.artifacts import GateReport
from components.records import kind as kinds
from components.storage.files import fileio
from models import progress
from schemas import DataError

if TYPE_CHECKING:
    import numpy as np


class Executor(base_executor.BaseExecutor):
    """Reads the anomalies of every split, and the records themselves where their kind asks for it."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Writes ``gate.json``.

        Raises:
          DataError: an anomaly of severity ERROR, or a split without data.
        """
        from tensorflow_metadata.proto.v0 import anomalies_pb2

        artifact = artifact_utils.get_single_instance(input_dict["anomalies"])
        errors, warnings = list[str](), list[str]()
        splits = artifact_utils.decode_split_names(artifact.split_names)
        for split in splits:
            path = f"{artifact_utils.get_split_uri([artifact], split)}/{example_validator.DEFAULT_FILE_NAME}"
            with fileio.open(path, "rb") as file:
                anomalies = anomalies_pb2.Anomalies.FromString(file.read())
            if anomalies.data_missing:
                errors.append(f"{split}: no records")
            for name, info in [*anomalies.anomaly_info.items(), ("the data set", anomalies.dataset_anomaly_info)]:
                if info.reason:
                    seen = "; ".join(reason.description.strip() or reason.short_description for reason in info.reason)
                    (errors if info.severity == info.ERROR else warnings).append(f"{name} in {split}: {seen}")
        if errors:
            raise DataError(_refusal(errors, exec_properties["source_name"]))
        gauged = _gauged(input_dict, exec_properties.get("kind"))
        warnings += [text for text, sound in gauged if not sound]
        uri = artifact_utils.get_single_uri(output_dict["report"])
        with fileio.open(f"{uri}/gate.json", "w") as file:
            file.write(json.dumps({"splits": splits, "warnings": warnings}, ensure_ascii=False))
        for warning in warnings:
            progress.emit(progress.Notice(warning))
        count = f"{len(warnings)} warning{'s' * (len(warnings) > 1)}"
        told = [count if warnings else "no anomalies", *(text for text, sound in gauged if sound)]
        progress.emit(progress.Summary(" · ".join(told)))


def _gauged(inputs: dict[str, list[Any]], kind: str | None) -> list[tuple[str, bool]]:
    """What ``Kind.gauge`` says, if anything."""
    if not kind:
        return []

    from components.data import shards
    from models.training.reading import raw

    def split(name: str) -> Iterator[Mapping[str, "np.ndarray"]]:
        for path in shards.of_split(inputs["examples"], name):
            for batch in shards.batches(path):
                yield from map(raw, batch.numpy())

    found = kinds.load(kind).gauge(split)
    return [found] if found else []


def _refusal(errors: list[str], source_name: str) -> str:
    count = f"{len(errors)} anomal{'y' if len(errors) == 1 else 'ies'}"
    schema = "" if source_name == "corpus" else ", or what it is held against ($.task.labels, $.task.schema)"
    head, tail = f"{count} in the data of $.{source_name}", f"  Fix the data{schema}"
    return "\n".join([head, *(f"  {error}" for error in errors), tail])


class Spec(component_spec.ComponentSpec):
    """What the gate reads."""

    PARAMETERS = {
        "source_name": component_spec.ExecutionParameter(type=str),
        "kind": component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {"report": component_spec.ChannelParameter(type=GateReport)}


class DataGate(base_component.BaseComponent):
    """Stops the run on an anomaly of severity ERROR, in any split. Give later nodes ``add_upstream_node(gate)``.

    Args:
      anomalies: of ExampleValidator.
      source_name: what was validated, as the YAML names it: ``corpus`` or ``task.data``.
      examples: the records; None where the gate does not look at them.
      kind: of the records, by name; likewise.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        anomalies: types.BaseChannel,
        source_name: str,
        *,
        examples: types.BaseChannel | None = None,
        kind: str | None = None,
    ) -> None:
        report = channel_utils.as_channel([GateReport()])
        looked_at = {"examples": examples, "kind": kind} if examples else {}
        super().__init__(spec=Spec(anomalies=anomalies, source_name=source_name, report=report, **looked_at))
