"""Raw files to the answer of a pushed model, with real text and a tiny encoder, through the command line."""

import csv
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from pipeline.result import RunResult

pytestmark = pytest.mark.e2e

DATA = pathlib.Path(__file__).parents[2] / "data"
COMMAND = [str(pathlib.Path(sys.executable).parent / "tfx-bert")]
EXPERIMENT = {
    "name": "tiny",
    "corpus": {"path": "dialogues.csv", "text": ["statement", "reply"], "on_bad_record": "quarantine"},
    "task": {
        "type": "classification",
        "data": {
            "path": "reviews.csv",
            "text": "text",
            "label": {"column": "sentiment", "ranges": {"negative": "< -0.5", "positive": "> 0.5"}},
        },
        "labels": ["negative", "positive"],
        "max_length": 32,
    },
    "score": {"path": "reviews.csv"},
    "vocabulary": {"learn": 600},
    "encoder": {"num_layers": 1, "hidden_dim": 32, "num_heads": 2, "max_positions": 64},
    "pretrain": {"steps": 8, "batch_size": 16, "max_length": 32},
    "train": {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3},
    "evaluate": {"bless": {"accuracy": 0.3, "max_regression": 1.0}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with the first rows of the demo data."""
    root = tmp_path_factory.mktemp("user")
    for source, target, count in (("movie_reviews", "reviews", 500), ("movie_dialogues", "dialogues", 300)):
        with (DATA / f"{source}.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row, _ in zip(csv.reader(file), range(count + 1), strict=False)]
        with (root / f"{target}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    (root / "tiny.yaml").write_text(yaml.safe_dump(EXPERIMENT), "utf-8")
    (root / "often.yaml").write_text("checkpoint_seconds: 0\n", "utf-8")  # an environment
    return root


def tfx_bert(folder, *arguments, exit_code=0):
    ran = subprocess.run([*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == exit_code, ran.stdout + ran.stderr
    return ran.stdout


def result(folder, name, number):
    return RunResult.read(folder / "runs" / name / str(number))


def states(run):
    return {node.node: node.state for node in run.nodes}


def weights(folder, name, version):
    from safetensors.numpy import load_file

    return load_file(folder / f"runs/{name}/serving_model/{name}/{version}/assets.extra/checkpoint/model.safetensors")


@pytest.fixture(scope="module")
def first(folder):
    """What the first run printed."""
    return tfx_bert(folder, "run", "tiny.yaml")


def test_a_run_goes_through_every_node_and_pushes(folder, first):
    run = result(folder, "tiny", 1)
    assert run.verdict == "blessed"
    assert run.pushed.version == 1
    assert set(states(run).values()) == {"ran"}
    assert "BLESSED, pushed v1" in first
    assert "✓ Pretrainer" in first
    assert re.search(r"✓ ScoreExampleGen +0:\d\d  500 score · 0 bad\n", first)  # those that no label range takes too
    assert re.search(r"✓ BulkInferrer +0:\d\d  500 scored · \d+ (posi|nega)tive", first)
    # Nothing of TensorFlow's or TFX's reaches the person.
    assert not [line for line in first.splitlines() if "WARNING" in line or "tensorflow" in line]
    assert (folder / "runs/tiny/1/experiment.resolved.yaml").is_file()
    assert (folder / "runs/tiny/1/run.log").stat().st_size > 0


def test_nothing_is_left_outside_the_run_folder(folder, first):
    assert sorted(path.name for path in folder.iterdir()) == [
        "dialogues.csv",
        "often.yaml",
        "reviews.csv",
        "runs",
        "tiny.yaml",
    ]
    assert not (folder / "runs/tiny/tmp").exists()
    assert not list((folder / "runs/tiny/checkpoints").iterdir())


def test_the_pushed_model_answers_text(folder, first):
    answer = tfx_bert(folder, "predict", "--model", "tiny", "a gorgeous film")
    assert "negative" in answer or "positive" in answer
    # And over REST the same.
    server = subprocess.Popen([*COMMAND, "serve", "tiny", "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        address = next(line for line in server.stdout if "http://" in line).partition("http://")[2].split()[0]
        status = 404  # while it loads
        while status == 404:
            time.sleep(0.1)
            connection = http.client.HTTPConnection(address)
            connection.request("POST", "/v1/models/tiny:predict", json.dumps({"instances": ["a gorgeous film"]}))
            response = connection.getresponse()
            status, body = response.status, json.load(response)
        served = body["predictions"][0]
    finally:
        server.terminate()
        server.communicate(timeout=60)
    assert f"{served['label']} " in answer
    assert f"{served['score']:.3f}".lstrip("0") in answer


def test_a_file_is_answered_by_the_pushed_model_as_the_run_scored_it(folder, first):
    import tensorflow as tf

    tfx_bert(folder, "predict", "--model", "tiny/1", "--input", "reviews.csv", "--output", "answered.jsonl")
    rows = [json.loads(line) for line in (folder / "answered.jsonl").read_text("utf-8").splitlines()]
    (folder / "answered.jsonl").unlink()
    files = [str(path) for path in folder.glob("runs/tiny/artifacts/BulkInferrer/output_examples/*/Split-score/*")]
    scored = {}
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        origin, scores = features["origin"].bytes_list.value[0].decode(), features["scores"].float_list.value
        scored[int(origin.rpartition(":")[2])] = list(scores)
    assert len(scored) == len(rows) == 500
    for row, line in zip(rows, sorted(scored), strict=True):
        assert [row["score[negative]"], row["score[positive]"]] == pytest.approx(scored[line], abs=1e-5)


def test_a_second_run_computes_and_pushes_nothing(folder, first):
    printed = tfx_bert(folder, "run", "tiny.yaml")
    run = result(folder, "tiny", 2)
    ran = {node for node, state in states(run).items() if state == "ran"}
    assert ran <= {"Resolver", "Pusher"}  # the Pusher looks at what is there
    assert run.pushed is None
    assert run.serving == 1
    assert "v1 is this model already" in printed


def test_where_and_when_checkpoints_are_written_is_no_reason_to_train_again(folder, first):
    (folder / "elsewhere.yaml").write_text("checkpoint_seconds: 1\ncheckpoint_root: runs/elsewhere\n", "utf-8")
    tfx_bert(folder, "run", "tiny.yaml", "--env", "elsewhere.yaml", "--to", "Trainer")
    run = result(folder, "tiny", 3)
    assert states(run)["Pretrainer"] == states(run)["Trainer"] == "cached"


def test_another_learning_rate_trains_again_and_keeps_the_old_version(folder, first):
    tfx_bert(folder, "run", "tiny.yaml", "--set", "train.learning_rate=3e-4")
    run = result(folder, "tiny", 4)
    assert states(run)["ExampleGen"] == states(run)["Pretrainer"] == "cached"
    assert states(run)["Trainer"] == states(run)["Evaluator"] == "ran"
    assert run.baseline == 1
    assert "change from v1" in {check.name for check in run.checks}
    assert sorted(path.name for path in (folder / "runs/tiny/serving_model/tiny").iterdir()) == ["1", "2"]
    diff = tfx_bert(folder, "diff", "tiny/1", "tiny/4")
    assert "train.learning_rate" in diff


def test_going_back_and_forth_pushes_each_time(folder, first):
    """Every node but the Pusher may be cached by now: what is served decides."""
    other = ["--set", "train.learning_rate=3e-4"]
    for version, changes in ((3, []), (4, other)):
        printed = tfx_bert(folder, "run", "tiny.yaml", *changes)
        assert f"pushed v{version}" in printed
    first_weights, third = weights(folder, "tiny", 1), weights(folder, "tiny", 3)
    assert all((first_weights[tensor] == third[tensor]).all() for tensor in first_weights)


def test_a_part_of_the_dag_judges_and_pushes_too(folder, first):
    tfx_bert(folder, "run", "tiny.yaml", "--from", "Evaluator")
    run = result(folder, "tiny", 7)  # of the model that the run before it made: v4
    assert run.verdict == "blessed"
    assert (run.pushed, run.serving) == (None, 4)
    assert states(run)["Trainer"] == "skipped"
    assert states(run)["Evaluator"] in ("ran", "cached")


def test_mistakes_and_the_run_can_be_looked_at(folder, first):
    assert "wrong" in tfx_bert(folder, "errors", "tiny/1")
    shown = tfx_bert(folder, "show", "tiny/1")
    assert "recall[negative]" in shown
    assert "lineage" in shown


def test_a_refusal_names_metric_value_and_threshold_and_pushes_nothing(folder, first):
    printed = tfx_bert(folder, "run", "tiny.yaml", "--set", "evaluate.bless.recall={negative: 1.0}", exit_code=4)
    assert "NOT BLESSED: 1 of" in printed
    assert "recall[negative]" in printed
    assert "≥ 1" in printed
    assert "nothing scored: the model is not blessed" in printed
    assert not (folder / "runs/tiny/serving_model/tiny/6").exists()


def test_killed_in_each_training_it_resumes_to_the_same_weights(folder, first):
    """``kill -9`` behind a checkpoint of each trainer; the third run ends with an uninterrupted run's weights."""
    experiment = ["run", "tiny.yaml", "--set", "name=killed", "--env", "often.yaml"]
    checkpoints = folder / "runs/killed/checkpoints"
    killed = set()  # folders of checkpoints, one a training; it goes when its node is published
    for _ in ("Pretrainer", "Trainer"):
        process = subprocess.Popen(
            [*COMMAND, *experiment], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 300
        while not (begun := {path.parent.name for path in checkpoints.glob("*/checkpoint")} - killed):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        killed |= begun

    tfx_bert(folder, *experiment)
    assert not list(checkpoints.iterdir())
    for number in (2, 3):
        assert "resumed at step" in (folder / f"runs/killed/{number}/run.log").read_text("utf-8")
    assert states(result(folder, "killed", 3))["Pretrainer"] == "cached"
    expected, resumed = weights(folder, "tiny", 1), weights(folder, "killed", 1)
    assert expected.keys() == resumed.keys()
    for tensor, value in expected.items():
        assert abs(value - resumed[tensor]).max() <= 1e-6, tensor


def test_two_runs_at_once_are_refused(folder, first):
    process = subprocess.Popen(
        [*COMMAND, "run", "tiny.yaml", "--no-cache"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not (folder / "runs/tiny/.running").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        refused = subprocess.run(
            [*COMMAND, "run", "tiny.yaml"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert refused.returncode == 1
        assert f"another run of tiny is under way (process {process.pid}" in refused.stdout + refused.stderr
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130


def test_pretraining_alone_on_beam_then_a_task_from_it(folder):
    """BeamDagRunner; the MLM gate; packed rows; and ``checkpoint: {experiment: …}`` with its digest on record."""
    base = {key: EXPERIMENT[key] for key in ("corpus", "vocabulary", "encoder")} | {
        "name": "base",
        "pretrain": {"objectives": ["mlm"], "pack": True, "steps": 8, "batch_size": 4, "max_length": 64},
        "evaluate": {"bless": {"mlm_loss": 20.0}},
    }
    (folder / "base.yaml").write_text(yaml.safe_dump(base), "utf-8")
    tfx_bert(folder, "run", "base.yaml", "--env", "beam")
    run = result(folder, "base", 1)
    assert run.verdict == "blessed"
    assert run.pushed.version == 1
    assert run.metrics["mlm_loss"] < 20
    assert json.loads((pathlib.Path(run.pushed.path) / "assets.extra/pretraining.json").read_text())["after"]["masked"]

    chained = {key: EXPERIMENT[key] for key in ("task", "train", "evaluate")} | {
        "name": "chained",
        "checkpoint": {"experiment": "base"},
    }
    (folder / "chained.yaml").write_text(yaml.safe_dump(chained), "utf-8")
    tfx_bert(folder, "run", "chained.yaml")
    chain = result(folder, "chained", 1)
    assert (chain.verdict, chain.checkpoint) == ("blessed", "base v1")
    assert f"→ base v1@{chain.data['Checkpoint'][:4]} →" in tfx_bert(folder, "show", "chained")
    vocabularies = [
        (folder / f"runs/{name}/serving_model/{name}/1/assets.extra/checkpoint/vocab.txt").read_text("utf-8")
        for name in ("base", "chained")
    ]
    assert vocabularies[0] == vocabularies[1]


def test_pairs_rehearsed_then_run_and_asked(folder):
    """Does the reply belong to the statement? ``--sample`` goes through every node and pushes nothing."""
    with (folder / "dialogues.csv").open(encoding="utf-8", newline="") as file:
        talks = [row for row in csv.DictReader(file) if row["statement"].strip() and row["reply"].strip()]
    with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["statement", "reply", "label"])
        for here, other in zip(talks, [*talks[1:], talks[0]], strict=True):
            writer.writerow([here["statement"], here["reply"], "fits"])
            writer.writerow([here["statement"], other["reply"], "does not"])
    pairs = {key: EXPERIMENT[key] for key in ("vocabulary", "encoder", "train")} | {
        "name": "pairs",
        "task": {
            "type": "classification",
            "data": {"path": "pairs.csv", "text": "statement", "text_pair": "reply", "label": "label"},
            "labels": ["does not", "fits"],
            "max_length": 48,
        },
        "evaluate": {"bless": {"accuracy": 0.2, "slices": {"length_bucket": {"9-16 words": 0.1}}}},
    }
    (folder / "pairs.yaml").write_text(yaml.safe_dump(pairs), "utf-8")
    rehearsed = tfx_bert(folder, "run", "pairs.yaml", "--sample", "200")
    assert "DONE: 200 records went through every node" in rehearsed
    assert set(states(result(folder, "pairs-sample", 1)).values()) == {"ran"}
    assert not list(folder.glob("runs/pairs*/serving_model/*/*"))

    tfx_bert(folder, "run", "pairs.yaml")
    run = result(folder, "pairs", 1)
    assert "accuracy[length_bucket: 9-16 words]" in {check.name for check in run.checks}
    asked = tfx_bert(folder, "predict", "--model", "pairs", "Where are you?\tAt home.")
    assert '"Where are you? | At home." → ' in asked
    refused = subprocess.run(
        [*COMMAND, "predict", "--model", "pairs", "one text"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "with a tab between them" in refused.stderr
