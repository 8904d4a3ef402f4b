"""VocabularyGen: a WordPiece vocabulary, learned from the train splits or imported, and how well it covers them."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils
from typing_extensions import override

from components.artifacts import Vocabulary
from components.storage.files import fileio
from components.train import training
from models import progress
from models.checkpoints import checkpoint
from models.text import wordpiece
from models.text.tokenization import TextRules, Tokenizer, vocabulary
from schemas import DataError

# The features that hold text, in records of every kind.
_TEXT = ("text", "text_pair", "sentences")
_BATCH = 1000  # records parsed at once
# Shares of the running words that are [UNK]: from the first on it is told, from the second on the run stops.
_MANY_UNKNOWN, _NEARLY_ALL_UNKNOWN = 0.2, 0.8


class Spec(component_spec.ComponentSpec):
    """See ``VocabularyGen``; ``settings`` is a JSON object of its arguments."""

    PARAMETERS = {
        "settings": component_spec.ExecutionParameter(type=str),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }
    # Two keys, not a union of channels: Kubeflow's compiler knows none.
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "more_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
        "base_model": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {"vocabulary": component_spec.ChannelParameter(type=Vocabulary)}


class Executor(base_executor.BaseExecutor):
    """Writes ``vocab.txt``, ``text.json`` and ``report.json``."""

    @override
    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See ``VocabularyGen``.

        Raises:
          DataError: the train splits have no text, nearly all words are [UNK], or the imported vocabulary is at fault.
        """
        settings = json.loads(exec_properties["settings"])
        sources = [input_dict["examples"], input_dict.get("more_examples", [])]
        texts = _texts([uri for source in sources if source for uri in artifact_utils.get_split_uris(source, "train")])
        if settings["learn"]:
            rules = _rules(settings, None)
            counts = wordpiece.count(texts, rules)
            pieces = wordpiece.learn(counts, settings["learn"], rules.reserve)
        else:
            pieces, rules = _imported(input_dict.get("base_model"), settings)
            counts = wordpiece.count(texts, rules)
        if not counts:
            raise DataError("the train split has no text: there is nothing to learn from")
        report = wordpiece.report(Tokenizer(pieces, rules), counts)
        _judge(report)
        folder = pathlib.Path(artifact_utils.get_single_uri(output_dict["vocabulary"]))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), "utf-8")
        (folder / "text.json").write_text(json.dumps(rules.dump(), ensure_ascii=False, indent=1), "utf-8")
        (folder / "report.json").write_text(report.dump(), "utf-8")
        progress.emit(progress.Summary(str(report)))


def _texts(folders: Sequence[str]) -> Iterator[Any]:
    """String tensors (N,) of every text in the records of ``folders``."""
    files = sorted(name for folder in folders for name in tf.io.gfile.glob(f"{folder}/*"))
    spec = {name: tf.io.VarLenFeature(tf.string) for name in _TEXT}
    for records in tf.data.TFRecordDataset(files, compression_type="GZIP").batch(_BATCH):
        yield tf.concat([feature.values for feature in tf.io.parse_example(records, spec).values()], axis=0)


def _judge(report: wordpiece.Report) -> None:
    """Stops a run whose words nearly all become [UNK]; says so where many do."""
    cure = "take a vocabulary or a checkpoint of the texts' language and spelling, or learn one (vocabulary.learn)"
    if report.unknown >= _NEARLY_ALL_UNKNOWN:
        raise DataError(f"{report.unknown:.0%} of the {report.words:,} words are [UNK] with this vocabulary; {cure}")
    if report.unknown >= _MANY_UNKNOWN:
        progress.emit(progress.Notice(f"{report.unknown:.0%} of the words are [UNK]; {cure}"))


def _rules(settings: dict[str, Any], base: TextRules | None) -> TextRules:
    """The experiment's rules over imported ones: its mode or theirs, its replacements or theirs, both reserves."""
    base = base or TextRules()
    given = TextRules.load({"mode": settings["mode"] or base.mode, "replace": settings["replace"]})
    reserve = tuple(dict.fromkeys((*base.reserve, *settings["reserve"])))
    return dataclasses.replace(given, replace=given.replace or base.replace, reserve=reserve)


def _imported(base_model: list[types.Artifact] | None, settings: dict[str, Any]) -> tuple[list[str], TextRules]:
    if not base_model:
        return _read(settings["path"]), _rules(settings, None)
    folder = training.base_checkpoint(path_utils.serving_model_path(artifact_utils.get_single_uri(base_model)))
    assert folder is not None
    read = checkpoint.read(folder)
    return list(read.vocabulary), _rules(settings, TextRules.load(read.rules))


def _read(path: str) -> list[str]:
    try:
        with fileio.open(path, "rb") as file:
            return vocabulary(file.read(), path)
    except (tf.errors.NotFoundError, FileNotFoundError):
        raise DataError(f"{path} does not exist: it should hold the vocabulary, a piece a line") from None


class VocabularyGen(base_component.BaseComponent):
    """Learns a vocabulary from the train splits, or imports one; reports on it either way.

    Args:
      examples: one or two Examples channels; their features ``text``, ``text_pair`` and ``sentences`` are read.
      source_digest: of the code behind this node; another one runs it again.
      learn: pieces to learn, or
      path: … a ``vocab.txt``, content-addressed: TFX does not see a file that was edited in place; or
      base_model: … a Model whose vocabulary, casing and rules are taken.
      reserve: pieces that are never split.
      mode: see ``TextRules``; None takes the imported folder's, else ``bert_uncased``.
      replace: ``[{"pattern": …, "with": …}]``; empty takes the imported folder's.

    Outputs: ``vocabulary``.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: Sequence[types.BaseChannel],
        *,
        source_digest: str,
        learn: int | None = None,
        path: str | None = None,
        base_model: types.BaseChannel | None = None,
        reserve: Sequence[str] = (),
        mode: str | None = None,
        replace: Sequence[dict[str, str]] = (),
    ):
        if not 1 <= len(examples) <= 2:
            raise ValueError(f"one or two sources can be read. Received: {len(examples)}")
        if sum(given is not None for given in (learn, path, base_model)) != 1:
            raise ValueError(
                f"give one of learn, path and base_model. Received: learn={learn}, path={path}, base_model={base_model}"
            )
        settings = {"learn": learn, "path": path, "reserve": list(reserve), "mode": mode, "replace": list(replace)}
        _rules(settings, None)  # raises ValueError for a reserve that cannot work
        first, *more = examples
        super().__init__(
            spec=Spec(
                examples=first,
                more_examples=more[0] if more else None,
                base_model=base_model,
                settings=json.dumps(settings, sort_keys=True, ensure_ascii=False),
                source_digest=source_digest,
                vocabulary=types.Channel(type=Vocabulary),
            )
        )
