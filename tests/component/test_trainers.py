"""Trainer and Pusher, one executor after the other over what Transform wrote."""

import dataclasses
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the model's operations)
from safetensors.numpy import load_file
from tfx.types import standard_artifacts
from tokenizers import Tokenizer

from components.deploy import pusher
from components.train import fine_tuning, preparation, provenance, trainer
from models import progress
from models.bert.encoder import BertEncoder
from models.checkpoints import checkpoint
from tests.component.trainings import ENCODER, TASK, TRAIN, Killed, arguments, fine_tuned, phases, train
from tests.component.transforming import artifact


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
