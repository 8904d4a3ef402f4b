"""Following alone, over recorded runs and failures of an API; kfp's and Google's clients are in other tests."""

import datetime
import json

import pytest

from models.progress import NodeFinished, NodeStarted, Notice, Summary
from pipeline.cluster.follow import Outputs, RunState, Task, follow, patience, read_verdict
from pipeline.cluster.services.argo import Workflow
from pipeline.run.result import RunError

from . import recorded
from .conftest import BLESSED
from .recorded import NODES


class Service:
    """Answers a script, one entry a look; exceptions are raised."""

    def __init__(self, *script, outputs=None):
        self.script, self.what, self.stopped, self.lines = list(script), outputs or Outputs(), [], {}

    def stop(self, run):
        self.stopped.append(run)

    def look(self, run):
        entry = self.script.pop(0)
        if isinstance(entry, Exception):
            raise entry
        return entry

    def outputs(self, run):
        if isinstance(self.what, Exception):
            raise self.what
        return self.what

    def last_line(self, run, node):
        return self.lines.get(node, "")

    def transient(self, error):
        return isinstance(error, ConnectionError)

    def explain(self, error):
        return RunError(f"no answer: {error}") if isinstance(error, ConnectionError) else None


NOW = datetime.datetime(2026, 11, 28, 10, tzinfo=datetime.UTC)


def running(case="succeeded", at="09:18:20"):
    """A recorded run at a time of its day."""
    workflow = Workflow(json.dumps(recorded.manifest(case, at)))
    return RunState("running", 1.0, {node: workflow.task(node, NOW) for node in workflow.nodes})


def over(case="succeeded"):
    """A recorded run at its end."""
    workflow = Workflow(json.dumps(recorded.manifest(case)))
    state = "stopped" if workflow.stopped else "succeeded" if case in ("succeeded", "cached") else "failed"
    return RunState(state, 9.0, {node: workflow.task(node, NOW) for node in workflow.nodes})


def started(events):
    return [event.node for event in events if isinstance(event, NodeStarted)]


def finished(events):
    return [event for event in events if isinstance(event, NodeFinished)]


def test_each_node_begins_and_ends_once_even_between_two_looks(folder, events):
    looks = [running(at=at) for at in ("09:18:20", "09:18:45", "09:19:00", "09:26:00", "09:27:45")]
    assert follow(Service(*looks, over()), "r", NODES).state == "succeeded"
    assert started(events) == NODES
    ended = finished(events)
    assert [event.node for event in ended] == NODES
    assert ended[0] == NodeFinished("ExampleGen", "ran", 75.0) and ended[7] == NodeFinished("Trainer", "ran", 101.0)
    assert events.index(ended[7]) > events.index(NodeStarted("Trainer")) > events.index(ended[0])


def test_what_was_reused_is_told(folder, events):
    follow(Service(over("cached")), "r", NODES)
    assert [event.node for event in finished(events) if event.state == "ran"] == ["Baseline", "Evaluator", "Pusher"]
    assert NodeFinished("Trainer", "cached", 2.0) in events


def test_what_did_not_run_is_not_told(folder, events):
    assert follow(Service(over("driver_failed")), "r", NODES).state == "failed"
    assert started(events) == [event.node for event in finished(events)] == NODES[:6]
    assert finished(events)[-1] == NodeFinished("VocabularyGen", "failed", 117.0)


def test_the_evaluators_line_is_about_it_whatever_runs_beside_it(folder, events):
    service = Service(running(at="09:28:00"), over(), outputs=Outputs(verdict=BLESSED))
    follow(service, "r", NODES)
    (told,) = [event for event in events if isinstance(event, Summary)]
    assert told == Summary("accuracy 0.900 on 10 · blessed", "Evaluator")
    assert events[events.index(told) + 1] == NodeFinished("Evaluator", "ran", 33.0)


def test_what_a_node_ended_with_is_told(folder, events):
    service = Service(over("cached"))
    service.lines = {"Trainer": "of an earlier run", "Evaluator": "unread", "Pusher": "v3"}
    follow(service, "r", NODES)
    told = [event for event in events if isinstance(event, Summary)]
    assert told == [Summary("unread", "Evaluator"), Summary("v3", "Pusher")]


def test_an_evaluator_that_cannot_be_asked_stops_nobody(folder, events):
    follow(Service(over(), outputs=ConnectionError()), "r", NODES)
    assert NodeFinished("Evaluator", "ran", 33.0) in events
    assert not [event for event in events if isinstance(event, Summary)]


def test_an_outage_is_waited_for_and_told_once(folder, events):
    away = [ConnectionError("reset")] * 5
    follow(Service(*away, running(), *away, over()), "r", NODES)
    told = [event for event in events if isinstance(event, Notice)]
    assert told == [Notice("no answer: reset · the run goes on, asking again")] * 2


def test_what_does_not_pass_is_raised(folder):
    with pytest.raises(PermissionError):
        follow(Service(running(), PermissionError("no")), "r", NODES)


def test_patience_ends(folder):
    def away():
        raise ConnectionError("reset")

    with pytest.raises(Exception, match=r"Timeout of .* exceeded") as error:
        patience(Service(), 0.1)(away)()
    assert isinstance(error.value.cause, ConnectionError)


def waiting(seconds, reason="Unschedulable: 0/3 nodes are available"):
    return RunState("running", 1.0, {"Trainer": Task("pending", reason=reason, waits=seconds)})


def test_a_reason_is_told_once_until_it_is_another(folder, events):
    pulls = [waiting(90, "PodInitializing"), waiting(100, "PodInitializing")]
    machines = [waiting(110), waiting(120, "Unschedulable: 0/4 nodes are available")]
    follow(Service(waiting(59), *pulls, *machines, over()), "r", NODES, 3600)
    told = [str(event).partition(" begin: ")[2] for event in events if isinstance(event, Notice)]
    assert told == ["PodInitializing", "Unschedulable: 0/3 nodes are available"]


@pytest.mark.parametrize(
    ("seen", "stopped"),
    [
        (waiting(3599), False),
        (waiting(3601), True),
        (waiting(899, "ErrImagePull: not found"), False),
        (waiting(901, "ErrImagePull: not found"), True),
        (waiting(3601, ""), True),
    ],
)
def test_a_pod_is_waited_for_so_long(folder, seen, stopped):
    service = Service(seen, seen, over("stopped" if stopped else "succeeded"))
    assert bool(follow(service, "r", NODES, 3600).gave_up) == stopped
    assert service.stopped == (["r"] if stopped else [])


def test_only_deleted_pods_are_nobodys_fault(folder):
    deleted, failed = Task("failed", deleted=True), Task("failed")
    assert RunState("failed", 1.0, {"Trainer": deleted, "Pusher": Task("skipped")}).deleted == ["Trainer"]
    assert RunState("failed", 1.0, {"Trainer": deleted, "Baseline": failed}).deleted == []
    assert RunState("stopped", 1.0, {"Trainer": deleted}).deleted == []
    assert RunState("failed", 1.0, {}).deleted == []


def test_a_verdict_that_is_elsewhere_is_none(folder):
    BLESSED.write(str(folder))
    assert read_verdict(str(folder)) == BLESSED
    assert read_verdict(str(folder / "nowhere")) is None
    assert read_verdict("minio://bucket/evaluation") is None
