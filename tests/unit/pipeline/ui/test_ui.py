"""The local page: what it shows of runs, whom it answers, and that it only reads."""

import asyncio
import os
import subprocess
import sys

import pytest

from components.evaluate.verdict import Reference
from models import progress
from pipeline.run import events
from pipeline.run.result import Node, Pushed, RunResult
from pipeline.ui import live
from pipeline.ui.app import App

HOSTILE = "<script>alert(1)</script>"


def write(root, name, number, **update):
    folder = root / name / str(number)
    folder.mkdir(parents=True)
    (folder / "experiment.resolved.yaml").write_text(f"name: {name}\ntrain: {{epochs: {number}}}\n")
    found = RunResult(name=name, number=number, verdict="blessed", started="2026-01-02T03:04:05+00:00")
    found.model_copy(update=update).write(folder)
    return folder


@pytest.fixture
def root(tmp_path):
    baseline = Reference(name=HOSTILE, value=0.5)
    for number, value in ((1, 0.8), (2, 0.9)):
        write(
            tmp_path,
            "reviews",
            number,
            metrics={"accuracy": value, f"recall[{HOSTILE}]": 0.5},
            baselines=[baseline],
            seconds=60.0 * number,
            nodes=[Node(node="Trainer", state="ran", seconds=30.0 * number, summary=HOSTILE)],
            pushed=Pushed(version=number, path=f"runs/reviews/serving_model/reviews/{number}"),
            data={"ExampleGen": f"{number}" * 64},
        )
    folder = write(tmp_path, "spam", 7, verdict="running")
    with events.recorded(folder):
        progress.emit(progress.RunStarted("spam", 7, str(folder), ("ExampleGen", "Trainer", "Pusher")))
        progress.emit(progress.NodeStarted("ExampleGen"))
        progress.emit(progress.Summary("8 train"))
        progress.emit(progress.NodeFinished("ExampleGen", "ran", 2.0))
        progress.emit(progress.NodeStarted("Trainer"))
        progress.emit(progress.Step(5, 20, 0.5, 1e-4, 1000.0, 60.0, "epoch 1/1"))
    (tmp_path / "spam" / ".running").write_text(f"process {os.getpid()}, since 10:00")
    return tmp_path


def ask(root, path, query="", method="GET", host="127.0.0.1:8502"):
    """Status, headers and text of an answer, as they go out."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
    asyncio.run(App(root)({**scope, "headers": [(b"host", host.encode())]}, None, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"].decode()


def test_the_first_page_has_every_experiment_and_its_figures_over_time(root):
    status, _, page = ask(root, "/")
    assert status == 200
    assert '<a href="/runs/reviews/2"><bdi>#2</bdi></a>' in page
    assert "<bdi>accuracy</bdi> 0.900" in page
    assert page.count('<svg viewBox="0 0 100 100"') == 1  # of reviews; spam has no figures yet
    assert '<span class="wait"><bdi>running</bdi></span>' in page
    assert HOSTILE not in page


def test_a_run_that_goes_on_shows_each_node(root):
    _, _, page = ask(root, "/runs/spam/7")
    assert 'data-live="going"' in page
    assert '<meta http-equiv="refresh" content="5">' in page
    found = live.read(root / "spam" / "7")
    assert [(node.name, node.state, node.share) for node in found.nodes] == [
        ("ExampleGen", "ran", None),
        ("Trainer", "running", 0.25),
        ("Pusher", "pending", None),
    ]
    assert found.nodes[0].summary == "8 train"
    assert found.curves["Trainer"].points[0].loss == 0.5
    assert '<progress max="1" value="0.250">' in page


def test_a_run_whose_process_is_gone_was_killed(root):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (root / "spam" / ".running").write_text(f"process {ended.pid}, since 10:00")
    found = live.read(root / "spam" / "7")
    assert found.verdict == "killed"
    assert [node.state for node in found.nodes] == ["ran", "failed", "pending"]
    assert 'data-live="over"' in ask(root, "/runs/spam/7")[2]


def test_two_runs_side_by_side(root):
    _, _, page = ask(root, "/compare", "a=reviews/1&b=reviews/2")
    assert "train.epochs 1→2" in page
    assert "ExampleGen: 11111111→22222222" in page
    assert "<td>0.800<td>0.900<td>+0.100" in page
    assert "<td>30.0<td>60.0<td>+30.0" in page
    assert HOSTILE not in page


def test_a_run_that_wrote_no_report_gets_one_that_is_not_kept(root):
    status, _, page = ask(root, "/runs/reviews/1/report.html")
    assert status == 200
    assert "<h1><bdi>reviews #1</bdi> · <bdi>Blessed</bdi></h1>" in page
    assert not (root / "reviews" / "1" / "report.html").exists()
    (root / "reviews" / "1" / "report.html").write_text("as the run wrote it", "utf-8")
    assert ask(root, "/runs/reviews/1/report.html")[2] == "as the run wrote it"


def test_a_damaged_result_is_named_and_the_others_are_shown(root):
    write(root, "reviews", 3)
    (root / "reviews" / "3" / "result.json").write_text('{"name": ')
    _, _, page = ask(root, "/")
    assert "result.json is damaged or of another version" in page
    assert "<bdi>#2</bdi>" in page
    assert ask(root, "/runs/reviews/3")[0] == 404


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_without_runs_it_says_how_to_start_one(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    assert "tfx-bert run EXPERIMENT" in ask(tmp_path / folder, "/")[2]


@pytest.mark.parametrize(
    "host",
    ["evil.example.org", "evil.example.org:8502", "127.0.0.1.evil.example.org", "localhost@evil", "", "10.0.0.1"],
)
def test_a_page_that_points_its_own_name_here_gets_nothing(root, host):
    status, headers, page = ask(root, "/", host=host)
    assert status == 403
    assert "reviews" not in page
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8502", "LOCALHOST:1", "[::1]:8502"])
def test_this_machine_is_answered_under_its_names(root, host):
    assert ask(root, "/", host=host)[0] == 200


@pytest.mark.parametrize(
    ("path", "query", "method", "status"),
    [
        ("/", "", "POST", 405),
        ("/", "", "OPTIONS", 405),
        ("/nothing", "", "GET", 404),
        ("/runs/reviews/9", "", "GET", 404),
        ("/runs/../1", "", "GET", 404),
        ("/runs/reviews/1/result.json", "", "GET", 404),
        ("/runs/reviews/1/../../../etc/passwd", "", "GET", 404),
        ("/compare", "", "GET", 404),
        ("/compare", "a=reviews/1&b=../../etc/1", "GET", 404),
        (f"/runs/{HOSTILE}/1", "", "GET", 404),
    ],
)
def test_what_is_not_there_is_told(root, path, query, method, status):
    found, headers, page = ask(root, path, query, method)
    assert found == status
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert HOSTILE not in page


def test_it_only_reads(root):
    def tree():
        return {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))}

    before = tree()
    for path in ("/", "/runs/spam/7", "/runs/reviews/2", "/runs/reviews/2/report.html", "/ui.js"):
        assert ask(root, path)[0] == 200
    ask(root, "/compare", "a=reviews/1&b=reviews/2")
    assert tree() == before


def test_head_has_the_headers_alone(root):
    _, headers, body = ask(root, "/", method="HEAD")
    assert body == ""
    assert int(headers["content-length"]) > 1000
    assert headers["x-frame-options"] == "DENY"


def test_it_starts_without_tensorflow():
    code = "import pipeline.ui.app, serving.server, sys; print({'tensorflow', 'tfx', 'keras'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
