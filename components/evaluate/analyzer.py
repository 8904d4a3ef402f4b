"""The node that looks into a model: attention, importance, pruning curves, probes with controls, geometry."""

import dataclasses
import itertools
import json
import pathlib
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components.artifacts import HTML, Analysis
from components.evaluate import analysis
from components.evaluate.report import analysis as pages
from components.storage.files import fileio
from components.train import training
from configs.analyze import EXAMPLES
from models import families, progress, task, vocabularies
from models.analysis import run, subject, translation
from models.analysis.attention import Marks
from models.analysis.probe_tasks import words
from models.analysis.run import Data
from models.analysis.subject import Subject
from models.pretraining import mlm_figures, pretraining_data
from models.pretraining.masking import Ids
from models.task import strings
from models.training import reading

_MASKED_ROWS = 32


class Executor(base_executor.BaseExecutor):
    """Reads the model and its records, and writes the analysis."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Fills ``analysis``, and ``report`` where there are pages that show it."""
        found = look(
            Looked(
                model=_checkpoint(input_dict, "model"),
                before=_checkpoint(input_dict, "before") if input_dict.get("before") else None,
                raw=_splits(input_dict["examples"]),
                transformed=_splits(input_dict["transformed_examples"]),
                graph=artifact_utils.get_single_uri(input_dict["transform_graph"]),
                tagged=_splits(input_dict["probe_examples"]) if input_dict.get("probe_examples") else {},
            ),
            json.loads(exec_properties["task"]),
            json.loads(exec_properties["analyze"]),
            max_regression=exec_properties["max_regression"],
            seed=exec_properties["seed"],
            deterministic=bool(exec_properties.get("deterministic")),
        )
        page = pages.page("Analysis", found.sections, found.examples)
        analysis.write(artifact_utils.get_single_uri(output_dict["analysis"]), found, page)
        for sentence in found.left_out:
            progress.emit(progress.Notice(f"not looked at: {sentence}"))
        if "report" in output_dict:
            _write_page(artifact_utils.get_single_uri(output_dict["report"]), page)
        progress.emit(progress.Summary(analysis.summary(found)))


@dataclasses.dataclass(frozen=True)
class Looked:
    """Where a model and its records lie.

    Attributes:
      model: a checkpoint, in the family's format.
      before: of the base model that it was trained from; None where there is none.
      raw: files of Examples by split.
      transformed: likewise of transformed ones.
      graph: that transformed them, with its vocabulary.
      tagged: like ``raw``, of sentences whose words have tags; empty where there are none.
    """

    model: pathlib.Path
    before: pathlib.Path | None
    raw: dict[str, list[str]]
    transformed: dict[str, list[str]]
    graph: str
    tagged: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def look(
    at: Looked,
    given: dict[str, Any],
    settings: dict[str, Any],
    *,
    max_regression: float,
    seed: int,
    deterministic: bool = False,
    texts: Sequence[str] = (),
) -> run.Analysis:
    """Looks into a model.

    Args:
      at: the model, and its records.
      given: the task's ``type`` and ``config``; empty for a base model.
      settings: ``configs.analyze.Analyze`` as a dict.
      max_regression: how far the headline may fall for heads to count as prunable.
      seed: of random weights and masks.
      deterministic: whether every sum has one order: the same figures to the last bit, slower.
      texts: to be looked at in the place of the records; the page shows the first ones.
    """
    training.seeded(seed, {"deterministic": deterministic})
    vocabulary = vocabularies.read(training.vocabulary_folder(at.graph))
    the_task = _fitted(given, at.transformed, at.graph) if given else None
    if the_task is not None and the_task.family == "translation":
        return _translator(at, the_task, vocabulary, settings["sentences"])
    looked = subject.load(at.model, the_task, vocabulary)
    before = subject.load(at.before, None, vocabulary) if at.before else None
    data = Data(texts=texts, shown=texts[:EXAMPLES]) if texts else shown(looked, at, settings, seed)
    return run.analyze(looked, data, settings, max_regression=max_regression, before=before)


def _translator(at: Looked, the_task: task.Task, vocabulary: Any, sentences: int) -> run.Analysis:
    """Where its heads look, over pairs of the test split."""
    family = families.load(the_task.family)
    network = family.network(None, vocabulary, at.model)
    family.load(at.model, network)
    records = reading.rows(at.transformed["test"], tft.TFTransformOutput(at.graph).transformed_feature_spec())
    return translation.analyze(network, the_task, Marks.of_pieces(vocabulary.vocabulary), records.take(sentences))


def _write_page(uri: str, page: str) -> None:
    fileio.makedirs(posixpath.dirname(uri))
    with fileio.open(uri, "w") as file:
        file.write(page)


def _checkpoint(inputs: dict[str, list[Any]], name: str) -> pathlib.Path:
    folder = training.base_checkpoint(path_utils.serving_model_path(artifact_utils.get_single_uri(inputs[name])))
    assert folder is not None
    return folder


def _splits(artifacts: list[Any]) -> dict[str, list[str]]:
    """Files by split."""
    (artifact,) = artifacts
    names = artifact_utils.decode_split_names(artifact.split_names)
    return {
        name: training.matching([f"{uri}/*" for uri in artifact_utils.get_split_uris([artifact], name)])
        for name in names
    }


def _fitted(given: dict[str, Any], files: dict[str, list[str]], graph: str) -> task.Task:
    """The task with what it has to know before ``build``, as the Trainer made it."""
    the_task = task.load(given["type"])(given["config"])
    spec = tft.TFTransformOutput(graph).transformed_feature_spec()
    train, held_out = (reading.rows(files[split], spec) for split in ("train", "eval"))
    vocabulary = vocabularies.read(training.vocabulary_folder(graph))
    return the_task.fitted(the_task.training_rows(train), held_out, vocabulary)


def shown(looked: Subject, at: Looked, settings: dict[str, Any], seed: int) -> Data:
    """What the model is shown: records of the test split, and for probes of the eval split too.

    Args:
      looked: the model.
      at: where its records lie.
      settings: ``configs.analyze.Analyze`` as a dict.
      seed: of the masks.
    """
    spec = tft.TFTransformOutput(at.graph).transformed_feature_spec()
    sentences = settings["sentences"]
    train, test, chosen = (reading.rows(at.transformed[split], spec) for split in ("train", "test", "eval"))
    texts: list[tuple[str, str, list[str]]] = []
    tagged: list[tuple[str, list[str]]] = []
    if looked.reads_text:
        known = _texts([*at.raw["test"], *at.raw["eval"]], looked.the_task)
        texts = list(itertools.islice(known, sentences))
        of_words = _texts(list(itertools.chain(*at.tagged.values())), None) if at.tagged else texts
        tagged = list(itertools.islice(((text, tags) for text, _, tags in of_words if tags), sentences))
    labels = [label for _, label, _ in texts]
    shared: dict[str, Any] = {
        "texts": [text for text, *_ in texts],
        "labels": labels if all(labels) else [],
        "tagged": tagged,
        "shown": [text for text, *_ in texts[: settings["examples"]]],
    }
    if looked.the_task is not None:
        return Data(**shared, test=test, chosen=chosen)
    masked = unigrams = None
    if looked.predicts_masked:
        ids = Ids.of(looked.vocabulary.vocabulary)
        recipe = pretraining_data.Recipe(ids, ["mlm"], _MASKED_ROWS, max(looked.max_length, 8), seed=seed)
        masked = pretraining_data.held_out(at.transformed["test"], spec, recipe).take(-(-sentences // _MASKED_ROWS))
        unigrams = mlm_figures.unigram_log_probabilities(train, looked.vocabulary.size)
    return Data(**shared, masked=masked, unigrams=unigrams)


def _texts(files: list[str], the_task: task.Task | None) -> Iterator[tuple[str, str, list[str]]]:
    """Texts without blank ones: with the label of a single text that has one, and the tags of its words."""
    for serialized in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        record = reading.raw(serialized)
        if "sentences" in record:
            found: list[tuple[str, str, list[str]]] = [(text, "", []) for text in strings(record["sentences"])]
        else:
            names = [name for name in ("text", "text_pair") if name in record]
            labelled = the_task is not None and the_task.single_label and len(names) == 1 and len(record["label"]) == 1
            label = record["label"].item().decode() if labelled else ""
            found = [(text, label, _tags(text, record)) for name in names for text in strings(record[name])]
        yield from (each for each in found if each[0].strip())


def _tags(text: str, record: dict[str, np.ndarray]) -> list[str]:
    """Of each word between white space, the label of the span that is that word; empty where there are others."""
    if "span_label" not in record:
        return []
    spans = zip(record["span_start"].tolist(), record["span_end"].tolist(), strings(record["span_label"]), strict=True)
    known = {(start, end): label for start, end, label in spans}
    found = [known.get((word.start, word.start + len(word.text)), "") for word in words(text)]
    return found if all(found) else []


class Spec(ComponentSpec):
    """A model and records in, an analysis out."""

    PARAMETERS = {
        "analyze": ExecutionParameter(type=str),
        "task": ExecutionParameter(type=str),
        "max_regression": ExecutionParameter(type=float),
        "seed": ExecutionParameter(type=int),
        "deterministic": ExecutionParameter(type=int, optional=True),
        "source_digest": ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "before": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "transformed_examples": ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph),
        "probe_examples": ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {
        "analysis": ChannelParameter(type=Analysis),
        "report": ChannelParameter(type=HTML, optional=True),
    }


class Analyzer(base_component.BaseComponent):
    """Looks into a model.

    Args:
      model: the candidate, or a base model.
      before: the base model that a task's model was trained from; None where there is none.
      examples: raw Examples.
      transformed_examples: the same, transformed.
      transform_graph: that did.
      analyze: ``configs.analyze.Analyze`` as a dict, without its thresholds.
      the_task: its ``type`` and its ``config``; empty for a base model.
      max_regression: how far the headline may fall for heads to count as prunable.
      seed: of random weights and masks.
      source_digest: of the code behind this node.
      shown: whether there are pages of Kubeflow or Vertex, which show the analysis.
      probe_examples: raw Examples of ``probes.pos``; None where there are none.
      deterministic: whether every sum has one order.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        before: types.BaseChannel | None,
        examples: types.BaseChannel,
        transformed_examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        analyze: dict[str, Any],
        the_task: dict[str, Any],
        max_regression: float,
        seed: int,
        source_digest: str,
        shown: bool = False,
        probe_examples: types.BaseChannel | None = None,
        deterministic: bool = False,
    ) -> None:
        super().__init__(
            spec=Spec(
                model=model,
                before=before,
                examples=examples,
                transformed_examples=transformed_examples,
                transform_graph=transform_graph,
                **({"probe_examples": probe_examples} if probe_examples else {}),
                **({"deterministic": 1} if deterministic else {}),
                analyze=json.dumps(analyze),
                task=json.dumps(the_task),
                max_regression=max_regression,
                seed=seed,
                source_digest=source_digest,
                analysis=types.Channel(type=Analysis),
                **({"report": types.Channel(type=HTML)} if shown else {}),
            )
        )
