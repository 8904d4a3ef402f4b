"""TFX's Evaluator, and a verdict in words: which threshold failed, with which value."""

import json
import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from tfx import types
from tfx.components.evaluator import executor
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import artifact_utils, standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import json_utils, path_utils
from typing_extensions import override

from components.artifacts import Analysis
from components.evaluate import analysis, evaluation, platform_pages, references, verdict
from models import progress, task
from models.export import golden, saved_model


class Spec(standard_component_specs.EvaluatorSpec):
    """TFX's, with what the verdict is written from."""

    PARAMETERS = {
        **standard_component_specs.EvaluatorSpec.PARAMETERS,
        "task": ExecutionParameter(type=str),
        "bless": ExecutionParameter(type=str),
        "baselines": ExecutionParameter(type=str),
        "analysis_bless": ExecutionParameter(type=str, optional=True),
        "source_digest": ExecutionParameter(type=str),
    }
    INPUTS = {
        **standard_component_specs.EvaluatorSpec.INPUTS,
        "analysis": ChannelParameter(type=Analysis, optional=True),
        "taught_examples": ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {**standard_component_specs.EvaluatorSpec.OUTPUTS, **platform_pages.OUTPUTS}


class Executor(executor.Executor):
    """TFMA computes the figures; ``evaluation.verdict`` holds them against thresholds and baseline."""

    @override
    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        input_dict, key = verdict.compared(input_dict), standard_component_specs.BASELINE_MODEL_KEY
        if input_dict.get(key) and _answers(input_dict, key) != _answers(input_dict, "model"):
            input_dict = {name: value for name, value in input_dict.items() if name != key}
            progress.emit(progress.Notice("the latest blessed model has other labels or texts: no comparison with it"))
        super().Do(input_dict, output_dict, exec_properties)
        folder = artifact_utils.get_single_uri(output_dict[standard_component_specs.EVALUATION_KEY])
        given, baseline = json.loads(exec_properties["task"]), verdict.uri_of(input_dict, key)
        the_task, bounds = task.load(given["type"])(given["config"]), json.loads(exec_properties["bless"])
        names = json.loads(exec_properties["baselines"])
        compared = _references(the_task, names, input_dict, bounds.get("beats", []))
        found = evaluation.verdict(
            folder,
            the_task=the_task,
            bless=bounds,
            baseline=baseline,
            references=compared,
            model=_model(input_dict),
        )
        looked_into = verdict.uri_of(input_dict, "analysis")
        found = analysis.judged(found, looked_into, json.loads(exec_properties.get("analysis_bless") or "{}"))
        found.write(folder)
        _, rows = evaluation.rows(folder, the_task, "candidate" if baseline else "")
        sections = list(the_task.sections(rows, {name: table for name, (_, table) in compared.items()}))
        verdict.write_sections(folder, sections)
        if "report" in output_dict:
            platform_pages.write(output_dict, found, sections, _model(input_dict))
        model = artifact_utils.get_single_instance(input_dict[standard_component_specs.MODEL_KEY])
        verdict.bless(artifact_utils.get_single_instance(output_dict["blessing"]), found, model)
        progress.emit(progress.Summary(str(found)))


def _references(
    the_task: task.Task, names: list[str], inputs: dict[str, list[Any]], needed: list[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The row metrics of these baselines, learned from the train split, and of the teacher."""
    examples = inputs[standard_component_specs.EXAMPLES_KEY]
    train, test = (artifact_utils.get_split_uris(examples, split) for split in ("train", "test"))
    found = references.rows(the_task, names, train, test, needed) if names else {}
    if inputs.get("taught_examples"):
        answered = artifact_utils.get_split_uris(inputs["taught_examples"], "test")
        found[task.TEACHER] = references.taught(the_task, test, answered)
    return found


def _answers(inputs: dict[str, list[Any]], name: str) -> tuple[Any, ...]:
    """What a model takes and what it can answer, by its golden texts."""
    kept = golden.read(_model(inputs, name))
    return sorted(kept["inputs"]), sorted(kept["outputs"]), kept["outputs"].get("labels", [None])[0]


def _model(inputs: dict[str, list[Any]], name: str = standard_component_specs.MODEL_KEY) -> pathlib.Path:
    """What a model carries beside its graph."""
    return saved_model.assets(path_utils.serving_model_path(artifact_utils.get_single_uri(inputs[name])))


class Evaluator(base_beam_component.BaseBeamComponent):
    """Judges a model on the test split, against thresholds and against the latest blessed model.

    Args:
      examples: raw Examples.
      schema: theirs.
      model: the candidate.
      baseline_model: the latest blessed model, or an empty channel.
      the_task: its ``type`` and its ``config``.
      slices: features and columns whose values are figures of their own.
      bless: ``configs.evaluation.Bless`` as a dict.
      baselines: names of the task's, to be compared with.
      source_digest: of the code behind this node.
      shown: whether there are pages of Kubeflow or Vertex, which show what ``platform_pages`` puts out.
      analysis: of the model; None where there is none.
      analysis_bless: ``analyze.bless``.
      taught: what TeacherInferrer wrote; None without a teacher.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        schema: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        the_task: dict[str, Any],
        slices: list[str],
        bless: dict[str, Any],
        baselines: list[str],
        source_digest: str,
        shown: bool = False,
        analysis: types.BaseChannel | None = None,
        analysis_bless: Mapping[str, float] = MappingProxyType({}),
        taught: types.BaseChannel | None = None,
    ) -> None:
        config: tfma.EvalConfig = evaluation.eval_config(the_task["type"], the_task["config"], slices)
        super().__init__(
            spec=Spec(
                examples=examples,
                schema=schema,
                model=model,
                baseline_model=baseline_model,
                eval_config=config,
                example_splits=json_utils.dumps(["test"]),
                fairness_indicator_thresholds="null",
                task=json.dumps(the_task),
                bless=json.dumps(bless),
                baselines=json.dumps(baselines),
                source_digest=source_digest,
                **({"analysis": analysis, "analysis_bless": json.dumps(dict(analysis_bless))} if analysis else {}),
                **({"taught_examples": taught} if taught else {}),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
                **(platform_pages.channels("metrics", "classification", "report") if shown else {}),
            )
        )
