"""Pretraining behind the stock Trainer: ``run_fn="components.train.pretrainer.run_fn"``."""

import dataclasses
import json
import math
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer import fn_args_utils

from components.train import provenance, training
from configs.pretraining import Pretrain
from models import families, progress
from models.bert.heads import PAIR_LABELS, PretrainingModel, pretraining_loss
from models.checkpoints import checkpoint
from models.export import card, saved_model
from models.pretraining import mlm_figures, pretraining_data
from models.pretraining.masking import Ids
from models.text import tokenization
from models.text.tokenization import Tokenizer
from models.training import curve, replicas
from models.training.reading import rows

FIGURES = "pretraining.json"  # inside assets.extra
# Enough for ±0.03 nats, little enough to cost seconds; the gate of a pretraining experiment uses the whole test split.
_HELD_OUT_BATCHES = 40
_MEASURED = 20  # batches whose mean says how many tokens a step sees


@replicas.together()
def run_fn(fn_args: fn_args_utils.FnArgs) -> None:
    """Pretrains on the corpus and exports a base model: ``embed``, and a Hugging Face folder to start from.

    ``custom_config``: ``pretrain`` (its section of the YAML), ``encoder`` (None with a base model), ``seed``,
    ``source_digest``.
    """
    config = fn_args.custom_config
    training.seeded(config["seed"], config)
    transformed = tft.TFTransformOutput(fn_args.transform_output)
    tokenizer = Tokenizer.read(training.vocabulary_folder(fn_args.transform_output))
    text, folder = families.load("text"), training.base_checkpoint(fn_args.base_model)
    with replicas.strategy().scope():
        encoder = text.network(config["encoder"], tokenizer, folder)
        model = PretrainingModel(encoder, bool(PAIR_LABELS.keys() & config["pretrain"]["objectives"]))
    if folder:
        checkpoint.load(folder, encoder, model.masked_language, model.next_sentence)
    spec = transformed.transformed_feature_spec()
    before, after, trained = _train(fn_args, config, model, tokenizer, spec)
    if replicas.chief():
        _export(fn_args, config, model, tokenizer, before, after)
        folder = saved_model.assets(fn_args.serving_model_dir)
        curve.write(folder, {"pretraining": trained})
        provenance.write(folder, fn_args)


def _export(
    fn_args: fn_args_utils.FnArgs,
    config: dict[str, Any],
    model: PretrainingModel,
    tokenizer: Tokenizer,
    before: mlm_figures.Figures,
    after: mlm_figures.Figures,
) -> None:
    encoder = model.encoder

    def featurize(record: dict[str, tf.Tensor]) -> dict[str, tf.RaggedTensor]:
        ids = tokenizer.tokenize(record["text"])
        names = ("token_ids", "segment_ids")
        length = encoder.max_positions
        return dict(zip(names, tokenization.single(ids, tokenizer.cls_id, tokenizer.sep_id, length), strict=True))

    saved_model.write(
        fn_args.serving_model_dir,
        family="text",
        model=model,
        the_task=None,
        featurize=featurize,
        raw_spec={"text": tf.io.FixedLenFeature([], tf.string)},
    )
    extra = saved_model.assets(fn_args.serving_model_dir)
    checkpoint.save(
        extra / training.CHECKPOINT,
        encoder,
        list(tokenizer.vocabulary),
        tokenizer.rules.dump(),
        model.masked_language,
        model.next_sentence,
    )
    figures = {"before": dataclasses.asdict(before), "after": dataclasses.asdict(after)}
    (extra / FIGURES).write_text(json.dumps(figures, indent=1), "utf-8")
    result = f"held-out MLM {before.mlm.loss:.2f}→{after.mlm.loss:.2f} nats · unigrams {after.unigram_loss:.2f}"
    card.write(
        extra,
        "Base model",
        {
            "Encoder": families.load("text").describe(model, tokenizer),
            "Objectives": _objectives(config["pretrain"]["objectives"]),
            "Training": card.training(config["pretrain"], config["seed"], fn_args.base_model),
            "Result": result,
        },
        ["It answers with vectors, and is there to start from: checkpoint: {experiment: NAME}."],
        card.head("fill-mask", training.base_checkpoint(fn_args.base_model), ["perplexity"]),
    )
    progress.emit(progress.Summary(result))


def _objectives(given: list[str]) -> str:
    """For the card. Hugging Face's name of the head over pairs says next sentence, whatever it learned."""
    order = ": cls.seq_relationship says whether two segments are in order" if "sop" in given else ""
    return " + ".join(given).upper() + order


def _train(
    fn_args: fn_args_utils.FnArgs, config: dict[str, Any], model: PretrainingModel, tokenizer: Tokenizer, spec: Any
) -> tuple[mlm_figures.Figures, mlm_figures.Figures, curve.Curve]:
    settings = config["pretrain"]
    train_files, eval_files = training.matching(fn_args.train_files), training.matching(fn_args.eval_files)
    recipe = pretraining_data.Recipe.of(settings, Ids.of(tokenizer.vocabulary), config["seed"])
    held_out = pretraining_data.held_out(eval_files, spec, recipe).take(_HELD_OUT_BATCHES)
    unigrams = mlm_figures.unigram_log_probabilities(rows(train_files, spec), tokenizer.size)
    before = mlm_figures.evaluate(model, held_out, unigrams)

    def stream(start_step: int, phases: list[tuple[int, int]]) -> tf.data.Dataset:
        return pretraining_data.batches(train_files, spec, recipe, start_step, phases)

    lengths = Pretrain.model_validate(settings).lengths
    steps = settings.get("steps")
    if steps is None:
        seen = [(share, stream(0, [(_MEASURED, length)]).take(_MEASURED)) for share, length in lengths]
        steps = _steps(settings["tokens"], seen)
    phases = [(round(share * steps), length) for share, length in lengths[:-1]]
    key = training.key([*train_files, *eval_files], training.base_checkpoint(fn_args.base_model), config)
    loop = training.loop(model, pretraining_loss, settings, steps=steps, key=key, logs=fn_args.model_run_dir)
    loop.run(stream(int(loop.state.step), phases), "pretraining")
    loop.save()
    after = mlm_figures.evaluate(model, held_out, unigrams)
    for step, figures in ((0, before), (steps, after)):
        named = figures.metrics()
        loop.state.curve.judge(step, {name: value for name, value in named.items() if "[" not in name})
        with loop.writer.as_default(step=step):
            for name, value in named.items():
                tf.summary.scalar(f"eval/{name}", value)
    return before, after, loop.state.curve


def _steps(tokens: int, phases: list[tuple[float, tf.data.Dataset]]) -> int:
    """Optimizer steps that see about ``tokens`` real tokens.

    Args:
      tokens: the budget.
      phases: share of the steps, and some batches of each phase.
    """
    mean = 0.0
    for share, batches in phases:
        seen = [int(tf.math.count_nonzero(batch["padding_mask"])) for batch in batches]
        mean += share * sum(seen) / len(seen)
    return max(1, math.ceil(tokens / mean))
