import io
import logging
import sys

import pytest
from rich.console import Console

from models.progress import NodeFinished, NodeStarted, Notice, Records, RunStarted, Step, Summary, emit
from pipeline.terminal import noise, view

STEP = Step(61, 100, 0.38, 2.1e-5, 3100, 125, "epoch 1/2")


def shown(*events, terminal=False, width=120):
    out = io.StringIO()
    screen = view.attach(Console(file=out, width=width, force_terminal=terminal, color_system=None))
    try:
        for event in events:
            emit(event)
        during = out.getvalue() if not terminal else _drawn(screen)
    finally:
        view.detach(screen)
    return during


def _drawn(screen):
    out = io.StringIO()
    Console(file=out, width=screen.console.width, color_system=None).print(screen._render())
    return out.getvalue()


def test_a_pipe_gets_a_line_an_event():
    assert shown(
        RunStarted("sentiment", 1, "runs/sentiment/1", ("ExampleGen", "DataGate", "Trainer", "Pusher")),
        NodeStarted("ExampleGen"),
        Summary("8,034 train · 0 bad"),
        NodeFinished("ExampleGen", "ran", 2.2),
        NodeStarted("DataGate"),
        NodeFinished("DataGate", "cached", 0.1),
        NodeStarted("Trainer"),
        STEP,
        Notice("the checkpoint could not be read"),
        NodeFinished("Trainer", "failed", 72),
        NodeFinished("Pusher", "skipped", 0),
    ).splitlines()[1:] == [
        "✓ ExampleGen     0:02  8,034 train · 0 bad",
        "✓ DataGate     cached",
        "▶ Trainer              epoch 1/2 · step 61/100 · loss 0.38 · lr 2.1e-05 · 3,100 tokens/s · 2:05 left",
        "! the checkpoint could not be read",
        "✗ Trainer        1:12",
        "· Pusher       skipped",
    ]


def test_the_header_names_the_log():
    assert shown(RunStarted("sentiment", 7, "runs/sentiment/7", ())).startswith("sentiment #7 · CPU ")
    assert shown(RunStarted("sentiment", 7, "runs/sentiment/7", ())).endswith("log runs/sentiment/7/run.log\n")


def test_a_pipe_is_not_flooded_by_steps():
    steps = [Step(number, 50, 1.0, 1e-4, 100, 9, "MLM") for number in range(1, 51)]
    lines = shown(NodeStarted("Pretrainer"), *steps).splitlines()
    assert [line.split(" · ")[1] for line in lines] == ["step 1/50", "step 50/50"]


def test_a_terminal_shows_what_runs_and_what_is_to_come():
    nodes = ("Transform", "Trainer", "Evaluator", "Pusher")
    drawn = shown(RunStarted("x", 1, "runs/x/1", nodes), NodeStarted("Trainer"), STEP, terminal=True)
    assert drawn.splitlines() == [
        "▶ Trainer        0:00 epoch 1/2 ━━━━━━━───── 61 %  loss .380  lr 2.1e-5  3,100 tokens/s  2:05 left",
        "… Transform · Evaluator · Pusher",
    ]


def test_a_narrow_terminal_keeps_to_one_line():
    drawn = shown(RunStarted("x", 1, "runs/x/1", ("Trainer",)), NodeStarted("Trainer"), STEP, terminal=True, width=80)
    assert drawn.splitlines() == ["▶ Trainer        0:00 epoch 1/2 61 %  loss .380  3,100 tokens/s  2:05 left"]


def test_how_many_records_are_done():
    node, known = NodeStarted("Transform"), Records(120_000, 212_100, 31_250.4, 2.9)
    lines = shown(node, known, Records(150_000, 212_100, 31_000, 2.0), terminal=False).splitlines()
    assert lines == ["▶ Transform            120,000 of about 212,100 records · 31,250 records/s · 0:03 left"]
    assert shown(node, known, terminal=True).splitlines() == [
        "▶ Transform      0:00 ━━━━━━━───── 57 %  120,000 records  31,250 records/s  0:03 left"
    ]
    assert shown(node, known, terminal=True, width=80).splitlines() == [
        "▶ Transform      0:00 57 %  120,000 records  31,250 records/s  0:03 left"
    ]
    unknown = Records(120_000, None, 31_250.4, None)
    assert shown(node, unknown).splitlines() == ["▶ Transform            120,000 records · 31,250 records/s"]
    assert shown(node, unknown, terminal=True).splitlines() == [
        "▶ Transform      0:00 120,000 records  31,250 records/s"
    ]


def test_the_node_that_failed_is_remembered():
    screen = view.Lines(Console(file=io.StringIO()))
    screen.show(NodeStarted("Trainer"), "")
    screen.show(NodeFinished("Trainer", "failed", 1.0), "")
    assert screen.failed == "Trainer"


def test_ordinary_log_records_are_not_for_the_screen():
    out = io.StringIO()
    screen = view.attach(Console(file=out))
    logging.getLogger("tfx_bert").info("for the log file only")
    view.detach(screen)
    assert out.getvalue() == ""


@pytest.mark.parametrize("where", ["python", "descriptor", "logging"])
def test_noise_goes_to_the_log(tmp_path, where, capfd):
    import os

    log = tmp_path / "new" / "run.log"
    with noise.captured(log) as terminal:
        match where:
            case "python":
                sys.stderr.flush()
                os.write(2, b"noise\n")
            case "descriptor":
                os.write(1, b"noise\n")
            case "logging":
                logging.getLogger("absl").warning("noise")
        print("for a person", file=terminal, flush=True)
    os.write(1, b"afterwards\n")
    assert "noise" in log.read_text()
    assert capfd.readouterr().out == "for a person\nafterwards\n"


def test_a_run_on_a_cluster_begins_with_its_address_and_a_summary_finds_its_node():
    lines = shown(
        RunStarted("sentiment", 1, "runs/sentiment/1", ("Evaluator", "Pusher"), "https://kfp.example.org/#/runs/1"),
        NodeStarted("Evaluator"),
        NodeStarted("ServingValidator"),
        Summary("accuracy .9", "Evaluator"),
        NodeFinished("ServingValidator", "ran", 5),
        NodeFinished("Evaluator", "ran", 5),
    ).splitlines()
    assert lines[0] == "sentiment #1 · https://kfp.example.org/#/runs/1 · log runs/sentiment/1/run.log"
    assert lines[1:] == ["✓ ServingValidator   0:05", "✓ Evaluator      0:05  accuracy .9"]
