"""Serving validation: loads the export as a server would, and blesses it for pushing.

The stock InfraValidator needs Docker or Kubernetes; without them it lets the run succeed and push nothing.
"""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

from tfx.components.infra_validator import executor as infra_validator
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, channel, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from models import progress


class ServingFault(RuntimeError):
    """The export cannot be served."""


class Executor(base_executor.BaseExecutor):
    """Runs ``models.export.serving_check`` in a clean process."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Blesses the model, or raises ``ServingFault`` with every fault. A fault is a bug, not a bad score."""
        del exec_properties
        model = artifact_utils.get_single_instance(input_dict["model"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        report = _check(pathlib.Path(path_utils.serving_model_path(model.uri)))
        if report["faults"]:
            infra_validator._mark_not_blessed(blessing)
            raise ServingFault("the exported model cannot be served: " + "; ".join(report["faults"]))
        infra_validator._mark_blessed(blessing)
        count = len(report["signatures"])
        progress.emit(progress.Summary(f"{count} signatures · clean process, TF1 session, one by one = batch"))


def _check(folder: pathlib.Path) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "models.export.serving_check", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
    )
    if ran.returncode:
        raise ServingFault(f"loading {folder} in a clean process failed:\n{ran.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(ran.stdout)
    return report


class Spec(ComponentSpec):
    """Model in, InfraBlessing out."""

    PARAMETERS = {"source_digest": ExecutionParameter(type=str)}
    INPUTS = {"model": ChannelParameter(type=standard_artifacts.Model)}
    OUTPUTS = {"blessing": ChannelParameter(type=standard_artifacts.InfraBlessing)}


class ServingValidator(base_component.BaseComponent):
    """Emits InfraBlessing.

    Args:
      model: a SavedModel with ``assets.extra/golden.json``.
      source_digest: of the check's source.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, model: channel.BaseChannel, source_digest: str) -> None:
        blessing = channel.Channel(type=standard_artifacts.InfraBlessing)
        super().__init__(spec=Spec(model=model, source_digest=source_digest, blessing=blessing))
