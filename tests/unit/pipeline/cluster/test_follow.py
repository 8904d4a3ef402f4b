"""Following alone, over scripted answers of an API; kfp's and Google's clients are in the tests beside this one."""

import pytest

from models.progress import NodeFinished, NodeStarted, Notice, Summary
from pipeline.cluster.follow import Outputs, Seen, Task, follow, patience, read_verdict
from pipeline.result import RunError

from .conftest import BLESSED


class Service:
    """Answers a script, one entry a look; exceptions are raised."""

    def __init__(self, *script, outputs=None):
        self.script, self.what, self.stopped = list(script), outputs or Outputs(), []

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

    def transient(self, error):
        return isinstance(error, ConnectionError)

    def explain(self, error):
        return RunError(f"no answer: {error}") if isinstance(error, ConnectionError) else None


def running(**tasks):
    return Seen("running", 1.0, {node: Task(state, 5.0) for node, state in tasks.items()})


def over(state="succeeded", **tasks):
    return Seen(state, 9.0, {node: Task(how, 5.0) for node, how in tasks.items()})


NODES = ["ExampleGen", "Trainer", "Evaluator", "Pusher"]


def test_each_node_begins_and_ends_once_even_between_two_looks(folder, events):
    service = Service(
        running(),
        running(ExampleGen="running", Trainer="pending"),
        running(ExampleGen="ran", Trainer="running", Stranger="running"),
        over(ExampleGen="ran", Trainer="ran", Pusher="cached"),
    )
    assert follow(service, "r", NODES).state == "succeeded"
    assert events == [
        NodeStarted("ExampleGen"),
        NodeFinished("ExampleGen", "ran", 5.0),
        NodeStarted("Trainer"),
        NodeFinished("Trainer", "ran", 5.0),
        NodeStarted("Pusher"),
        NodeFinished("Pusher", "cached", 5.0),
    ]


def test_what_did_not_run_is_not_told(folder, events):
    service = Service(over("failed", ExampleGen="failed", Trainer="skipped", Evaluator="pending"))
    assert follow(service, "r", NODES).state == "failed"
    assert events == [NodeStarted("ExampleGen"), NodeFinished("ExampleGen", "failed", 5.0)]


def test_the_evaluators_line_is_about_it_whatever_runs_beside_it(folder, events):
    service = Service(
        running(Evaluator="running", Pusher="running"), over(Evaluator="ran"), outputs=Outputs(verdict=BLESSED)
    )
    follow(service, "r", NODES)
    assert Summary("accuracy 0.900 on 10 · blessed", "Evaluator") in events
    assert [event for event in events if isinstance(event, Summary)] == [events[2]]


def test_an_evaluator_that_cannot_be_asked_stops_nobody(folder, events):
    follow(Service(over(Evaluator="ran"), outputs=ConnectionError()), "r", NODES)
    assert events == [NodeStarted("Evaluator"), NodeFinished("Evaluator", "ran", 5.0)]


def test_an_outage_is_waited_for_and_told_once(folder, events):
    away = [ConnectionError("reset")] * 5
    follow(Service(*away, running(), *away, over()), "r", NODES)
    assert events == [Notice("no answer: reset · the run goes on, asking again")] * 2


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
    return Seen("running", 1.0, {"Trainer": Task("pending", reason=reason, waits=seconds)})


def test_a_reason_is_told_once_until_it_is_another(folder, events):
    pulls = [waiting(90, "PodInitializing"), waiting(100, "PodInitializing")]
    machines = [waiting(110), waiting(120, "Unschedulable: 0/4 nodes are available")]
    follow(Service(waiting(59), *pulls, *machines, over(Trainer="ran")), "r", NODES, 3600)
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
    assert Seen("failed", 1.0, {"Trainer": deleted, "Pusher": Task("skipped")}).deleted == ["Trainer"]
    assert Seen("failed", 1.0, {"Trainer": deleted, "Baseline": failed}).deleted == []
    assert Seen("stopped", 1.0, {"Trainer": deleted}).deleted == []
    assert Seen("failed", 1.0, {}).deleted == []


def test_a_verdict_that_is_elsewhere_is_none(folder):
    BLESSED.write(str(folder))
    assert read_verdict(str(folder)) == BLESSED
    assert read_verdict(str(folder / "nowhere")) is None
    assert read_verdict("minio://bucket/evaluation") is None
