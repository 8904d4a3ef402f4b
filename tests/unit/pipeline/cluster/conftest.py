import json
import logging
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.evaluate.verdict import Check, Verdict
from configs import environment
from pipeline import cli, loader
from pipeline.cluster import follow

EXPERIMENT = """\
name: tiny_x
vocabulary: {learn: 100}
encoder: {num_layers: 1, hidden_dim: 8, num_heads: 1}
task:
  type: classification
  data: {path: reviews.csv}
  labels: [bad, good]
"""
IMAGE = "registry.example.org/tfx-bert@sha256:0000000000000000000000000000000000000000000000000000000000000000"
POOLS = """\
pools:
  cpu: {cpu: 2, memory: 4Gi}
  l4: {gpu: {type: nvidia-l4}, node_selector: {pool: l4}}
nodes: {default: cpu, Trainer: l4}
"""
NODES = [
    "ExampleGen", "SchemaGen", "StatisticsGen", "ExampleValidator", "DataGate", "VocabularyGen", "Transform", "Trainer",
    "BaselineVersion", "ServingValidator", "Baseline", "Evaluator", "Pusher",
]  # fmt: skip
BLESSED = Verdict(
    blessed=True,
    checks=[Check(name="accuracy", value=0.9, relation="≥", bound=0.8, passed=True)],
    metrics={"accuracy": 0.9},
    n=10,
)
NOT_BLESSED = BLESSED.model_copy(
    update={"blessed": False, "checks": [Check(name="accuracy", value=0.7, relation="≥", bound=0.8, passed=False)]}
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with an experiment, and a bucket that is mounted; nobody waits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.01)
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))
    Path("reviews.csv").write_text("text,label\n" + "fine,good\npoor,bad\n" * 20)
    Path("x.yaml").write_text(EXPERIMENT)
    Path("gcs/bucket").mkdir(parents=True)
    monkeypatch.setenv("TFX_BERT_MOUNTS", f"{tmp_path}/")
    return tmp_path


@pytest.fixture
def events():
    """What the run tells, in order."""
    told = []

    class Collect(logging.Handler):
        def emit(self, record):
            if hasattr(record, "event"):
                told.append(record.event)

    logger, handler = logging.getLogger("tfx_bert"), Collect()
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield told
    logger.removeHandler(handler)


@pytest.fixture
def tfx_bert(capfd):
    """The command; gives what it prints, which it writes past Python's own streams."""

    def run(*arguments, code=0):
        capfd.readouterr()
        result = CliRunner().invoke(cli.main, [str(each) for each in arguments])
        printed = capfd.readouterr()
        output = printed.out + result.output
        assert result.exit_code == code, output + printed.err + repr(result.exception)
        return output

    return run


@pytest.fixture
def compiled():
    def make(file):
        from pipeline.cluster.compile import compiled

        return compiled(loader.load("x.yaml"), environment.load(file))

    return make


def result(number):
    return json.loads(Path(f"runs/tiny_x/{number}/result.json").read_text())
