"""The verdict of an analysis alone: nothing was trained, and nothing is pushed."""

import json
from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import Analysis
from components.evaluate import analysis
from components.evaluate.verdict import Verdict
from models import progress

# Figures of the one line at the end of a run; the page has all.
_SHOWN = ("entropy_mean", "probe_", "cloze_loss")


class Executor(base_executor.BaseExecutor):
    """Holds an analysis against its thresholds."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Writes ``verdict.json``."""
        folder = artifact_utils.get_single_uri(input_dict["analysis"])
        shown = {name: value for name, value in analysis.metrics(folder).items() if name.startswith(_SHOWN)}
        shown = {name: value for name, value in shown.items() if "@" not in name}
        found = Verdict(blessed=True, checks=[], metrics=shown, n=0)
        found = analysis.judged(found, folder, json.loads(exec_properties["bless"]))
        found.write(artifact_utils.get_single_uri(output_dict["evaluation"]))
        passed = sum(check.passed for check in found.checks)
        progress.emit(progress.Summary(f"{passed} of {len(found.checks)} checks passed"))


class Spec(ComponentSpec):
    """An analysis in, a verdict out."""

    PARAMETERS = {"bless": ExecutionParameter(type=str), "source_digest": ExecutionParameter(type=str)}
    INPUTS = {"analysis": ChannelParameter(type=Analysis)}
    OUTPUTS = {"evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation)}


class AnalysisGate(base_component.BaseComponent):
    """Judges an analysis alone.

    Args:
      analysis: of a checkpoint.
      bless: ``analyze.bless``.
      source_digest: of the code behind this node.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, analysis: types.BaseChannel, bless: Mapping[str, float], source_digest: str) -> None:
        evaluation = types.Channel(type=standard_artifacts.ModelEvaluation)
        super().__init__(
            spec=Spec(
                analysis=analysis, bless=json.dumps(dict(bless)), source_digest=source_digest, evaluation=evaluation
            )
        )
