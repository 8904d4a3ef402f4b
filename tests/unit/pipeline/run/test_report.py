"""``report.html`` of runs that ended early, of hostile data, and of older versions."""

import html.parser
import math
import re
import threading

import pytest

from components.evaluate.report import report as pages
from components.evaluate.report.data import Column, Source
from components.evaluate.report.graph import Box
from components.evaluate.report.report import Mistake, Node, Report
from components.evaluate.verdict import Check, Reference, Slice, Verdict
from components.train.fine_tuning import Calibration
from models import progress
from models.figures import Section
from models.training.curve import Curve
from pipeline.run import events, report, report_data
from pipeline.run.lineage import Artifact, Execution
from pipeline.run.result import Node as RunNode
from pipeline.run.result import Pushed, RunResult

HOSTILE = "</style><script>alert('x')</script>\"><img src=https://example.org/x onerror=alert(1)>"
RTL = "إيجابي\u202e"


class Tags(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def hostile(label):
    labels = [label, RTL, *(f"label {number}" for number in range(88))]
    counts = [[name, *(int(row == place) * 3 for place in range(90))] for row, name in enumerate(labels)]
    counts[1][1] = 2
    curve = Curve()
    curve.add(1, math.nan, math.inf)
    curve.judge(1, {label: math.nan})
    return Report(
        title=label,
        word="Failed",
        mood="bad",
        said=label,
        error=label,
        trained_on=label,
        verdict=Verdict(
            blessed=False,
            checks=[Check(name=f"recall[{label}]", value=None, relation="≥", bound=0.5, passed=False, n=1)],
            metrics={"accuracy": 0.5, "mcc": math.nan, **{f"recall[{name}]": 0.5 for name in labels}},
            n=1,
            slices=[Slice(name=f"genre: {label}", value=math.nan, n=1), Slice(name=RTL, value=-0.5, n=1)],
            mistaken={label: label},
            baseline=label,
            baselines=[Reference(name=label, value=None)],
            warnings=[label],
        ),
        sections=[
            Section(label, ["label ╲ answer", *labels], counts, "heat"),
            Section(label, [label, label], [[label, 1]], "table"),
            Section(label, [label, label], [[0.0, math.nan], [1, 2.5]], "lines"),
            Section(label, [label], [], "table"),
        ],
        trainings={label: curve, "seed 1": Curve()},
        calibration=Calibration(temperature=0.1, ece_before=math.nan, ece_after=0.0),
        sources=[
            Source(label, label, {label: 1}, [Column(label, label, 1, values=[(label, 1)])], label, {label: 2}, [label])
        ],
        boxes=[Box(label, label, label), Box("b", RTL)],
        edges=[(label, "b")],
        nodes=[Node(label, "failed", 1.0, label)],
        card=f"---\nlicense: {label}\n---\n# {label}\n\n- [x](https://example.org) ![x](https://example.org/x.png)\n",
        again=[label],
        configuration=label,
        mistakes=[Mistake(label, label, label, label)],
    )


def test_labels_and_texts_stay_text():
    page = pages.page(hostile(HOSTILE))
    seen = Tags(page)
    assert not seen.tags & {"script", "img", "a", "link", "iframe", "object", "form", "base"}
    assert not {name for name in seen.attributes if name.startswith("on") or name in ("src", "href", "srcset")}
    assert page.count("<style>") == page.count("</style>") == 1
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert f"<bdi>{RTL}</bdi>" in page
    assert len(page) < 2_000_000


def test_a_matrix_of_ninety_labels_is_behind_a_click_and_told_by_its_largest_cells():
    page = pages.page(hostile("a"))
    assert "The whole matrix of 90 labels" in page
    assert re.search(r"Confused most often.*?<bdi>إيجابي\u202e</bdi><td><bdi>a</bdi><td>2", page, re.S)


def result(**update):
    return RunResult(name="reviews", number=1, verdict="failed", started="2026-01-02T03:04:05+00:00").model_copy(
        update=update
    )


def test_a_run_that_failed_while_it_trained_shows_how_far_it_came(tmp_path):
    folder = tmp_path / "reviews" / "1"
    folder.mkdir(parents=True)
    (folder / "experiment.resolved.yaml").write_text(
        "name: reviews\ntask: {type: classification, data: {path: [reviews.csv]}}\ntrain: {epochs: 1}\n"
    )
    with events.recorded(folder):
        progress.emit(progress.NodeStarted("Trainer"))
        for number, loss in ((10, 2.0), (20, 1.0), (5, 3.0)):  # and then the second seed
            progress.emit(progress.Step(number, 20, loss, 1e-4, 100.0, 1.0, "epoch 1/1"))
    nodes = [
        RunNode(node="ExampleGen", state="ran", seconds=2.5, summary="8 train"),
        RunNode(node="Trainer", state="failed"),
    ]
    failed = result(nodes=nodes, error="the loss became nan at step 21", checkpoint="base", git="3f2c1a+")
    path = report.write(folder, failed)
    page = path.read_text("utf-8")
    assert "<h1><bdi>reviews #1</bdi> · <bdi>Failed</bdi></h1>" in page
    assert "the loss became nan at step 21" in page
    assert "From the checkpoint base: fine-tuned on reviews.csv for 1 epoch." in page
    assert report.told(events.read(folder))["Trainer"].points[-1].loss == 1.0
    assert report.told(events.read(folder))["Trainer 2"].points[-1].loss == 3.0
    assert page.count("training loss (nats) over optimizer step") == 2
    assert "git checkout 3f2c1a   # and the edits that were not committed" in page
    assert 'class="bad">failed' in page
    assert [each.name for each in folder.iterdir() if each.name.startswith(".")] == []


def test_a_result_of_an_older_version_without_anything_beside_it(tmp_path):
    folder = tmp_path / "reviews" / "1"
    folder.mkdir(parents=True)
    kept = result(
        verdict="blessed",
        metrics={"accuracy": 0.9, "mcc": math.nan},
        checks=[Check(name="accuracy", value=0.9, relation="≥", bound=0.8, passed=True)],
        pipeline_run="of a file that is gone",
        pushed=Pushed(version=4, path="somewhere"),
    )
    page = report.write(folder, kept).read_text("utf-8")
    assert "accuracy 0.900" in page
    assert "pushed v4" in page
    assert "on 0 records" not in page


def test_two_writers_leave_one_whole_report(tmp_path):
    folder = tmp_path / "reviews" / "1"
    folder.mkdir(parents=True)
    errors, seen = [], []

    def write():
        try:
            for _ in range(20):
                report.write(folder, result())
                seen.append((folder / report.FILE).read_text("utf-8").endswith("</html>\n"))
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(seen)
    assert [each.name for each in folder.iterdir()] == [report.FILE]


def executed(node, inputs, outputs, cached=False):
    def channel(ids):
        return {"channel": [Artifact(number, "Model", f"/nowhere/{number}", {}) for number in ids]}

    return Execution(node, cached, channel(inputs), channel(outputs), "run")


def test_the_lineage_goes_from_files_to_the_pushed_version_and_leaves_out_what_only_looks_on():
    known = [
        executed("Checkpoint", [], [1]),
        executed("ExampleGen", [], [2], cached=True),
        executed("StatisticsGen", [2], [3]),
        executed("ExampleValidator", [3], [4]),
        executed("DataGate", [4], [5]),
        executed("Trainer", [1, 2], [6]),
        executed("Resolver", [], [6, 99]),
        executed("Evaluator", [6, 99], [7]),
        executed("Pusher", [6, 7], [8]),
    ]
    values = {"task": {"data": {"path": ["a/reviews.csv", "b.csv"]}}}
    digests = {"ExampleGen": "0123456789ab", "Checkpoint": "ba9876543210"}
    done = result(pushed=Pushed(version=3, path=""), data=digests, checkpoint="data/minilm")
    boxes, edges = report_data.drawing(known, done, values)
    assert {(box.title, box.note, box.kind) for box in boxes} == {
        ("reviews.csv +1", "01234567", "file"),
        ("minilm", "ba987654", "file"),
        ("Checkpoint", "", "step"),
        ("ExampleGen", "cached", "step"),
        ("Trainer", "", "step"),
        ("Resolver", "", "step"),
        ("Evaluator", "", "step"),
        ("Pusher", "", "step"),
        ("reviews v3", "pushed", "end"),
    }
    assert {("file ExampleGen", "ExampleGen"), ("Trainer", "Evaluator"), ("Resolver", "Evaluator")} <= set(edges)
    assert ("Resolver", "Pusher") not in edges
    assert ("Pusher", "pushed") in edges


@pytest.mark.parametrize("known", [[], [executed("ExampleGen", [], [1])]])
def test_a_run_that_stopped_at_once_has_what_there_is(known):
    boxes, edges = report_data.drawing(known, result(data={"ExampleGen": "ab"}), {})
    assert [box.title for box in boxes] == (["ExampleGen", "ExampleGen"] if known else [])
    assert edges == [("file ExampleGen", "ExampleGen")] * bool(known)


@pytest.mark.parametrize(
    ("values", "checkpoint", "sentence"),
    [
        ({}, None, ""),
        (
            {"corpus": {"path": ["a.csv", "b.csv"]}, "pretrain": {"tokens": 2e9, "objectives": ["mlm"]}},
            None,
            "From random weights: pretrained on a.csv, b.csv for 2,000,000,000 tokens (MLM).",
        ),
        (
            {"task": {"data": {"path": ["r.csv"]}}, "train": {"epochs": 2, "seeds": [1, 2]}, "tune": {"trials": 3}},
            None,
            "From random weights: trained on r.csv (8,034 records) for 2 epochs with each of 2 seeds, "
            "with settings that a search chose.",
        ),
        (
            {"task": {"data": {"path": ["r.csv"]}}, "train": {"epochs": 200, "early_stopping": {"patience": 10}}},
            None,
            "From random weights: trained on r.csv (8,034 records) for at most 200 epochs.",
        ),
        (
            {"task": {"data": {"path": "r.csv"}}, "train": {"epochs": 2, "prune": {"heads": 0.3, "recover": 1}}},
            None,
            "From random weights: trained on r.csv (8,034 records) for 2 epochs, then pruned of 30 % of its heads "
            "and 1 more epoch.",
        ),
        (
            {
                "corpus": {"path": "a.csv"},
                "pretrain": {"steps": 1000, "objectives": ["mlm", "nsp"]},
                "task": {"data": {"path": ["r.csv"]}},
                "train": {"epochs": 1},
            },
            "chat-bert v4",
            "From the checkpoint chat-bert v4: pretrained on a.csv for 1,000 steps (MLM + NSP), "
            "then fine-tuned on r.csv (8,034 records) for 1 epoch.",
        ),
    ],
)
def test_what_a_model_learned_from_is_one_sentence(values, checkpoint, sentence):
    assert report.trained_on(result(checkpoint=checkpoint), values, {"task": 8034}) == sentence
