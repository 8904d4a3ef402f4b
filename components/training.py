"""What the two trainers' ``run_fn`` share: where they start from, and where their checkpoints live.

TFX reloads the modules behind ``run_fn``: functions only, no state.
"""

import pathlib
from typing import Any

import keras
import tensorflow as tf

from components import digest
from models import checkpoint, export
from models.encoder import BertEncoder
from models.optimizer import AdamW, LinearSchedule
from models.resume import TrainingState
from models.text import Tokenizer

CHECKPOINT = "checkpoint"  # inside assets.extra: a Hugging Face BERT folder


def tokenizer(transform_graph: str) -> Tokenizer:
    """The one that made the ids: Transform keeps its vocabulary beside its graph."""
    return Tokenizer.read(pathlib.Path(transform_graph) / "vocabulary")


def matching(patterns: list[str]) -> list[str]:
    """The files behind TFX's patterns, in name order, which is the order of the records."""
    return sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))


def base_checkpoint(base_model: str | None) -> pathlib.Path | None:
    """The Hugging Face folder inside a base model."""
    return export.assets(base_model) / CHECKPOINT if base_model else None


def encoder(folder: pathlib.Path | None, shape: dict[str, Any] | None, vocabulary_size: int) -> BertEncoder:
    """A built encoder, of the checkpoint's shape or of ``shape``; its weights are loaded by the caller.

    Raises:
      ValueError: the checkpoint's vocabulary is not the one that made the ids.
    """
    if folder is None:
        if shape is None:
            raise ValueError("an encoder needs a checkpoint or a shape")
        return BertEncoder(vocabulary_size=vocabulary_size, **shape)
    read = checkpoint.read(folder)
    if len(read.vocabulary) != vocabulary_size:
        raise ValueError(
            f"{folder} has {len(read.vocabulary):,} pieces, the records were tokenized with {vocabulary_size:,}"
        )
    return BertEncoder(**read.encoder)


def prepare(
    model: keras.layers.Layer, settings: dict[str, Any], steps: int, root: str, key: str
) -> tuple[AdamW, TrainingState]:
    """The optimizer, and the state that a killed run left under ``root``.

    Args:
      model: built.
      settings: the fields of ``configs.experiment.Optimization``.
      steps: of the whole training.
      root: folder of all checkpoints.
      key: digest of all that decides the weights; another key is another training.
    """
    schedule = LinearSchedule(settings["learning_rate"], round(settings["warmup"] * steps), steps)
    optimizer = AdamW(schedule, settings["weight_decay"], settings["clip_norm"])
    optimizer.build(model.trainable_variables)
    return optimizer, TrainingState(f"{root}/{key[:32]}", model, optimizer)


def key(files: list[str], folder: pathlib.Path | None, config: dict[str, Any]) -> str:
    """The digest that names a training: its records, its start, its settings. Where checkpoints live is left out."""
    settings = {name: value for name, value in config.items() if name != "checkpoint_root"}
    start = [str(folder / "model.safetensors")] if folder else []
    return digest.of_files([*files, *start], config=settings)
