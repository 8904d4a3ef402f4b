"""Fine-tuning behind the stock Trainer: ``run_fn="components.trainer.run_fn"``."""

import math
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import yaml
from tfx.components.trainer import fn_args_utils

from components import training
from models import card, checkpoint, export, progress, replicas, task
from models.optimizer import layer_decay
from models.training import rows


@replicas.together()
def run_fn(fn_args: fn_args_utils.FnArgs) -> None:
    """Trains the task named in ``custom_config`` and exports the epoch that did best on the eval split.

    ``custom_config``: ``task`` (its section of the YAML), ``train``, ``encoder`` (None with a base model), ``seed``,
    ``source_digest``.
    """
    config = fn_args.custom_config
    keras.utils.set_random_seed(config["seed"])
    transformed = tft.TFTransformOutput(fn_args.transform_output)
    the_task = task.load(config["task"]["type"])(config["task"]["config"])
    folder = training.base_checkpoint(fn_args.base_model)
    tokenizer = training.tokenizer(fn_args.transform_output)
    with replicas.strategy().scope():
        encoder = training.encoder(folder, config["encoder"], tokenizer.size)
        model = the_task.build(encoder)
    if folder:
        checkpoint.load(folder, encoder)
    if frozen := config["train"].get("freeze"):
        encoder.freeze(0 if frozen == "embeddings" else frozen)
    best = _train(fn_args, config, the_task, model, transformed.transformed_feature_spec())
    if replicas.chief():
        _export(fn_args, config, the_task, model, encoder, transformed)
        _card(export.assets(fn_args.serving_model_dir), fn_args, config, encoder, best)
        progress.emit(progress.Summary(best))


def _train(fn_args: fn_args_utils.FnArgs, config: dict[str, Any], the_task: task.Task, model: Any, spec: Any) -> str:
    settings = config["train"]
    train_files, eval_files = training.matching(fn_args.train_files), training.matching(fn_args.eval_files)
    train, held_out = rows(train_files, spec), rows(eval_files, spec)
    count = int(train.reduce(0, lambda n, _: n + 1))
    epoch_steps = math.ceil(count / settings["batch_size"])
    key = training.key([*train_files, *eval_files], training.base_checkpoint(fn_args.base_model), config)
    steps, logs = epoch_steps * settings["epochs"], fn_args.model_run_dir
    factors = layer_decay(model.trainable_variables, model.encoder.layers_of_variables, settings["layer_decay"])
    loss = the_task.fitted(train).loss
    loop = training.loop(model, loss, settings, steps=steps, key=key, logs=logs, factors=factors)
    state = loop.state
    evaluate = _scorer(the_task, model, the_task.examine(held_out, settings["batch_size"]))
    metric = the_task.metrics[0]
    for epoch in range(int(state.epoch), settings["epochs"]):
        start = int(state.step) - epoch * epoch_steps
        batches = the_task.batches(
            train, batch_size=settings["batch_size"], seed=config["seed"], epoch=epoch, start_step=start
        )
        loop.run(batches, f"epoch {epoch + 1}/{settings['epochs']}")
        score = evaluate()
        with loop.writer.as_default(step=int(state.step)):
            tf.summary.scalar(f"eval/{metric.name}", score)
        state.keep_best(score if metric.better == "higher" else -score)
        state.epoch.assign(epoch + 1)
        loop.save()
    state.restore_best()
    return f"eval {metric.name} {abs(float(state.best_score)):.3f} · {count:,} records · {settings['epochs']} epochs"


def _scorer(the_task: task.Task, model: Any, batches: tf.data.Dataset) -> Any:
    """The headline figure over one pass of ``batches``."""

    @tf.function(input_signature=[batches.element_spec], autograph=False)
    def score(batch: task.Tensors) -> tf.Tensor:
        return the_task.score(model(batch, training=False), batch)

    def evaluate() -> float:
        rows = np.concatenate([score(batch).numpy().astype(float) for batch in batches])
        return the_task.figures(rows)[the_task.metrics[0].name]

    return evaluate


def _export(
    fn_args: fn_args_utils.FnArgs,
    config: dict[str, Any],
    the_task: task.Task,
    model: Any,
    encoder: Any,
    transformed: Any,
) -> None:
    raw = transformed.raw_feature_spec()
    columns = [name for name in ("text", "text_pair") if name in raw]
    export.write(
        fn_args.serving_model_dir,
        model=model,
        encoder=encoder,
        the_task=the_task,
        featurize=transformed.transform_features_layer(),
        columns=columns,
        raw_spec={name: raw[name] for name in columns},
    )
    folder = export.assets(fn_args.serving_model_dir)
    tokenizer = training.tokenizer(fn_args.transform_output)
    own = config["task"]["config"]
    head = None
    if the_task.head:
        kind = checkpoint.HEADS[the_task.head]
        head = checkpoint.Head(
            kind, model.logits, getattr(the_task, "tags", own.get("labels", ())), own["dropout"], own["max_length"]
        )
    checkpoint.save(
        folder / training.CHECKPOINT, encoder, list(tokenizer.vocabulary), tokenizer.rules.dump(), head=head
    )
    made_with = {name: config[name] for name in ("task", "train", "encoder", "seed")}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(made_with, allow_unicode=True, sort_keys=False), "utf-8")


def _card(folder: pathlib.Path, fn_args: fn_args_utils.FnArgs, config: dict[str, Any], encoder: Any, best: str) -> None:
    own = config["task"]["config"]
    tokenizer = training.tokenizer(fn_args.transform_output)
    card.write(
        folder,
        config["task"]["type"].replace("_", " ").capitalize()
        + (f": {', '.join(own['labels'])}" if "labels" in own else ""),
        {
            "Encoder": card.encoder(encoder, tokenizer.rules.mode),
            "Training": card.training(config["train"], config["seed"], fn_args.base_model),
            "Result": f"{best}; the figures of the test split: tfx-bert show",
        },
        [
            *([f"Texts are cut after {own['max_length']} tokens."] if "stride" not in own else []),
            "Every text gets an answer, also one that is unlike all it was trained on.",
            "It was judged on texts like those that it was trained on; nothing is said about others.",
        ],
    )
