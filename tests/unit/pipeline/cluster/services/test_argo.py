"""On the Workflows that a real Argo wrote for runs of ours."""

import base64
import datetime
import gzip
import json

import pytest

from pipeline.cluster.follow import Task
from pipeline.cluster.services.argo import Workflow
from tests.unit.pipeline.cluster import recorded
from tests.unit.pipeline.cluster.recorded import NODES

CASES = ["succeeded", "cached", "node_failed", "driver_failed", "pod_refused", "stopped"]
NOW = datetime.datetime(2026, 11, 28, 10, tzinfo=datetime.UTC)


def read(manifest):
    return Workflow(json.dumps(manifest))


def states(workflow):
    return {node: workflow.task(node, NOW).state for node in NODES}


@pytest.mark.parametrize("case", CASES)
def test_pods_are_named_as_argo_named_them(case):
    # A log's key ends in the pod's name, which Argo itself filled in.
    workflow = read(recorded.manifest(case))
    drivers = [workflow._pod(node) for name, node in workflow._nodes.items() if node["type"] == "Pod"]
    kept = [pod for pod in drivers if pod.log]
    assert len(kept) >= 2
    assert [pod.name for pod in kept] == [pod.log.split("/")[-2] for pod in kept]


def test_older_pods_are_named_by_their_nodes():
    manifest = recorded.manifest("succeeded")
    manifest["metadata"]["annotations"]["workflows.argoproj.io/pod-name-format"] = "v1"
    assert [pod.name for pod in read(manifest).pods("Trainer")] == ["tiny-kc9zb-2614153674"]


def test_every_node_that_ran_is_told_with_its_time():
    workflow = read(recorded.manifest("succeeded"))
    assert workflow.nodes == set(NODES)
    assert states(workflow) == dict.fromkeys(NODES, "ran")
    assert workflow.task("Trainer", NOW) == Task("ran", 101.0)  # 09:25:50 to 09:27:31
    assert not workflow.stopped and not workflow.error


def test_what_was_reused_is_cached():
    ran = ["Baseline", "Evaluator", "Pusher"]
    workflow = read(recorded.manifest("cached"))
    assert states(workflow) == {node: "ran" if node in ran else "cached" for node in NODES}
    assert workflow.pods("Trainer") == []


def test_a_node_that_failed_says_why_at_each_attempt():
    workflow = read(recorded.manifest("node_failed"))
    failed = workflow.task("Trainer", NOW)
    assert (failed.state, failed.deleted, failed.seconds) == ("failed", True, 108.0)
    assert failed.error == (
        "pod deleted (the attempts before it: Error (exit code 1): /workspace/tinyk/checkpoints; Permission denied; "
        "Error (exit code 137))"
    )
    assert [pod.phase for pod in workflow.pods("Trainer")] == ["Failed", "Failed", "Error"]
    assert states(workflow)["Baseline"] == "skipped"


def test_a_driver_that_failed_fails_its_node():
    workflow = read(recorded.manifest("driver_failed"))
    failed = workflow.task("VocabularyGen", NOW)
    assert failed.error == "Error (exit code 64): write /var/run/argo/argoexec: no space left on device"
    assert failed.state == "failed" and not failed.deleted
    assert [pod.name for pod in workflow.pods("VocabularyGen")] == ["sched-sbl2k-system-container-driver-1063081126"]


def test_a_pod_that_kubernetes_refuses_says_why():
    failed = read(recorded.manifest("pod_refused")).task("ExampleGen", NOW)
    assert failed.state == "failed" and not failed.deleted
    assert failed.error.startswith(
        'Pod "badk-twhjr-retry-system-container-impl-1204848101" is invalid: spec.tolerations'
    )


def test_a_run_that_somebody_stopped():
    workflow = read(recorded.manifest("stopped"))
    assert workflow.stopped
    assert not read(recorded.manifest("stopped", at="09:37:40")).stopped


def test_a_run_under_way():
    workflow = read(recorded.manifest("succeeded", at="09:26:00"))
    assert states(workflow) == {node: "ran" if node in NODES[:7] else "pending" for node in NODES} | {
        "Trainer": "running"
    }
    assert workflow.task("Trainer", datetime.datetime(2026, 11, 28, 9, 26, tzinfo=datetime.UTC)) == Task(
        "running", 10.0
    )


def test_a_pod_that_waits_says_why_and_how_long():
    manifest = recorded.manifest("succeeded", at="09:26:00")
    why = "Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    recorded.node(manifest, "Trainer.executor(0)").update(phase="Pending", message=why)
    now = datetime.datetime(2026, 11, 28, 9, 30, 54, tzinfo=datetime.UTC)
    assert read(manifest).task("Trainer", now) == Task("pending", 304.0, reason=why, waits=300.0)
    # One that ran before and waits for another machine goes on.
    manifest = recorded.manifest("node_failed", at="09:32:50")
    recorded.node(manifest, "Trainer.executor(1)").update(phase="Pending", message=why)
    task = read(manifest).task("Trainer", datetime.datetime(2026, 11, 28, 9, 33, 45, tzinfo=datetime.UTC))
    assert (task.state, task.reason, task.waits) == ("running", why, 60.0)


def test_a_run_of_many_nodes_is_packed():
    # workflow/packer/packer.go: above a mebibyte Argo keeps the nodes as base64 of gzip.
    manifest = recorded.manifest("node_failed")
    nodes = json.dumps(manifest["status"].pop("nodes")).encode()
    manifest["status"]["compressedNodes"] = base64.b64encode(gzip.compress(nodes)).decode()
    assert states(read(manifest)) == states(read(recorded.manifest("node_failed")))


def test_a_node_without_retries_and_an_importer_have_one_pod():
    manifest = recorded.manifest("succeeded")
    nodes = manifest["status"]["nodes"]
    retry = recorded.node(manifest, "Trainer.executor")
    attempt = recorded.node(manifest, "Trainer.executor(0)")
    nodes[retry["id"]] = {**attempt, "id": retry["id"], "name": retry["name"], "displayName": "executor"}
    del nodes[attempt["id"]]
    nodes["tiny-kc9zb-1"] = {
        "id": "tiny-kc9zb-1", "name": "tiny-kc9zb.root.Checkpoint", "displayName": "Checkpoint", "type": "Pod",
        "templateName": "system-importer", "phase": "Succeeded", "startedAt": "2026-11-28T09:18:37Z",
        "finishedAt": "2026-11-28T09:18:40Z",
    }  # fmt: skip
    workflow = read(manifest)
    assert [pod.id for pod in workflow.pods("Trainer")] == [retry["id"]]
    assert workflow.task("Checkpoint", NOW) == Task("ran", 3.0)
    assert [pod.name for pod in workflow.pods("Checkpoint")] == ["tiny-kc9zb-system-importer-1"]


def test_a_run_that_fails_before_its_first_node_says_why():
    manifest = recorded.manifest("driver_failed", at="09:20:41")
    (driver,) = [node for node in manifest["status"]["nodes"].values() if node["displayName"] == "root-driver"]
    driver.update(phase="Failed", message="Error (exit code 1): no metadata store")
    assert read(manifest).error == "Error (exit code 1): no metadata store"
    assert read(manifest).nodes == set()


def test_what_a_node_was_told_to_work_on():
    workflow = read(recorded.manifest("succeeded"))
    (evaluation,) = workflow.executor_input("Evaluator")["outputs"]["artifacts"]["evaluation"]["artifacts"]
    assert evaluation["uri"] == f"minio://mlpipeline/{recorded.EVALUATION}/evaluation"
    assert read(recorded.manifest("cached")).executor_input("Trainer") == {}
    assert read(recorded.manifest("stopped")).executor_input("Evaluator") == {}


def test_before_argo_begins_there_is_nothing():
    assert not Workflow("")
    assert Workflow("").task("Trainer", NOW) == Task()
