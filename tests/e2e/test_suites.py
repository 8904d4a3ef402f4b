"""``tfx-bert glue`` on a tiny folder in the official layout, through the command line."""

import json
import pathlib
import shutil

import pytest

from tests import official
from tests.e2e.tiny import result, states, tfx_bert

pytestmark = pytest.mark.e2e
CHECKPOINT = pathlib.Path(__file__).parents[1] / "data" / "bert_tiny"
SPLIT = "task.data.split={train: 0.8, eval: 0.2, test: 0.0}"  # of 40 records


def test_mnli_is_trained_once_and_judged_on_both_its_dev_files(tmp_path):
    official.glue(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole/MNLI", tmp_path / "glue/MNLI")
    cells = (tmp_path / "glue/MNLI/dev_matched.tsv").read_text("utf-8").splitlines()[1].split("\t")
    with (tmp_path / "glue/MNLI/train.tsv").open("a", encoding="utf-8") as file:
        file.write("\t".join([*cells[:11], cells[-1]]) + "\n")
    command = ["glue", "--data", "glue", "--checkpoint", str(CHECKPOINT), "--seeds", "2"]
    command += ["--set", "task.max_length=16", "--set", SPLIT]
    printed = tfx_bert(tmp_path, *command)
    assert "80 test · 1 bad" in printed  # the train row that is a dev row too
    assert (tmp_path / "runs/glue/results.txt").read_text("utf-8") in printed
    made = json.loads((tmp_path / "runs/glue/results.json").read_text("utf-8"))
    figures = {name: values["seeds"] for name, values in made["tasks"]["MNLI"].items()}
    (judged,) = tmp_path.glob("runs/glue-mnli-seed2/artifacts/Evaluator/evaluation/*/verdict.json")
    whole = 100 * json.loads(judged.read_text("utf-8"))["metrics"]["accuracy"]
    # Both files have 40 records.
    assert (figures["accuracy, m"]["2"] + figures["accuracy, mm"]["2"]) / 2 == pytest.approx(whole)
    assert "\nseed: 2\n" in (tmp_path / "runs/glue-mnli-seed2/1/experiment.resolved.yaml").read_text("utf-8")
    assert not list(tmp_path.glob("runs/*/serving_model/*/*"))

    tfx_bert(tmp_path, *command)
    again = states(result(tmp_path, "glue-mnli-seed2", 2))
    assert (again["Trainer"], again["Evaluator"]) == ("cached", "cached")
    assert json.loads((tmp_path / "runs/glue/results.json").read_text("utf-8")) == made
