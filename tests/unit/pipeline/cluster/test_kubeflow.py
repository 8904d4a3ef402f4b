"""Against a server that speaks the API of Kubeflow Pipelines 2 as far as a run needs it, through kfp's own client."""

import _thread
import http.server
import json
import re
import threading
import urllib.parse
from pathlib import Path

import pytest
import yaml

from components import files
from configs import environment
from models.progress import NodeFinished, NodeStarted, Notice, RunStarted, Summary
from pipeline.result import RunResult

from .conftest import BLESSED, IMAGE, NODES, NOT_BLESSED, POOLS, result

START, END = "2026-01-01T10:00:00Z", "2026-01-01T10:00:30Z"


class Kubeflow(http.server.ThreadingHTTPServer):
    """Keeps what it is asked. ``faults``: what happens to requests whose method and path match, one after another."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.faults, self.experiments, self.runs, self.recurring = [], [], [], {}, {}
        self.script = [("SUCCEEDED", dict.fromkeys(NODES, "ran"))]  # states, a poll each; the last one stays
        self.verdict, self.token, self.log = BLESSED, None, None

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

    def state(self, run):
        state, nodes = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if state == "interrupt":
            _thread.interrupt_main()
            state = "RUNNING"
        if nodes.get("Evaluator") == "ran" and self.verdict:
            root = run["runtime_config"]["pipeline_root"]
            folder = Path(files.mounted(root)) / "tiny-x" / run["run_id"] / "Evaluator" / "0b0e" / "evaluation"
            folder.mkdir(parents=True, exist_ok=True)
            self.verdict.write(str(folder))
        known = {"state": state, "created_at": START, "run_details": {"task_details": details(nodes)}}
        return {**run, **known, **({} if state == "RUNNING" else {"finished_at": "2026-01-01T10:10:00Z"})}


def details(nodes):
    """As Argo's nodes become tasks: a driver, a group, and in it the container, which a cache hit skips."""
    tasks = [{"display_name": "root-driver", "state": "SUCCEEDED"}, {"display_name": "root", "state": "RUNNING"}]
    for node, how in nodes.items():
        driver = "FAILED" if how == "driver failed" else "SUCCEEDED"
        tasks.append({"display_name": f"{node}-driver", "state": driver, "start_time": START, "end_time": START})
        group = {
            "running": "RUNNING", "ran": "SUCCEEDED", "cached": "SUCCEEDED", "failed": "FAILED", "driver failed": None,
        }[how]  # fmt: skip
        child, end = f"wf-{node.lower()}", "0001-01-01T00:00:00Z" if how == "running" else END
        group = {"display_name": node, "state": group, "start_time": START, "end_time": end, "pod_name": f"{child}-dag"}
        tasks.append({**group, "child_tasks": [{"pod_name": child}]})
        tasks.append({"display_name": "executor", "state": "SKIPPED" if how == "cached" else group["state"],
                      "pod_name": child})  # fmt: skip
    return tasks


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
        if fault == "drop":
            return self.close()
        body = self.known(url.path, query, body)
        if fault == "lose":  # done, but nobody hears of it
            return self.close()
        if body is None:
            return self.answer("<html>the page</html>", 404, "text/html")
        return self.answer(body, kind="text/plain" if isinstance(body, str) else "application/json")

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
                return {"multi_user": False}
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
                return server.state(server.runs[run])
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
            case ("GET", "", "k8s", "pod", "logs") if server.log == "page":
                return f"log of {query['podname']} in {query['podnamespace']}\n"
            case ("GET", "", "apis", "v1alpha1", "runs", _, "nodes", pod, "log") if server.log == "api":
                return f"log of {pod}\n"
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
    middle = {**dict.fromkeys(NODES[:3], "ran"), "Transform": "cached", "Trainer": "running"}
    kubeflow.script.insert(0, ("RUNNING", middle))
    kubeflow.script[-1][1]["Transform"] = "cached"
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml")
    address = f"{kubeflow.host}/#/runs/details/r1"

    copied, first, *rest = output.strip().splitlines()
    assert copied.startswith("! copying 2 files") and first == f"tiny_x #1 · {address} · log runs/tiny_x/1/run.log"
    assert "✓ Transform        cached" in output and "✓ Trainer            0:30" in output
    assert "✓ Evaluator          0:30  accuracy 0.900 on 10 · blessed" in output
    assert "BLESSED in 10:00" in output and "accuracy .900 ≥ .800" in output
    assert f"Next:  tfx-bert show tiny_x/1 | {address}" in rest

    told = [event for event in events if isinstance(event, RunStarted | NodeStarted | NodeFinished | Summary)]
    assert told[0] == RunStarted("tiny_x", 1, str(Path("runs/tiny_x/1").absolute()), tuple(NODES), address)
    assert told.index(NodeStarted("Trainer")) < told.index(NodeFinished("Trainer", "ran", 30.0))
    assert NodeFinished("Transform", "cached", 30.0) in told
    assert sum(isinstance(event, NodeStarted) for event in told) == len(NODES)

    saved = RunResult.read(Path("runs/tiny_x/1"))
    assert (saved.verdict, saved.seconds, saved.metrics) == ("blessed", 600.0, {"accuracy": 0.9})
    assert saved.remote and (saved.remote.kind, saved.remote.id, saved.remote.address) == ("kubeflow", "r1", address)
    assert {node.node: node.state for node in saved.nodes} == {**dict.fromkeys(NODES, "ran"), "Transform": "cached"}
    assert saved.data == {"ExampleGen": compiled("k.yaml").pipeline["root"]["dag"]["tasks"]["ExampleGen"]["inputs"][
        "parameters"]["input_digest"]["runtimeValue"]["constant"]}  # fmt: skip


def test_what_the_linter_notices_is_told_before_the_run_begins(kubeflow, tfx_bert, events):
    file = Path("k.yaml")
    file.write_text(file.read_text().replace(IMAGE, "registry.example.org/tfx-bert:1.0"))
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    noticed = Notice(
        "DataGate, Evaluator, ExampleGen and 7 more: is cached under the image registry.example.org/tfx-bert:1.0, "
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
    # Each task keeps its own setting: Baseline and Pusher look at what others pushed.
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
    kubeflow.script.insert(0, ("RUNNING", {"ExampleGen": "running"}))
    kubeflow.faults = [(f"GET {RUNS}/r1", fault) for fault in ("drop", 502, 500)]
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    assert result(1)["verdict"] == "blessed"
    told = [str(event) for event in events if isinstance(event, Notice) and "goes on" in str(event)]
    assert len(told) == 1 and "cannot be reached" in told[0]


def test_a_model_that_is_not_blessed_ends_with_4(kubeflow, tfx_bert):
    kubeflow.verdict = NOT_BLESSED
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=4)
    assert "NOT BLESSED: 1 of 1 failed (exit 4)" in output and "✗ accuracy  .700 ≥ .800" in output
    assert result(1)["verdict"] == "not_blessed"


def test_a_verdict_that_cannot_be_read_is_no_success(kubeflow, tfx_bert):
    kubeflow.verdict = None
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=1)
    assert "every node is done, but whether the model is blessed cannot be read from here" in output
    assert result(1)["verdict"] == "done"


def test_a_rehearsal_is_judged_by_nobody(kubeflow, tfx_bert):
    kubeflow.script = [("SUCCEEDED", dict.fromkeys(NODES[:-1], "ran"))]
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", "--sample", 20)
    assert "DONE: 20 records went through every node in 10:00; nothing pushed" in output
    assert "Pusher" not in kubeflow.posts(RUNS)[0]["pipeline_spec"]["pipeline_spec"]["root"]["dag"]["tasks"]


@pytest.mark.parametrize(("how", "begun"), [("failed", 30.0), ("driver failed", 0.0)])
def test_a_failure_names_the_node_its_log_and_the_cure(kubeflow, tfx_bert, how, begun):
    kubeflow.script = [("FAILED", {"ExampleGen": "ran", "Trainer": how})]
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=1)
    assert "✗ Trainer failed: its log says why" in output
    assert f"tfx-bert logs tiny_x/1 --node Trainer · {kubeflow.host}/#/runs/details/r1" in output
    assert "what is done is reused" in output
    states = {node["node"]: (node["state"], node["seconds"]) for node in result(1)["nodes"]}
    assert states["ExampleGen"] == ("ran", 30.0) and states["Trainer"] == ("failed", begun)
    assert states["Pusher"] == ("skipped", 0.0)


def test_ctrl_c_leaves_the_run_going_and_says_how_to_stop_it(kubeflow, tfx_bert):
    kubeflow.script = [("RUNNING", {}), ("interrupt", {"ExampleGen": "ran", "Trainer": "running"})]
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=130)
    assert f"nobody follows it any more; the run goes on: {kubeflow.host}/#/runs/details/r1" in output
    assert "stop it: tfx-bert stop tiny_x/1 · look: tfx-bert show tiny_x/1" in output
    assert "terminated" not in kubeflow.runs["r1"] and result(1)["verdict"] == "running"

    kubeflow.script = [("RUNNING", {"ExampleGen": "ran", "Transform": "cached", "Trainer": "running"})]
    assert "RUNNING" in tfx_bert("runs")
    shown = tfx_bert("show")
    assert "tiny_x #1 RUNNING" in shown and "ExampleGen 0:30 · SchemaGen pending" in shown and "Trainer " in shown
    assert f"kubeflow: {kubeflow.host}/#/runs/details/r1" in shown

    assert "tiny_x #1 is being stopped" in tfx_bert("stop", "tiny_x/1")
    assert kubeflow.runs["r1"]["terminated"]
    kubeflow.runs["r1"]["state_history"] = [{"state": "CANCELING"}, {"state": "FAILED"}]
    kubeflow.script = [("FAILED", {"ExampleGen": "ran", "Trainer": "failed"})]
    assert "tiny_x #1 INTERRUPTED" in tfx_bert("show") and result(1)["verdict"] == "interrupted"


def test_show_finds_a_run_whose_submission_was_cut_off_and_how_it_ended(kubeflow, tfx_bert):
    kubeflow.faults = [(f"POST {RUNS}", "lose")]
    kubeflow.script = [("interrupt", {})]
    tfx_bert("run", "x.yaml", "--env", "k.yaml", code=130)
    saved = RunResult.read(Path("runs/tiny_x/1"))
    assert saved.remote
    unknown = saved.model_copy(update={"remote": saved.remote.model_copy(update={"id": None, "address": None})})
    unknown.write(Path("runs/tiny_x/1"))
    kubeflow.script = [("SUCCEEDED", dict.fromkeys(NODES, "ran"))]
    assert "tiny_x #1 BLESSED · 10:00" in tfx_bert("show")
    assert result(1)["remote"]["id"] == "r1"

    unknown.write(Path("runs/tiny_x/1"))
    kubeflow.runs.clear()
    assert "it was never started" in tfx_bert("show")


def test_show_says_what_it_knows_where_the_cluster_does_not_answer(kubeflow, tfx_bert):
    kubeflow.script = [("interrupt", {})]
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


@pytest.mark.parametrize("where", ["page", "api"])
def test_logs_come_from_kubeflows_page_or_from_its_api(kubeflow, tfx_bert, where):
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    kubeflow.log = where
    lines = {"page": "log of wf-trainer in nlp", "api": "log of wf-trainer"}
    assert tfx_bert("logs", "--node", "Trainer") == f"{lines[where]}\n"
    everything = tfx_bert("logs").splitlines()
    assert everything[:2] == ["==> ExampleGen <==", lines[where].replace("trainer", "examplegen")]
    assert "there are ExampleGen" in tfx_bert("logs", "--node", "Nobody", code=1)


def test_a_log_that_kubeflow_does_not_give_is_said_to_be_where(kubeflow, tfx_bert):
    tfx_bert("run", "x.yaml", "--env", "k.yaml")
    output = tfx_bert("logs", "--node", "Trainer", code=1)
    assert "gives no log of Trainer" in output and "kubectl logs -n nlp -l pipeline/runid=r1" in output


def test_a_token_that_is_refused_is_named_before_anything_is_copied(kubeflow, tfx_bert):
    kubeflow.token = "another"
    output = tfx_bert("run", "x.yaml", "--env", "k.yaml", code=2)
    assert (
        f"{kubeflow.host} does not know who asks (401)" in output
        and "auth.token is set in the environment (TOKEN_OF_KFP)" in output
    )
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
    kubeflow.recurring = {"old": {"display_name": "tiny-x", "recurring_run_id": "old"},
                          "other": {"display_name": "chat", "recurring_run_id": "other"}}  # fmt: skip
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
