"""What the trainers' functions share: where they start from, and where their checkpoints live.

TFX reloads the modules behind ``run_fn``: functions only, no state.
"""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from components import digest
from components.storage import files
from components.storage.files import fileio
from models import progress
from models.export import saved_model
from models.training import replicas
from models.training.optimizer import SCHEDULES, AdamW
from models.training.resume import TrainingState
from models.training.training_loop import Batch, Loop

CHECKPOINT = "checkpoint"  # inside assets.extra: what a training starts from, in the family's format
# Where a training keeps its checkpoints, and how often it writes one, decide no weight. TFX reuses a trainer by its
# custom_config, so they reach it by the process's environment, as they reach a container.
_ROOT, _SECONDS, _RESUME = "TFX_BERT_CHECKPOINT_ROOT", "TFX_BERT_CHECKPOINT_SECONDS", "TFX_BERT_RESUME"


def environment(root: str, seconds: float, *, resume: bool) -> dict[str, str]:
    """The variables that tell a training what ``checkpointing`` takes."""
    return {_ROOT: root, _SECONDS: str(seconds), _RESUME: str(int(resume))}


@contextlib.contextmanager
def checkpointing(root: str, seconds: float, *, resume: bool = True) -> Iterator[None]:
    """How trainings in this block keep their checkpoints.

    Args:
      root: the folder of them all.
      seconds: at least this long between two of them.
      resume: whether a training goes on from what a killed run left, or drops that and begins again.
    """
    before = {name: os.environ.get(name) for name in (_ROOT, _SECONDS, _RESUME)}
    os.environ.update(environment(root, seconds, resume=resume))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def seeded(seed: int, config: dict[str, Any]) -> None:
    """Everything that is drawn from here on follows ``seed``; with ``deterministic`` every sum has one order too."""
    keras.utils.set_random_seed(seed)
    if config.get("deterministic"):
        tf.config.experimental.enable_op_determinism()


def vocabulary_folder(transform_graph: str) -> pathlib.Path:
    """The vocabulary that made the ids: Transform keeps a copy beside its graph."""
    return pathlib.Path(transform_graph) / "vocabulary"


def matching(patterns: list[str]) -> list[str]:
    """The files behind TFX's patterns, in name order, which is the order of the records."""
    return sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))


def base_checkpoint(base_model: str | None) -> pathlib.Path | None:
    """The checkpoint inside a base model, in the family's format."""
    return saved_model.assets(base_model) / CHECKPOINT if base_model else None


def folder(key: str) -> str:
    """Where a training keeps its checkpoints; what a killed run left there is gone if it is not to be resumed."""
    if missing := [name for name in (_ROOT, _SECONDS, _RESUME) if name not in os.environ]:
        raise ValueError(f"{missing[0]} is not set: run trainers inside components.train.training.checkpointing(...)")
    found = f"{os.environ[_ROOT]}/{key[:32]}"
    if os.environ[_RESUME] == "0" and fileio.exists(found):
        fileio.rmtree(found)
    return found


def loop(
    model: keras.layers.Layer,
    loss: Callable[[Batch, Batch], tf.Tensor],
    settings: dict[str, Any],
    *,
    steps: int,
    planned: int | None = None,
    key: str,
    logs: str,
    factors: Sequence[float] | None = None,
    units: str = "tokens",
) -> Loop:
    """The training loop, at the step that a killed run left. Emits where its checkpoints are.

    Args:
      model: built.
      loss: ``loss(outputs, batch)``, a float32 scalar in nats.
      settings: the fields of ``configs.optimization.Optimization``, or of ``configs.pretraining.Pretrain``.
      steps: of the whole training.
      planned: steps that the schedule spans; None: ``steps``.
      key: digest of all that decides the weights; another key is another training.
      logs: folder of the TensorBoard events.
      factors: of the learning rate, a number a trainable variable.
      units: what a person is told that rows are made of.
    """
    spanned = planned or steps
    warmup = round(settings["warmup"] * spanned)
    schedule = SCHEDULES[settings["schedule"]](settings["learning_rate"], warmup, spanned)
    with replicas.strategy().scope():
        adam = {"beta_2": settings["beta_2"]} if "beta_2" in settings else {}
        optimizer = AdamW(schedule, settings["weight_decay"], settings["clip_norm"], factors=factors, **adam)
        optimizer.build(model.trainable_variables)
    kept = folder(key)
    state = TrainingState(kept, model, optimizer, files.mirrored(kept), averages="average" in settings)
    progress.emit(progress.Checkpoints(kept))
    if done := state.restore():
        progress.emit(progress.Notice(f"resumed at step {done:,} of {steps:,}"))
    seconds = float(os.environ[_SECONDS])
    how = {name: settings[name] for name in ("accumulate", "jit_compile", "precision") if name in settings}
    return Loop(model, loss, optimizer, state, steps=steps, checkpoint_seconds=seconds, logs=logs, units=units, **how)


def key(files: list[str], folder: pathlib.Path | None, config: dict[str, Any]) -> str:
    """The digest that names a training: its records, its start, its settings."""
    start = sorted(str(path) for path in folder.iterdir()) if folder else []
    return digest.of_files([*files, *start], config=config)
