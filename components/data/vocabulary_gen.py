"""VocabularyGen: a vocabulary, learned from the train splits or imported, and how well it covers them."""

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
from models import progress, vocabularies
from schemas import DataError

_BATCH = 1000  # records parsed at once


class Spec(component_spec.ComponentSpec):
    """Sources in, a vocabulary out; ``settings`` is a JSON object of the arguments of ``VocabularyGen``."""

    PARAMETERS = {
        "settings": component_spec.ExecutionParameter(type=str),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }
    # Two keys, not a union of channels: Kubeflow's compiler knows none.
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "more_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
        "side_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
        "base_model": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {"vocabulary": component_spec.ChannelParameter(type=Vocabulary)}


class Executor(base_executor.BaseExecutor):
    """Reads the records; ``models/vocabularies/<kind>.py`` does the rest."""

    @override
    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Learns or imports the vocabulary, as its kind does.

        Raises:
          DataError: the train splits have no text, or the imported vocabulary is at fault.
        """
        settings = json.loads(exec_properties["settings"])
        sources = [input_dict["examples"], input_dict.get("more_examples", [])]
        splits = [uri for source in sources if source for uri in artifact_utils.get_split_uris(source, "train")]
        folder = pathlib.Path(artifact_utils.get_single_uri(output_dict["vocabulary"]))
        folder.mkdir(parents=True, exist_ok=True)
        summary = vocabularies.load(settings["kind"]).learn(
            _texts(splits, settings["features"]),
            settings,
            folder,
            imported=_content(settings["path"]) if settings["path"] else None,
            base=_checkpoint(input_dict.get("base_model")),
            **(
                {"side": _records(side, settings["side_features"])} if (side := input_dict.get("side_examples")) else {}
            ),
        )
        progress.emit(progress.Summary(summary))


def _texts(folders: Sequence[str], features: Sequence[str]) -> Iterator[Any]:
    """String tensors (N,) of what the records of ``folders`` hold in ``features``."""
    for records in _parsed(folders, {name: tf.io.VarLenFeature(tf.string) for name in features}):
        yield tf.concat([feature.values for feature in records.values()], axis=0)


def _records(side: list[types.Artifact], features: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Batches of the records of all splits: string tensors (N,) by feature."""
    splits = [
        (artifact, split) for artifact in side for split in artifact_utils.decode_split_names(artifact.split_names)
    ]
    folders = [artifact_utils.get_split_uri([artifact], split) for artifact, split in splits]
    yield from _parsed(folders, {name: tf.io.FixedLenFeature([], tf.string) for name in features})


def _parsed(folders: Sequence[str], spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    files = sorted(name for folder in folders for name in tf.io.gfile.glob(f"{folder}/*"))
    for records in tf.data.TFRecordDataset(files, compression_type="GZIP").batch(_BATCH):
        yield tf.io.parse_example(records, spec)


def _checkpoint(base_model: list[types.Artifact] | None) -> pathlib.Path | None:
    if not base_model:
        return None
    return training.base_checkpoint(path_utils.serving_model_path(artifact_utils.get_single_uri(base_model)))


def _content(path: str) -> bytes:
    try:
        with fileio.open(path, "rb") as file:
            content: bytes = file.read()
            return content
    except (tf.errors.NotFoundError, FileNotFoundError):
        raise DataError(f"{path} does not exist: it should hold the vocabulary, a piece a line") from None


class VocabularyGen(base_component.BaseComponent):
    """Learns a vocabulary from the train splits, or imports one; reports on it either way.

    Args:
      examples: one or two Examples channels.
      side: Examples of a side source of their kind, with
      side_features: … what its records hold; for ``learn``'s argument ``side``.
      source_digest: of the code behind this node; another one runs it again.
      kind: the vocabulary's module in ``models/vocabularies/``, or its dotted path.
      features: of the records, those that it is learned from.
      learn: pieces to learn, or
      path: … a file to import, content-addressed: TFX does not see a file that was edited in place; or
      base_model: … a Model whose vocabulary and rules are taken.
      reserve: pieces that are never split.
      mode: how text becomes words; None takes the imported folder's, else the kind's own.
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
        kind: str = "wordpiece",
        features: Sequence[str] = ("text", "text_pair", "sentences"),
        side: types.BaseChannel | None = None,
        side_features: Sequence[str] = (),
        learn: int | None = None,
        path: str | None = None,
        base_model: types.BaseChannel | None = None,
        reserve: Sequence[str] = (),
        mode: str | None = None,
        replace: Sequence[dict[str, str]] = (),
    ):
        if not 1 <= len(examples) <= 2:
            raise ValueError(f"one or two sources can be read. Received: {len(examples)}")
        settings = {
            **{"kind": kind, "features": list(features), "learn": learn, "path": path},
            **{"reserve": list(reserve), "mode": mode, "replace": list(replace)},
            **({"side_features": list(side_features)} if side else {}),
        }
        vocabularies.load(kind).check({**settings, "base": base_model is not None})
        first, *more = examples
        super().__init__(
            spec=Spec(
                examples=first,
                more_examples=more[0] if more else None,
                side_examples=side,
                base_model=base_model,
                settings=json.dumps(settings, sort_keys=True, ensure_ascii=False),
                source_digest=source_digest,
                vocabulary=types.Channel(type=Vocabulary),
            )
        )
