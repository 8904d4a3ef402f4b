"""A node on several machines, from its container to the job: Google's client against a server that starts processes."""

import itertools
import json
import os
import signal

import google.auth
import grpc
import numpy as np
import pytest
from google.api_core import grpc_helpers
from google.auth import credentials
from google.cloud.aiplatform import jobs
from google.cloud.aiplatform_v1 import types
from safetensors.numpy import load_file
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.types import standard_artifacts

import schemas
from components import digest
from components.train import trainer, training
from configs import environment
from configs.training import Train
from models import progress
from pipeline import loader
from pipeline.cluster import compile as compiler
from pipeline.cluster import container, workers
from pipeline.cluster.linter import lint
from tests.component import vertex as fake

ENVIRONMENT = """\
kind: vertex
project: my-project
region: europe-west4
image: europe-west4-docker.pkg.dev/my-project/nlp/tfx-bert@sha256:{0:064}
pipeline_root: gs://bucket/runs
service_account: runner@my-project.iam.gserviceaccount.com
network: projects/1/global/networks/nlp
encryption_key: projects/my-project/locations/europe-west4/keyRings/r/cryptoKeys/k
labels: {{team: nlp}}
pools:
  two: {{workers: 2, machine_type: g2-standard-24, gpu: {{type: nvidia-l4, count: 2}}}}
nodes: {{Trainer: two}}
"""
EXPERIMENT = """\
name: tiny
vocabulary: {learn: 100}
encoder: {num_layers: 1, hidden_dim: 8, num_heads: 1}
task: {type: classification, data: {path: reviews.csv}, labels: [bad, good]}
"""
ADDRESS = "https://console.cloud.google.com/vertex-ai/locations/europe-west4/training/1?project=my-project"
TEXTS = ["a gorgeous film !", "dull film", "unable !", "a dull film"]
CONFIG = {
    "task": {"type": "classification", "config": {"labels": ["bad", "good"], "max_length": 16, "dropout": 0.0}},
    "train": Train(epochs=2, batch_size=3, learning_rate=1e-2).model_dump(mode="json", exclude_none=True),
    "encoder": {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32, "max_positions": 32}
    | {"dropout": 0.0, "attention_dropout": 0.0},
    "seed": 1,
    "source_digest": "",
}
PLACE = "Format-Serving/assets.extra/checkpoint/model.safetensors"


@pytest.fixture
def vertex(monkeypatch):
    with fake.served() as (vertex, address):
        options = [("grpc.enable_http_proxy", 0)]
        monkeypatch.setattr(grpc_helpers, "create_channel", lambda *_, **__: grpc.insecure_channel(address, options))
        monkeypatch.setattr(google.auth, "default", lambda *_, **__: (credentials.AnonymousCredentials(), "my-project"))
        monkeypatch.setattr(jobs, "_JOB_WAIT_TIME", 0.2)
        stopped = signal.getsignal(signal.SIGTERM)
        yield vertex
        signal.signal(signal.SIGTERM, stopped)


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Trainer's container as it is compiled, its checkpoints below ``tmp_path``; its variables are set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text("text,label\nfine,good\npoor,bad\n")
    (tmp_path / "x.yaml").write_text(EXPERIMENT)
    (tmp_path / "e.yaml").write_text(ENVIRONMENT.format(0))
    made = compiler.compiled(loader.load("x.yaml"), environment.load("e.yaml"))
    assert lint.findings(made.pipeline, made.platform, "vertex") == []
    found = made.pipeline["deploymentSpec"]["executors"]["Trainer_executor"]["container"]
    assert "resources" not in found  # it only waits
    for each in found["env"]:
        monkeypatch.setenv(each["name"], each["value"].replace("gs://bucket", str(tmp_path)))
    return found


def arguments(folder, outputs=None, inputs=None, parameters=None):
    """Of a container: an ExecutorInput as Vertex writes it, but for folders in place of addresses."""

    def artifacts(given):
        return {
            key: {"artifacts": [{"name": f"projects/1/{key}", "uri": uri, "type": kind, "metadata": metadata}]}
            for key, (uri, kind, metadata) in (given or {}).items()
        }

    kinds = {"artifacts": {key: {"artifactType": kind} for key, (_, kind, _) in (inputs or {}).items()}}
    told = {
        "inputs": {"artifacts": artifacts(inputs), "parameterValues": parameters or {}},
        "outputs": {"artifacts": artifacts(outputs), "outputFile": f"{folder}/1/2/executor_output.json"},
    }
    return [
        "--executor_class_path=tfx.components.trainer.executor.GenericExecutor",
        f"--json_serialized_invocation_args={json.dumps(told)}",
        "--json_serialized_inputs_spec_args="
        + json.dumps(kinds | {"parameters": {key: {"parameterType": "STRING"} for key in parameters or {}}}),
    ]


def kind(of):
    text = compiler_utils.get_artifact_schema(of)
    return {"instanceSchema": text if isinstance(text, str) else text.decode()}


def notices(capsys):
    events = [progress.read(line) for line in capsys.readouterr().out.splitlines()]
    return [event.text for event in events if isinstance(event, progress.Notice)]


def test_the_machines_train_what_one_process_does(vertex, node, tmp_path, transforming, capsys):
    rows = {
        split: [
            transforming.example(text=[text], label=["good" if "gorgeous" in text else "bad"], origin=["f:1"])
            for text in TEXTS * count
        ]
        for split, count in {"train": 4, "eval": 2, "test": 1}.items()
    }
    schema = schemas.dump(schemas.resolve("classification", labels=["bad", "good"]))
    transforming.run(tmp_path / "data", rows, schema, "models.tasks.classification.Task", CONFIG["task"]["config"])
    alone = FnArgs(
        train_files=[f"{tmp_path}/data/out/Split-train/*"],
        eval_files=[f"{tmp_path}/data/out/Split-eval/*"],
        transform_output=f"{tmp_path}/data/graph",
        serving_model_dir=f"{tmp_path}/alone/Format-Serving",
        model_run_dir=f"{tmp_path}/alone/logs",
        custom_config=CONFIG,
    )
    with training.checkpointing(f"{tmp_path}/alone/checkpoints", 0.0):
        trainer.run_fn(alone)

    splits = {"split_names": json.dumps(list(rows))}
    given = arguments(
        tmp_path,
        outputs={
            "model": (f"{tmp_path}/1/2/model", kind(standard_artifacts.Model), {}),
            "model_run": (f"{tmp_path}/1/2/model_run", kind(standard_artifacts.ModelRun), {}),
        },
        inputs={
            "examples": (f"{tmp_path}/data/out", kind(standard_artifacts.Examples), splits),
            "transform_graph": (f"{tmp_path}/data/graph", kind(standard_artifacts.TransformGraph), {}),
        },
        parameters={
            "run_fn": "components.train.trainer.run_fn",
            "train_args": "{}",
            "eval_args": "{}",
            "custom_config": json.dumps(CONFIG),
        },
    )
    assert container.main(given) == 0
    one, two = load_file(tmp_path / "alone" / PLACE), load_file(tmp_path / "1/2/model" / PLACE)
    assert max(np.abs(one[name] - two[name]).max() for name in one) <= 1e-6
    written = json.loads((tmp_path / "1/2/executor_output.json").read_text())
    assert sorted(written["artifacts"]) == ["model", "model_run"]
    assert not [*(tmp_path / "runs/tiny/checkpoints").iterdir()]  # the training is through
    assert notices(capsys) == [f"trains on 2 machines: {ADDRESS}"]

    (job,) = vertex.jobs.values()
    chief, others = job.job_spec.worker_pool_specs
    assert (chief.replica_count, others.replica_count) == (1, 1)
    assert chief.machine_spec == others.machine_spec
    assert chief.machine_spec.machine_type == "g2-standard-24"
    assert (chief.machine_spec.accelerator_type.name, chief.machine_spec.accelerator_count) == ("NVIDIA_L4", 2)
    assert chief.container_spec.image_uri == node["image"]
    assert [*chief.container_spec.command, *chief.container_spec.args] == [*node["command"], *given]
    assert [each.name for each in chief.container_spec.env] == [each["name"] for each in node["env"][:-1]]
    assert job.job_spec.service_account == "runner@my-project.iam.gserviceaccount.com"
    assert job.job_spec.network == "projects/1/global/networks/nlp"
    assert job.job_spec.scheduling.restart_job_on_worker_restart
    assert job.encryption_spec.kms_key_name.endswith("/cryptoKeys/k")
    assert job.labels["team"] == "nlp"

    assert container.main(given) == 0  # the node's container was lost before Vertex learned of it
    assert vertex.asked == ["CreateCustomJob"]


def running(vertex, folder, state=types.JobState.JOB_STATE_RUNNING):
    """A job of the node, of an earlier attempt."""
    name = f"projects/my-project/locations/europe-west4/customJobs/{len(vertex.jobs) + 1}"
    label = digest.of_text(f"{folder}/1/2/executor_output.json")
    vertex.jobs[name] = types.CustomJob(name=name, state=state, labels={"tfx_bert_node": label})
    return vertex.jobs[name]


def at_third(action):
    """Does it when a job is looked at for the third time: it is followed by then."""
    looks = itertools.count(1)
    return lambda _: action() if next(looks) == 3 else None


@pytest.mark.usefixtures("node")
def test_a_job_that_still_runs_is_followed(vertex, tmp_path, capsys):
    job, done = running(vertex, tmp_path), []
    vertex.looked = at_third(lambda: done.append(setattr(job, "state", types.JobState.JOB_STATE_SUCCEEDED)))
    assert container.main(arguments(tmp_path)) == 0
    assert done
    assert vertex.asked == []
    assert notices(capsys) == [f"trains on 2 machines: {ADDRESS}"]


@pytest.mark.usefixtures("node")
def test_after_one_that_failed_another_is_started(vertex, tmp_path, monkeypatch):
    running(vertex, tmp_path, types.JobState.JOB_STATE_FAILED)
    given = json.loads(os.environ[workers.VARIABLE])
    for pool in given["job"]["worker_pool_specs"]:
        pool["container_spec"]["command"] = ["true"]
    monkeypatch.setenv(workers.VARIABLE, json.dumps(given))
    assert container.main(arguments(tmp_path)) == 0
    assert vertex.asked == ["CreateCustomJob"]


@pytest.mark.usefixtures("node")
def test_a_job_that_fails_fails_the_node_with_its_reason_and_address(vertex, tmp_path, capsys):
    job = running(vertex, tmp_path)
    vertex.looked = at_third(lambda: vertex.fail(job, "The replica workerpool1-0 exited with 1."))
    assert container.main(arguments(tmp_path)) == 1
    sentence = "the job of several machines failed: The replica workerpool1-0 exited with 1."
    assert notices(capsys)[-1] == f"{sentence}; its log: {ADDRESS}"


@pytest.mark.usefixtures("node")
def test_a_node_that_is_cancelled_cancels_its_job(vertex, tmp_path):
    running(vertex, tmp_path)
    vertex.looked = at_third(lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit):
        container.main(arguments(tmp_path))
    assert vertex.asked == ["CancelCustomJob"]
