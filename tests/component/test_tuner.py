"""The Tuner: TFX's own executor over trainings of ours."""

import json
import re

import pytest
import yaml
from tfx.components.tuner import executor
from tfx.types import standard_artifacts

from components.train import fine_tuning, trainer, tuner
from configs.tuning import Tune
from models import progress
from models.training.training_loop import NotFinite
from tests.component.trainings import ENCODER, TASK, TRAIN, Killed, arguments, train
from tests.component.transforming import artifact

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
