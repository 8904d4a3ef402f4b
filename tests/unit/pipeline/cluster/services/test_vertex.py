"""Against a gRPC server that speaks Vertex' pipeline and schedule services, through Google's own client."""

import _thread
import concurrent.futures
import datetime
import http.server
import json
import re
import threading
from pathlib import Path

import google.auth
import grpc
import pytest
import tensorflow as tf
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud.aiplatform_v1 import types
from google.cloud.aiplatform_v1.services.pipeline_service.transports import PipelineServiceGrpcTransport
from google.cloud.aiplatform_v1.services.schedule_service.transports import ScheduleServiceGrpcTransport
from google.cloud.resourcemanager_v3 import types as projects
from google.cloud.resourcemanager_v3.services.projects.transports import ProjectsGrpcTransport
from google.longrunning.operations_pb2 import Operation
from google.protobuf import empty_pb2, json_format
from google.rpc.status_pb2 import Status

from configs import environment
from configs.base import ConfigError
from models.progress import NodeFinished, Notice, RunStarted
from pipeline.cluster import staging, submit
from pipeline.run.result import Pushed, RunResult
from tests.unit.pipeline.cluster.conftest import BLESSED, IMAGE, NODES, NOT_BLESSED, POOLS, result

START = datetime.datetime(2026, 1, 1, 10, tzinfo=datetime.UTC)
PARENT = "projects/my-project/locations/europe-west4"
CONSOLE = "https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines"


class Vertex:
    """Keeps what it is asked. ``faults``: what happens to calls of a method, one after another."""

    def __init__(self):
        self.asked, self.faults, self.jobs, self.schedules = [], [], {}, {}
        self.script = [("SUCCEEDED", dict.fromkeys(NODES, "SUCCEEDED"))]  # states, a poll each; the last one stays
        self.verdict, self.blessing, self.bucket, self.error = BLESSED, None, "", ""
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers([self])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def service(self, call):
        """gRPC's hook: every method takes and gives bytes."""
        method = call.method.rpartition("/")[2]
        return grpc.unary_unary_rpc_method_handler(lambda data, context: self.answer(method, data, context))

    def answer(self, method, data, context):
        kind, handle = self.methods[method]
        request = kind.deserialize(data) if hasattr(kind, "deserialize") else kind.FromString(data)
        self.asked.append((method, request))
        fault = next((fault for fault in self.faults if fault[0] == method), None)
        if fault:
            self.faults.remove(fault)
            if fault[1] == "lose":  # done, but nobody hears of it
                handle(self, request, context)
                context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was reset")
            context.abort(fault[1], "as the test wants")
        answer = handle(self, request, context)
        return type(answer).serialize(answer) if hasattr(type(answer), "serialize") else answer.SerializeToString()

    def requests(self, method):
        return [request for asked, request in self.asked if asked == method]

    def create_job(self, request, context):
        name = f"{PARENT}/pipelineJobs/{request.pipeline_job_id}"
        if not re.fullmatch("[a-z][-a-z0-9]{0,127}", request.pipeline_job_id):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{request.pipeline_job_id} is no id")
        if name in self.jobs:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{name} is there")
        job = request.pipeline_job
        job.name, job.create_time = name, START
        self.jobs[name] = job
        return job

    def get_job(self, request, context):
        if request.name not in self.jobs:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} is not there")
        job = types.PipelineJob(self.jobs[request.name])
        state, nodes = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if state == "interrupt":
            _thread.interrupt_main()
            state = "RUNNING"
        job.state = f"PIPELINE_STATE_{state}"
        if state != "RUNNING":
            job.end_time = START + datetime.timedelta(minutes=10)
        job.job_detail.task_details = [self.task(node, how) for node, how in nodes.items()]
        if state == "FAILED":
            job.error = Status(code=9, message="The DAG failed because some tasks failed.")
        return job

    def task(self, node, state):
        task = types.PipelineTaskDetail(task_name=node, state=state, create_time=START, start_time=START)
        task.executor_detail.container_detail.main_job = f"{PARENT}/customJobs/42"
        if state not in ("RUNNING", "PENDING"):
            task.end_time = START + datetime.timedelta(seconds=30)
        if state == "FAILED":
            task.error = Status(code=9, message=self.error)
        made = {
            "Evaluator": {"evaluation": {}, "blessing": {} if self.blessing is None else {"blessed": self.blessing}},
            "Baseline": {"baseline": {"version": "2"}},
            "Pusher": {"pushed_model": {"pushed": 1, "is_new": 1, "pushed_version": "3",
                                        "pushed_destination": "gs://bucket/3"}},
        }  # fmt: skip
        for output, metadata in made.get(node, {}).items() if state == "SUCCEEDED" else ():
            uri = f"{self.bucket}/{node}/{output}"
            if output == "evaluation" and self.verdict and not tf.io.gfile.exists(f"{uri}/verdict.json"):
                tf.io.gfile.makedirs(uri)
                self.verdict.write(uri)
            artifact = types.Artifact(uri=uri, metadata=metadata)
            task.outputs[output] = types.PipelineTaskDetail.ArtifactList(artifacts=[artifact])
        return task

    def create_schedule(self, request, context):
        schedule = request.schedule
        schedule.name = f"{PARENT}/schedules/{len(self.asked)}"
        self.schedules[schedule.name] = schedule
        return schedule

    def list_schedules(self, request, context):
        wanted = request.filter.removeprefix('display_name="').removesuffix('"')
        return types.ListSchedulesResponse(
            schedules=[each for each in self.schedules.values() if each.display_name == wanted]
        )

    def delete_schedule(self, request, context):
        del self.schedules[request.name]
        done = Operation(name="operations/1", done=True)
        done.response.Pack(empty_pb2.Empty())
        return done

    methods = {
        "CreatePipelineJob": (types.CreatePipelineJobRequest, create_job),
        "GetPipelineJob": (types.GetPipelineJobRequest, get_job),
        "CancelPipelineJob": (types.CancelPipelineJobRequest, lambda *_: empty_pb2.Empty()),
        "CreateSchedule": (types.CreateScheduleRequest, create_schedule),
        "ListSchedules": (types.ListSchedulesRequest, list_schedules),
        "DeleteSchedule": (types.DeleteScheduleRequest, delete_schedule),
        # Google's client asks whose the bucket of pipeline_root is.
        "GetProject": (projects.GetProjectRequest, lambda *_: projects.Project(name="projects/123")),
    }


class Bucket(http.server.BaseHTTPRequestHandler):
    """Google's client asks whether the bucket of pipeline_root is there, and whose."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        data = json.dumps({"kind": "storage#bucket", "name": "bucket", "projectNumber": "123"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def vertex(folder, monkeypatch):
    server = Vertex()
    storage = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=storage.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{storage.server_port}")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), "my-project"))
    for transport in (PipelineServiceGrpcTransport, ScheduleServiceGrpcTransport, ProjectsGrpcTransport):
        monkeypatch.setattr(
            transport, "create_channel", lambda *_, **__: grpc.insecure_channel(f"127.0.0.1:{server.port}")
        )
    # Of the bucket only its addresses are known here: files are put there by another test.
    monkeypatch.setattr(staging, "stage", lambda imports, home, local: server.asked.append(("stage", set(imports))))
    server.bucket = f"ram://vertex/{folder.name}"
    Path("v.yaml").write_text(
        f"kind: vertex\nproject: my-project\nregion: europe-west4\nimage: {IMAGE}\npipeline_root: gs://bucket/runs\n"
        "service_account: runner@my-project.iam.gserviceaccount.com\nnetwork: projects/1/global/networks/vpc\n"
        f"encryption_key: projects/p/locations/l/keyRings/r/cryptoKeys/k\nlabels: {{team: nlp}}\n"
        f"{POOLS.replace(', node_selector: {pool: l4}', '')}"
    )
    yield server
    server.server.stop(None)
    storage.shutdown()
    storage.server_close()


def test_a_job_is_submitted_followed_and_recorded(vertex, tfx_bert, events):
    middle = {"ExampleGen": "SUCCEEDED", "Transform": "SKIPPED", "Trainer": "RUNNING", "Pusher": "PENDING"}
    done = {**dict.fromkeys(NODES, "SUCCEEDED"), "Transform": "SKIPPED"}
    # A job's own details hold one for the whole.
    vertex.script = [("RUNNING", {"tiny-x": "RUNNING", **middle}), ("SUCCEEDED", {"tiny-x": "SUCCEEDED", **done})]
    output = tfx_bert("run", "x.yaml", "--env", "v.yaml")
    saved = RunResult.read(Path("runs/tiny_x/1"))
    assert saved.remote and saved.remote.id == saved.remote.name
    address = f"{CONSOLE}/runs/{saved.remote.id}?project=my-project"
    assert output.splitlines()[0] == f"tiny_x #1 · {address} · log runs/tiny_x/1/run.log"
    assert "✓ Transform        cached" in output and "✓ Trainer            0:30" in output
    assert "✓ Evaluator          0:30  accuracy 0.900 on 10 · blessed" in output
    assert "BLESSED, pushed v3 in 10:00" in output and "model: gs://bucket/3" in output

    assert events[0] == RunStarted("tiny_x", 1, str(Path("runs/tiny_x/1").absolute()), tuple(NODES), address)
    finished = [event.node for event in events if isinstance(event, NodeFinished)]
    assert sorted(finished) == sorted(NODES) and finished.index("Transform") < finished.index("Trainer")
    assert (saved.verdict, saved.baseline, saved.seconds) == ("blessed", 2, 600.0)
    assert saved.pushed == Pushed(version=3, path="gs://bucket/3")
    assert {node.node: node.state for node in saved.nodes} == {**dict.fromkeys(NODES, "ran"), "Transform": "cached"}
    assert "tiny_x/1" in tfx_bert("runs") and f"vertex: {address}" in tfx_bert("show")


def test_what_is_posted_is_what_was_compiled(vertex, tfx_bert, compiled):
    tfx_bert("run", "x.yaml", "--env", "v.yaml")
    (request,) = vertex.requests("CreatePipelineJob")
    job, made = request.pipeline_job, compiled("v.yaml")
    posted = json_format.MessageToDict(types.PipelineJob.pb(job).pipeline_spec)
    assert posted == made.pipeline  # caching and all: each task keeps its own setting
    assert job.runtime_config.gcs_output_directory == "gs://bucket/runs/tiny_x"
    assert request.parent == PARENT and re.fullmatch(r"run-tiny-x-\d{8}-\d{6}-[0-9a-f]{4}", request.pipeline_job_id)
    assert job.service_account == "runner@my-project.iam.gserviceaccount.com"
    assert job.network == "projects/1/global/networks/vpc"
    assert job.encryption_spec.kms_key_name == "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    assert dict(job.labels)["team"] == "nlp"
    methods = [method for method, _ in vertex.asked]
    assert methods.index("GetPipelineJob") < methods.index("stage") < methods.index("CreatePipelineJob")
    assert vertex.requests("stage") == [set(made.imports)]


@pytest.mark.parametrize("fault", ["lose", grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL])
def test_one_job_begins_however_often_the_answer_is_lost(vertex, tfx_bert, fault):
    vertex.faults = [("CreatePipelineJob", fault)] * 2
    tfx_bert("run", "x.yaml", "--env", "v.yaml")
    assert len(vertex.requests("CreatePipelineJob")) == (2 if fault == "lose" else 3)
    assert len(vertex.jobs) == 1 and result(1)["verdict"] == "blessed"


def test_a_network_that_fails_while_following_fails_no_run(vertex, tfx_bert, events):
    vertex.script.insert(0, ("RUNNING", {"ExampleGen": "RUNNING"}))
    begun = vertex.create_job

    def create(self, request, context):
        self.faults = [("GetPipelineJob", grpc.StatusCode.UNAVAILABLE)] * 3
        return begun(request, context)

    vertex.methods = {**vertex.methods, "CreatePipelineJob": (types.CreatePipelineJobRequest, create)}
    tfx_bert("run", "x.yaml", "--env", "v.yaml")
    assert result(1)["verdict"] == "blessed" and not vertex.faults
    told = [str(event) for event in events if isinstance(event, Notice)]
    assert len(told) == 1 and "Vertex in my-project, europe-west4 cannot be reached" in told[0]


def test_a_model_that_is_not_blessed_ends_with_4(vertex, tfx_bert):
    vertex.verdict = NOT_BLESSED
    output = tfx_bert("run", "x.yaml", "--env", "v.yaml", code=4)
    assert "NOT BLESSED: 1 of 1 failed (exit 4)" in output and "✗ accuracy  .700 ≥ .800" in output


@pytest.mark.parametrize(("blessing", "code", "told"), [(1, 0, "BLESSED"), (0, 4, "NOT BLESSED (exit 4)")])
def test_without_access_to_the_bucket_the_blessing_decides(vertex, tfx_bert, blessing, code, told):
    vertex.verdict, vertex.blessing = None, blessing
    assert told in tfx_bert("run", "x.yaml", "--env", "v.yaml", code=code)


def test_a_verdict_that_nobody_tells_is_no_success(vertex, tfx_bert):
    vertex.verdict = None
    output = tfx_bert("run", "x.yaml", "--env", "v.yaml", code=1)
    assert f"this machine has no access to {vertex.bucket}/Evaluator/evaluation" in output


def test_a_failure_names_the_node_what_vertex_says_its_log_and_the_cure(vertex, tfx_bert):
    vertex.error = "The replica workerpool0-0 ran out-of-memory"
    vertex.script = [("FAILED", {"ExampleGen": "SUCCEEDED", "Trainer": "FAILED", "Pusher": "NOT_TRIGGERED"})]
    output = tfx_bert("run", "x.yaml", "--env", "v.yaml", code=1)
    assert "✗ Trainer failed: The replica workerpool0-0 ran out-of-memory" in output
    assert "https://console.cloud.google.com/logs/query;query=resource.labels.job_id%3D%2242%22" in output
    assert "what is done is reused" in output
    states = {node["node"]: node["state"] for node in result(1)["nodes"]}
    assert (states["ExampleGen"], states["Trainer"], states["Pusher"]) == ("ran", "failed", "skipped")


def test_a_job_that_fails_without_a_node_says_why(vertex, tfx_bert):
    vertex.script = [("FAILED", {})]
    output = tfx_bert("run", "x.yaml", "--env", "v.yaml", code=1)
    assert "the run failed: The DAG failed because some tasks failed." in output and CONSOLE in output


def test_ctrl_c_leaves_the_job_going_and_says_how_to_stop_it(vertex, tfx_bert):
    vertex.script = [("RUNNING", {}), ("interrupt", {"Trainer": "RUNNING"})]
    output = tfx_bert("run", "x.yaml", "--env", "v.yaml", code=130)
    assert f"the run goes on: {CONSOLE}/runs/run-tiny-x-" in output and "tfx-bert stop tiny_x/1" in output
    assert not vertex.requests("CancelPipelineJob")
    assert "is being stopped" in tfx_bert("stop")
    (name,) = vertex.jobs
    assert [request.name for request in vertex.requests("CancelPipelineJob")] == [name]
    vertex.script = [("CANCELLED", {"Trainer": "CANCELLED"})]
    assert "tiny_x #1 INTERRUPTED" in tfx_bert("show")


def test_who_asks_without_a_login_is_told_how_to_log_in(vertex, tfx_bert, monkeypatch):
    def nobody(*_, **__):
        raise DefaultCredentialsError("Your default credentials were not found.")

    monkeypatch.setattr(google.auth, "default", nobody)
    output = tfx_bert("run", "x.yaml", "--env", "v.yaml", code=2)
    assert "does not know who asks (Your default credentials were not found.)" in output
    assert "gcloud auth application-default login" in output and not vertex.asked


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, 2, "does not know who asks"),
        (grpc.StatusCode.PERMISSION_DENIED, 2, "roles/iam.serviceAccountUser on runner@my-project"),
        (grpc.StatusCode.INVALID_ARGUMENT, 1, "refused the request: as the test wants"),
    ],
)
def test_what_vertex_refuses_is_one_sentence(vertex, tfx_bert, status, code, told):
    vertex.faults = [("CreatePipelineJob", status)]
    assert told in tfx_bert("run", "x.yaml", "--env", "v.yaml", code=code)
    assert result(1)["verdict"] == "failed" and not vertex.jobs


def test_a_schedule_replaces_the_one_before(vertex, tfx_bert, events):
    with Path("v.yaml").open("a") as file:
        file.write('schedule: "0 3 * * *"\n')
    vertex.schedules = {"other": types.Schedule(name="other", display_name="chat")}
    tfx_bert("run", "x.yaml", "--env", "v.yaml")
    tfx_bert("run", "x.yaml", "--env", "v.yaml")
    (mine,) = [each for each in vertex.schedules.values() if each.display_name == "tiny-x"]
    assert len(vertex.schedules) == 2 and mine.cron == "0 3 * * *"
    job = mine.create_pipeline_job_request.pipeline_job
    assert job.service_account.startswith("runner@") and job.network and job.encryption_spec.kms_key_name
    assert job.runtime_config.gcs_output_directory == "gs://bucket/runs/tiny_x"
    place = f"{CONSOLE}/schedules/{mine.name.rpartition('/')[2]}?project=my-project"
    assert f"recurs at 0 3 * * *: {place}" in [str(event) for event in events if isinstance(event, Notice)]


def test_logs_come_from_cloud_logging_page_by_page(vertex, tfx_bert, monkeypatch):
    tfx_bert("run", "x.yaml", "--env", "v.yaml")
    asked = []
    pages = [
        {"entries": [{"textPayload": "one"}, {"jsonPayload": {"message": "two"}}], "nextPageToken": "next"},
        {"entries": [{"textPayload": "three"}]},
    ]

    def send(self, request, **_):
        asked.append((request.url, json.loads(request.body)))
        import requests

        answer = requests.Response()
        answer.status_code, answer.request, answer.url = 200, request, request.url
        answer._content = json.dumps(pages[len(asked) - 1]).encode()
        return answer

    monkeypatch.setattr("requests.adapters.HTTPAdapter.send", send)
    assert tfx_bert("logs", "--node", "Trainer") == "one\ntwo\nthree\n"
    url, body = asked[0]
    assert url == "https://logging.googleapis.com/v2/entries:list" and body["resourceNames"] == ["projects/my-project"]
    assert body["filter"] == 'resource.type="ml_job" AND resource.labels.job_id="42"'
    assert asked[1][1]["pageToken"] == "next"


def test_the_resolved_environment_finds_the_same_vertex(vertex, tfx_bert):
    tfx_bert("run", "x.yaml", "--env", "v.yaml")
    assert environment.load("runs/tiny_x/1/environment.resolved.yaml") == environment.load("v.yaml")
    with pytest.raises(ConfigError):
        submit.run(None, environment.load("v.yaml"), from_nodes=["Trainer"])
