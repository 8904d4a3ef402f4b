"""Writes tests/data/compiled/*.yaml: small experiments as `tfx-bert compile` writes them for the shipped environments.

    .venv/bin/python -m tests.golden.compiled [FOLDER]

A change of the compiler, of a node's settings or of an environment shows in their diff.
"""

import contextlib
import json
import pathlib
import sys
import tempfile

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
TASK = "task: {type: classification, data: {path: reviews.csv}, labels: [bad, good]}\n"
CORPUS = "corpus: {path: text.txt}\npretrain: {steps: 1}\n"
SCRATCH = "vocabulary: {learn: 100}\nencoder: {num_layers: 1, hidden_dim: 8, num_heads: 1}\n"
EVENTS = "data: {path: events.csv, time: time, catalogue: {path: items.csv}}"
ANALYZE = "analyze: {bless: {prunable: 0.1}}\n"
EXPERIMENTS = {
    "scratch": f"{SCRATCH}{TASK}",
    "corpus": f"{SCRATCH}{CORPUS}",
    "events": f"encoder: {{num_layers: 1, hidden_dim: 8, num_heads: 1}}\ntask: {{type: next_item, {EVENTS}}}\n",
    "student": f"{SCRATCH}{TASK}train: {{teacher: {{model: teacher, texts: {{path: new.csv}}}}}}\n",
    "both": f"checkpoint: {DATA / 'bert_tiny'}\n{CORPUS}{TASK}score: {{path: reviews.csv}}\n{ANALYZE}",
}
ENVIRONMENTS = ("kubeflow", "vertex")


def files() -> None:
    """What the experiments read, in the current folder."""
    pathlib.Path("reviews.csv").write_text("text,label\nfine,good\npoor,bad\n", "utf-8")
    pathlib.Path("new.csv").write_text("text\nfair\n", "utf-8")
    extra = pathlib.Path("teacher/assets.extra")
    extra.mkdir(parents=True, exist_ok=True)
    learned = {"type": "classification", "config": {"labels": ["bad", "good"]}}
    (extra / "golden.json").write_text(json.dumps({"inputs": {"text": []}, "outputs": {}, "task": learned}), "utf-8")
    (extra.parent / "saved_model.pb").write_bytes(b"")  # a compiler reads none
    pathlib.Path("events.csv").write_text("user,item,time\na,1,1\na,2,2\n", "utf-8")
    pathlib.Path("items.csv").write_text("item,title\n1,Heat\n2,Ran\n", "utf-8")
    pathlib.Path("text.txt").write_text("one line\n\nanother line\n", "utf-8")


def made(name: str, environment: str):
    """An experiment, compiled in the current folder for an environment's name or file."""
    from configs import environment as environments
    from pipeline import loader
    from pipeline.cluster.compile import compiled

    files()
    pathlib.Path(f"{name}.yaml").write_text(f"name: {name}\n{EXPERIMENTS[name]}", "utf-8")
    return compiled(loader.load(f"{name}.yaml"), environments.load(environment))


def write(folder: pathlib.Path) -> None:
    """Every experiment for every environment."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in EXPERIMENTS:
        for environment in ENVIRONMENTS:
            (folder / f"{name}-{environment}.yaml").write_text(made(name, environment).text, "utf-8")


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1] if sys.argv[1:] else DATA / "compiled").absolute()
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        write(target)
