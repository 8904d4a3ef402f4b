"""Raw files to the answer of a pushed model, with real text and a tiny encoder, through the command line."""

import csv
import html
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.e2e.tiny import COMMAND, HOSTILE, result, states, tfx_bert, warm, weights

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def first(folder):
    """What the first run printed, in a process that imports everything itself."""
    return tfx_bert(folder, "run", "tiny.yaml", command=COMMAND)


def test_a_run_goes_through_every_node_and_pushes(folder, first):
    run = result(folder, "tiny", 1)
    assert run.verdict == "blessed"
    assert run.pushed.version == 1
    assert set(states(run).values()) == {"ran"}
    assert re.fullmatch(r"eval accuracy [01]\.\d{3} · [\d,]+ records · 2 epochs.*", run.fine_tuned)
    assert "BLESSED, pushed v1" in first
    assert "✓ Pretrainer" in first
    assert re.search(r"✓ ScoreExampleGen +0:\d\d  500 score · 0 bad\n", first)  # those that no label range takes too
    assert re.search(r"✓ BulkInferrer +0:\d\d  500 scored · \d+ (posi|nega)tive", first)
    # Nothing of TensorFlow's or TFX's reaches the person.
    assert not [line for line in first.splitlines() if "WARNING" in line or "tensorflow" in line]
    assert (folder / "runs/tiny/1/experiment.resolved.yaml").is_file()
    assert (folder / "runs/tiny/1/run.log").stat().st_size > 0
    assert "report: runs/tiny/1/report.html" in first


def test_the_report_holds_every_part_and_no_text_of_a_record(folder, first):
    page = (folder / "runs/tiny/1/report.html").read_text("utf-8")
    parts = ["Checks", "Figures", "By slice", "Training", "Confusion", "ROC", "Calibration", "Data", "Lineage"]
    assert re.findall("<h2>(.*?)</h2>", page) == [*parts, "Model card", "Run it again"]
    for words in ("training loss (nats)", "learning rate"):
        assert page.count(f"<figcaption><bdi>{words}</bdi>") == 2
    assert re.search(r"<bdi>mlm_loss</bdi><td>[\d.]+<td>[\d.]+\n", page)  # before and after
    assert re.search(r"<title>tiny v1 pushed</title>", page)
    with (folder / "reviews.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    assert [text for text in texts if len(text) > 20 and html.escape(text) in page] == []
    assert tfx_bert(folder, "report", "tiny/1") == "report: runs/tiny/1/report.html\n"
    assert (folder / "runs/tiny/1/report.html").read_text("utf-8") == page


def test_nothing_is_left_outside_the_run_folder(folder, first):
    given = {"dialogues.csv", "often.yaml", "reviews.csv", "tiny.yaml", *HOSTILE}
    assert {path.name for path in folder.iterdir()} == {"runs", *given}
    assert not (folder / "runs/tiny/tmp").exists()
    assert not list((folder / "runs/tiny/checkpoints").iterdir())


def test_the_pushed_model_answers_text(folder, first):
    answer = tfx_bert(folder, "predict", "--model", "tiny", "a gorgeous film")
    assert "negative" in answer or "positive" in answer
    # And over REST the same.
    server = subprocess.Popen([*warm(), "serve", "tiny", "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True)
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
    assert f"{served['score']:.2f}".lstrip("0") in answer


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


def test_onnx_answers_as_the_pushed_model_and_int8_is_measured_on_the_test_split(folder, first):
    from tokenizers import Tokenizer

    from models.export import golden, onnx_graph

    told = tfx_bert(folder, "export", "tiny", "out", "--version", "1", "--to", "onnx", "--int8")
    figures = re.search(r"logits within (\S+) · fp32 → int8: .*, accuracy (\S+) → (\S+) on ([\d,]+) test records", told)
    assert float(figures[1]) < 1e-5
    run = result(folder, "tiny", 1)
    assert figures[2] == f"{run.metrics['accuracy']:.3f}".lstrip("0")
    assert abs(float(figures[2]) - float(figures[3])) < 0.05
    # From text, without TensorFlow: the tokenizer and the graph of the folder, against the answers of the training.
    kept = golden.read(folder / "runs/tiny/serving_model/tiny/1/assets.extra")
    tokenizer = Tokenizer.from_file(str(folder / "out/tokenizer.json"))
    tokenizer.encode_special_tokens = True  # as tokenizer_config.json tells transformers
    tokenizer.enable_truncation(32)
    tokenizer.enable_padding()
    rows = tokenizer.encode_batch(kept["inputs"]["text"])
    names = {"token_ids": "ids", "segment_ids": "type_ids", "padding_mask": "attention_mask"}
    batch = {name: [getattr(row, theirs) for row in rows] for name, theirs in names.items()}
    logits = onnx_graph.session(folder / "out/model.onnx")(batch)["logits"]
    scores = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(scores, kept["outputs"]["scores"], atol=1e-5)
    shutil.rmtree(folder / "out")


def test_a_second_run_computes_and_pushes_nothing(folder, first):
    printed = tfx_bert(folder, "run", "tiny.yaml", "--cores", "1")  # as many as there are, before
    run = result(folder, "tiny", 2)
    ran = {node for node, state in states(run).items() if state == "ran"}
    assert ran <= {"Resolver", "Pusher"}  # the Pusher looks at what is there
    assert run.pushed is None
    assert run.serving == 1
    assert "same as v1" in printed


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


def test_going_back_pushes_again(folder, first):
    """Every node but the Pusher is cached by now: what is served decides."""
    assert "pushed v3" in tfx_bert(folder, "run", "tiny.yaml")
    first_weights, third = weights(folder, "tiny", 1), weights(folder, "tiny", 3)
    assert all((first_weights[tensor] == third[tensor]).all() for tensor in first_weights)


def test_a_part_of_the_dag_judges_and_pushes_too(folder, first):
    tfx_bert(folder, "run", "tiny.yaml", "--from", "Evaluator")
    run = result(folder, "tiny", 6)  # of the model that the run before it made: v3
    assert run.verdict == "blessed"
    assert (run.pushed, run.serving) == (None, 3)
    assert states(run)["Trainer"] == "skipped"
    assert states(run)["Evaluator"] in ("ran", "cached")


def test_mistakes_and_the_run_can_be_looked_at(folder, first):
    assert "wrong" in tfx_bert(folder, "errors", "tiny/1")
    assert "labels of the train split are doubtful" in tfx_bert(folder, "errors", "tiny/1", "--labels", "-n", "1")
    ended = subprocess.run(["bash", "-c", f"{COMMAND[0]} errors tiny/1 | true"], cwd=folder, capture_output=True)
    assert ended.stderr == b""
    shown = tfx_bert(folder, "show", "tiny/1")
    assert "recall[negative]" in shown
    assert "lineage" in shown


def test_a_refusal_names_metric_value_and_threshold_and_pushes_nothing(folder, first):
    printed = tfx_bert(folder, "run", "tiny.yaml", "--set", "evaluate.bless.recall={negative: 1.0}", exit_code=4)
    assert "NOT BLESSED: 1 of" in printed
    assert "recall[negative]" in printed
    assert "≥ 1" in printed
    assert "nothing scored: the model is not blessed" in printed
    assert not (folder / "runs/tiny/serving_model/tiny/4").exists()


def pretrained(folder, name):
    """The weights of the Pretrainer's one model."""
    (file,) = folder.glob(f"runs/{name}/artifacts/Pretrainer/model/*/*/assets.extra/checkpoint/model.safetensors")
    return load_file(file)


def test_killed_in_a_training_it_resumes_to_the_same_weights(folder, first):
    """``kill -9`` behind the Pretrainer's first checkpoint; the next run ends with an uninterrupted run's weights.

    The Trainer is killed in test_other_tasks.py, in its container.
    """
    experiment = ["run", "tiny.yaml", "--set", "name=killed", "--env", "often.yaml", "--to", "Pretrainer"]
    checkpoints = folder / "runs/killed/checkpoints"
    process = subprocess.Popen([*warm(), *experiment], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 1200
    while not list(checkpoints.glob("*/checkpoint")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    tfx_bert(folder, *experiment)
    assert not list(checkpoints.iterdir())
    assert "resumed at step" in (folder / "runs/killed/2/run.log").read_text("utf-8")
    expected, resumed = pretrained(folder, "tiny"), pretrained(folder, "killed")
    assert expected.keys() == resumed.keys()
    for tensor, value in expected.items():
        assert abs(value - resumed[tensor]).max() <= 1e-6, tensor


def test_two_runs_at_once_are_refused(folder, first):
    process = subprocess.Popen(
        [*COMMAND, "run", "tiny.yaml", "--no-cache"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 600
        while not (folder / "runs/tiny/.running").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        refused = subprocess.run([*warm(), "run", "tiny.yaml"], cwd=folder, capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert f"another run of tiny is under way (process {process.pid}" in refused.stdout + refused.stderr
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=600) == 130
