"""A tiny experiment on the first rows of the demo data, and what the tests ask of its runs."""

import csv
import os
import pathlib
import subprocess
import sys

import yaml

from pipeline.run.result import RunResult

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
# Named like our packages and like modules of the standard library; nobody may import them.
HOSTILE = ("models.py", "pipeline.py", "http.py", "random.py")


def write(root):
    """A user's working folder."""
    for source, target, count in (("movie_reviews", "reviews", 500), ("movie_dialogues", "dialogues", 300)):
        with (DATA / f"{source}.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row, _ in zip(csv.reader(file), range(count + 1), strict=False)]
        with (root / f"{target}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    (root / "tiny.yaml").write_text(yaml.safe_dump(EXPERIMENT), "utf-8")
    (root / "often.yaml").write_text("checkpoint_seconds: 0\n", "utf-8")  # an environment
    for name in HOSTILE:
        (root / name).write_text("raise SystemExit('a file of the working folder was imported')\n", "utf-8")


def warm():
    """``COMMAND``, quicker to start (tests/warm_python.py)."""
    return [os.environ["WARM_PYTHON"], *COMMAND]


def tfx_bert(folder, *arguments, exit_code=0, command=None):
    ran = subprocess.run([*(command or warm()), *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == exit_code, ran.stdout + ran.stderr
    return ran.stdout


def result(folder, name, number):
    return RunResult.read(folder / "runs" / name / str(number))


def states(run):
    return {node.node: node.state for node in run.nodes}


def weights(folder, name, version):
    from safetensors.numpy import load_file

    return load_file(folder / f"runs/{name}/serving_model/{name}/{version}/assets.extra/checkpoint/model.safetensors")
