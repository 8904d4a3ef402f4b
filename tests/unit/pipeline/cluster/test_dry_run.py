"""The dry run does around a container what a platform does; here the containers are a few lines of Python."""

import dataclasses
import json
import os
import pathlib
import signal
import threading
import time
import uuid

import pytest

from models import progress
from pipeline.cluster import dry_run
from pipeline.cluster.compile import Compiled
from schemas import DataError

KIND = {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}
# What a container starts with: where its outputs are, and what it was given.
PRELUDE = """
import json, os, pathlib, sys
given = json.loads(sys.argv[1])
root = os.environ["TFX_BERT_MOUNTS"]
def place(uri): return pathlib.Path(root + "gcs/" + uri.partition("://")[2])
def inputs(key): return place(given["inputs"]["artifacts"][key]["artifacts"][0]["uri"])
def output(key):
    folder = place(given["outputs"]["artifacts"][key]["artifacts"][0]["uri"])
    folder.mkdir(parents=True, exist_ok=True)
    return folder
def told(parameters={}, **metadata):
    file = given["outputs"]["outputFile"]
    file = place(file) if "://" in file else pathlib.Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    artifacts = {key: {"artifacts": [{"metadata": each}]} for key, each in metadata.items()}
    file.write_text(json.dumps({"artifacts": artifacts, "parameterValues": parameters}))
"""


class Spec:
    """A PipelineSpec under construction."""

    def __init__(self):
        self.tasks, self.components, self.executors = {}, {}, {}

    def task(self, name, code, inputs=(), outputs=(), parameters=None, env=None, **more):
        """``inputs``: key → (task, output)."""
        self.components[name] = {
            "executorLabel": f"{name}_executor",
            "outputDefinitions": {"artifacts": {key: {"artifactType": KIND} for key in outputs}},
        }
        self.executors[f"{name}_executor"] = {
            "container": {
                "image": "i",
                "command": ["python", "-c", PRELUDE + code, "{{$}}"],
                "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
            }
        }
        self._add(name, inputs, parameters, more)

    def importer(self, name, address):
        self.components[name] = {
            "executorLabel": f"{name}_executor",
            "outputDefinitions": {"artifacts": {"result": {"artifactType": KIND}}},
        }
        self.executors[f"{name}_executor"] = {
            "importer": {"artifactUri": {"constant": address}, "typeSchema": KIND, "metadata": {"kind": "imported"}}
        }
        self._add(name, {}, None, {})

    def _add(self, name, inputs, parameters, more):
        self.tasks[name] = {
            "componentRef": {"name": name},
            "inputs": {
                "artifacts": {
                    key: {"taskOutputArtifact": {"producerTask": task, "outputArtifactKey": output}}
                    for key, (task, output) in dict(inputs).items()
                },
                "parameters": {
                    key: value if isinstance(value, dict) else {"runtimeValue": {"constant": value}}
                    for key, value in (parameters or {}).items()
                },
            },
            **more,
        }

    def compiled(self, imports=None):
        document = {
            "root": {"dag": {"tasks": self.tasks}},
            "components": self.components,
            "deploymentSpec": {"executors": self.executors},
        }
        return Compiled("p", document, {}, tuple(self.tasks), imports or {})


@pytest.fixture(params=["kubeflow", "vertex"])
def cluster(request, tmp_path):
    return dry_run.Cluster(tmp_path / "dry-run", request.param, "gs://b/runs/1")


@pytest.fixture
def kubeflow(tmp_path):
    return dry_run.Cluster(tmp_path / "dry-run", "kubeflow", "gs://b/runs/1")


@pytest.fixture
def told(caplog):
    """The events so far, in order."""
    caplog.set_level("INFO", "tfx_bert")
    return lambda: [record.event for record in caplog.records if hasattr(record, "event")]


def states(events):
    return {event.node: event.state for event in events if isinstance(event, progress.NodeFinished)}


def written(cluster, uri):
    return pathlib.Path(cluster.path(uri)).read_text()


def test_artifacts_and_parameters_go_from_task_to_task(cluster, tmp_path):
    spec = Spec()
    (tmp_path / "words").write_text("low lower")
    spec.importer("Words", "gs://b/imports")
    spec.task(
        "Count",
        """
words = (inputs("words") / "words").read_text().split()
(output("counts") / "n").write_text(str(len(words)))
told({"n": len(words)}, counts={"of": "words"})
""",
        {"words": ("Words", "result")},
        ["counts"],
    )
    spec.task(
        "Double",
        """
n = int((inputs("counts") / "n").read_text()) + given["inputs"]["parameterValues"]["n"]
(output("twice") / "n").write_text(str(n) + given["inputs"]["artifacts"]["counts"]["artifacts"][0]["metadata"]["of"])
""",
        {"counts": ("Count", "counts")},
        ["twice"],
        {"n": {"taskOutputParameter": {"producerTask": "Count", "outputParameterKey": "n"}}},
    )
    outputs = dry_run.execute(spec.compiled({"gs://b/imports/words": tmp_path / "words"}), cluster)
    assert written(cluster, outputs["Double"].artifacts["twice"]["uri"] + "/n") == "4words"
    assert outputs["Words"].artifacts["result"]["metadata"]["kind"] == "imported"


def test_the_platforms_hand_over_what_they_do(tmp_path):
    """Open-source Kubeflow: an empty type, numbers for names, its logs as an output, a file of this pod."""
    seen = {}
    for platform in ("kubeflow", "vertex"):
        cluster, spec = dry_run.Cluster(tmp_path / platform, platform, "gs://b/runs/1"), Spec()
        spec.task("Make", "output('made')", outputs=["made"])
        keep = "(output('seen') / 'given').write_text(sys.argv[1])"
        spec.task("Look", keep, {"made": ("Make", "made")}, ["seen"])
        outputs = dry_run.execute(spec.compiled(), cluster)
        seen[platform] = json.loads(written(cluster, outputs["Look"].artifacts["seen"]["uri"] + "/given"))
    given = {platform: each["inputs"]["artifacts"]["made"]["artifacts"][0] for platform, each in seen.items()}
    assert given["kubeflow"]["type"] == {"instanceSchema": ""}
    assert given["kubeflow"]["name"].isdigit()
    assert given["vertex"]["type"] == KIND
    assert given["vertex"]["name"].startswith("projects/")
    assert sorted(seen["kubeflow"]["outputs"]["artifacts"]) == ["executor-logs", "seen"]
    assert list(seen["vertex"]["outputs"]["artifacts"]) == ["seen"]
    assert seen["vertex"]["outputs"]["outputFile"].startswith("gs://")
    assert seen["kubeflow"]["outputs"]["outputFile"].startswith("/")


def test_a_kubeflow_container_has_only_what_it_declares(kubeflow):
    """The launcher copies declared inputs, no bucket."""
    spec = Spec()
    spec.task("Make", "(output('made') / 'x').write_text('x')", outputs=["made"])
    look = "print(sorted(str(p.relative_to(root)) for p in pathlib.Path(root, 'gcs').rglob('x'))); sys.exit(1)"
    spec.task("Sneak", look, dependentTasks=["Make"])
    with pytest.raises(dry_run.TaskError):
        dry_run.execute(spec.compiled(), kubeflow)
    assert (kubeflow.folder / "logs/Sneak.log").read_text() == "[]\n"


def test_ml_metadata_keeps_few_types(kubeflow):
    """StructValueToMLMDValue in kubeflow/pipelines, backend/src/v2/metadata/converter.go."""
    spec = Spec()
    given = {"list": [1], "struct": {"a": True}, "flag": True, "number": 0.5, "text": "x"}
    spec.task("Make", f"output('made'); told(made={given})", outputs=["made"])
    outputs = dry_run.execute(spec.compiled(), kubeflow)
    kept = outputs["Make"].artifacts["made"]["metadata"]
    assert {key: kept[key] for key in given} == {
        "list": {"list": [1]},
        "struct": {"struct": {"a": True}},
        "flag": 1,
        "number": 0.5,
        "text": "x",
    }
    spec.task("Null", "output('made'); told(made={'why': None})", outputs=["made"])
    with pytest.raises(dry_run.TaskError, match="Null: output made has null as its property 'why'"):
        dry_run.execute(spec.compiled(), kubeflow)


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("STRING", 0.00001, "0.00001"),
        ("STRING", 100.0, "100"),
        ("STRING", True, "true"),
        ("STRING", [1, "a"], '[1,"a"]'),
        ("NUMBER_INTEGER", 3, 3),
        ("NUMBER_DOUBLE", 3, 3),
        ("LIST", [1], [1]),
    ],
)
def test_a_parameter_is_text_where_that_is_declared(kubeflow, kind, value, found):
    spec = Spec()
    spec.task("Look", "told({'seen': given['inputs']['parameterValues']['x']})", parameters={"x": value})
    spec.components["Look"]["inputDefinitions"] = {"parameters": {"x": {"parameterType": kind}}}
    assert dry_run.execute(spec.compiled(), kubeflow)["Look"].parameters == {"seen": found}


@pytest.mark.parametrize(
    ("kind", "value"),
    [("NUMBER_INTEGER", "3"), ("NUMBER_DOUBLE", True), ("BOOLEAN", 1), ("LIST", 3), ("STRUCT", None)],
)
def test_a_parameter_of_another_type_is_refused(kubeflow, told, kind, value):
    spec = Spec()
    spec.task("Look", "", parameters={"x": value})
    spec.components["Look"]["inputDefinitions"] = {"parameters": {"x": {"parameterType": kind}}}
    with pytest.raises(dry_run.TaskError, match=f"Look: input parameter 'x' is declared as {kind} and is "):
        dry_run.execute(spec.compiled(), kubeflow)
    assert states(told()) == {"Look": "failed"}


def test_an_output_parameter_is_in_the_executor_output_or_in_its_file(cluster):
    spec = Spec()
    code = "file = given['outputs']['parameters']['n']['outputFile']\n"
    code += "file = place(file) if '://' in file else pathlib.Path(file)\n"
    code += "file.parent.mkdir(parents=True, exist_ok=True); file.write_text('7')"
    for name, each in (("Tell", "told({'n': 7})"), ("Write", code), ("Forget", "")):
        spec.task(name, each)
        spec.components[name]["outputDefinitions"]["parameters"] = {"n": {"parameterType": "NUMBER_INTEGER"}}
    with pytest.raises(dry_run.TaskError, match="Forget: output parameter 'n' was not given"):
        dry_run.execute(spec.compiled(), cluster)
    del spec.tasks["Forget"]
    assert {each.parameters["n"] for each in dry_run.execute(spec.compiled(), cluster).values()} == {7}


def test_the_launcher_brings_every_object_whose_key_begins_so_and_no_empty_folder(kubeflow):
    spec = Spec()
    code = "for key in ('model', 'model_run'): (output(key) / 'empty').mkdir(); (output(key) / 'x').write_text(key)"
    spec.task("Train", code, outputs=["model", "model_run"])
    look = (
        "told({'seen': sorted(str(p.relative_to(inputs('model').parent)) for p in inputs('model').parent.rglob('*'))})"
    )
    spec.task("Look", look, {"model": ("Train", "model")})
    seen = dry_run.execute(spec.compiled(), kubeflow)["Look"].parameters["seen"]
    assert seen == ["model", "model/x", "model_run", "model_run/x"]


def test_a_condition_on_what_is_not_there_fails_its_task(cluster, told):
    spec = Spec()
    spec.task("Judge", "output('blessing')", outputs=["blessing"])
    condition = "inputs.artifacts['blessing'].artifacts[0].metadata['blessed'] == 1.0"
    spec.task("Push", "", {"blessing": ("Judge", "blessing")}, triggerPolicy={"condition": condition})
    with pytest.raises(dry_run.TaskError, match=r"Push: the condition .* cannot be evaluated"):
        dry_run.execute(spec.compiled(), cluster)
    assert states(told()) == {"Judge": "ran", "Push": "failed"}


def test_an_output_without_a_buckets_address_is_refused_as_the_launcher_does(kubeflow):
    spec = Spec()
    code = "file = pathlib.Path(given['outputs']['outputFile']); file.parent.mkdir(); "
    code += "file.write_text(json.dumps({'artifacts': {'made': {'artifacts': [{'uri': '/tmp/made'}]}}}))"
    spec.task("Make", code, outputs=["made"])
    with pytest.raises(dry_run.TaskError, match="output made has the address /tmp/made, which is no bucket's"):
        dry_run.execute(spec.compiled(), kubeflow)


def test_a_failed_task_is_tried_again_then_named_with_its_log(cluster, told):
    spec = Spec()
    count = "file = pathlib.Path(given['inputs']['parameterValues']['file'])\n"
    count += "file.parent.mkdir(parents=True, exist_ok=True)\n"
    count += "n = int(file.read_text()) + 1 if file.exists() else 1\nfile.write_text(str(n))\n"
    notice = "print(json.dumps({'event': 'Notice', 'text': f'attempt {n} broke.'}))\n"
    again = {"retryPolicy": {"maxRetryCount": 2}}
    spec.task("Third", count + notice + "sys.exit(n < 3)", parameters={"file": "gs://b/third"}, **again)
    spec.task("Never", count + notice + "sys.exit(1)", parameters={"file": "gs://b/never"}, **again)
    spec.task("After", "", dependentTasks=["Never"])
    with pytest.raises(
        dry_run.TaskError, match=r"Never failed in 3 attempts: attempt 3 broke\. Its log: \S*Never\.log"
    ):
        dry_run.execute(spec.compiled(), cluster)
    assert states(told()) == {"Third": "ran", "Never": "failed", "After": "skipped"}


def test_faulty_data_is_not_tried_again(kubeflow):
    spec = Spec()
    code = "print(json.dumps({'event': 'Notice', 'text': '37 rows are bad'})); sys.exit(3)"
    spec.task("Read", code, retryPolicy={"maxRetryCount": 2})
    with pytest.raises(DataError, match="37 rows are bad"):
        dry_run.execute(spec.compiled(), kubeflow)
    assert (kubeflow.folder / "logs/Read.log").read_text().count("37") == 1


def test_a_container_that_is_killed_is_tried_again(kubeflow, told):
    spec = Spec()
    code = "file = pathlib.Path(given['inputs']['parameterValues']['file'])\n"
    code += (
        "first = not file.exists(); file.parent.mkdir(parents=True, exist_ok=True); file.write_text(str(os.getpid()))\n"
    )
    code += "import time; time.sleep(60 if first else 0)"
    spec.task("Slow", code, parameters={"file": "gs://b/pid"}, retryPolicy={"maxRetryCount": 1})
    running = threading.Thread(target=dry_run.execute, args=(spec.compiled(), kubeflow))
    running.start()
    file = kubeflow.folder / "bucket/gcs/b/pid"
    while running.is_alive() and not (file.exists() and file.read_text()):
        time.sleep(0.02)
    os.kill(int(file.read_text()), signal.SIGKILL)
    running.join()
    assert states(told()) == {"Slow": "ran"}
    assert progress.Notice("Slow: killed by signal 9. Attempt 2 of 2") in told()


def test_a_node_on_several_machines_is_a_process_for_each(tmp_path, told):
    cluster, spec = dry_run.Cluster(tmp_path / "dry-run", "vertex", "gs://b/runs/1"), Spec()
    job = {"worker_pool_specs": [{"replica_count": 1}, {"replica_count": 2}]}
    code = """
task = json.loads(os.environ["TF_CONFIG"])
name = f"{task['task']['type']}{task['task']['index']}"
folder = pathlib.Path(given["inputs"]["parameterValues"]["found"])
folder.mkdir(parents=True, exist_ok=True)
(folder / name).write_text(json.dumps(task["cluster"]))
print(json.dumps({"event": "Notice", "text": f"{name} broke."}))
sys.exit("TFX_BERT_WORKERS" in os.environ or name == "worker1")
"""
    spec.task("Train", code, parameters={"found": "gs://b/found"}, env={"TFX_BERT_WORKERS": json.dumps({"job": job})})
    with pytest.raises(dry_run.TaskError, match=r"Train failed in 1 attempt: chief0 broke\."):
        dry_run.execute(spec.compiled(), cluster)
    found = {path.name: json.loads(path.read_text()) for path in (cluster.folder / "bucket/gcs/b/found").iterdir()}
    assert sorted(found) == ["chief0", "worker0", "worker1"]
    (each,) = {json.dumps(cluster) for cluster in found.values()}
    assert {key: len(addresses) for key, addresses in json.loads(each).items()} == {"chief": 1, "worker": 2}
    log = (cluster.folder / "logs/Train.log").read_text()
    assert sorted(progress.read(line).text for line in log.splitlines()) == [f"{name} broke." for name in sorted(found)]
    assert [event.text for event in told() if isinstance(event, progress.Notice)] == ["chief0 broke."]


def test_conditions_decide_with_everything_behind_them(cluster, told):
    spec = Spec()
    spec.task("Judge", "output('blessing'); told(blessing={'blessed': 1.0})", outputs=["blessing"])
    for name, value in (("Push", "1.0"), ("Mourn", "0.0")):
        condition = f"inputs.artifacts['blessing'].artifacts[0].metadata['blessed'] == {value}"
        spec.task(name, "", {"blessing": ("Judge", "blessing")}, triggerPolicy={"condition": condition})
        spec.task(f"After{name}", "", dependentTasks=[name])
    dry_run.execute(spec.compiled(), cluster)
    assert states(told()) == {
        "Judge": "ran",
        "Push": "ran",
        "AfterPush": "ran",
        "Mourn": "skipped",
        "AfterMourn": "skipped",
    }


@pytest.mark.parametrize("fails", [False, True])
def test_an_exit_handler_runs_whatever_happens_and_is_told(kubeflow, fails):
    spec = Spec()
    spec.task("Work", f"sys.exit({int(fails)})")
    inner = {"dag": {"tasks": spec.tasks}}
    spec.tasks = {"tfx-dag": {"componentRef": {"name": "tfx-dag"}}}
    spec.components["tfx-dag"] = inner
    spec.task(
        "Notify",
        "(output('note') / 'status').write_text(given['inputs']['parameterValues']['status'])",
        outputs=["note"],
        parameters={"status": {"taskFinalStatus": {"producerTask": "tfx-dag"}}},
        dependentTasks=["tfx-dag"],
        triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
    )
    if fails:
        with pytest.raises(dry_run.TaskError, match="tfx-dag/Work failed"):
            dry_run.execute(spec.compiled(), kubeflow)
    else:
        dry_run.execute(spec.compiled(), kubeflow)
    note = written(kubeflow, "gs://b/runs/1/Notify/note/status")
    assert json.loads(note)["state"] == ("FAILED" if fails else "SUCCEEDED")


def test_variables_and_arguments_that_name_buckets_name_folders(kubeflow):
    spec = Spec()
    code = "(output('seen') / 'x').write_text(json.dumps([os.environ['ROOT'], sys.argv[2]]))"
    spec.task("Look", code, outputs=["seen"], env={"ROOT": "gs://b/checkpoints"})
    spec.executors["Look_executor"]["container"]["args"] = ["--temp=gs://b/temp"]
    outputs = dry_run.execute(spec.compiled(), kubeflow)
    bucket = f"{kubeflow.folder}/bucket/gcs/b"
    seen = json.loads(written(kubeflow, outputs["Look"].artifacts["seen"]["uri"] + "/x"))
    assert seen == [f"{bucket}/checkpoints", f"--temp={bucket}/temp"]


def test_what_is_imported_and_is_not_there_is_said(kubeflow):
    spec = Spec()
    spec.importer("Checkpoint", "gs://b/imports/gone")
    with pytest.raises(dry_run.TaskError, match="gs://b/imports/gone is imported and is not there"):
        dry_run.execute(spec.compiled(), kubeflow)


def test_tasks_that_wait_for_nothing_run_side_by_side(kubeflow):
    """Each waits for the other's file: alone neither would end."""
    spec = Spec()
    code = """
import time
mine, other = (pathlib.Path(given["inputs"]["parameterValues"][key]) for key in ("mine", "other"))
mine.parent.mkdir(parents=True, exist_ok=True)
mine.touch()
end = time.monotonic() + 30
while not other.exists():
    assert time.monotonic() < end
    time.sleep(0.02)
"""
    spec.task("A", code, parameters={"mine": "gs://b/meet/a", "other": "gs://b/meet/b"})
    spec.task("B", code, parameters={"mine": "gs://b/meet/b", "other": "gs://b/meet/a"})
    dry_run.execute(spec.compiled(), kubeflow)


def test_a_task_is_reused_where_it_may_be_and_nothing_changed(cluster, told):
    def run(may, n):
        spec = Spec()
        code = "import uuid; (output('made') / 'id').write_text(str(uuid.uuid4()))"
        spec.task("Make", code, outputs=["made"], parameters={"n": n}, cachingOptions={"enableCache": may})
        outputs = dry_run.execute(spec.compiled(), dataclasses.replace(cluster, root=f"gs://b/runs/{uuid.uuid4()}"))
        return written(cluster, outputs["Make"].artifacts["made"]["uri"] + "/id"), states(told())["Make"]

    first, state = run(True, 1)
    assert state == "ran"
    assert run(True, 1) == (first, "cached")
    for may, n in ((True, 2), (False, 1)):
        again, state = run(may, n)
        assert again != first
        assert state == "ran"
