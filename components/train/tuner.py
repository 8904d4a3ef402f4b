"""The search for fine-tuning's settings behind the stock Tuner: ``tuner_fn="components.train.tuner.tuner_fn"``.

KerasTuner proposes, the Trainer's own training answers. KerasTuner's loop is left out: it takes an exception for a
trial that went wrong, and goes on.
"""

from typing import Any

import keras_tuner
from keras_tuner.engine import base_tuner, trial
from tfx.components.trainer import fn_args_utils
from tfx.components.tuner.component import TunerFnResult

from components.storage import files
from components.storage.files import fileio
from components.train import preparation, trainer, training
from models import progress
from models.training.training_loop import NotFinite

_SCORE = "score"  # ``TrainingState.best_score``: the headline of the eval split, its sign such that more is better
_ORACLES = {
    "random": keras_tuner.oracles.RandomSearchOracle,
    "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
}


def tuner_fn(fn_args: fn_args_utils.FnArgs) -> TunerFnResult:
    """``custom_config``: the Trainer's, and ``tune``, the experiment's section of that name."""
    config = dict(fn_args.custom_config)
    tune = config.pop("tune")
    # As the Trainer's executor names them.
    fn_args.transform_output, fn_args.model_run_dir = fn_args.transform_graph_path, fn_args.working_dir
    return TunerFnResult(Search(fn_args, config, tune), {})


def space(ranges: dict[str, Any]) -> keras_tuner.HyperParameters:
    """A list is a choice, ``{min: …, max: …}`` a range, drawn by its logarithm."""
    found = keras_tuner.HyperParameters()
    for name, values in ranges.items():
        if isinstance(values, list):
            whole = all(isinstance(value, int) for value in values)  # KerasTuner takes values of one kind
            found.Choice(name, values if whole else [float(value) for value in values])
        else:
            found.Float(name, values["min"], values["max"], sampling="log")
    return found


class Search(base_tuner.BaseTuner):
    """Trials one after another; a killed search goes on at the trial, and the step in it, where it was.

    Args:
      fn_args: of the node.
      config: of the Trainer.
      tune: the experiment's section.
    """

    def __init__(self, fn_args: fn_args_utils.FnArgs, config: dict[str, Any], tune: dict[str, Any]) -> None:
        self._fn_args, self._config, self._trials = fn_args, config, tune["trials"]
        self._prepared = preparation.prepare(fn_args, config)
        base = training.base_checkpoint(fn_args.base_model)
        folder = training.folder(training.key(self._prepared.files, base, {**config, "tune": tune}))
        progress.emit(progress.Checkpoints(folder))
        self._mirror = files.mirrored(folder)
        oracle = _ORACLES[tune["algorithm"]](
            objective=keras_tuner.Objective(_SCORE, "max"),
            max_trials=tune["trials"],
            hyperparameters=space(tune["space"]),
            seed=config["seed"],
        )
        oracle.verbose = 0
        place = self._mirror.folder if self._mirror else folder
        super().__init__(oracle, directory=place, project_name="trials")

    def search(self) -> None:
        """Trains with what the oracle proposes until it has no more."""
        while (proposed := self.oracle.create_trial(self.tuner_id)).status != trial.TrialStatus.STOPPED:
            self._keep()
            score = self.run_trial(proposed)
            self.oracle.update_trial(proposed.trial_id, {_SCORE: score})
            proposed.status = trial.TrialStatus.COMPLETED
            self.on_trial_end(proposed)
            self._keep()
        ranked = self.oracle.get_best_trials(self._trials)
        metric = self._prepared.task.chosen or self._prepared.task.metrics[0]
        best, worst = (f"{trainer.figure(each.score, metric):.3f}" for each in (ranked[0], ranked[-1]))
        settings = summarize(ranked[0].hyperparameters.values)
        told_of_it = f"{len(ranked)} trials · {settings} · eval {metric.name} {best} (the worst: {worst})"
        progress.emit(progress.Summary(told_of_it))

    def _keep(self) -> None:
        if self._mirror:
            self._mirror.push(last="trials/oracle.json")

    def run_trial(self, proposed: trial.Trial) -> float:
        """The score of a training with the proposed settings.

        Raises:
          NotFinite: its loss; the settings are named.
        """
        values = proposed.hyperparameters.values
        number = 1 + sum(each.status == trial.TrialStatus.COMPLETED for each in self.oracle.trials.values())
        config = {**self._config, "train": {**self._config["train"], **values}}
        try:
            _, state = trainer.train_once(
                self._fn_args, config, self._prepared, f"trial {number}/{self._trials} ({summarize(values)}) · "
            )
        except NotFinite as error:
            raise NotFinite(f"trial {number} of {self._trials}, {summarize(values)}: {error}") from None
        fileio.rmtree(state.folder)  # trials may be many, and the oracle has what is needed
        return float(state.best_score)

    def search_space_summary(self, extended: bool = False) -> None:
        """Nothing: it would be printed."""

    def results_summary(self, num_trials: int = 10) -> None:
        """Nothing."""


def summarize(values: dict[str, Any]) -> str:
    """``learning_rate 3.1e-05, batch_size 16``."""
    return ", ".join(
        f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )
