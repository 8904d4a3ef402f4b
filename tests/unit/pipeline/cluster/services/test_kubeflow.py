"""Against a server that answers what a real one answered, through kfp's own client."""

import _thread
import base64
import datetime
import http.server
import json
import logging
import re
import threading
import urllib.parse
import warnings
from pathlib import Path

import pytest
import yaml

from configs import environment
from models import progress
from models.progress import NodeFinished, NodeStarted, Notice, RunStarted, Summary
from pipeline.cluster.services import argo
from pipeline.run.result import Pushed, RunResult
from tests.unit.pipeline.cluster import recorded
from tests.unit.pipeline.cluster.conftest import BLESSED, IMAGE, NODES, NOT_BLESSED, POOLS, result


class Kubeflow(http.server.ThreadingHTTPServer):
    """Answers as the recorded servers did; keeps what it is asked.

    Attributes:
      faults: what happens to requests whose method and path match, one after another.
      script: a run's case and time of day, or its Workflow; a look each, and the last one stays.
      page: whether the page's server answers, or the API alone.
      pods: that are there, and so have logs in Kubernetes.
      bucket: files by their key.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.faults, self.experiments, self.runs, self.recurring = [], [], [], {}, {}
        self.script, self.token, self.page = [("succeeded", None)], None, True
        self.pods, self.finalizers, self.events, self.tasks = set(), [argo.FINALIZER], [], []
        self.bucket = {f"{recorded.EVALUATION}/evaluation/verdict.json": BLESSED.model_dump_json()}
        self.healthz = {
            "commit_sha": "unknown",
            "tag_name": "unknown",
            "multi_user": False,
            "pipeline_store": "database",
        }

    @property
    def host(self):
        return f"http://127.0.0.1:{self.server_port}"

    def posts(self, path):
        return [body for method, asked, _, body in self.asked if method == "POST" and asked == path]

    def fault(self, method, path):
        for fault in self.faults:
            if re.fullmatch(fault[0], f"{method} {path}"):
                self.faults.remove(fault)
                return fault[1]
        return None

    def seen(self):
        """A run as v1beta1 tells it."""
        entry = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if entry[0] == "interrupt":
            _thread.interrupt_main()
            entry = entry[1:]
        return recorded.v1beta1(*entry)

    def log(self, pod):
        return f"log of {pod}\n" if pod in self.pods else None

    def artifact(self, query):
        """The page's getArtifactsHandler (frontend/server/handlers/artifacts.ts)."""
        if query["source"] == "minio" and query["bucket"] == "mlpipeline" and query["key"] in self.bucket:
            return 200, self.bucket[query["key"]]
        return 500, "Failed to get object in bucket: NoSuchKey: The specified key does not exist."


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def answer(self, body, status=200, kind="application/json", headers=()):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in [("Content-Type", kind), ("Content-Length", str(len(data))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        server, url = self.server, urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        server.asked.append(
            (self.command, url.path, {**query, **{name.lower(): value for name, value in self.headers.items()}}, body)
        )
        fault = server.fault(self.command, url.path)
        if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
            return self.answer({"message": "no token"}, 401)
        if isinstance(fault, int):
            return self.answer({"message": "the database is away"}, fault)
        if fault == "login":
            return self.answer("<html>", 302, "text/html", [("Location", "/dex/auth")])
        if fault == "html":
            return self.answer("<html>please log in</html>", kind="text/html")
        if fault == "drop":
            return self.close()
        if server.page and url.path.startswith(("/k8s/", "/artifacts/")):
            return self.raw(*self.shown(url.path, query))
        body = self.known(url.path, query, body)
        if fault == "lose":  # done, but nobody hears of it
            return self.close()
        if (body is None and url.path.startswith("/apis/")) or not server.page:
            return self.answer({"error": "Not Found", "code": 5}, 404) if body is None else self.answer(body)
        return self.answer("<html>the page</html>", kind="text/html") if body is None else self.answer(body)

    def raw(self, status, text):
        """As the page streams: without a Content-Type."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def shown(self, path, query):
        server, there = self.server, query.get("podname") in self.server.pods
        match path:
            case "/k8s/pod/logs":
                return (
                    (200, server.log(query["podname"])) if there else (500, "Could not get main container logs: Error")
                )
            case "/k8s/pod":
                return (200, json.dumps({"metadata": {"finalizers": server.finalizers}})) if there else (500, "no pod")
            case "/k8s/pod/events":
                return 200, json.dumps({"items": server.events})
            case _:
                return server.artifact(query)

    def do_POST(self):
        self.do_GET()

    def do_DELETE(self):
        self.do_GET()

    def close(self):
        self.close_connection = True
        self.connection.close()

    def known(self, path, query, body):
        server = self.server
        wanted = json.loads(query["filter"])["predicates"][0]["stringValue"] if "filter" in query else None
        match (self.command, *path.removeprefix("/apis/v2beta1/").split("/")):
            case ("GET", "healthz"):
                return server.healthz
            case ("GET", "experiments"):
                return {"experiments": [each for each in server.experiments if each["display_name"] == wanted]}
            case ("POST", "experiments"):
                server.experiments.append({**body, "experiment_id": "e1"})
                return server.experiments[-1]
            case ("GET", "runs"):
                return {"runs": [run for run in server.runs.values() if run["display_name"] == wanted]}
            case ("POST", "runs"):
                run = {**body, "run_id": f"r{len(server.runs) + 1}"}
                server.runs[run["run_id"]] = run
                return run
            case ("GET", "runs", run):
                whole = {"tasks": server.tasks} if query.get("view") == "FULL" else {}
                return {**recorded.v2beta1("succeeded"), **server.runs[run], **whole} if run in server.runs else None
            case ("GET", "", "apis", "v1beta1", "runs", run) if run in server.runs and server.script:
                return server.seen()
            case ("POST", "runs", action):
                server.runs[action.removesuffix(":terminate")]["terminated"] = True
                return {}
            case ("GET", "recurringruns"):
                return {"recurringRuns": [each for each in server.recurring.values() if each["display_name"] == wanted]}
            case ("POST", "recurringruns"):
                each = {**body, "recurring_run_id": f"s{len(server.asked)}"}
                server.recurring[each["recurring_run_id"]] = each
                return each
            case ("DELETE", "recurringruns", each):
                return server.recurring.pop(each)
            case ("GET", "", "apis", "v1alpha1", "runs", _, "nodes", pod, "log") if pod in server.pods:
                return server.log(pod)
            case ("GET", "", "apis", "v1beta1", "runs", _, "nodes", node, "artifacts", "main-logs:read"):
                found = [text for key, text in server.bucket.items() if f"-{node.rpartition('-')[2]}/" in key]
                return {"data": base64.b64encode(found[0].encode()).decode()} if found else None
        return None


@pytest.fixture
def kubeflow(folder, monkeypatch):
    server = Kubeflow()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("no_proxy", "*")
    write(server, f"namespace: nlp\nauth: {{token: TOKEN_OF_KFP}}\nservice_account: runner\n{POOLS}")
    server.token = "secret"
    monkeypatch.setenv("TOKEN_OF_KFP", "secret")
    yield server
    server.shutdown()
    server.server_close()


def write(server, more):
    Path("k.yaml").write_text(
        f"kind: kubeflow\nhost: {server.host}\nimage: {IMAGE}\npipeline_root: gs://bucket/runs\n{more}"
    )


def service():
    from pipeline.cluster import submit

    return submit.connect(environment.load("k.yaml"))


RUNS = "/apis/v2beta1/runs"


def test_a_run_is_submitted_followed_and_recorded(kubeflow, tfx_bert, events, compiled):
    kubeflow.script = [("succeeded", "09:19:00"), ("succeeded", "09:26:00"), ("succeeded", None)]
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml")
    address = f"{kubeflow.host}/#/runs/details/r1"

    copied, first, *rest = output.strip().splitlines()
    assert copied.startswith("! copying 2 files") and first == f"tiny_x #1 · {address} · log runs/tiny_x/1/run.log"
    assert "✓ Trainer            1:41" in output
    assert "✓ Evaluator          0:33  accuracy 0.900 on 10 · blessed" in output
    assert "BLESSED in 10:25" in output and "accuracy .900 ≥ .800" in output
    assert f"Next:  tfx-bert show tiny_x/1 | {address}" in rest

    told = [event for event in events if isinstance(event, RunStarted | NodeStarted | NodeFinished | Summary)]
    assert told[0] == RunStarted("tiny_x", 1, str(Path("runs/tiny_x/1").absolute()), tuple(NODES), address)
    assert told.index(NodeStarted("Trainer")) < told.index(NodeFinished("Trainer", "ran", 101.0))
    assert told.index(NodeFinished("ExampleGen", "ran", 75.0)) < told.index(NodeStarted("Trainer"))
    assert sum(isinstance(event, NodeStarted) for event in told) == len(recorded.NODES)

    saved = RunResult.read(Path("runs/tiny_x/1"))
    assert (saved.verdict, saved.seconds, saved.metrics) == ("blessed", 625.0, {"accuracy": 0.9})
    assert saved.remote and (saved.remote.kind, saved.remote.id, saved.remote.address) == ("kubeflow", "r1", address)
    # BaselineVersion is younger than the recording.
    assert {node.node: node.state for node in saved.nodes} == {
        **dict.fromkeys(NODES, "ran"),
        "BaselineVersion": "skipped",
    }
    assert saved.data == {"ExampleGen": compiled("k.yaml").pipeline["root"]["dag"]["tasks"]["ExampleGen"]["inputs"][
        "parameters"]["input_digest"]["runtimeValue"]["constant"]}  # fmt: skip


def test_what_was_reused_is_told(kubeflow, tfx_bert):
    kubeflow.script = [("cached", None)]
    key = "runs/cachy/cachy/0578c33e-6f19-4a73-9560-efaec1803250/Evaluator/7b16b8cf-3fda-4ae7-b6c8-b217b93885e0"
    kubeflow.bucket = {f"{key}/evaluation/verdict.json": BLESSED.model_dump_json()}
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml")
    assert "✓ Trainer          cached" in output and output.count("cached") == 9
    assert "ServingValidator cached · Baseline 0:07" in tfx_bert("show")
    assert "reused what an earlier run made" in tfx_bert("logs", "--node", "Trainer", code=1)


def test_what_the_linter_notices_is_told_before_the_run_begins(kubeflow, tfx_bert, events):
    file = Path("k.yaml")
    file.write_text(file.read_text().replace(IMAGE, "registry.example.org/tfx-bert:1.0"))
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    noticed = Notice(
        "Baseline, DataGate, Evaluator and 8 more: is cached under the image registry.example.org/tfx-bert:1.0, "
        "whose tag may come to mean other code (Kubeflow); give its digest, or set caching: false"
    )
    begun = next(place for place, event in enumerate(events) if isinstance(event, RunStarted))
    assert events.index(noticed) < begun
    assert RunResult.read(Path("runs/tiny_x/1")).verdict == "blessed"


def test_what_is_posted_is_what_was_compiled(kubeflow, tfx_bert, compiled):
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    (body,) = kubeflow.posts(RUNS)
    pipeline, platform = yaml.safe_load_all(compiled("k.yaml").text)
    assert body["pipeline_spec"]["platform_spec"] == platform
    posted = body["pipeline_spec"]["pipeline_spec"]
    assert posted["pipelineInfo"] == {"name": "tiny-x"} and set(posted["root"]["dag"]["tasks"]) == set(NODES)
    # Each task keeps its own setting: BaselineVersion and Pusher look at what others pushed.
    for node, task in pipeline["root"]["dag"]["tasks"].items():
        # A false is left out of the JSON of a message.
        assert (
            posted["root"]["dag"]["tasks"][node]["cachingOptions"].get("enableCache", False)
            == (task["cachingOptions"]["enableCache"])
        )
    assert body["service_account"] == "runner" and body["experiment_id"] == "e1"
    assert body["runtime_config"]["pipeline_root"] == "gs://bucket/runs/tiny_x"
    assert kubeflow.experiments[0]["display_name"] == "tfx-bert" and kubeflow.experiments[0]["namespace"] == "nlp"
    listed = next(asked for method, path, asked, _ in kubeflow.asked if (method, path) == ("GET", RUNS))
    assert listed["namespace"] == "nlp"
    assert {asked["authorization"] for _, _, asked, _ in kubeflow.asked} == {"Bearer secret"}
    staged = [path.name for path in Path("gcs/bucket").rglob("imports/*/*")]
    assert sorted(staged) == ["reviews.csv", "schema.pbtxt"]


@pytest.mark.parametrize("fault", ["lose", "drop", 500, 503])
def test_one_run_begins_however_often_the_answer_is_lost(kubeflow, tfx_bert, fault):
    kubeflow.faults = [(f"POST {RUNS}", fault)] * 2
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    assert len(kubeflow.runs) == 1
    assert len(kubeflow.posts(RUNS)) == (1 if fault == "lose" else 3)
    assert result(1)["remote"]["id"] == "r1"


def test_a_network_that_fails_while_following_fails_no_run(kubeflow, tfx_bert, events):
    kubeflow.script.insert(0, ("succeeded", "09:19:00"))
    kubeflow.faults = [("GET /apis/v1beta1/runs/r1", fault) for fault in ("drop", 502, 500)]
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    assert result(1)["verdict"] == "blessed"
    told = [str(event) for event in events if isinstance(event, Notice) and "goes on" in str(event)]
    assert len(told) == 1 and "cannot be reached" in told[0]


def test_a_model_that_is_not_blessed_ends_with_4(kubeflow, tfx_bert):
    kubeflow.bucket = dict.fromkeys(kubeflow.bucket, NOT_BLESSED.model_dump_json())
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=4)
    assert "NOT BLESSED: 1 of 1 failed (exit 4)" in output and "✗ accuracy  .700 ≥ .800" in output
    assert result(1)["verdict"] == "not_blessed"


def test_a_verdict_is_read_from_a_bucket_that_is_mounted(kubeflow, tfx_bert):
    kubeflow.page = False
    folder = Path("minio/mlpipeline", recorded.EVALUATION, "evaluation")
    folder.mkdir(parents=True)
    NOT_BLESSED.write(str(folder))
    assert "✗ accuracy  .700 ≥ .800" in tfx_bert("run", "x.yaml", "--env", "k.yaml", code=4)


def test_without_its_verdict_a_run_is_blessed_as_its_pusher_was_told(kubeflow, tfx_bert):
    # The driver told Pusher {"blessed": 1} of the ModelBlessing.
    kubeflow.bucket = {}
    assert "BLESSED in 10:25" in tfx_bert("run", "x.yaml", "--env", "k.yaml")
    assert result(1)["verdict"] == "blessed" and result(1)["metrics"] == {}


def test_a_verdict_that_cannot_be_read_is_no_success(kubeflow, tfx_bert):
    kubeflow.script = [("cached", None)]  # its nodes were stand-ins, and blessed nothing
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=1)
    assert "every node is done, but whether the model is blessed cannot be read from here" in output
    assert "minio://mlpipeline/runs/cachy/" in output
    assert result(1)["verdict"] == "done"


def test_the_page_reads_with_the_access_of_the_run_where_its_own_is_another(kubeflow, tfx_bert):
    server = kubeflow.artifact
    kubeflow.artifact = lambda query: server(query) if "providerInfo" in query else (500, "AccessDenied")
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    assert result(1)["verdict"] == "blessed" and result(1)["metrics"] == {"accuracy": 0.9}
    asked = [query for _, _, query, _ in kubeflow.asked if query.get("key", "").endswith("verdict.json")][-1]
    assert json.loads(asked["providerInfo"])["Params"]["secretName"] == "mlpipeline-minio-artifact"
    assert asked["namespace"] == "kubeflow"


def test_a_rehearsal_is_judged_by_nobody(kubeflow, tfx_bert):
    workflow = recorded.manifest("succeeded")
    nodes = workflow["status"]["nodes"]
    workflow["status"]["nodes"] = {key: node for key, node in nodes.items() if ".root.Pusher" not in node["name"]}
    kubeflow.script = [("succeeded", None, workflow)]
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", "--sample", 20)
    assert "DONE: 20 records went through every node in 10:25; nothing pushed" in output
    assert "Pusher" not in kubeflow.posts(RUNS)[0]["pipeline_spec"]["pipeline_spec"]["root"]["dag"]["tasks"]


@pytest.mark.parametrize(
    ("case", "node", "why", "seconds"),
    [
        ("driver_failed", "VocabularyGen", "Error (exit code 64): write /var/run/argo/argoexec: no space left", 117.0),
        ("pod_refused", "ExampleGen", "spec.tolerations[0].operator: Invalid value", 4.0),
    ],
)
def test_a_failure_names_the_node_the_reason_its_log_and_the_cure(kubeflow, tfx_bert, case, node, why, seconds):
    kubeflow.script = [(case, None)]
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=1)
    assert f"✗ {node} failed: " in output and why in output
    assert f"tfx-bert logs tiny_x/1 --node {node} · {kubeflow.host}/#/runs/details/r1" in output
    assert "what is done is reused" in output
    states = {each["node"]: (each["state"], each["seconds"]) for each in result(1)["nodes"]}
    assert states[node] == ("failed", seconds) and states["Pusher"] == ("skipped", 0.0)
    assert len(kubeflow.runs) == 1
    assert why in tfx_bert("show")


def test_a_deleted_pod_is_submitted_again_as_often_as_a_node_is_tried(kubeflow, tfx_bert, events):
    kubeflow.script = [("node_failed", "09:33:00"), ("node_failed", None), ("succeeded", None)]
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    assert list(kubeflow.runs) == ["r1", "r2"] and result(1)["verdict"] == "blessed"
    first, second = (run["display_name"] for run in kubeflow.runs.values())
    assert second == f"{first}-2" and result(1)["remote"]["name"] == second
    assert result(1)["remote"]["address"].endswith("/r2")
    (told,) = [str(event) for event in events if isinstance(event, Notice) and "deleted" in str(event)]
    assert told == (
        "the pod of Trainer was deleted, which Kubeflow does not retry; submission 2 of 3, what is done is reused: "
        f"{kubeflow.host}/#/runs/details/r2"
    )


def test_pods_that_are_deleted_again_and_again_end_the_run(kubeflow, tfx_bert):
    kubeflow.script = [("node_failed", None)]
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=1)
    assert len(kubeflow.runs) == 3
    assert "✗ Trainer failed: pod deleted (the attempts before it: Error (exit code 1): /workspace/tinyk" in output


def test_a_run_that_is_stopped_is_no_failure(kubeflow, tfx_bert):
    # Kubeflow's own states are PENDING, RUNNING, FAILED.
    kubeflow.script = [("stopped", "09:37:40"), ("stopped", None)]
    assert "it was stopped: " in tfx_bert("run", "x.yaml", "--env", "k.yaml", code=130)
    assert result(1)["verdict"] == "interrupted" and len(kubeflow.runs) == 1


def waiting(why, since):
    """Trainer's pod, which waits since so many seconds."""
    workflow = recorded.manifest("succeeded", at="09:26:00")
    begun = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=since)
    pod = recorded.node(workflow, "Trainer.executor(0)")
    pod.update(phase="Pending", message=why, startedAt=f"{begun:%Y-%m-%dT%H:%M:%SZ}")
    return ("succeeded", "09:26:00", workflow)


NO_GPU = "Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def test_a_pod_that_waits_is_told_with_its_reason(kubeflow, tfx_bert, events):
    kubeflow.script = [waiting(NO_GPU, 30), waiting(NO_GPU, 70), waiting(NO_GPU, 80), ("succeeded", None)]
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    (told,) = [str(event) for event in events if "Unschedulable" in str(event)]
    assert re.fullmatch(rf"Trainer waits since \d\d:\d\d for its pod to begin: {re.escape(NO_GPU)}", told)
    assert not any("terminate" in path for _, path, _, _ in kubeflow.asked)


def test_what_kubernetes_says_of_a_pod_is_asked_where_argo_knows_nothing(kubeflow, tfx_bert, events):
    kubeflow.events = [
        {"type": "Normal", "reason": "Scheduled", "message": "Successfully assigned"},
        {"type": "Warning", "reason": "FailedMount", "message": 'MountVolume.SetUp failed: secret "hf" not found'},
    ]
    kubeflow.script = [waiting("PodInitializing", 70), ("succeeded", None)]
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    assert any('begin: FailedMount: MountVolume.SetUp failed: secret "hf" not found' in str(event) for event in events)


@pytest.mark.parametrize(
    ("why", "since", "bound"),
    [(NO_GPU, 7300, "2:00:00"), ('ImagePullBackOff: Back-off pulling image "x"', 1000, "15:00")],
)
def test_a_pod_that_never_begins_stops_the_run(kubeflow, tfx_bert, why, since, bound):
    with Path("k.yaml").open("a") as file:
        file.write("pending_seconds: 7200\n")
    kubeflow.script = [waiting(why, since), ("stopped", None)]
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=1)
    assert f"✗ Trainer's pod did not begin within {bound} ({why}), so the run was stopped" in output
    assert kubeflow.runs["r1"]["terminated"] and result(1)["verdict"] == "failed"


def test_show_says_why_a_pod_waits(kubeflow, tfx_bert):
    kubeflow.script = [("interrupt", *waiting(NO_GPU, 10))]
    tfx_bert("run", "x.yaml", "--env", "k.yaml", code=130)
    kubeflow.script = [waiting(NO_GPU, 10)]
    assert f"Trainer pending ({NO_GPU})" in tfx_bert("show")


@pytest.mark.parametrize("held", [False, True])
def test_spot_machines_are_told_of_where_argo_does_not_hold_their_pods(kubeflow, tfx_bert, events, held):
    file = Path("k.yaml")
    file.write_text(file.read_text().replace("pool: l4", "cloud.google.com/gke-nodepool: l4-spot"))
    kubeflow.pods = {"tiny-kc9zb-retry-system-container-impl-2614153674"}
    kubeflow.finalizers = [argo.FINALIZER] if held else []
    kubeflow.script = [("succeeded", "09:26:00"), ("succeeded", "09:26:10"), ("succeeded", None)]
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    told = [str(event) for event in events if "ARGO_POD_STATUS_CAPTURE_FINALIZER" in str(event)]
    assert len(told) == (0 if held else 1)


def test_ctrl_c_leaves_the_run_going_and_says_how_to_stop_it(kubeflow, tfx_bert):
    kubeflow.script = [("succeeded", "09:18:30"), ("interrupt", "succeeded", "09:26:00")]
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=130)
    assert f"nobody follows it any more; the run goes on: {kubeflow.host}/#/runs/details/r1" in output
    assert "stop it: tfx-bert stop tiny_x/1 · look: tfx-bert show tiny_x/1" in output
    assert "terminated" not in kubeflow.runs["r1"] and result(1)["verdict"] == "running"

    kubeflow.script = [("succeeded", "09:26:00")]
    assert "RUNNING" in tfx_bert("runs")
    shown = tfx_bert("show")
    assert "tiny_x #1 RUNNING" in shown and "ExampleGen 1:15 · SchemaGen 0:56" in shown
    assert "Baseline pending" in shown and f"kubeflow: {kubeflow.host}/#/runs/details/r1" in shown

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        stopped = tfx_bert("stop", "tiny_x/1")
    assert not warned  # kfp's client warns of its own age
    assert stopped == f"tiny_x #1 is being stopped: {kubeflow.host}/#/runs/details/r1\n"
    assert kubeflow.runs["r1"]["terminated"]
    kubeflow.script = [("stopped", None)]
    assert "tiny_x #1 INTERRUPTED" in tfx_bert("show") and result(1)["verdict"] == "interrupted"


def test_show_finds_a_run_whose_submission_was_cut_off_and_how_it_ended(kubeflow, tfx_bert):
    kubeflow.faults = [(f"POST {RUNS}", "lose")]
    kubeflow.script = [("interrupt", "succeeded", "09:18:30")]
    tfx_bert("run", "x.yaml", "--env", "k.yaml", code=130)
    saved = RunResult.read(Path("runs/tiny_x/1"))
    assert saved.remote
    unknown = saved.model_copy(update={"remote": saved.remote.model_copy(update={"id": None, "address": None})})
    unknown.write(Path("runs/tiny_x/1"))
    kubeflow.script = [("succeeded", None)]
    assert "tiny_x #1 BLESSED · 10:25" in tfx_bert("show")
    assert result(1)["remote"]["id"] == "r1"

    unknown.write(Path("runs/tiny_x/1"))
    kubeflow.runs.clear()
    assert "it was never started" in tfx_bert("show")


def test_show_says_what_it_knows_where_the_cluster_does_not_answer(kubeflow, tfx_bert):
    kubeflow.script = [("interrupt", "succeeded", "09:18:30")]
    tfx_bert("run", "x.yaml", "--env", "k.yaml", code=130)
    kubeflow.token = "another"
    shown = tfx_bert("show")
    assert "! as last known:" in shown and "auth.token" in shown and "tiny_x #1 RUNNING" in shown


def test_a_run_that_ended_is_asked_for_no_more(kubeflow, tfx_bert):
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    asked = len(kubeflow.asked)
    assert "BLESSED" in tfx_bert("show")
    assert len(kubeflow.asked) == asked
    assert "ran on kubeflow" in tfx_bert("errors", code=1)


TRAINER = "tiny-kc9zb-retry-system-container-impl-2614153674"
KEPT = "artifacts/tiny-kc9zb/2026/11/28/{}/main.log"


@pytest.mark.parametrize("page", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_logs_come_from_pods_that_are_there_and_from_the_bucket_afterwards(kubeflow, tfx_bert, page, there):
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    kubeflow.page = page
    if there:
        kubeflow.pods = {TRAINER}
    else:
        kubeflow.bucket = {KEPT.format(TRAINER): f"log of {TRAINER}\nsecond line\n"}
    lines = [f"log of {TRAINER}", *([] if there else ["second line"])]
    assert tfx_bert("logs", "--node", "Trainer").splitlines() == lines
    everything = tfx_bert("logs").splitlines()
    at = everything.index("==> Trainer <==")
    assert everything[at + 1 : at + 1 + len(lines)] == lines
    assert everything[1].startswith(f"{kubeflow.host} gives no log of ExampleGen")
    assert "there are ExampleGen" in tfx_bert("logs", "--node", "Nobody", code=1)


def test_a_node_that_was_tried_again_has_a_log_of_each_attempt(kubeflow, tfx_bert):
    kubeflow.script = [("node_failed", None)]
    tfx_bert("run", "x.yaml", "--env", "k.yaml", code=1)
    pods = [f"tinyk-tlxhm-retry-system-container-impl-{number}" for number in (2217682229, 4164033128, 2016056611)]
    kubeflow.pods = set(pods[1:])
    kubeflow.bucket = {f"artifacts/tinyk-tlxhm/2026/11/28/{pods[0]}/main.log": "no permission\n"}
    assert tfx_bert("logs", "--node", "Trainer").splitlines() == [
        "==> Trainer, attempt 1 of 3: Error (exit code 1): /workspace/tinyk/checkpoints; Permission denied <==",
        "no permission",
        "==> Trainer, attempt 2 of 3: Error (exit code 137) <==",
        f"log of {pods[1]}",
        "==> Trainer, attempt 3 of 3: pod deleted <==",
        f"log of {pods[2]}",
    ]


@pytest.mark.parametrize("line", ["v3", "same as v2: nothing to push"])
def test_what_a_container_ended_with_is_told(kubeflow, tfx_bert, line):
    record = logging.makeLogRecord({"msg": line, "levelname": "INFO", "event": Summary(line)})
    lines = ["I1128 09:28:31 launcher_v2.go:151] publish success", progress.Json().format(record), "done"]
    key = KEPT.format("tiny-kc9zb-retry-system-container-impl-3756728086")
    kubeflow.bucket[key] = "\n".join(lines)
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml")
    assert f"✓ Pusher             0:29  {line}" in output
    pushed = Pushed(version=3, path="/workspace/tiny/serving_model/tiny/3") if line == "v3" else None
    assert RunResult.read(Path("runs/tiny_x/1")).pushed == pushed
    assert ("BLESSED, pushed v3 in 10:25" in output) == (line == "v3")


def test_a_log_that_kubeflow_does_not_give_is_said_to_be_where(kubeflow, tfx_bert):
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    output = tfx_bert("logs", "--node", "Trainer", code=1)
    assert "gives no log of Trainer" in output and "kubectl logs -n kubeflow -l pipeline/runid=r1" in output


def test_where_argos_workflow_is_not_given_kubeflows_own_tasks_are_read(kubeflow, tfx_bert):
    # As releases after 2.17 tell them (backend/api/v2beta1/run.proto, PipelineTask, with view=FULL).
    times = {"create_time": "2026-11-28T09:25:50Z", "end_time": "2026-11-28T09:27:31Z"}
    tasks = [{"name": node, "type": "RUNTIME", "state": "SUCCEEDED", **times} for node in NODES]
    tasks[0]["state"] = "CACHED"
    uri = f"minio://mlpipeline/{recorded.EVALUATION}/evaluation"
    tasks[NODES.index("Evaluator")]["outputs"] = {
        "artifacts": [{"artifact_key": "evaluation", "artifacts": [{"uri": uri}]}]
    }
    kubeflow.script, kubeflow.tasks = [], [{"name": "root", "type": "ROOT", "state": "SUCCEEDED"}, *tasks]
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    saved = RunResult.read(Path("runs/tiny_x/1"))
    assert (saved.verdict, saved.seconds) == ("blessed", 625.0)
    assert [(node.node, node.state) for node in saved.nodes[:2]] == [("ExampleGen", "cached"), ("SchemaGen", "ran")]
    assert {node.seconds for node in saved.nodes} == {101.0}


def test_a_token_that_is_refused_is_named_before_anything_is_copied(kubeflow, tfx_bert):
    kubeflow.token = "another"
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=2)
    assert (
        f"{kubeflow.host} does not know who asks (401)" in output
        and "auth.token is set in the environment (TOKEN_OF_KFP)" in output
    )
    assert not list(Path("gcs/bucket").iterdir()) and not Path("runs/tiny_x/1").exists()


def test_what_this_kubeflow_would_drop_is_refused_before_anything_is_copied(kubeflow, tfx_bert):
    kubeflow.healthz = {"commit_sha": "e5cb7a2", "tag_name": "2.3.0", "multi_user": False}
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=2)
    assert "retries.count (2; 0 tries no node again): Kubeflow 2.3.0 does not read it" in output
    assert "it takes Kubeflow 2.4.1 or later" in output
    assert not list(Path("gcs/bucket").iterdir()) and not Path("runs/tiny_x/1").exists()


@pytest.mark.parametrize("namespace", ["", "namespace: nlp\n"])
def test_who_sets_no_auth_is_told_which_key(kubeflow, tfx_bert, namespace):
    write(kubeflow, namespace)
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=2)
    assert "does not know who asks (401): set auth.token" in output
    assert len(kubeflow.asked) == 1


def test_a_login_page_is_no_answer(kubeflow, tfx_bert):
    kubeflow.faults = [("GET .*", "login")]
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=2)
    assert "answers with the login page /dex/auth (302)" in output and "auth.token" in output


def test_what_is_no_kubeflow_is_named(kubeflow, tfx_bert):
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    kubeflow.faults = [("GET /apis/v1beta1/runs/r1", "html")]
    output = tfx_bert("logs", "--node", "Trainer", code=1)
    assert f"{kubeflow.host}/apis/v1beta1/runs/r1 answers with something else than Kubeflow's API does" in output


def test_a_variable_that_is_not_set_is_named(kubeflow, tfx_bert, monkeypatch):
    monkeypatch.delenv("TOKEN_OF_KFP")
    assert "auth.token: names the variable TOKEN_OF_KFP" in tfx_bert("run", "x.yaml", "--env", "k.yaml", code=2)
    write(kubeflow, "auth: {cookie: SESSION}\n")
    assert "auth.cookie: names the variable SESSION" in tfx_bert("run", "x.yaml", "--env", "k.yaml", code=2)


def test_a_cookie_is_sent(kubeflow, monkeypatch):
    kubeflow.token = None
    write(kubeflow, "namespace: nlp\nauth: {cookie: SESSION}\n")
    monkeypatch.setenv("SESSION", "authservice_session=abc")
    assert service().find("nobody") is None
    assert kubeflow.asked[0][2]["cookie"] == "authservice_session=abc"


def test_a_pod_sends_the_token_that_kubernetes_keeps_fresh(kubeflow, monkeypatch, tmp_path):
    write(kubeflow, "namespace: nlp\nauth: {in_cluster: true}\n")
    path = tmp_path / "token"
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(path))
    kfp = service()
    with pytest.raises(OSError) as missing:
        kfp.find("nobody")
    assert f"auth.in_cluster: there is no token at {path}" in str(kfp.explain(missing.value))
    path.write_text("secret\n")
    kfp.find("nobody")
    path.write_text("fresh\n")
    kubeflow.token = "fresh"
    kfp.find("nobody")


def test_a_host_that_is_away_or_missing_is_named(kubeflow, tfx_bert):
    Path("k.yaml").write_text(Path("k.yaml").read_text().replace(kubeflow.host, "http://127.0.0.1:1"))
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=1)
    assert "http://127.0.0.1:1 cannot be reached" in output and "Connection refused" in output
    Path("k.yaml").write_text(Path("k.yaml").read_text().replace("host: http://127.0.0.1:1\n", ""))
    assert "host: is missing" in tfx_bert("run", "x.yaml", "--env", "k.yaml", code=2)


def test_what_kubeflow_refuses_it_says_itself(kubeflow, tfx_bert):
    kubeflow.faults = [(f"POST {RUNS}", 400)]
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=1)
    assert "refused the request: the database is away (400)" in output
    assert result(1)["verdict"] == "failed"


def test_a_schedule_replaces_the_one_before(kubeflow, tfx_bert, events):
    with Path("k.yaml").open("a") as file:
        file.write('schedule: "0 3 * * *"\n')
    known = recorded.recurring()
    kubeflow.recurring = {"old": {**known, "display_name": "tiny-x", "recurring_run_id": "old"},
                          "other": {**known, "display_name": "chat", "recurring_run_id": "other"}}  # fmt: skip
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    (mine,) = [each for each in kubeflow.recurring.values() if each["display_name"] == "tiny-x"]
    assert len(kubeflow.recurring) == 2 and "other" in kubeflow.recurring
    # Kubeflow's first field is the second of a minute.
    assert mine["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}} and mine["mode"] == "ENABLE"
    assert mine["no_catchup"] is True and mine["service_account"] == "runner"
    assert mine["pipeline_spec"]["platform_spec"] and mine["runtime_config"]["pipeline_root"].endswith("/tiny_x")
    place = f"{kubeflow.host}/#/recurringrun/details/{mine['recurring_run_id']}"
    assert f"recurs at 0 3 * * *: {place}" in [str(event) for event in events if isinstance(event, Notice)]


def test_a_cluster_runs_every_node(kubeflow, tfx_bert):
    assert "--from and --to" in tfx_bert("run", "x.yaml", "--env", "k.yaml", "--from", "Trainer", code=2)
