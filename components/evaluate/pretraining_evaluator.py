"""The gate of an experiment that pretrains alone: MLM loss on the test split."""

import json
import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import tensorflow_transform as tft
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components.artifacts import Analysis
from components.evaluate import analysis, platform_pages
from components.evaluate.verdict import ROUNDING, Check, Verdict, bless, compared, uri_of
from components.train import training
from models import progress
from models.bert.encoder import BertEncoder
from models.bert.heads import PAIR_LABELS, PretrainingModel
from models.checkpoints import checkpoint
from models.pretraining import mlm_figures, pretraining_data
from models.pretraining.masking import Ids
from models.text.tokenization import Tokenizer
from models.training.reading import rows


class Executor(base_executor.BaseExecutor):
    """Judges the candidate, and the baseline where there is one, on the same masks."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Writes ``verdict.json`` and the blessing."""
        input_dict = compared(input_dict)
        settings, bounds = json.loads(exec_properties["pretrain"]), json.loads(exec_properties["bless"])
        figures = self._figures(input_dict, settings, exec_properties["seed"], "model")
        baseline = uri_of(input_dict, "baseline_model")
        if baseline and (why := _incomparable(input_dict, settings["max_length"])):
            baseline = None
            progress.emit(progress.Notice(f"the latest blessed model {why}: no comparison with it"))
        before = self._figures(input_dict, settings, exec_properties["seed"], "baseline_model") if baseline else None
        found = verdict(figures, before, bounds, baseline)
        looked_into = uri_of(input_dict, "analysis")
        found = analysis.judged(found, looked_into, json.loads(exec_properties.get("analysis_bless") or "{}"))
        found.write(artifact_utils.get_single_uri(output_dict["evaluation"]))
        if "report" in output_dict:
            platform_pages.write(output_dict, found, (), _folder(input_dict, "model").parent)
        model = artifact_utils.get_single_instance(input_dict["model"])
        bless(artifact_utils.get_single_instance(output_dict["blessing"]), found, model)
        progress.emit(progress.Summary(str(figures)))

    def _figures(self, inputs: dict[str, list[Any]], settings: Any, seed: int, name: str) -> mlm_figures.Figures:
        graph = artifact_utils.get_single_uri(inputs["transform_graph"])
        spec = tft.TFTransformOutput(graph).transformed_feature_spec()
        tokenizer = Tokenizer.read(training.vocabulary_folder(graph))
        files = {
            split: training.matching([f"{uri}/*" for uri in artifact_utils.get_split_uris(inputs["examples"], split)])
            for split in ("train", "test")
        }
        folder = _folder(inputs, name)
        pairs = PAIR_LABELS.keys() & settings["objectives"]
        model = PretrainingModel(BertEncoder(**checkpoint.read(folder).encoder), bool(pairs))
        checkpoint.load(folder, model.encoder, model.masked_language, model.next_sentence)
        recipe = pretraining_data.Recipe.of(settings, Ids.of(tokenizer.vocabulary), seed)
        batches = pretraining_data.held_out(files["test"], spec, recipe)
        unigrams = mlm_figures.unigram_log_probabilities(rows(files["train"], spec), tokenizer.size)
        return mlm_figures.evaluate(model, batches, unigrams)


def _incomparable(inputs: dict[str, list[Any]], length: int) -> str | None:
    """Why the baseline cannot be judged on the candidate's rows; None where it can."""
    if not checkpoint.predicts_masked(_folder(inputs, "baseline_model")):
        return "is a task's and predicts no masked tokens"
    mine, other = (checkpoint.read(_folder(inputs, name)) for name in ("model", "baseline_model"))
    if (mine.vocabulary, mine.rules) != (other.vocabulary, other.rules):
        return "has another vocabulary"
    positions = other.encoder["max_positions"]
    return f"reads {positions} tokens, not {length}" if positions < length else None


def _folder(inputs: dict[str, list[Any]], name: str) -> pathlib.Path:
    folder = training.base_checkpoint(path_utils.serving_model_path(artifact_utils.get_single_uri(inputs[name])))
    assert folder is not None
    return folder


def verdict(
    figures: mlm_figures.Figures, before: mlm_figures.Figures | None, bounds: dict[str, Any], baseline: str | None
) -> Verdict:
    """Blessed if the loss is under its bound, by default the unigrams' loss, and no worse than the baseline's."""
    loss, bound = figures.mlm.loss, bounds.get("mlm_loss", figures.unigram_loss)
    checks = [Check(name="mlm_loss", value=loss, relation="≤", bound=bound, passed=loss <= bound, n=figures.mlm.count)]
    if before:
        change, allowed = loss - before.mlm.loss, bounds["max_regression"]
        checks.append(
            Check(name="change", value=change, relation="≤", bound=allowed, passed=change <= allowed + ROUNDING)
        )
    passed = all(check.passed for check in checks)
    return Verdict(blessed=passed, checks=checks, metrics=figures.metrics(), n=figures.mlm.count, baseline=baseline)


class Spec(ComponentSpec):
    """A base model and tokenized documents in, a verdict out."""

    PARAMETERS = {
        "pretrain": ExecutionParameter(type=str),
        "bless": ExecutionParameter(type=str),
        "seed": ExecutionParameter(type=int),
        "analysis_bless": ExecutionParameter(type=str, optional=True),
        "source_digest": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "analysis": ChannelParameter(type=Analysis, optional=True),
    }
    OUTPUTS = {
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        **platform_pages.OUTPUTS,
    }


class PretrainingEvaluator(base_component.BaseComponent):
    """Blesses a base model.

    Args:
      examples: tokenized documents.
      transform_graph: that made them.
      model: the candidate.
      baseline_model: the latest blessed one, or an empty channel.
      pretrain: ``configs.pretraining.Pretrain`` as a dict.
      bless: ``configs.evaluation.Bless`` as a dict.
      seed: of the masks.
      source_digest: of the code behind this node.
      shown: whether there are pages of Kubeflow or Vertex, which show what ``platform_pages`` puts out.
      analysis: of the model; None where there is none.
      analysis_bless: ``analyze.bless``.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        pretrain: dict[str, Any],
        bless: dict[str, Any],
        seed: int,
        source_digest: str,
        shown: bool = False,
        analysis: types.BaseChannel | None = None,
        analysis_bless: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        super().__init__(
            spec=Spec(
                examples=examples,
                transform_graph=transform_graph,
                model=model,
                baseline_model=baseline_model,
                pretrain=json.dumps(pretrain),
                bless=json.dumps(bless),
                seed=seed,
                source_digest=source_digest,
                **({"analysis": analysis, "analysis_bless": json.dumps(dict(analysis_bless))} if analysis else {}),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
                **(platform_pages.channels("metrics", "report") if shown else {}),
            )
        )
