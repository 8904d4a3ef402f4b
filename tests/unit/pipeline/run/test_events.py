"""``events.jsonl``: small, readable while it is written, and after a process that was killed."""

import logging
import threading

from models import progress
from pipeline.run import events
from pipeline.run.events import Noted


def step(number, steps, loss=0.5):
    return progress.Step(number, steps, loss, 1e-4, 1000.0, 60.0, "epoch 1/1")


def test_events_come_back_with_their_nodes(tmp_path):
    with events.recorded(tmp_path):
        progress.emit(progress.RunStarted("reviews", 3, str(tmp_path), ("ExampleGen", "Trainer")))
        progress.emit(progress.NodeStarted("ExampleGen"))
        progress.emit(progress.Summary("8 train · 1 eval"))
        progress.emit(progress.Checkpoints("somewhere"))  # not for a person
        progress.emit(progress.NodeFinished("ExampleGen", "ran", 2.5))
        progress.emit(progress.NodeStarted("Trainer"))
        progress.emit(step(1, 10, float("nan")))
        logging.getLogger("tfx_bert").info("a line without an event")
    progress.emit(progress.Notice("after the run"))
    found = list(events.read(tmp_path))
    assert [(each.node, type(each.event).__name__) for each in found] == [
        ("", "RunStarted"),
        ("ExampleGen", "NodeStarted"),
        ("ExampleGen", "Summary"),
        ("ExampleGen", "NodeFinished"),
        ("Trainer", "NodeStarted"),
        ("Trainer", "Step"),
    ]
    assert found[2].event == progress.Summary("8 train · 1 eval", "ExampleGen")
    assert found[4].at >= found[0].at > 1.7e9


def test_nodes_side_by_side_keep_their_own_events(tmp_path):
    with events.recorded(tmp_path):
        both = threading.Barrier(2)

        def node(name):
            progress.emit(progress.NodeStarted(name))
            both.wait()
            progress.emit(progress.Summary(f"of {name}"))

        threads = [threading.Thread(target=node, args=(name,)) for name in ("A", "B")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    summaries = {
        each.node: each.event.text for each in events.read(tmp_path) if isinstance(each.event, progress.Summary)
    }
    assert summaries == {"A": "of A", "B": "of B"}


def test_a_long_training_leaves_a_small_file_with_its_last_state(tmp_path):
    with events.recorded(tmp_path):
        progress.emit(progress.NodeStarted("Trainer"))
        for number in range(1, 4_001):
            progress.emit(step(number, 4_000))
    steps = [each.event.step for each in events.read(tmp_path) if isinstance(each.event, progress.Step)]
    assert len(steps) <= 402
    assert steps[0] == 1
    assert steps[-1] == 4_000


def test_half_a_line_and_lines_of_others_are_passed_over(tmp_path):
    with events.recorded(tmp_path):
        progress.emit(progress.NodeStarted("Trainer"))
    with (tmp_path / events.FILE).open("ab") as file:
        file.write(b'not json\n{"event": "Unknown"}\n[1]\n\xff\xfe\n{"event": "NodeFinished", "node": "Tr')
    assert [(each.node, each.event) for each in events.read(tmp_path)] == [("Trainer", progress.NodeStarted("Trainer"))]
    assert list(events.read(tmp_path / "of an older version")) == []


def test_a_run_begun_twice_in_one_folder_appends(tmp_path):
    for _ in range(2):
        with events.recorded(tmp_path):
            progress.emit(progress.NodeStarted("Trainer"))
    assert all(isinstance(each, Noted) for each in events.read(tmp_path))
    assert len(list(events.read(tmp_path))) == 2
