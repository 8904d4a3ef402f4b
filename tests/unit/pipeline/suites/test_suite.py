import io
import pathlib
import statistics

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from components.evaluate.verdict import Slice, Verdict
from components.records.record import Record
from components.records.rows import Bad
from models import task
from pipeline.cli import main
from pipeline.run import sources
from pipeline.suites import suite
from pipeline.suites.glue import SUITE as GLUE
from pipeline.suites.klue import SUITE as KLUE
from tests import official

CHECKPOINT = str(pathlib.Path(__file__).parents[3] / "data" / "bert_tiny")
ENTRIES = [pytest.param(each, entry, id=f"{each.name} {entry.name}") for each in (GLUE, KLUE) for entry in each.entries]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    official.glue(folder)
    official.klue(folder)
    return folder


@pytest.mark.parametrize(("benchmark", "entry"), ENTRIES)
def test_every_official_file_is_read(data, benchmark, entry):
    experiment = suite.experiment(benchmark, entry, data, CHECKPOINT, 3, ["train.epochs=2"])
    assert experiment.name == f"{benchmark.name}-{entry.name.lower()}-seed3"
    assert (experiment.seed, experiment.train.epochs) == (3, 2)
    kind = sources.of(experiment)["task"]
    for path in [*kind.source.path, *kind.source.test]:
        found = list(kind.records(path))
        bad = [each.reason for each in found if isinstance(each, Bad)]
        assert bad == (["4 columns, header has 6"] if entry.name == "QQP" else [])
        assert sum(isinstance(each, Record) for each in found) == 40


def test_what_the_columns_hold(data):
    def first(benchmark, name):
        entry = next(each for each in benchmark.entries if each.name == name)
        experiment = suite.experiment(benchmark, entry, data, CHECKPOINT, 1)
        kind = sources.of(experiment)["task"]
        found = kind.records(kind.source.test[0])
        return next(found).features

    assert first(GLUE, "CoLA")["text"] == [b'see is is again good not "bad"']
    assert first(GLUE, "CoLA")["label"] == [b"0"]
    mnli = first(GLUE, "MNLI")
    assert (mnli["label"], mnli["genre"]) == ([b"contradiction"], [b"fiction"])
    assert first(GLUE, "STS-B")["label"] == [0.0]
    assert first(KLUE, "YNAT")["label"] == ["정치".encode()]
    assert first(KLUE, "NER")["span_label"] == [b"PS"]
    question = first(KLUE, "MRC")
    start, answer = question["answer_start"][0], question["answers"][0].decode()
    assert question["text_pair"][0].decode()[start : start + len(answer)] == answer


@pytest.mark.parametrize(("benchmark", "entry"), ENTRIES)
def test_the_tasks_give_the_official_figures(data, benchmark, entry):
    given = suite.experiment(benchmark, entry, data, CHECKPOINT, 1).task
    the_task = task.load(given.type)(given.own())
    figures = the_task.figures(np.zeros((1, len(the_task.row_metric_names)))).values
    assert {figure.metric for figure in entry.figures} <= figures.keys()
    assert all(figure.metric == the_task.metrics[0].name for figure in entry.figures if figure.slices)


def test_mnli_is_judged_by_genre():
    parts = {"slate": (0.8, 10), "travel": (0.5, 30), "oup": (0.25, 8), "letters": (0.75, 8)}
    slices = [Slice(name=f"genre: {name}", value=value, n=n) for name, (value, n) in parts.items()]
    others = [Slice(name="label: neutral", value=0.1, n=56)]
    judged = Verdict(blessed=True, checks=[], metrics={"accuracy": 0.6}, n=56, slices=[*slices, *others])
    mnli = next(entry for entry in GLUE.entries if entry.name == "MNLI")
    assert [suite._value(figure, judged) for figure in mnli.figures] == pytest.approx([57.5, 50])


FOUND = {
    "MRPC": {1: {"F1": 80.0, "accuracy": 70.0}, 2: {"F1": 90.0, "accuracy": 74.0}},
    "STS-B": {1: {"Pearson": 50.0, "Spearman": 60.0}, 2: {"Pearson": None, "Spearman": 61.0}},
    "RTE": {1: {"accuracy": 65.0}, 2: {"accuracy": 66.0}},
}


def test_the_table_has_means_deviations_and_what_was_published():
    out = io.StringIO()
    Console(file=out, width=80).print(suite.table(GLUE, suite.summary(GLUE, FOUND)))
    assert [line.split() for line in out.getvalue().splitlines()] == [
        ["task", "figure", "dev", "BERT-base", "BERT-large"],
        ["MRPC", "F1", "85.0", "±", "7.1", "88.9", "89.3"],
        ["accuracy", "72.0", "±", "2.8"],
        ["STS-B", "Pearson", "none"],
        ["Spearman", "60.5", "±", "0.7", "85.8", "86.5"],
        ["RTE", "accuracy", "65.5", "±", "0.7", "66.4", "70.1"],
        ["average", "3", "of", "9", "tasks", "none", "79.6", "82.1"],
    ]


def test_the_average_is_that_of_glue():
    """Of a task's figures first, then of the tasks; over the seeds that every task has."""
    whole = {**FOUND, "STS-B": {1: FOUND["STS-B"][1], 2: {"Pearson": 51.0, "Spearman": 61.0}}}
    expected = {1: (75 + 55 + 65) / 3, 2: (82 + 56 + 66) / 3}
    assert suite.averages(whole) == pytest.approx(expected)
    made = suite.summary(GLUE, whole)["average"]
    assert (made["mean"], made["sd"]) == pytest.approx(
        (statistics.mean(expected.values()), statistics.stdev(expected.values()))
    )
    assert suite.averages({**whole, "RTE": {1: {"accuracy": 65.0}}}).keys() == {1}
    # KLUE has none.
    assert suite.summary(KLUE, {"NLI": {1: {"accuracy": 50.0}}}).keys() == {"tasks"}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["glue", "--data", "empty"], 3, "--data: empty holds none of the folders CoLA, SST-2, MRPC"),
        (["glue", "--data", "torn"], 3, "$.task.data.test: no file matches 'torn/MNLI/dev_mismatched.tsv'"),
        (["glue", "--data", "torn", "--seeds", "1,b"], 2, "whole numbers with commas between them"),
        (["glue", "--data", "torn", "--seeds", "1,1"], 2, "each seed once"),
        (["klue", "--data", "torn", "--env", "kubeflow"], 2, "--env: klue runs on this machine"),
        (["glue", "--data", "torn", "--set", "train.epoch=1"], 2, "$.train.epoch: unknown key, did you mean epochs?"),
    ],
)
def test_faults_come_before_the_first_training(tmp_path, monkeypatch, arguments, code, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    official.glue(tmp_path / "torn")
    (tmp_path / "torn/MNLI/dev_mismatched.tsv").unlink()
    done = CliRunner().invoke(main, [*arguments, "--checkpoint", CHECKPOINT, "--set", "task.max_length=16"])
    assert (done.exit_code, sentence in " ".join(done.output.split())) == (code, True), done.output
    assert not list((tmp_path / "runs").glob("*/1"))
