"""Pretrainer, its gate, Trainer and Pusher, one executor after the other over what Transform wrote."""

import dataclasses
import json
import logging
import math
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the model's operations)
import yaml
from safetensors.numpy import load_file
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner import executor
from tfx.types import standard_artifacts
from tokenizers import Tokenizer

import schemas
from components import artifacts
from components.deploy import pusher
from components.evaluate import pretraining_evaluator, verdict
from components.train import fine_tuning, preparation, pretrainer, provenance, trainer, training, tuner
from configs.pretraining import Pretrain
from configs.training import Train
from configs.tuning import Tune
from models import progress
from models.bert.encoder import BertEncoder
from models.checkpoints import checkpoint
from models.training.training_loop import NotFinite

SENTENCES = ["a gorgeous film !", "dull film", "unable !", "a dull film", "a film a film", "gorgeous"]
SPLITS = {"train": 24, "eval": 8, "test": 8}
ENCODER = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32, "max_positions": 32}
PRETRAIN = Pretrain(steps=4, batch_size=8, max_length=16).model_dump(mode="json", exclude_none=True)
TRAIN = Train(epochs=2, batch_size=8, learning_rate=1e-3, precision="bfloat16").model_dump(
    mode="json", exclude_none=True
)
TASK = {"type": "classification", "config": {"labels": ["bad", "good"], "max_length": 16, "dropout": 0.1}}


def artifact(kind, uri, **properties):
    made = kind()
    made.uri = str(uri)
    for name, value in properties.items():
        setattr(made, name, value)
    return made


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


def train(run_fn, given, folder, kill=None):
    """Runs it; what it told, and the folders of checkpoints it named. Stops behind the step called ``kill``."""
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
        with training.checkpointing(str(folder / "checkpoints"), 0.0):
            run_fn(given)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return events


def scores_of(folder, texts):
    """Of a Hugging Face folder with the head of a classifier: float32 (B, C)."""
    read = checkpoint.read(folder)
    encoder, logits = BertEncoder(**read.encoder), keras.layers.Dense(len(read.labels))
    logits.build((None, encoder.hidden_dim))
    assert "head" in checkpoint.load(folder, encoder, head=(read.head, logits))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(texts)
    ids, segments, mask = (
        np.array([getattr(row, name) for row in encoded]) for name in ("ids", "type_ids", "attention_mask")
    )
    return tf.nn.softmax(logits(encoder(ids, segments, mask.astype(bool))["pooled"]))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, transforming):
    folder = tmp_path_factory.mktemp("corpus")
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
    return folder


@pytest.fixture(scope="module")
def base(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    events = train(pretrainer.run_fn, arguments(corpus, folder, None, pretrain=PRETRAIN, encoder=ENCODER), folder)
    return folder, events


def test_pretraining_writes_a_base_model_and_says_how_well_it_reads(base):
    folder, events = base
    assert next(str(event) for event in events if isinstance(event, progress.Summary)).startswith("held-out MLM ")
    (checkpoints,) = [event.folder for event in events if isinstance(event, progress.Checkpoints)]
    assert pathlib.Path(checkpoints).parent == folder / "checkpoints"
    extra = folder / "Format-Serving/assets.extra"
    assert json.loads((extra / "pretraining.json").read_text())["after"]["mlm"]["count"] > 0
    assert "cls.predictions.bias" in load_file(extra / "checkpoint/model.safetensors")
    embed = tf.saved_model.load(str(folder / "Format-Serving")).signatures["serving_default"]
    assert embed(text=tf.constant(["a film"]))["mean"].shape == (1, 16)


def test_a_budget_of_tokens_becomes_steps_by_the_mean_of_each_phase():
    def seen(*counts):
        return tf.data.Dataset.from_tensor_slices({"padding_mask": tf.sequence_mask(counts)})

    assert pretrainer._steps(1000, [(0.75, seen(10, 30)), (0.25, seen(100))]) == 25
    assert pretrainer._steps(1, [(1.0, seen(10))]) == 1


def test_what_the_yaml_can_ask_of_pretraining_reaches_it(corpus, tmp_path):
    asked = {"objectives": ["mlm", "sop"], "masking": "ngram", "schedule": "cosine", "accumulate": 2}
    asked["precision"] = "bfloat16"
    asked["phases"] = [{"share": 0.5, "max_length": 8}]
    settings = Pretrain(steps=4, batch_size=8, max_length=16, **asked).model_dump(mode="json", exclude_none=True)
    given = arguments(corpus, tmp_path, None, pretrain=settings, encoder=ENCODER)
    events = train(pretrainer.run_fn, given, tmp_path)
    (last,) = [event for event in events if isinstance(event, progress.Step) and event.step == 4]
    assert last.learning_rate == pytest.approx(0.5e-4 * (1 + math.cos(0.75 * math.pi)))
    extra = tmp_path / "Format-Serving/assets.extra"
    figures = json.loads((extra / "pretraining.json").read_text())["after"]
    assert (figures["nsp_accuracy"], 0 <= figures["sop_accuracy"] <= 1) == (None, True)
    assert "cls.seq_relationship.weight" in load_file(extra / "checkpoint/model.safetensors")
    assert set(figures["bands"]) == {"frequent", "middle"}  # so few pieces: nothing rare is masked
    curves = list(tf.compat.v1.train.summary_iterator(str(next((tmp_path / "logs").glob("events*")))))
    tags = [(event.step, value.tag) for event in curves for value in event.summary.value]
    assert {(0, "eval/mlm_loss[middle]"), (4, "eval/mlm_loss[middle]"), (4, "eval/sop_accuracy")} <= set(tags)
    said = "- **Objectives**: MLM + SOP: cls.seq_relationship says whether two segments are in order\n"
    assert said in (extra / "model_card.md").read_text("utf-8")


@pytest.mark.parametrize(("bound", "blessed"), [(20.0, True), (0.1, False)])
def test_its_gate_judges_the_test_split_against_the_bound_and_the_baseline(corpus, base, tmp_path, bound, blessed):
    outputs = {
        "evaluation": [artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation")],
        "blessing": [artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing")],
        "metrics": [artifact(artifacts.Metrics, tmp_path / "metrics")],
        "report": [artifact(artifacts.HTML, tmp_path / "report")],
    }
    for folder in ("evaluation", "blessing"):
        (tmp_path / folder).mkdir()
    model = artifact(standard_artifacts.Model, base[0])
    names = json.dumps(list(SPLITS))
    inputs = {
        "examples": [artifact(standard_artifacts.Examples, corpus / "out", split_names=names)],
        "transform_graph": [artifact(standard_artifacts.TransformGraph, corpus / "graph")],
        "model": [model],
        "baseline_model": [model],
    }
    bless = json.dumps({"mlm_loss": bound, "max_regression": 0.01})
    properties = {"pretrain": json.dumps(PRETRAIN), "bless": bless, "seed": 1}
    pretraining_evaluator.Executor().Do(inputs, outputs, properties)
    found = verdict.read(str(tmp_path / "evaluation"))
    assert [(check.name, check.passed) for check in found.checks] == [("mlm_loss", blessed), ("change", True)]
    assert found.checks[1].value == 0.0  # the same model on the same masks
    assert outputs["blessing"][0].get_int_custom_property("blessed") == blessed
    assert outputs["metrics"][0].get_float_custom_property("blessed") == blessed
    assert outputs["metrics"][0].get_float_custom_property("mlm_loss") == found.metrics["mlm_loss"]
    assert ("Not blessed" in (tmp_path / "report").read_text("utf-8")) == (not blessed)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, transforming):
    folder = tmp_path_factory.mktemp("labelled")
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
    return folder


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


@pytest.fixture
def every_step(monkeypatch):
    """Every step is told, and followed by a checkpoint."""
    monkeypatch.setattr("models.training.training_loop._REPORT_SECONDS", 0.0)


SEEDS = {"seeds": [1, 3], "learning_rate": 3e-2}


@pytest.fixture(scope="module")
def seeded(labelled, tmp_path_factory):
    return fine_tuned(labelled, tmp_path_factory.mktemp("seeded"), **SEEDS)


def test_each_seed_is_trained_as_alone_and_the_best_is_kept(labelled, seeded, tmp_path):
    weights, came_to, events = seeded
    assert phases(events) == ["seed 1 (1/2) · epoch 2/2", "seed 3 (2/2) · epoch 2/2"]
    assert len({event.folder for event in events if isinstance(event, progress.Checkpoints)}) == 2
    assert came_to.scores[1] < came_to.scores[3]
    assert came_to.seed == 3
    for seed, score in came_to.scores.items():
        alone, one, _ = fine_tuned(labelled, tmp_path / f"{seed}", seed=seed, learning_rate=3e-2)
        assert one.scores == {seed: score}
        assert all(np.array_equal(weights[path], alone[path]) for path in weights) == (seed == 3)


@pytest.mark.usefixtures("every_step")
def test_a_killed_run_goes_on_at_its_seed_and_ends_with_the_same_weights(labelled, seeded, tmp_path):
    weights, whole, _ = seeded
    with pytest.raises(Killed):
        fine_tuned(labelled, tmp_path, ("seed 3 (2/2) · epoch 2/2", 5), **SEEDS)
    resumed, again, events = fine_tuned(labelled, tmp_path, **SEEDS)
    notices = [event.text for event in events if isinstance(event, progress.Notice)]
    assert notices == ["resumed at step 6 of 6", "resumed at step 4 of 6"]
    assert phases(events) == ["seed 3 (2/2) · epoch 2/2"]
    assert again == whole
    for path, expected in weights.items():
        np.testing.assert_array_equal(resumed[path], expected)


def test_the_temperature_of_the_eval_split_is_in_the_weights_of_the_head(labelled, seeded, tmp_path):
    weights, came_to, _ = seeded
    plain, without, _ = fine_tuned(labelled, tmp_path, **SEEDS, calibrate=False)
    found = came_to.calibration
    assert without == came_to.model_copy(update={"calibration": None})
    assert found.temperature != pytest.approx(1, abs=0.01)
    for path, value in plain.items():
        by = found.temperature if path.startswith("logits/") else 1.0
        np.testing.assert_allclose(weights[path], value / by, rtol=1e-6, err_msg=path)


@pytest.mark.usefixtures("every_step")
def test_training_stops_when_the_headline_does_not_rise_also_after_a_kill(labelled, tmp_path):
    settings = {"epochs": 9, "early_stopping": {"patience": 2}, "learning_rate": 1e-9}  # nothing is learned
    with pytest.raises(Killed):
        fine_tuned(labelled, tmp_path, ("epoch 3/9", 8), **settings)
    _, came_to, events = fine_tuned(labelled, tmp_path, **settings)
    assert phases(events) == ["epoch 3/9"]
    assert events[-1].steps == 27  # the schedule's
    assert (came_to.epochs, came_to.planned) == (3, 9)
    assert " · 24 records · 3 of 9 epochs · temperature " in str(came_to)
    _, same, events = fine_tuned(labelled, tmp_path, **settings)
    assert (same, phases(events)) == (came_to, [])


REFIT = {"refit": True, "epochs": 9, "early_stopping": {"patience": 2}, "learning_rate": 3e-2}


@pytest.mark.usefixtures("every_step")
def test_a_refit_is_the_training_of_both_splits_for_the_best_epochs_also_after_a_kill(labelled, tmp_path):
    first = {**REFIT, "refit": False}
    _, chosen, _ = fine_tuned(labelled, tmp_path, **first)
    best = chosen.epochs - 2  # patience
    with pytest.raises(Killed):
        fine_tuned(labelled, tmp_path, (f"refit · epoch {best}/{best}", 4 * best - 1), **REFIT)
    weights, came_to, events = fine_tuned(labelled, tmp_path, **REFIT)
    assert phases(events) == [f"refit · epoch {best}/{best}"]
    assert str(came_to) == f"{chosen} · refit on train + eval: 32 records, {best} epoch{'s' * (best > 1)}"
    assert came_to.calibration == chosen.calibration  # of the training that had not seen the eval split

    # The same from a data set that was whole from the start: its schedule spans 9 epochs, it is read at the best one.
    def both(given):
        config = {**given.custom_config, "train": {**given.custom_config["train"], "epochs": 9}}
        config["train"].pop("early_stopping")
        prepared = preparation.prepare(given, config)
        rows = [*prepared.transformed.as_numpy_iterator(), *prepared.held_out.as_numpy_iterator()]
        whole = tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=prepared.train.element_spec)
        begun = trainer._begin(given, config, dataclasses.replace(prepared, train=whole), 9)
        for epoch in range(best):
            begun.train(epoch, "")
        found.update({variable.path: variable.numpy() for variable in begun.model.weights})

    found = {}
    config = {"task": TASK, "train": TRAIN | first, "encoder": ENCODER}
    train(both, arguments(labelled, tmp_path / "both", None, **config), tmp_path / "both")
    for path, expected in found.items():
        by = came_to.calibration.temperature if path.startswith("logits/") else 1.0
        np.testing.assert_allclose(weights[path], expected / by, rtol=1e-6, err_msg=path)


HEADS = ENCODER | {"num_layers": 2, "num_heads": 4}
PRUNE = {"prune": {"heads": 0.7, "recover": 2}, "learning_rate": 3e-2, "encoder": HEADS}


@pytest.mark.usefixtures("every_step")
def test_heads_are_cut_and_the_rest_recovers_also_after_a_kill(labelled, tmp_path):
    weights, whole, events = fine_tuned(labelled, tmp_path / "whole", **PRUNE)
    assert phases(events) == ["epoch 1/2", "epoch 2/2", "pruned · epoch 1/2", "pruned · epoch 2/2"]
    rates = {event.phase: event.learning_rate for event in events if isinstance(event, progress.Step)}
    assert rates["pruned · epoch 1/2"] <= 3e-3 < max(e.learning_rate for e in events if isinstance(e, progress.Step))
    cut = whole.pruning
    assert (cut.heads, cut.epochs, cut.whole) == ((8, 2), 2, whole.scores[1])  # of .7 · 8 heads each layer keeps one
    assert cut.parameters[0] - cut.parameters[1] == 6 * (4 * 16 * 4 + 3 * 4)
    assert cut.recovered >= cut.cut
    assert weights["encoder/block_0/qkv/kernel"].shape == (16, 12)
    for kill in (("pruned · epoch 1/2", 2), ("pruned · epoch 2/2", 4)):
        folder = tmp_path / str(kill[1]) / kill[0][:5]
        with pytest.raises(Killed):
            fine_tuned(labelled, folder, kill, **PRUNE)
        resumed, again, _ = fine_tuned(labelled, folder, **PRUNE)
        assert again == whole
        for path, expected in weights.items():
            np.testing.assert_array_equal(resumed[path], expected, err_msg=path)


def test_what_is_cut_is_the_best_epoch_of_a_training_without_pruning(labelled, tmp_path):
    prune = {**PRUNE, "prune": {"heads": 0.4, "recover": 0}, "calibrate": False}
    cut, came_to, events = fine_tuned(labelled, tmp_path, **prune)
    plain = {name: value for name, value in prune.items() if name != "prune"}
    whole, without, _ = fine_tuned(labelled, tmp_path, **plain)
    assert phases(events) == ["epoch 2/2"]
    assert without == came_to.model_copy(update={"pruning": None})
    assert came_to.pruning.heads == (8, 5)
    assert came_to.pruning.cut == came_to.pruning.recovered
    for path, value in cut.items():
        if value.shape == whole[path].shape:
            np.testing.assert_array_equal(value, whole[path], err_msg=path)
        else:
            columns = (value if "qkv" in path else value.T).reshape(
                -1, value.shape[-1] if "qkv" in path else value.shape[0]
            )
            of = whole[path] if "qkv" in path else whole[path].T
            assert {column.tobytes() for column in np.ascontiguousarray(columns.T)} < {
                column.tobytes() for column in np.ascontiguousarray(of.reshape(-1, of.shape[-1]).T)
            }


def test_a_pruned_model_is_exported_and_its_checkpoint_answers_the_same(base, labelled, tmp_path):
    config = {"task": TASK, "train": TRAIN | {"prune": {"heads": 0.5, "recover": 1}}, "encoder": None}
    events = train(trainer.run_fn, arguments(labelled, tmp_path / "model", base[0], **config), tmp_path)
    (summary,) = [str(event) for event in events if isinstance(event, progress.Summary)]
    assert re.search(r" · 2 → 1 heads \([+−]\.\d{3} when cut, [+−]\.\d{3} after one more epoch\) · ", summary)
    folder = tmp_path / "model/Format-Serving/assets.extra"
    assert "16 wide, 2 heads, 1 of 2 kept, " in (folder / "model_card.md").read_text()
    assert set(json.loads((folder / "curves.json").read_text())) == {"seed 1", "pruned"}
    served = tf.saved_model.load(str(tmp_path / "model/Format-Serving")).signatures["serving_default"]
    texts = ["a gorgeous film !", "unable"]
    scores = served(text=tf.constant(texts))["scores"]
    np.testing.assert_allclose(scores_of(folder / "checkpoint", texts), scores, atol=1e-6)
    assert load_file(folder / "checkpoint/model.safetensors")[
        "bert.encoder.layer.0.attention.self.query.weight"
    ].shape == (
        16,
        16,
    )


def test_fine_tuning_starts_from_it_and_answers_text(base, labelled, tmp_path):
    given = arguments(labelled, tmp_path / "model", base[0], task=TASK, train=TRAIN, encoder=None)
    events = train(trainer.run_fn, given, tmp_path)
    (summary,) = [str(event) for event in events if isinstance(event, progress.Summary)]
    assert summary.startswith("eval accuracy ")
    assert " · 24 records · 2 epochs · temperature " in summary
    card = (tmp_path / "model/Format-Serving/assets.extra/model_card.md").read_text()
    assert "\npipeline_tag: text-classification\nmetrics:\n- accuracy\n" in card
    made = provenance.read(tmp_path / "model/Format-Serving/assets.extra")
    assert (made.records, made.base, len(made.digest)) == ({"train": 24, "eval": 8}, "base model", 64)
    assert sum(made.rows["token_ids"].values()) == 24
    assert "\n---\n# Classification: bad, good\n\n- **Encoder**: BERT of 1 layers, 16 wide, 2 heads, " in card
    assert "- **Training**: epochs 2, batch size 8, learning rate 0.001, seed 1, from a checkpoint\n" in card
    assert f"- **Result**: {summary}; the figures of the test split: tfx-bert show\n" in card
    came_to = fine_tuning.read(tmp_path / "model/Format-Serving/assets.extra")
    assert str(came_to) == summary
    assert "- Texts are cut after 16 tokens.\n" in card
    serve = tf.saved_model.load(str(tmp_path / "model/Format-Serving")).signatures["serving_default"]
    assert serve(text=tf.constant(["a film", ""]))["label"].numpy().tolist()[0] in (b"bad", b"good")
    # What transformers would load answers the same: encoder, head and tokenizer.
    scores = scores_of(tmp_path / "model/Format-Serving/assets.extra/checkpoint", ["a gorgeous film !", "unable"])
    served = serve(text=tf.constant(["a gorgeous film !", "unable"]))["scores"]
    np.testing.assert_allclose(scores, served, atol=1e-6)
    # The same settings again: the checkpoint at the end is found, and nothing is trained twice.
    again = arguments(labelled, tmp_path / "again", base[0], task=TASK, train=TRAIN, encoder=None)
    assert "resumed at step 6 of 6" in [str(event) for event in train(trainer.run_fn, again, tmp_path)]
    place = "Format-Serving/assets.extra/checkpoint/model.safetensors"
    one, two = load_file(tmp_path / "model" / place), load_file(tmp_path / "again" / place)
    assert all((one[name] == two[name]).all() for name in one)


@pytest.mark.parametrize("blessed", [True, False])
def test_only_a_blessed_model_is_pushed(base, tmp_path, blessed):
    blessing = artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing")
    (tmp_path / "blessing").mkdir()
    blessing.set_int_custom_property("blessed", int(blessed))
    (tmp_path / "blessing" / ("BLESSED" if blessed else "NOT_BLESSED")).touch()
    pushed = artifact(standard_artifacts.PushedModel, tmp_path / "pushed")
    destination = json.dumps({"filesystem": {"base_directory": str(tmp_path / "serving")}})
    executor = pusher.Executor(pusher.Executor.Context(tmp_dir=str(tmp_path), unique_id="1"))
    executor.Do(
        {"model": [artifact(standard_artifacts.Model, base[0])], "model_blessing": [blessing]},
        {"pushed_model": [pushed]},
        {"push_destination": destination, "custom_config": "null"},
    )
    assert pushed.get_int_custom_property("pushed") == int(blessed)
    assert (tmp_path / "serving/1/saved_model.pb").exists() == blessed


TUNE = Tune(trials=4, space={"learning_rate": [1e-9, 3e-2], "epochs": [2, 5]}).model_dump(mode="json")


def searched(labelled, folder, kill=None, **changes):
    """TFX's own executor: the trials, best first, the artifact with the best settings, and the events."""
    made = {
        "best_hyperparameters": artifact(standard_artifacts.HyperParameters, folder / "best"),
        "tuner_results": artifact(standard_artifacts.TunerResults, folder / "results"),
    }
    config = {"task": TASK, "train": TRAIN, "encoder": ENCODER, "seed": 1, "source_digest": ""}
    properties = {"tuner_fn": "components.train.tuner.tuner_fn", "train_args": "{}", "eval_args": "{}"}
    properties["custom_config"] = json.dumps({**config, "tune": TUNE | changes})
    inputs = {
        "examples": [artifact(standard_artifacts.Examples, labelled / "out", split_names='["train", "eval", "test"]')],
        "transform_graph": [artifact(standard_artifacts.TransformGraph, labelled / "graph")],
    }
    context = executor.Executor.Context(tmp_dir=str(folder / "tmp"), unique_id="1")

    def run(_):
        executor.Executor(context).Do(inputs, {name: [each] for name, each in made.items()}, properties)

    events = train(run, None, folder, kill)
    (best,) = (folder / "best").iterdir()
    (results,) = (folder / "results").iterdir()
    return json.loads(results.read_text()), json.loads(best.read_text()), events


@pytest.fixture(scope="module")
def tuned(labelled, tmp_path_factory):
    return searched(labelled, tmp_path_factory.mktemp("tuned"))


def test_the_best_of_the_trials_is_what_the_trainer_trains_with(labelled, tuned, tmp_path, capsys):
    results, best, events = tuned
    assert len(results) == len({(each["learning_rate"], each["epochs"]) for each in results}) == 4
    assert [each["score"] for each in results] == sorted((each["score"] for each in results), reverse=True)
    assert results[0]["score"] > results[-1]["score"]
    values = best["values"]
    assert values == {name: results[0][name] for name in ("learning_rate", "epochs")}
    (summary,) = [str(event) for event in events if isinstance(event, progress.Summary)]
    assert summary.startswith(f"4 trials · learning_rate {values['learning_rate']:.2g}, epochs {values['epochs']}")
    assert summary.endswith(f" · eval accuracy {results[0]['score']:.3f} (the worst: {results[-1]['score']:.3f})")
    first = next(event for event in events if isinstance(event, progress.Step))
    assert first.phase.startswith("trial 1/4 (learning_rate ")
    assert capsys.readouterr().out == ""

    given = arguments(labelled, tmp_path / "model", None, task=TASK, train=TRAIN, encoder=ENCODER)
    given.hyperparameters = best
    train(trainer.run_fn, given, tmp_path)
    made_with = yaml.safe_load((tmp_path / "model/Format-Serving/assets.extra/experiment.yaml").read_text())
    assert made_with["train"] == TRAIN | values
    came_to = fine_tuning.read(tmp_path / "model/Format-Serving/assets.extra")
    assert came_to.scores[1] == results[0]["score"]


@pytest.mark.usefixtures("every_step")
def test_a_killed_search_goes_on_in_its_trial(labelled, tuned, tmp_path):
    results, best, events = tuned
    names = list(dict.fromkeys(event.phase.partition(" · ")[0] for event in events if isinstance(event, progress.Step)))
    second = next(event.phase for event in events if isinstance(event, progress.Step) and names[1] in event.phase)
    with pytest.raises(Killed):
        searched(labelled, tmp_path, (re.sub(r"epoch \d", "epoch 1", second), 2))
    again, same, events = searched(labelled, tmp_path)
    assert same["values"] == best["values"]
    assert [each["score"] for each in again] == [each["score"] for each in results]
    later = dict.fromkeys(event.phase.partition(" · ")[0] for event in events if isinstance(event, progress.Step))
    assert list(later) == names[1:]
    (folder,) = (tmp_path / "checkpoints").iterdir()  # the oracle's: those of the trials are gone
    assert (folder / "trials").is_dir()


def test_a_range_is_drawn_by_its_logarithm_and_values_keep_their_kind():
    oracle = tuner.space({"learning_rate": {"min": 1e-6, "max": 1e-2}, "epochs": [2, 3], "weight_decay": [0, 0.1]})
    drawn = [{each.name: each.random_sample(seed) for each in oracle.space} for seed in range(200)]
    assert all(1e-6 <= each["learning_rate"] <= 1e-2 for each in drawn)
    assert 70 < sum(each["learning_rate"] < 1e-4 for each in drawn) < 130
    assert {(type(each["epochs"]), type(each["weight_decay"])) for each in drawn} == {(int, float)}


def test_a_space_of_two_has_two_trials(labelled, tmp_path):
    results, _, events = searched(labelled, tmp_path, trials=5, space={"batch_size": [4, 8]})
    assert sorted(each["batch_size"] for each in results) == [4, 8]
    assert str(events[-1]).startswith("2 trials · batch_size ")


def test_a_gaussian_process_proposes_what_was_not_tried(labelled, tmp_path):
    wide = {"learning_rate": {"min": 1e-9, "max": 3e-2}}
    results, _, _ = searched(labelled, tmp_path, algorithm="bayesian", trials=5, space=wide)
    assert len({each["learning_rate"] for each in results}) == 5


def test_another_base_model_is_another_search(base, labelled, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(tuner.training, "folder", lambda key: made.append(key) or str(tmp_path / key))
    for folder in (None, base[0]):
        given = arguments(labelled, tmp_path, folder, task=TASK, train=TRAIN, encoder=ENCODER, tune=TUNE)
        given.transform_graph_path, given.working_dir = given.transform_output, str(tmp_path)
        tuner.tuner_fn(given)
    assert len(set(made)) == 2


def test_a_trial_that_fails_stops_the_search_and_is_named(labelled, tmp_path, monkeypatch):
    def fail(*_):
        raise NotFinite("the loss became nan at step 3 of 6")

    monkeypatch.setattr(trainer, "train_once", fail)
    told = r"^trial 1 of 4, learning_rate [\d.e-]+, epochs [25]: the loss became nan at step 3 of 6"
    with pytest.raises(NotFinite, match=told):
        searched(labelled, tmp_path)
