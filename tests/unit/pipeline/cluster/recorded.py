"""What Kubeflow's own API server said of runs of ours (tests/data/kfp_api), whole or as it stood at an earlier time."""

import copy
import functools
import json
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "data" / "kfp_api"
# Of the pipeline whose runs were recorded, in the order of its DAG.
NODES = [
    "ExampleGen", "SchemaGen", "StatisticsGen", "ExampleValidator", "DataGate", "VocabularyGen", "Transform", "Trainer",
    "Baseline", "ServingValidator", "Evaluator", "Pusher",
]  # fmt: skip
EVALUATION = "runs/tiny/tiny/dfc3f7a9-88c8-4c96-80fc-c026f3205146/Evaluator/411607a9-9c56-4ce8-9883-9c21454ddcbd"


@functools.cache
def _file(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def v2beta1(name):
    return copy.deepcopy(_file(name)["v2beta1"])


def manifest(name, at=None):
    """Argo's Workflow. At a time of its day (``09:27:45``) nodes that began later are missing, others go on."""
    workflow = copy.deepcopy(_file(name)["v1beta1"]["workflow_manifest"])
    if at:
        status = workflow["status"]
        now = f"{status['startedAt'][:11]}{at}Z"
        nodes = {key: node for key, node in status["nodes"].items() if node["startedAt"] <= now}
        for node in nodes.values():
            if node["finishedAt"] > now:
                node.update(phase="Running", finishedAt=None)
                node.pop("message", None)
                node.pop("outputs", None)
        status.update(nodes=nodes, phase="Running", finishedAt=None)
        workflow["spec"].pop("activeDeadlineSeconds", None)
    return workflow


def node(workflow, name):
    """A node of a Workflow by its name in the pipeline, such as ``Trainer.executor(0)``."""
    whole = f"{workflow['metadata']['name']}.root.{name}"
    return next(node for node in workflow["status"]["nodes"].values() if node["name"] == whole)


def v1beta1(name, at=None, workflow=None):
    run = copy.deepcopy(_file(name)["v1beta1"]["run"])
    if at:
        run.update(status="Running", finished_at="1970-01-01T00:00:00Z")
    return {"run": run, "pipeline_runtime": {"workflow_manifest": json.dumps(workflow or manifest(name, at))}}


def recurring():
    """A schedule, as it is listed."""
    return copy.deepcopy(_file("recurring_runs")["recurringRuns"][0])
