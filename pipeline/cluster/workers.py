"""Training on several machines of Vertex: the node's container starts a CustomJob and follows it.

Every machine of the job runs the node's own command. ``TF_CONFIG``, which Vertex sets, tells it of the others
(``models.training.replicas``).
"""

import json
import signal
import sys
from collections.abc import Sequence
from typing import Any

from components import digest
from models import progress

# What the container is to start: arguments of aiplatform.CustomJob, which lack the node's own, and of its submit().
VARIABLE = "TFX_BERT_WORKERS"
_LABEL = "tfx_bert_node"
_FAILED = ("JOB_STATE_FAILED", "JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED")


def count(setting: str) -> int:
    """The machines that a value of ``VARIABLE`` asks for."""
    return sum(pool["replica_count"] for pool in json.loads(setting)["job"]["worker_pool_specs"])


def run(setting: str, output_file: str, arguments: Sequence[str]) -> None:
    """Runs a node as a CustomJob until it ends. A retry follows the job of the earlier attempt.

    SIGTERM, which Vertex sends to a node that it cancels, cancels the job.

    Args:
      setting: a value of ``VARIABLE``.
      output_file: where the node's ExecutorOutput goes: named by the pipeline's job and the task, so by no attempt.
      arguments: of the node's command.

    Raises:
      RuntimeError: the job failed.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    job = _job(**json.loads(setting), node=digest.of_text(output_file), arguments=arguments)
    console = f"https://console.cloud.google.com/vertex-ai/locations/{job.location}/training/{job.name}"
    address = f"{console}?project={job.project}"
    progress.emit(progress.Notice(f"trains on {count(setting)} machines: {address}"))
    try:
        job.wait_for_completion()
    except SystemExit:
        job.cancel()
        raise
    except RuntimeError as error:
        reason = getattr(job.error, "message", "") or "it was cancelled"
        raise RuntimeError(f"the job of several machines failed: {reason}; its log: {address}") from error


def _job(job: dict[str, Any], submission: dict[str, Any], node: str, arguments: Sequence[str]) -> Any:
    """The ``aiplatform.CustomJob`` of a node: one that is under way or done, else a new one."""
    from google.cloud import aiplatform  # the import takes three seconds, and compiling does not need it

    where = {"project": job["project"], "location": job["location"]}
    known: Any = aiplatform.CustomJob.list(filter=f'labels.{_LABEL}="{node}"', **where)
    if going := [each for each in known if each.state.name not in _FAILED]:
        return going[0]
    for pool in job["worker_pool_specs"]:
        pool["container_spec"]["args"] = list(arguments)
    job["labels"][_LABEL] = node
    made = aiplatform.CustomJob(**job)
    made.submit(**submission)
    return made
