"""The dry run beside Kubeflow's own driver and launcher, which wrote ``tests/data/kfp/``: each file says how."""

import copy
import json
import pathlib
import sys

import pytest
from google.protobuf import json_format

from components.storage import files
from pipeline.cluster import container, dry_run
from pipeline.cluster.compile import Compiled

DATA = pathlib.Path(__file__).parents[3] / "data" / "kfp"
OLD, NEW = "2.14.3", "2.17.0"
# A container that gives what the recorded one gave.
REPLAY = """
import json, os, pathlib, sys
told, node = json.loads(sys.argv[1]), json.loads(pathlib.Path(sys.argv[2]).read_text())["nodes"][sys.argv[3]]
pathlib.Path(sys.argv[4]).write_text(sys.argv[1])
folder = pathlib.Path(os.environ["TFX_BERT_MOUNTS"], "minio/mlpipeline/RUN", sys.argv[3])
for name in node["uploaded"]:
    if name != "executor-logs":
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
for key in told["outputs"]["artifacts"]:
    if key != "executor-logs" and not (folder / key).is_file():
        (folder / key / "empty").mkdir(parents=True)
file = pathlib.Path(told["outputs"]["outputFile"])
file.parent.mkdir()
file.write_text(json.dumps(node["output"]))
"""


def recorded(tag):
    return json.loads((DATA / f"{tag}.json").read_text("utf-8"))


def literal(given):
    """An ExecutorInput without ids and the bucket's settings."""
    given = copy.deepcopy(given)
    for found in given["inputs"].get("artifacts", {}).values():
        for artifact in found["artifacts"]:
            assert int(artifact.pop("name")) > 0
            artifact["metadata"].pop("current_model_id", None)  # our container's word for the model's id
            if "split_names" in artifact["metadata"]:  # which Transform writes in any order
                artifact["metadata"]["split_names"] = sorted(json.loads(artifact["metadata"]["split_names"]))
            assert artifact["metadata"].pop("store_session_info").startswith('{"Provider":"minio","Params":{')
    return given


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """What the dry run handed to each container of the recorded pipeline, and its cluster."""
    folder, pipeline = tmp_path_factory.mktemp("replayed"), recorded(OLD)["pipeline"]
    for label, executor in pipeline["deploymentSpec"]["executors"].items():
        node = label.removesuffix("_executor")
        words = ["{{$}}", str(DATA / f"{OLD}.json"), node, str(folder / node)]
        executor["container"] = {"command": [sys.executable, "-c", REPLAY], "args": words}
    cluster = dry_run.Cluster(folder / "dry-run", "kubeflow", "minio://mlpipeline/RUN")
    dry_run.execute(Compiled("p", pipeline, {}, (), {}), cluster)
    return {node: json.loads((folder / node).read_text()) for node in recorded(OLD)["nodes"]}, cluster


@pytest.mark.parametrize("node", recorded(OLD)["nodes"])
def test_the_dry_run_hands_over_the_drivers_literal_json(replayed, node):
    given, wanted = replayed[0][node], recorded(OLD)["nodes"][node]["input"]
    file = given["outputs"].pop("outputFile")
    assert file.endswith(wanted["outputs"].pop("outputFile").removeprefix("/tmp"))
    assert literal(given) == literal(wanted)


def test_the_dry_run_leaves_in_the_bucket_what_the_launcher_does(replayed):
    """Files, and the log; no empty folders."""
    root = replayed[1].folder / "bucket/minio/mlpipeline/RUN"
    for node, each in recorded(OLD)["nodes"].items():
        found = sorted(str(path.relative_to(root / node)) for path in (root / node).rglob("*") if path.is_file())
        assert found == each["uploaded"]
        assert not [path for path in (root / node).rglob("*") if path.is_dir() and not any(path.iterdir())]


@pytest.mark.parametrize("tag", [OLD, NEW])
@pytest.mark.parametrize("node", recorded(OLD)["nodes"])
def test_the_container_makes_of_it_what_tfx_can_work_with(tag, node, tmp_path, monkeypatch):
    monkeypatch.setenv(files.ROOT, f"{tmp_path}/")
    (tmp_path / "minio/mlpipeline").mkdir(parents=True)
    spec = recorded(tag)["pipeline"]["components"][node].get("inputDefinitions", {})
    given = recorded(tag)["nodes"][node]["input"]
    found = container.prepared(json.dumps(given), json.dumps(spec), mounted=True)
    assert sorted(found.outputs.artifacts) == sorted({*given["outputs"]["artifacts"]} - {"executor-logs"})
    for key, inputs in found.inputs.artifacts.items():
        for artifact in inputs.artifacts:
            assert json_format.MessageToDict(artifact.type) == spec["artifacts"][key]["artifactType"]
            assert artifact.uri.startswith(f"{tmp_path}/minio/mlpipeline/RUN/")
            assert artifact.name.isdigit()


@pytest.mark.parametrize("node", recorded(OLD)["nodes"])
def test_a_newer_driver_names_outputs_and_puts_the_output_file_beside_them(node):
    """All that is new in 2.17: provisionOutputs in driver/driver.go; and a log of each attempt."""
    before, after = (recorded(tag)["nodes"][node] for tag in (OLD, NEW))
    outputs = after["input"]["outputs"]
    assert outputs["outputFile"] == f"/minio/mlpipeline/RUN/{node}/output_metadata.json"
    for key, found in outputs["artifacts"].items():
        assert found["artifacts"][0].pop("name") == key
    outputs["outputFile"] = before["input"]["outputs"]["outputFile"]
    assert literal(after["input"]) == literal(before["input"])
    assert [name.removesuffix("-0") for name in after["uploaded"]] == before["uploaded"]


@pytest.mark.parametrize("tag", [OLD, NEW])
def test_the_pod_is_patched_with_what_was_compiled(tag):
    executors = recorded(tag)["pipeline"]["deploymentSpec"]["executors"]
    for node, each in recorded(tag)["nodes"].items():
        compiled, (patched,) = executors[f"{node}_executor"]["container"], each["patch"]["containers"]
        assert patched["args"] == [*compiled["command"], *compiled["args"]]
        assert patched["image"] == compiled["image"]
        assert patched.get("env", []) == compiled.get("env", [])
        assert patched["volumeMounts"] == [{"mountPath": "/workspace", "name": "tfx-bert"}]
