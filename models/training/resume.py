"""Exact resume: a training that was killed ends with the weights of an uninterrupted one."""

import json
from typing import Any, Protocol

import tensorflow as tf

from models import progress
from models.training import replicas
from models.training.curve import Curve
from models.training.optimizer import AdamW


class Mirror(Protocol):
    """A folder of this machine, for one where TensorFlow opens no files.

    Attributes:
      folder: it holds what was in the other one when this was made.
    """

    folder: str

    def push(self, last: str = "") -> None:
        """Makes the other folder as this one: new files, then ``last``, then removals."""


class _Kept(tf.train.experimental.PythonState):
    """The curve inside a checkpoint."""

    def __init__(self) -> None:
        self.curve = Curve()

    def serialize(self) -> str:
        return json.dumps(self.curve.dump())

    def deserialize(self, string_value: bytes) -> None:
        self.curve = Curve.of(json.loads(string_value))


class TrainingState:
    """Weights, random seeds, optimizer, step and curve, in TensorFlow checkpoints.

    They are checksummed, and lie in any file system of TensorFlow's.

    Of several workers the chief writes, and all read.

    Args:
      folder: of this training alone; its name is a digest of all that decides the weights.
      model: a built Keras layer.
      optimizer: whose slots are saved too.
      mirror: of ``folder``, where TensorFlow cannot open it.
      averages: whether the mean of the weights at several times is kept.

    Attributes:
      step: int64 scalar, optimizer steps done.
      epoch: int64 scalar, epochs trained and judged.
      best_score: float32 scalar, the headline figure of the best epoch so far.
      best_epoch: int64 scalar, what ``epoch`` was then.
      averaged: int64 scalar, how many times ``average`` was called.
    """

    def __init__(
        self, folder: str, model: Any, optimizer: AdamW, mirror: Mirror | None = None, *, averages: bool = False
    ) -> None:
        self.folder, self._mirror = folder, mirror
        self._place = mirror.folder if mirror else folder
        self.step = tf.Variable(0, dtype=tf.int64, name="step")
        self.epoch = tf.Variable(0, dtype=tf.int64, name="epoch")
        self.best_score = tf.Variable(float("-inf"), name="best_score")
        self.best_epoch = tf.Variable(0, dtype=tf.int64, name="best_epoch")
        self.averaged = tf.Variable(0, dtype=tf.int64, name="averaged")
        self._model_weights = [variable.value for variable in model.weights]
        self._means = [tf.Variable(tf.zeros(each.shape, each.dtype)) for each in self._model_weights if averages]
        mean = {"averaged": self.averaged, "means": self._means} if averages else {}
        # `variables`, not `weights`: the states of the dropout seeds are among them.
        self._weights = tf.train.Checkpoint(variables=[variable.value for variable in model.variables])
        self._kept = _Kept()
        checkpoint = tf.train.Checkpoint(
            curve=self._kept,
            step=self.step,
            epoch=self.epoch,
            best_score=self.best_score,
            best_epoch=self.best_epoch,
            model=self._weights,
            optimizer=optimizer,
            **mean,
        )
        self._manager = tf.train.CheckpointManager(checkpoint, self._place, max_to_keep=2)
        self._checkpoint = checkpoint

    @property
    def curve(self) -> Curve:
        """Of the steps that lead to these weights."""
        return self._kept.curve

    def restore(self) -> int:
        """Restores the newest readable checkpoint; returns its step, or 0. Reports unreadable ones.

        Raises:
          ValueError: the workers found different ones.
        """
        steps = set(replicas.gathered(self._restored()))
        if len(steps) > 1:
            raise ValueError(
                f"the workers begin at different steps ({', '.join(map(str, sorted(steps)))}): all must read the same "
                f"checkpoints, and read them in {self.folder}; it has to be on a volume of all, or in a bucket"
            )
        return steps.pop()

    def _restored(self) -> int:
        for path in reversed(self._manager.checkpoints):
            try:
                self._checkpoint.restore(path).assert_consumed()
            except (tf.errors.OpError, AssertionError, IndexError) as error:  # IndexError: shorter than its index says
                reason = str(error).splitlines()[0]
                progress.emit(progress.Notice(f"checkpoint {path} cannot be read ({reason}); trying the one before it"))
                continue
            return int(self.step)
        self._kept.curve = Curve()
        self.step.assign(0)
        self.epoch.assign(0)
        self.best_score.assign(float("-inf"))
        self.best_epoch.assign(0)
        self.averaged.assign(0)
        return 0

    def save(self) -> None:
        """Writes a checkpoint and keeps the newest two."""
        if replicas.chief():
            self._manager.save(checkpoint_number=int(self.step))
            self._push()

    def _push(self) -> None:
        if self._mirror:
            self._mirror.push(last="checkpoint")  # TensorFlow's name for the file that names the others

    def keep_best(self, score: float) -> bool:
        """Saves the weights separately if ``score`` is the best so far."""
        if score <= float(self.best_score):
            return False
        if replicas.chief():
            self._weights.write(f"{self._place}/best")
            self._push()
        self.best_score.assign(score)
        self.best_epoch.assign(self.epoch)
        return True

    def average(self) -> None:
        """Takes the weights as they are now into their mean."""
        self.averaged.assign_add(1)
        for mean, weight in zip(self._means, self._model_weights, strict=True):
            mean.assign_add((weight - mean) / tf.cast(self.averaged, mean.dtype))

    def use_average(self) -> None:
        """Puts the mean in the place of the weights."""
        for mean, weight in zip(self._means, self._model_weights, strict=True):
            weight.assign(mean)

    def restore_best(self) -> None:
        """Restores the weights of the best epoch."""
        replicas.gathered(0)  # the chief may still be writing
        self._weights.read(f"{self._place}/best").assert_consumed()
