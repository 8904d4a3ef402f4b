"""Trainings of a tiny encoder over what Transform wrote: records, arguments of the nodes, and what they tell."""

import logging

import numpy as np
from tfx.components.trainer.fn_args_utils import FnArgs

import schemas
from components.train import preparation, pretrainer, trainer, training
from configs.pretraining import Pretrain
from configs.training import Train
from models import progress
from tests.component import transforming

SENTENCES = ["a gorgeous film !", "dull film", "unable !", "a dull film", "a film a film", "gorgeous"]
SPLITS = {"train": 24, "eval": 8, "test": 8}
ENCODER = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32, "max_positions": 32}
PRETRAIN = Pretrain(steps=4, batch_size=8, max_length=16).model_dump(mode="json", exclude_none=True)
TRAIN = Train(epochs=2, batch_size=8, learning_rate=1e-3, precision="bfloat16").model_dump(
    mode="json", exclude_none=True
)
TASK = {"type": "classification", "config": {"labels": ["bad", "good"], "max_length": 16, "dropout": 0.1}}


def arguments(data, folder, base, **config):
    return FnArgs(
        train_files=[f"{data}/out/Split-train/*"],
        eval_files=[f"{data}/out/Split-eval/*"],
        transform_output=f"{data}/graph",
        base_model=base and str(base / "Format-Serving"),
        serving_model_dir=str(folder / "Format-Serving"),
        model_run_dir=str(folder / "logs"),
        custom_config={"seed": 1, "source_digest": "", **config},
    )


class Killed(BaseException):
    """No node catches it."""


def told_by(work, kill=None):
    """What ``work`` told. It is killed behind the step ``kill``, (phase, number)."""
    events = []

    def told(record):
        events.append(record.event)
        if isinstance(record.event, progress.Step) and kill == (record.event.phase, record.event.step):
            raise Killed

    handler = logging.Handler()
    handler.emit = told
    logger = logging.getLogger("tfx_bert")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        work()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return events


def train(run_fn, given, folder, kill=None):
    """What it told; its checkpoints lie under ``folder``."""
    with training.checkpointing(str(folder / "checkpoints"), 0.0):
        return told_by(lambda: run_fn(given), kill)


def write_corpus(folder):
    """Documents of four sentences, transformed."""
    chance = np.random.default_rng(3)
    rows = {
        split: [
            transforming.example(sentences=chance.choice(SENTENCES, size=4).tolist(), origin=["f:1"])
            for _ in range(count)
        ]
        for split, count in SPLITS.items()
    }
    transforming.run(
        folder, rows, schemas.dump(schemas.resolve("corpus")), "models.pretraining.pretraining_data.Corpus", {}
    )


def write_labelled(folder):
    """Sentences with a label, transformed."""
    chance = np.random.default_rng(4)
    rows = {
        split: [
            transforming.example(text=[text], label=["good" if "gorgeous" in text else "bad"], origin=["f:1"])
            for text in chance.choice(SENTENCES, size=count).tolist()
        ]
        for split, count in SPLITS.items()
    }
    schema = schemas.dump(schemas.resolve("classification", labels=["bad", "good"]))
    transforming.run(folder, rows, schema, "models.tasks.classification.Task", TASK["config"])


def pretrained(corpus, folder):
    """Writes a base model; what was told."""
    return train(pretrainer.run_fn, arguments(corpus, folder, None, pretrain=PRETRAIN, encoder=ENCODER), folder)


def fine_tuned(labelled, folder, kill=None, seed=1, encoder=ENCODER, **settings):
    """A training from nothing without its export: the weights by path, what it came to, and its events."""
    config = {"task": TASK, "train": TRAIN | settings, "encoder": encoder, "seed": seed}
    found = []

    def run(given):
        found.extend(trainer._train(given, given.custom_config, preparation.prepare(given, given.custom_config)))

    events = train(run, arguments(labelled, folder, None, **config), folder, kill)
    return {variable.path: variable.numpy() for variable in found[1].weights}, found[2], events


def phases(events):
    return list(dict.fromkeys(event.phase for event in events if isinstance(event, progress.Step)))
