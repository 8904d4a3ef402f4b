"""Analyses through the command line: of a checkpoint alone, and of a finished run's model."""

import json

import pytest
import yaml

from tests.e2e.tiny import EXPERIMENT, result, states, tfx_bert, warm

pytestmark = pytest.mark.e2e

TAGS = {"the": "AT", "jury": "NN", "said": "VBD", "mayor": "NN", "old": "JJ", "praised": "VBD"}


@pytest.fixture(scope="module")
def trained(folder):
    """A run of a small task, whose model is pushed."""
    task = {key: EXPERIMENT[key] for key in ("task", "vocabulary", "encoder", "train", "evaluate")} | {"name": "task"}
    (folder / "task.yaml").write_text(yaml.safe_dump(task), "utf-8")
    tfx_bert(folder, "run", "task.yaml")
    return result(folder, "task", 1)


def test_a_checkpoint_alone_is_looked_into_and_a_bound_that_fails_ends_with_code_4(folder, trained):
    words = list(TAGS)
    sentences = [[words[(start + step * skip) % 6] for step in range(5)] for start in range(6) for skip in range(1, 6)]
    (folder / "tags.conll").write_text(
        "\n\n".join("\n".join(f"{word} {TAGS[word]}" for word in sentence) for sentence in sentences), "utf-8"
    )
    alone = {
        "name": "anatomy",
        "checkpoint": f"{trained.pushed.path}/assets.extra/checkpoint",
        "corpus": EXPERIMENT["corpus"],
        "analyze": {
            "sentences": 200,
            "probes": {"tasks": ["length", "pos"], "pos": {"path": "tags.conll"}, "seeds": 1},
            "bless": {"probe_pos": 0.5},
        },
    }
    (folder / "anatomy.yaml").write_text(yaml.safe_dump(alone), "utf-8")
    assert "tags.conll" in tfx_bert(folder, "check", "anatomy.yaml")
    tfx_bert(folder, "run", "anatomy.yaml")
    run = result(folder, "anatomy", 1)
    assert (run.verdict, run.pushed) == ("done", None)
    assert [check.name for check in run.checks] == ["probe_pos"]
    assert "Trainer" not in states(run)
    told = tfx_bert(folder, "run", "anatomy.yaml", "--set", "analyze.bless.probe_pos=1.01", exit_code=4, command=warm())
    assert "probe_pos" in told
    again = result(folder, "anatomy", 2)
    assert again.verdict == "not_blessed"
    assert states(again)["Analyzer"] == "cached"


def test_a_pushed_model_is_looked_into_with_its_records_and_with_other_texts(folder, trained):
    told = tfx_bert(folder, "analyze", "task")
    assert "of heads" in told
    page = folder / "runs/task/1/analysis.html"
    own = page.read_text("utf-8")
    assert "Heads masked" in own
    (folder / "mine.txt").write_text("\n".join(f"A fine film, number {number} of many." for number in range(150)))
    told = tfx_bert(folder, "analyze", "task/1", "--texts", "mine.txt")
    assert "texts alone have no right answers" in told
    assert "Heads masked" not in page.read_text("utf-8")
    (folder / "empty.txt").write_text("\n\n")
    tfx_bert(folder, "analyze", "task", "--texts", "empty.txt", exit_code=1)
    assert json.loads((folder / "runs/task/1/result.json").read_text())["verdict"] == "blessed"
