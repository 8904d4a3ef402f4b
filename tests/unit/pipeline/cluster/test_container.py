"""The container's entry point, each cure beside what TFX's own entry point does without it."""

import argparse
import json
import pathlib
import subprocess
import sys

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor
from tfx.types import standard_artifacts

from components.artifacts import Vocabulary
from components.storage import files
from models import progress
from pipeline.cluster import container

HERE = "tests.unit.pipeline.cluster.executors"


def schema(kind):
    text = compiler_utils.get_artifact_schema(kind)
    return {"instanceSchema": text if isinstance(text, str) else text.decode()}


MODEL, STRING = schema(standard_artifacts.Model), schema(standard_artifacts.String)
INPUTS = {
    "artifacts": {"model": {"artifactType": MODEL}},
    "parameters": {"times": {"parameterType": "NUMBER_INTEGER"}},
}
LOGS = {"artifacts": [{"uri": "gs://b/run/executor-logs", "type": {"schemaTitle": "system.Artifact"}}]}


@pytest.fixture(autouse=True)
def mounts(tmp_path, monkeypatch):
    """A bucket ``b`` of each kind, mounted; a model in it."""
    monkeypatch.setenv(files.ROOT, f"{tmp_path}/")
    stock = {title: path for title, path in compiler_utils.TITLE_TO_CLASS_PATH.items() if title.startswith("tfx.")}
    monkeypatch.setattr(compiler_utils, "TITLE_TO_CLASS_PATH", stock)
    for scheme in ("gcs", "s3", "minio"):
        (tmp_path / scheme / "b" / "model").mkdir(parents=True)
        (tmp_path / scheme / "b" / "model" / "weights").write_text("17")
    return tmp_path


def invocation(tmp_path, kind="", scheme="gs", outputs=("copy",), times=2, name="", **more):
    """As open-source Kubeflow's driver writes it: inputs without type and name."""
    given = {"uri": f"{scheme}://b/model", **({"type": kind} if kind else {}), **({"name": name} if name else {})}
    return {
        "inputs": {"parameterValues": {"times": times}, "artifacts": {"model": {"artifacts": [given]}}},
        "outputs": {
            "artifacts": {
                key: {"artifacts": [{"uri": f"{scheme}://b/run/{key}", "type": MODEL, "metadata": {}}]}
                for key in outputs
            }
            | more,
            "outputFile": str(tmp_path / "kfp_outputs" / "output_metadata.json"),
        },
    }


def arguments(executor, given, kind=MODEL):
    declared = {**INPUTS, "artifacts": {"model": {"artifactType": kind}}}
    return [
        f"--executor_class_path={HERE}.{executor}",
        f"--json_serialized_invocation_args={json.dumps(given)}",
        f"--json_serialized_inputs_spec_args={json.dumps(declared)}",
    ]


def ours(executor, given, *beam, kind=MODEL):
    return container.main([*arguments(executor, given, kind), *beam])


def stock(executor, given):
    parser = argparse.ArgumentParser()
    for name in ("executor_class_path", "json_serialized_invocation_args", "json_serialized_inputs_spec_args"):
        parser.add_argument(f"--{name}")
    kubeflow_v2_run_executor.main((parser.parse_args(arguments(executor, given)), []))


def output(tmp_path):
    text = (tmp_path / "kfp_outputs" / "output_metadata.json").read_text()
    return json_format.Parse(text, pipeline_spec_pb2.ExecutorOutput())


def events(capsys):
    return [event for line in capsys.readouterr().out.splitlines() if (event := progress.read(line))]


def test_inputs_without_a_type_get_the_one_that_the_component_declares(tmp_path, capsys):
    with pytest.raises(UnboundLocalError, match="title"):  # tensorflow/tfx#7768
        stock("Copy", invocation(tmp_path))
    assert ours("Copy", invocation(tmp_path)) == 0
    assert progress.Summary("Model 17, 2 times") in events(capsys)


# What drivers put into "type": an empty schema up to 2.17 (ToRuntimeArtifact in metadata/client.go), the whole YAML
# schema after it.
EMPTY = {"instanceSchema": ""}
TITLES = [{"schemaTitle": MODEL["instanceSchema"]}, {**MODEL, "schemaVersion": ""}, {"schemaTitle": "system.Model"}]


@pytest.mark.parametrize("kind", [{}, EMPTY, *TITLES])
def test_an_input_is_of_the_declared_type_whatever_the_driver_writes(tmp_path, capsys, kind):
    given = invocation(tmp_path)
    given["inputs"]["artifacts"]["model"]["artifacts"][0]["type"] = kind
    assert ours("Copy", given) == 0
    assert progress.Summary("Model 17, 2 times") in events(capsys)


def test_an_input_of_an_empty_schema_stops_tfx(tmp_path):
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'get'"):
        stock("Copy", invocation(tmp_path, EMPTY))


def test_the_logs_that_kubeflow_wants_are_no_output_of_the_executor(tmp_path):
    with pytest.raises(ImportError, match=r"system\.Artifact"):
        stock("Copy", invocation(tmp_path, MODEL, **{"executor-logs": LOGS}))
    assert ours("Copy", invocation(tmp_path, **{"executor-logs": LOGS})) == 0
    assert list(output(tmp_path).artifacts) == ["copy"]


@pytest.mark.parametrize(("scheme", "mount"), [("gs", "gcs"), ("s3", "s3"), ("minio", "minio")])
def test_addresses_are_files_for_the_executor_and_addresses_again_for_the_platform(tmp_path, scheme, mount):
    with pytest.raises(FileNotFoundError):
        stock("Copy", invocation(tmp_path, MODEL, scheme))
    assert ours("Copy", invocation(tmp_path, scheme=scheme)) == 0
    assert (tmp_path / mount / "b/run/copy/weights").read_text() == "17"
    (copy,) = output(tmp_path).artifacts["copy"].artifacts
    assert copy.uri == f"{scheme}://b/run/copy"
    assert copy.metadata["made_from"] == f"{scheme}://b/model"


def test_a_parameter_is_given_to_the_platform_in_a_second_attempt_too(tmp_path):
    given = invocation(tmp_path, scheme="minio", outputs=(), digest={"artifacts": [{"uri": "minio://b/run/digest"}]})
    given["outputs"]["artifacts"]["digest"]["artifacts"][0]["type"] = STRING
    given["outputs"]["parameters"] = {"digest": {"outputFile": "/tmp/kfp/outputs/digest"}}  # provisionOutputs
    for _ in range(2):
        assert ours("Digest", given) == 0
        assert output(tmp_path).parameter_values["digest"].string_value == "9e1b"
        assert output(tmp_path).artifacts["digest"].artifacts[0].uri == "minio://b/run/digest"
        assert (tmp_path / "minio/b/run/digest").read_text() == "9e1b"


def test_an_input_that_a_rule_of_the_bucket_deleted_is_told_with_the_cure(tmp_path, capsys):
    """kubeflow/pipelines#7939: the cache names it still, and the launcher downloads nothing without a word."""
    (tmp_path / "minio/b/model/weights").unlink()
    (tmp_path / "minio/b/model").rmdir()
    assert ours("Copy", invocation(tmp_path, scheme="minio")) == 1
    assert events(capsys)[-1] == progress.Notice(
        "the input 'model' is gone from minio://b/model, where an earlier run wrote it: something deleted it, such as "
        "a lifecycle rule of the bucket, and the cache names it still; run once with --no-cache, delete that earlier "
        "run (Kubeflow then forgets what it cached), and exempt pipeline_root from the rule"
    )


def test_a_bucket_that_is_not_mounted_keeps_its_address():
    assert files.mounted("gs://elsewhere/model") == "gs://elsewhere/model"
    assert files.mounted("/mnt/models/1") == "/mnt/models/1"


def test_workers_elsewhere_see_addresses():
    """Dataflow's workers have no mounts: its nodes read and write the bucket itself."""
    given = json.dumps({"inputs": {"artifacts": {"model": {"artifacts": [{"uri": "gs://b/model"}]}}}})
    for mounted, uri in ((True, files.mounted("gs://b/model")), (False, "gs://b/model")):
        found = container.prepared(given, json.dumps(INPUTS), mounted=mounted)
        assert found.inputs.artifacts["model"].artifacts[0].uri == uri


def test_vertex_keeps_its_output_file_in_the_bucket(tmp_path):
    given = invocation(tmp_path, MODEL, name="projects/1/locations/l/metadataStores/default/artifacts/3")
    given["outputs"]["outputFile"] = "gs://b/run/executor_output.json"
    assert ours("Copy", given) == 0
    written = json.loads((tmp_path / "gcs/b/run/executor_output.json").read_text())
    assert written["artifacts"]["copy"]["artifacts"][0]["uri"] == "gs://b/run/copy"


def test_a_model_without_a_name_can_be_blessed(tmp_path):
    """TFX turns the model's id back into the name that it was made from; Kubeflow gives no names."""
    given = invocation(tmp_path, MODEL, outputs=("blessing",))
    with pytest.raises(KeyError):
        stock("Bless", given)
    assert ours("Bless", invocation(tmp_path, outputs=("blessing",))) == 0
    (blessing,) = output(tmp_path).artifacts["blessing"].artifacts
    assert blessing.metadata["current_model"] == "gs://b/model"


def test_types_of_our_own_are_found_by_their_title(tmp_path, capsys):
    given = invocation(tmp_path, schema(Vocabulary))
    with pytest.raises(ImportError, match=r"bert\.Vocabulary"):
        stock("Copy", given)
    assert ours("Copy", given, kind=schema(Vocabulary)) == 0
    assert progress.Summary("Vocabulary 17, 2 times") in events(capsys)


def test_a_second_attempt_does_not_meet_the_first(tmp_path):
    assert ours("Copy", invocation(tmp_path)) == 0
    (tmp_path / "gcs/b/run/copy/half").write_text("of an attempt that was killed")
    assert ours("Copy", invocation(tmp_path)) == 0
    assert sorted(path.name for path in (tmp_path / "gcs/b/run/copy").iterdir()) == ["inner", "weights"]
    with pytest.raises(FileExistsError):
        stock("Copy", invocation(tmp_path, MODEL) | _local(tmp_path))


def _local(tmp_path):
    """The same invocation with files for addresses: what is left to stop TFX's own entry point."""
    text = json.dumps(invocation(tmp_path, MODEL)).replace("gs://", f"{tmp_path}/gcs/")
    return json.loads(text)


def test_checkpoints_go_when_the_training_is_through_and_stay_when_it_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFX_BERT_CHECKPOINT_ROOT", str(tmp_path / "checkpoints"))
    assert ours("Train", invocation(tmp_path, times=2)) == 3
    left = [*(tmp_path / "checkpoints").iterdir()]
    assert len(left) == 2  # of two seeds
    assert events(capsys)[-1] == progress.Notice("37 of 52,104 rows are bad")
    for place in left:
        place.rmdir()
    assert ours("Train", invocation(tmp_path, times=1)) == 0
    assert not [*(tmp_path / "checkpoints").iterdir()]


def test_kubernetes_is_told_why_a_pod_failed(tmp_path, monkeypatch):
    monkeypatch.setenv("TFX_BERT_CHECKPOINT_ROOT", str(tmp_path / "checkpoints"))
    reason = tmp_path / "termination-log"
    reason.touch()
    monkeypatch.setattr(container, "_TERMINATION", pathlib.Path(reason))
    assert ours("Train", invocation(tmp_path, times=2)) == 3
    assert reason.read_text() == "37 of 52,104 rows are bad"


def test_a_container_starts_from_nothing():
    """Elsewhere in the tests it is a fork of a process that has imported TFX."""
    command = [sys.executable, "-P", "-m", "pipeline.cluster.container"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.endswith("are required: --executor_class_path, --json_serialized_invocation_args\n"), ran.stderr
