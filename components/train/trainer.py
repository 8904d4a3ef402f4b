"""Fine-tuning behind the stock Trainer: ``run_fn="components.train.trainer.run_fn"``."""

import dataclasses
import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import yaml
from tfx.components.trainer import fn_args_utils

from components.train import preparation, provenance, pruning, training
from components.train.fine_tuning import Calibration, FineTuning, Pruning, Refit
from components.train.preparation import Prepared
from models import distillation, families, progress, task, vocabularies
from models.checkpoints import task_head
from models.export import card, saved_model
from models.judging import eval_rows
from models.training import calibration, curve, replicas
from models.training.optimizer import layer_decay
from models.training.resume import TrainingState
from models.training.training_loop import Loop

_NONE = -1e9  # less than any figure
_LATER = ("refit", "pruned")  # trainings behind the first, by what their configuration has more


@replicas.together()
def run_fn(fn_args: fn_args_utils.FnArgs) -> None:
    """Trains the task named in ``custom_config`` and exports what did best on the eval split, of all epochs and seeds.

    ``custom_config``: ``task`` (its section of the YAML), ``train``, ``encoder`` (None with a base model), ``seed``,
    ``source_digest``, where asked for ``explain``. What a Tuner chose goes before ``train``.
    """
    config = fn_args.custom_config
    if fn_args.hyperparameters:
        config = {**config, "train": {**config["train"], **fn_args.hyperparameters["values"]}}
    prepared = preparation.prepare(fn_args, config)
    the_task, model, came_to, curves = _train(fn_args, config, prepared)
    if replicas.chief():
        _export(fn_args, config, the_task, model, tft.TFTransformOutput(fn_args.transform_output))
        folder = saved_model.assets(fn_args.serving_model_dir)
        came_to.write(folder)
        curve.write(folder, curves)
        provenance.write(folder, fn_args)
        _card(folder, fn_args, config, the_task, model, came_to)
        progress.emit(progress.Summary(str(came_to)))


def _train(
    fn_args: fn_args_utils.FnArgs, config: dict[str, Any], prepared: Prepared
) -> tuple[task.Task, Any, FineTuning, dict[str, curve.Curve]]:
    """One training a seed; the best one's model at its best epoch, pruned where asked, or its refit.

    And what all came to, and their curves.
    """
    the_task = prepared.task
    settings = {name: value for name, value in config["train"].items() if name not in ("seeds", "refit", "prune")}
    seeds = config["train"].get("seeds") or [config["seed"]]
    scores, curves, kept = dict[int, float](), dict[str, curve.Curve](), dict[int, tuple[Any, TrainingState]]()
    for seed in seeds:
        # As an experiment of this seed alone: checkpoints too are those of one.
        alone = {**config, "seed": seed, "train": settings}
        phase = f"seed {seed} ({len(scores) + 1}/{len(seeds)}) · " if len(seeds) > 1 else ""
        kept[seed] = train_once(fn_args, alone, prepared, phase)
        scores[seed] = float(kept[seed][1].best_score)
        curves[f"seed {seed}"] = kept[seed][1].curve
        best = max(scores, key=scores.__getitem__)
        kept = {best: kept[best]}  # two models in memory at most
    model, state = kept[best]
    state.restore_best()
    metric = the_task.chosen or the_task.metrics[0]
    cut: Pruning | None = None
    if asked := config["train"].get("prune"):
        alone = {**config, "seed": best, "train": {**settings, "prune": asked}}
        model, cut, curves["pruned"] = _prune(fn_args, alone, prepared, model, figure(scores[best], metric))
    held_out = eval_rows.batches(the_task, prepared.held_out, settings["batch_size"])
    came_to = FineTuning(
        metric=metric.name,
        scores={seed: figure(score, metric) for seed, score in scores.items()},
        seed=best,
        records=prepared.records,
        unlabelled=prepared.unlabelled[1] if prepared.unlabelled else 0,
        rows=the_task.rows,
        epochs=int(state.epoch),
        planned=settings["epochs"],
        calibration=_calibrate(the_task, model, held_out) if settings["calibrate"] and the_task.calibrates else None,
        pruning=cut,
    )
    if config["train"].get("refit"):
        alone, chosen = {**config, "seed": best, "train": settings}, int(state.best_epoch)
        the_task, model, refit, curves["refit"] = _refit(fn_args, alone, prepared, chosen)
        came_to = came_to.model_copy(update={"refit": refit})
        if came_to.calibration:
            calibration.divide(model.logits, came_to.calibration.temperature)
    return the_task, model, came_to, curves


def _refit(
    fn_args: fn_args_utils.FnArgs, config: dict[str, Any], prepared: Prepared, epochs: int
) -> tuple[task.Task, Any, Refit, curve.Curve]:
    """Trains once more, from the same start, on train and eval together: no split is left to judge it.

    Args:
      fn_args: of the node.
      config: as for ``run_fn``, of one seed.
      prepared: of the node.
      epochs: the best one's number; the schedule is that of the training that found it.
    """
    both = prepared.task.together(prepared.transformed, prepared.held_out)
    prepared = preparation.prepared(
        fn_args, prepared.task, both, prepared.held_out, prepared.files, prepared.unlabelled
    )
    begun = _begin(fn_args, {**config, "refit": epochs}, prepared, epochs)
    state = begun.loop.state
    while (epoch := int(state.epoch)) < epochs:
        begun.train(epoch, f"refit · epoch {epoch + 1}/{epochs}")
        state.epoch.assign(epoch + 1)
        begun.loop.save()
    return (
        prepared.task,
        begun.model,
        Refit(records=prepared.records, rows=prepared.task.rows, epochs=epochs),
        state.curve,
    )


def _prune(
    fn_args: fn_args_utils.FnArgs, config: dict[str, Any], prepared: Prepared, model: Any, whole: float
) -> tuple[Any, Pruning, curve.Curve]:
    """Cuts heads of a trained model and trains what is left: its best epoch, or itself where none was better.

    Args:
      fn_args: of the node.
      config: as for ``run_fn``, of one seed.
      prepared: of the node.
      model: at its best epoch.
      whole: its headline figure of the eval split.
    """
    the_task, sizes, asked = prepared.task, _sizes(prepared.task, config["train"]), config["train"]["prune"]
    vocabulary = vocabularies.read(training.vocabulary_folder(fn_args.transform_output))
    heads = pruning.dispensable(the_task, model, prepared.held_out, asked["heads"], sizes)
    config = {**config, "train": pruning.recovery(config["train"]), "pruned": heads}
    training.seeded(config["seed"], config)
    made = _Made(*pruning.without(heads, the_task, model, vocabulary))
    judge, metric = _judge(the_task, made.model, prepared, sizes), the_task.chosen or the_task.metrics[0]
    cut = judge()
    begun = _loop(fn_args, config, prepared, made, asked["recover"])
    state = begun.loop.state
    if not int(state.step):
        state.keep_best(_better(cut, metric))
    while (epoch := int(state.epoch)) < asked["recover"]:
        _epoch(begun, epoch, f"pruned · epoch {epoch + 1}/{asked['recover']}", judge, metric)
        begun.loop.save()
    state.restore_best()
    (before, many), (after, few) = (pruning.count(the_task, each) for each in (model, made.model))
    found = Pruning(
        heads=(before, after),
        parameters=(many, few),
        whole=whole,
        cut=cut,
        recovered=figure(float(state.best_score), metric),
        epochs=asked["recover"],
    )
    return made.model, found, state.curve


def figure(score: float, metric: task.Metric) -> float:
    """The headline figure that ``TrainingState.best_score`` stands for; NaN where there was none."""
    return math.nan if score == _NONE else score if metric.better == "higher" else -score


def train_once(
    fn_args: fn_args_utils.FnArgs, config: dict[str, Any], prepared: Prepared, phase: str
) -> tuple[Any, TrainingState]:
    """Goes on where a killed training was, and ends where it did if it was through.

    Args:
      fn_args: of the node.
      config: as for ``run_fn``, of one seed.
      prepared: of the node.
      phase: what a person is told in front of the epoch.
    """
    settings, the_task = config["train"], prepared.task
    epochs = settings["epochs"]
    begun = _begin(fn_args, config, prepared, epochs)
    model, loop = begun.model, begun.loop
    state, metric = loop.state, the_task.chosen or the_task.metrics[0]
    judge = _judge(the_task, model, prepared, _sizes(the_task, settings))
    averaged_from = epochs - settings.get("average", 0)
    patience = settings.get("early_stopping", {}).get("patience", epochs)
    while (epoch := int(state.epoch)) < epochs and epoch - int(state.best_epoch) < patience:
        _epoch(begun, epoch, f"{phase}epoch {epoch + 1}/{epochs}", judge, metric)
        if epoch >= averaged_from:
            state.average()
        loop.save()
    if int(state.averaged):
        state.use_average()
        state.keep_best(_better(judge(), metric))
    return model, state


def _epoch(begun: "_Begun", epoch: int, phase: str, judge: Callable[[], float], metric: task.Metric) -> None:
    """What is left of an epoch, and its figure of the eval split; its weights are kept if they are the best so far."""
    begun.train(epoch, phase)
    state, score = begun.loop.state, judge()
    state.curve.judge(int(state.step), {metric.name: score})
    with begun.loop.writer.as_default(step=int(state.step)):
        tf.summary.scalar(f"eval/{metric.name}", score)
    state.epoch.assign(epoch + 1)
    state.keep_best(_better(score, metric))


@dataclasses.dataclass(frozen=True)
class _Made:
    """A network and the task's model of it, both built."""

    network: Any
    model: Any


@dataclasses.dataclass(frozen=True)
class _Begun:
    """A training, at the step that a killed run left.

    Attributes:
      model: built.
      loop: with its state.
      train: trains what is left of an epoch: its number, and what a person is told.
    """

    model: Any
    loop: Loop
    train: Callable[[int, str], None]


def _begin(fn_args: fn_args_utils.FnArgs, config: dict[str, Any], prepared: Prepared, epochs: int) -> _Begun:
    """Builds the model. ``epochs`` are trained at most; the schedule spans those of ``config``."""
    the_task = prepared.task
    family, folder = families.load(the_task.family), training.base_checkpoint(fn_args.base_model)
    vocabulary = vocabularies.read(training.vocabulary_folder(fn_args.transform_output))
    training.seeded(config["seed"], config)
    with replicas.strategy().scope():
        network = family.network(config["encoder"], vocabulary, folder)
        model = the_task.build(network)
    if folder:
        family.load(folder, network)
    return _loop(fn_args, config, prepared, _Made(network, model), epochs)


def _loop(
    fn_args: fn_args_utils.FnArgs, config: dict[str, Any], prepared: Prepared, made: _Made, epochs: int
) -> _Begun:
    settings, seed, the_task = config["train"], config["seed"], prepared.task
    network, model, folder = made.network, made.model, training.base_checkpoint(fn_args.base_model)
    if frozen := settings.get("freeze"):
        network.freeze(0 if frozen == "embeddings" else frozen)
    sizes = _sizes(the_task, settings)
    epoch_steps = the_task.steps(prepared.train, **sizes)
    layers = network.layers_of_variables if network else []
    loop = training.loop(
        model,
        distillation.loss(the_task, settings["teacher"]) if "teacher" in settings else the_task.loss,
        settings,
        steps=epoch_steps * epochs,
        planned=epoch_steps * settings["epochs"],
        key=training.key(prepared.files, folder, config),
        logs=f"{fn_args.model_run_dir}/{next((name for name in _LATER if name in config), f'seed-{seed}')}",
        factors=layer_decay(model.trainable_variables, layers, settings["layer_decay"]),
        units=families.load(the_task.family).units,
    )

    def train(epoch: int, phase: str) -> None:
        start = int(loop.state.step) - epoch * epoch_steps
        loop.run(the_task.batches(prepared.train, seed=seed, epoch=epoch, start_step=start, **sizes), phase)

    return _Begun(model, loop, train)


def _sizes(the_task: task.Task, settings: dict[str, Any]) -> dict[str, Any]:
    """How large the batches are, as ``Task.batches`` takes it."""
    names = ("batch_size", *(["batch_tokens"] if the_task.by_tokens and "batch_tokens" in settings else []))
    return {name: settings[name] for name in names}


def _judge(the_task: task.Task, model: Any, prepared: Prepared, sizes: dict[str, Any]) -> Callable[[], float]:
    """The figure of the eval split by which an epoch is chosen."""
    if the_task.chosen:
        rows = the_task.training_rows(prepared.held_out)
        return eval_rows.loss_of_split(the_task, model, the_task.batches(rows, seed=0, epoch=0, **sizes))
    row_metrics = eval_rows.of_split(
        the_task, model, eval_rows.batches(the_task, prepared.held_out, sizes["batch_size"])
    )
    return lambda: the_task.choose(row_metrics())


def _better(score: float, metric: task.Metric) -> float:
    """The score as more is better. A correlation of answers that are all alike is none: any other is better."""
    return _NONE if math.isnan(score) else score if metric.better == "higher" else -score


def _calibrate(the_task: task.Task, model: Any, batches: tf.data.Dataset) -> Calibration:
    """Makes the model's scores as sure as they are right over one pass of ``batches``."""
    target = the_task.targets[0]

    @tf.function(input_signature=list(batches.element_spec), autograph=False)
    def answered(inputs: task.Tensors, features: task.Tensors) -> tuple[tf.Tensor, tf.Tensor, dict[str, Any]]:
        return model(inputs, training=False)["logits"], features[target], eval_rows.gold(the_task, features)

    parts = [answered(*batch) for batch in batches]
    logits, right = (np.concatenate([each[place] for each in parts]) for place in (0, 1))
    gold = {name: tf.concat([each[2][name] for each in parts], axis=0) for name in the_task.gold}
    temperature = calibration.temperature(logits, right)

    def error(by: float) -> float:
        answers = the_task.answer({"logits": tf.constant(logits / by)}, {}, {})
        return the_task.figures(eval_rows.row_metrics(the_task, answers, gold)).values["ece"]

    calibration.divide(model.logits, temperature)
    return Calibration(temperature=temperature, ece_before=error(1.0), ece_after=error(temperature))


def _export(
    fn_args: fn_args_utils.FnArgs, config: dict[str, Any], the_task: task.Task, model: Any, transformed: Any
) -> None:
    family, raw = families.load(the_task.family), transformed.raw_feature_spec()
    vocabulary = vocabularies.read(training.vocabulary_folder(fn_args.transform_output))
    served = [each.name for each in family.inputs if each.name in raw and each.name not in the_task.gold]
    saved_model.write(
        fn_args.serving_model_dir,
        family=family.name,
        model=model,
        the_task=the_task,
        featurize=transformed.transform_features_layer(),
        raw_spec={name: raw[name] for name in served},
        gold_spec={name: tf.io.RaggedFeature(raw[name].dtype) for name in the_task.gold},
        explained_by=vocabulary if config.get("explain") else None,
    )
    folder = saved_model.assets(fn_args.serving_model_dir)
    family.save(folder / training.CHECKPOINT, model, the_task, vocabulary)
    made_with = {name: config[name] for name in ("task", "train", "encoder", "seed")}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(made_with, allow_unicode=True, sort_keys=False), "utf-8")


def _card(
    folder: pathlib.Path,
    fn_args: fn_args_utils.FnArgs,
    config: dict[str, Any],
    the_task: task.Task,
    model: Any,
    came_to: FineTuning,
) -> None:
    own, family, kind = config["task"]["config"], families.load(the_task.family), task_head.of_task(the_task)
    vocabulary = vocabularies.read(training.vocabulary_folder(fn_args.transform_output))
    card.write(
        folder,
        config["task"]["type"].replace("_", " ").capitalize()
        + (f": {', '.join(the_task.label_names)}" if the_task.label_names else ""),
        {
            "Encoder": family.describe(model, vocabulary),
            "Training": card.training(config["train"], came_to.seed, fn_args.base_model),
            "Result": f"{came_to}; the figures of the test split: tfx-bert show",
            **({"Seeds": came_to.seeds} if came_to.seeds else {}),
            **({"Head": task_head.OF_MEAN} if kind and kind.over == "mean" else {}),
        },
        family.limits(own),
        card.head(
            kind.pipeline_tag if kind else None,
            training.base_checkpoint(fn_args.base_model),
            [metric.name for metric in the_task.metrics],
        ),
    )
