"""What is submitted: the same bytes everywhere, read by those who take it, with what the environment says in it."""

import itertools
import os
import pathlib
import runpy
import subprocess
import sys

import pytest
import yaml
from google.auth.credentials import AnonymousCredentials
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec import pipeline_spec_pb2

from configs import environment
from configs.base import ConfigError
from configs.clusters.cluster import NODES
from configs.clusters.kubeflow import Kubeflow
from configs.clusters.pools import Pool
from pipeline import loader
from pipeline.cluster.command import compile_to
from pipeline.cluster.compile import _affinity, compiled
from pipeline.cluster.linter import lint

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = runpy.run_path(str(ROOT / "tests" / "golden" / "compiled.py"))
COMPILED = ROOT / "tests" / "data" / "compiled"
TINY = ROOT / "tests" / "data" / "bert_tiny"
NAMES = [f"{name}-{kind}" for name in GOLDEN["EXPERIMENTS"] for kind in GOLDEN["ENVIRONMENTS"]]
GPU = ("Pretrainer", "Trainer")
KUBEFLOW = f"""\
kind: kubeflow
image: registry.example.org/tfx-bert@sha256:{"0" * 64}
pipeline_root: gs://bucket/runs
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory):
    """A process that writes the golden files in another folder, with another order of sets; and its target."""
    target = tmp_path_factory.mktemp("elsewhere")
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    command = [sys.executable, "-m", "tests.golden.compiled", str(target)]
    environ = {**os.environ, "PYTHONHASHSEED": seed}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True) as process:
        yield process, target
        process.kill()


def made(name="both", kind="kubeflow"):
    return GOLDEN["made"](name, kind)


def with_environment(text, name="both"):
    pathlib.Path("environment.yaml").write_text(text, "utf-8")
    return made(name, "environment.yaml")


def container(compiled_, node):
    return compiled_.pipeline["deploymentSpec"]["executors"][f"{node}_executor"]["container"]


def task(compiled_, node):
    return compiled_.pipeline["root"]["dag"]["tasks"][node]


def pods(compiled_):
    """Kubernetes' part by node."""
    executors = compiled_.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {label.removesuffix("_executor"): pod for label, pod in executors.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_yaml_is_the_recorded_one(name):
    """`python -m tests.golden.compiled` records it anew."""
    assert made(*name.rsplit("-", 1)).text == (COMPILED / f"{name}.yaml").read_text("utf-8")


def test_every_node_of_every_shape_can_be_given_a_pool():
    nodes = {node for name in GOLDEN["EXPERIMENTS"] for node in made(name).nodes}
    # An endpoint adds the one (test_pipeline.py), a search the other, data that lies elsewhere the rest (below).
    assert nodes | {
        "VertexPusher",
        "Tuner",
        "Digest",
        "CatalogueDigest",
        "CorpusDigest",
        "ScoreDigest",
        "TeacherDigest",
    } == set(NODES)


@pytest.mark.parametrize("name", NAMES)
def test_kubeflow_loads_it(name):
    from kfp import components

    component = components.load_component_from_file(str(COMPILED / f"{name}.yaml"))
    assert component.name == name.rpartition("-")[0]
    documents = [*yaml.safe_load_all((COMPILED / f"{name}.yaml").read_text("utf-8"))]
    json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
    assert len(documents) == (2 if name.endswith("kubeflow") else 1)
    for document in documents[1:]:
        platform = json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
        executors = platform.platforms["kubernetes"].deployment_spec.executors
        assert executors
        for pod in executors.values():
            json_format.ParseDict(json_format.MessageToDict(pod), KubernetesExecutorConfig())


@pytest.mark.parametrize("name", GOLDEN["EXPERIMENTS"])
def test_vertex_loads_it(name):
    from google.cloud import aiplatform

    job = aiplatform.PipelineJob(
        display_name=name,
        template_path=str(COMPILED / f"{name}-vertex.yaml"),
        pipeline_root=f"gs://bucket/runs/{name}",
        project="my-project",
        location="europe-west4",
        credentials=AnonymousCredentials(),
    )
    assert job.job_id.startswith(f"{name}-")
    assert set(job.to_dict()["pipelineSpec"]["root"]["dag"]["tasks"]) == set(made(name, "vertex").nodes)


@pytest.mark.parametrize("kind", GOLDEN["ENVIRONMENTS"])
@pytest.mark.parametrize("name", ["sentiment", "from_scratch", "korean"])
def test_the_shipped_experiments_are_clean(name, kind):
    GOLDEN["files"]()
    files = {"sentiment": [f"checkpoint={TINY}", "task.data.path=reviews.csv"], "korean": []}
    overrides = ["corpus={path: text.txt}", *files.get(name, ["task.data.path=reviews.csv"])]
    result = compiled(loader.load(name, overrides), environment.load(kind))
    assert lint.findings(result.pipeline, result.platform, kind) == []


@pytest.mark.parametrize("kind", ["kubeflow", "vertex"])
def test_a_search_is_a_node_whose_choice_the_trainer_gets(kind):
    GOLDEN["files"]()
    overrides = [f"checkpoint={TINY}", "task.data.path=reviews.csv", "corpus=null", "pretrain=null"]
    overrides += ["tune={trials: 2, space: {batch_size: [16, 32]}}"]
    result = compiled(loader.load("sentiment", overrides), environment.load(kind))
    assert lint.findings(result.pipeline, result.platform, kind) == []
    tasks = result.pipeline["root"]["dag"]["tasks"]
    chosen = tasks["Trainer"]["inputs"]["artifacts"]["hyperparameters"]["taskOutputArtifact"]
    assert chosen == {"producerTask": "Tuner", "outputArtifactKey": "best_hyperparameters"}
    executors = result.pipeline["deploymentSpec"]["executors"]
    assert executors["Tuner_executor"]["container"]["env"] == executors["Trainer_executor"]["container"]["env"]


# --- machines ------------------------------------------------------------------------------------------------------


def test_nodes_of_a_gpu_pool_get_its_machines_and_nodes_of_others_are_kept_off_them():
    result = made()
    placed = pods(result)
    assert set(placed) == set(result.nodes) - {"Checkpoint"}
    for node in GPU:
        assert placed[node] == {
            "nodeSelector": {"labels": {"cloud.google.com/gke-nodepool": "l4-spot"}},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "emptyDirMounts": [{"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "8Gi"}],
        }
        assert container(result, node)["resources"]["accelerator"] == {
            "type": "nvidia.com/gpu", "count": "1", "resourceType": "nvidia.com/gpu", "resourceCount": "1",
        }  # fmt: skip
    away = {"key": "cloud.google.com/gke-nodepool", "operator": "NotIn", "values": ["l4-spot"]}
    for node in set(placed) - set(GPU):
        assert placed[node] == {"nodeAffinity": [{"matchExpressions": [away]}]}
        assert container(result, node)["resources"] == {
            "cpuLimit": 8.0, "resourceCpuLimit": "8", "memoryLimit": 34.359738368, "resourceMemoryLimit": "32Gi",
        }  # fmt: skip


def test_vertex_knows_gpus_by_a_name_of_its_own():
    result = made(kind="vertex")
    found = container(result, "Trainer")["resources"]["accelerator"]
    assert (found["type"], found["count"]) == ("NVIDIA_L4", "1")
    assert result.platform == {}
    assert "accelerator" not in container(result, "Evaluator")["resources"]


def test_a_pool_may_say_more_than_where():
    result = with_environment(f"""{KUBEFLOW}\
labels: {{team: nlp}}
timeout_seconds: 86400
image_pull_policy: IfNotPresent
image_pull_secrets: [registry]
pools:
  gpu:
    gpu: {{type: nvidia-tesla-t4, count: 2}}
    labels: {{cost: training}}
    annotations: {{example.org/owner: "Ada L."}}
    tolerations: [{{key: spot, operator: Equal, value: "true", effect: NoExecute, seconds: 30}}]
    affinity: [{{key: gpu, values: [t4]}}, {{key: zone, values: [a], weight: 10}}]
nodes: {{Trainer: gpu}}
""")
    assert container(result, "Trainer")["resources"]["accelerator"]["count"] == "2"
    assert pods(result)["Trainer"] == {
        "podMetadata": {
            "labels": {"team": "nlp", "cost": "training"},
            "annotations": {"example.org/owner": "Ada L."},
        },
        "activeDeadlineSeconds": "86400",
        "imagePullPolicy": "IfNotPresent",
        "imagePullSecret": [{"secretName": "registry"}],
        "tolerations": [
            {
                "key": "spot", "operator": "Equal", "value": "true", "effect": "NoExecute",
                "tolerationSeconds": "30",
            }
        ],
        "nodeAffinity": [
            {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["t4"]}]},
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}], "weight": 10},
        ],
    }  # fmt: skip
    assert "resources" not in container(result, "Evaluator")
    assert lint.findings(result.pipeline, result.platform, "kubeflow") == []


def test_volumes_and_secrets_are_in_every_container():
    result = with_environment(
        f"""{KUBEFLOW.replace("gs://", "s3://")}\
workspace: /data/tfx-bert
volumes: [{{claim: corpora, mount: /data}}]
secrets: [{{name: kaggle, env: {{key: KAGGLE_KEY}}}}, {{name: certificates, mount: /certificates}}]
""",
        "scratch",
    )
    assert set(pods(result)) == set(result.nodes)
    for pod in pods(result).values():
        assert pod == {
            "pvcMount": [{"constant": "corpora", "mountPath": "/data"}],
            "secretAsEnv": [{"secretName": "kaggle", "keyToEnv": [{"secretKey": "key", "envVar": "KAGGLE_KEY"}]}],
            "secretAsVolume": [{"secretName": "certificates", "mountPath": "/certificates"}],
        }
    # What the nodes read and write lies on the volume.
    assert task(result, "BaselineVersion")["inputs"]["parameters"]["pushed"]["runtimeValue"]["constant"] == (
        "/data/tfx-bert/scratch/serving_model/scratch"
    )
    assert lint.findings(result.pipeline, result.platform, "kubeflow") == []


# kubeflow/pipelines at 2.3.0, kubernetes_platform/proto/kubernetes_executor_config.proto: what its driver parses, as
# later ones do; anything else ends the run ("unknown field"). Of each message what may be in it.
KNOWN = {
    "secretAsVolume": {"secretName": {}, "mountPath": {}, "optional": {}},
    "secretAsEnv": {"secretName": {}, "keyToEnv": {"secretKey": {}, "envVar": {}}},
    "pvcMount": {"constant": {}, "componentInputParameter": {}, "mountPath": {}},
    "nodeSelector": {"labels": None},
    "podMetadata": {"labels": None, "annotations": None},
    "imagePullSecret": {"secretName": {}},
    "imagePullPolicy": {},
    "activeDeadlineSeconds": {},
    "tolerations": {"key": {}, "operator": {}, "value": {}, "effect": {}, "tolerationSeconds": {}},
    "nodeAffinity": {"matchExpressions": {"key": {}, "operator": {}, "values": {}}, "weight": {}},
    "emptyDirMounts": {"volumeName": {}, "mountPath": {}, "medium": {}, "sizeLimit": {}},
}
EVERYTHING = f"""\
{KUBEFLOW.replace("gs://", "s3://")}workspace: /data
volumes: [{{claim: corpora, mount: /data}}]
secrets: [{{name: a, env: {{key: KEY}}}}, {{name: b, mount: /b}}]
image_pull_secrets: [registry]
image_pull_policy: Always
timeout_seconds: 60
labels: {{team: nlp}}
pools:
  cpu: {{cpu: 1}}
  gpu:
    gpu: {{type: x}}
    shared_memory: 8Gi
    node_selector: {{pool: gpu}}
    tolerations: [{{key: x, value: "true", effect: NoExecute, seconds: 1}}]
    affinity: [{{key: y, values: [z]}}, {{key: z, values: [z], weight: 1}}]
    annotations: {{note: text}}
nodes: {{default: cpu, Trainer: gpu}}
"""


def test_a_pod_has_no_field_that_the_oldest_driver_does_not_know():
    def check(value, known):
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict) and known is not None:
                assert each.keys() <= known.keys()
                for key, inner in each.items():
                    check(inner, known[key])

    placed = pods(with_environment(EVERYTHING, "scratch"))
    assert {key for pod in placed.values() for key in pod} == KNOWN.keys()
    for pod in placed.values():
        check(pod, KNOWN)


def test_cores_are_written_as_kubernetes_reads_them():
    result = with_environment(
        f"{KUBEFLOW}pools: {{a: {{cpu: 1234.5, memory: 1e9}}}}\nnodes: {{default: a}}\n".replace("1e9", "'1e9'"),
        "scratch",
    )
    assert container(result, "Trainer")["resources"] == {
        "cpuLimit": 1234.5, "resourceCpuLimit": "1234.5", "memoryLimit": 1.0, "resourceMemoryLimit": "1e9",
    }  # fmt: skip


# The labels of the machines of GPU pools, and whether each key tells pools apart: brute force over every machine.
SELECTORS = [
    [{"pool": "l4"}],
    [{"pool": "l4", "kubernetes.io/os": "linux"}],
    [{"pool": "l4", "gpu": "yes"}],
    [{"pool": "l4"}, {"pool": "a100"}],
    [{"pool": "l4", "gpu": "yes"}, {"pool": "a100", "gpu": "yes"}],
    [{"pool": "l4"}, {"gpu": "a100", "topology.kubernetes.io/zone": "a"}],
    [{"pool": "l4", "gpu": "yes"}, {"disk": "ssd", "kubernetes.io/arch": "amd64"}],
    [{"kubernetes.io/hostname": "one", "topology.kubernetes.io/region": "a"}, {"pool": "l4"}],
    [{"kubernetes.io/os": "linux"}],
]
EVERYWHERE = ("kubernetes.io/os", "kubernetes.io/arch", "kubernetes.io/hostname", "topology.kubernetes.io/zone",
              "topology.kubernetes.io/region")  # fmt: skip


@pytest.mark.parametrize("selectors", SELECTORS)
def test_a_node_without_a_gpu_runs_on_every_machine_of_no_gpu_pool(selectors):
    gpus = {f"gpu{number}": Pool(gpu={"type": "x"}, node_selector=each) for number, each in enumerate(selectors)}
    place = Kubeflow(kind="kubeflow", image="x", pipeline_root="gs://bucket/runs", pools={"cpu": Pool(), **gpus})
    terms = [*_affinity(place.pools["cpu"], place)]
    assert [*_affinity(place.pools["gpu0"], place)] == []
    keys = sorted({key for each in selectors for key in each})
    values = [[None, "other", *{each[key] for each in selectors if key in each}] for key in keys]
    for labels in itertools.product(*values):
        machine = {key: value for key, value in zip(keys, labels, strict=True) if value is not None}
        telling = [{key: each[key] for key in each if key not in EVERYWHERE} for each in selectors]
        of_a_pool = any(each and each.items() <= machine.items() for each in telling)
        assert _schedules(terms, machine) is not of_a_pool, machine


def test_a_gpu_pool_may_be_known_by_rules():
    rules = [{"key": "product", "values": ["a", "b"]}, {"key": "count", "operator": "Gt", "values": ["3"]},
             {"key": "rdma", "operator": "Exists"}, {"key": "zone", "values": ["z"], "weight": 1}]  # fmt: skip
    pool = Pool(gpu={"type": "x"}, affinity=rules)
    place = Kubeflow(kind="kubeflow", image="x", pipeline_root="gs://bucket/runs", pools={"cpu": Pool(), "gpu": pool})
    terms = [*_affinity(place.pools["cpu"], place)]
    for product, rdma in itertools.product((None, "a", "b", "c"), (None, "yes")):
        machine = {key: value for key, value in (("product", product), ("rdma", rdma)) if value}
        assert _schedules(terms, machine) is not (product in ("a", "b") and bool(rdma))


def _schedules(terms, machine):
    """nodeSelectorTerms, of which one must match, with all that it asks for; NotIn holds where there is no label.

    k8s.io/component-helpers scheduling/corev1/nodeaffinity, k8s.io/apimachinery labels.Requirement.Matches.
    """

    def matches(rule):
        value = machine.get(rule["key"])
        return {
            "In": value in rule["values"], "NotIn": value not in rule["values"],
            "Exists": value is not None, "DoesNotExist": value is None,
        }[rule["operator"]]  # fmt: skip

    return not terms or any(all(map(matches, term["matchExpressions"])) for term in terms)


# backend/src/v2: metadata/env.go, objectstore/config.go, cacheutils/cache.go; client-go's rest.InClusterConfig.
CLUSTER = {
    *("localhost", "metadata-grpc-service", "metadata-grpc-service.kubeflow", "minio-service.kubeflow"),
    *("ml-pipeline.kubeflow", ".svc", "$(METADATA_GRPC_SERVICE_SERVICE_HOST)", "$(MINIO_SERVICE_SERVICE_HOST)"),
    *("$(ML_PIPELINE_SERVICE_HOST)", "$(KUBERNETES_SERVICE_HOST)"),
}
PROXY = "secrets: [{name: proxy, env: {a: https_proxy}}, {name: other, env: {b: KEY}}]\n"


@pytest.mark.parametrize("more", ["", "no_proxy: [.example.org, 10.0.0.0/8]\n"])
def test_a_proxy_is_not_asked_for_what_is_in_the_cluster(more):
    result = with_environment(f"{KUBEFLOW}{PROXY}{more}", "both")
    for node in set(result.nodes) - {"Checkpoint"}:
        variables = {each["name"]: each["value"] for each in container(result, node)["env"]}
        assert variables["NO_PROXY"] == variables["no_proxy"]
        hosts = variables["NO_PROXY"].split(",")
        assert {*hosts} > CLUSTER
        assert hosts[-2:] == (
            [".example.org", "10.0.0.0/8"] if more else ["metadata.google.internal", "169.254.169.254"]
        )
        assert ("TFX_BERT_RESUME" in variables) is (node in GPU)
    assert lint.findings(result.pipeline, result.platform, "kubeflow") == []


# --- reuse, retries, settings ----------------------------------------------------------------------------------------


def cached(result):
    return {node for node in result.nodes if task(result, node)["cachingOptions"]["enableCache"]}


@pytest.mark.parametrize("kind", GOLDEN["ENVIRONMENTS"])
def test_what_looks_at_other_runs_is_never_cached(kind):
    result = made(kind=kind)
    assert cached(result) == set(result.nodes) - {"BaselineVersion", "Pusher"}


@pytest.mark.parametrize("kind", GOLDEN["ENVIRONMENTS"])
def test_files_that_are_read_where_they_lie_are_looked_at_in_every_run(kind):
    """Each source by a node of its own, whose output decides whether its ExampleGen runs."""
    made("both")  # writes both.yaml
    elsewhere = {"corpus": "text.txt", "task.data": "reviews.csv", "score": "new.csv"}
    settings = [f"{source}.path=gs://bucket/{file}" for source, file in elsewhere.items()]
    result = compiled(loader.load("both.yaml", settings), environment.load(kind))
    digests = {"Digest": "ExampleGen", "CorpusDigest": "CorpusExampleGen", "ScoreDigest": "ScoreExampleGen"}
    assert cached(result) == set(result.nodes) - {"BaselineVersion", "Pusher", *digests}
    for node, reader in digests.items():
        given = task(result, reader)["inputs"]["parameters"]["input_digest"]
        assert given == {"taskOutputParameter": {"producerTask": node, "outputParameterKey": "digest"}}
        assert task(result, reader)["dependentTasks"] == [node]
        declared = result.pipeline["components"][node]["outputDefinitions"]
        assert declared["parameters"] == {"digest": {"parameterType": "STRING"}}
        read = [task(result, each)["inputs"]["parameters"]["source"] for each in (node, reader)]
        assert read[0] == read[1]
    assert lint.findings(result.pipeline, result.platform, kind) == []
    assert not {each.rpartition("/")[2] for each in result.imports} & set(elsewhere.values())


def test_files_of_this_machine_are_looked_at_here():
    assert not any(node.endswith("Digest") for node in made().nodes)


def test_nothing_is_cached_where_that_is_asked():
    made("scratch")
    experiment = loader.load("scratch.yaml")
    assert cached(compiled(experiment, environment.load("kubeflow"), cache=False)) == set()
    assert cached(with_environment(f"{KUBEFLOW}caching: false\n", "scratch")) == set()


@pytest.mark.parametrize(("kind", "longest"), [("kubeflow", "2592000s"), ("vertex", "3600s")])
def test_containers_are_tried_again_and_importers_are_not(kind, longest):
    result = made(kind=kind)
    for node in result.nodes:
        policy = task(result, node).get("retryPolicy")
        assert policy == (
            None
            if node == "Checkpoint"
            else {
                "maxRetryCount": 2, "backoffDuration": "30s", "backoffFactor": 2.0, "backoffMaxDuration": longest,
            }
        )  # fmt: skip


def test_trainings_know_where_their_checkpoints_are():
    result = made()
    for node in result.nodes:
        if node == "Checkpoint":
            continue
        variables = {each["name"]: each["value"] for each in container(result, node).get("env", ())}
        told = {
            "TFX_BERT_CHECKPOINT_ROOT": "gs://bucket/runs/both/checkpoints",
            "TFX_BERT_CHECKPOINT_SECONDS": "600.0",
            "TFX_BERT_RESUME": "1",
        }
        assert variables == (told if node in GPU else {})


def test_every_file_that_a_node_reads_is_named_with_its_address():
    result = made()
    names = sorted({address.rpartition("/")[2] for address in result.imports})
    assert names == [
        "config.json", "model.safetensors", "reviews.csv", "schema.pbtxt", "text.txt", "tokenizer_config.json",
        "vocab.txt",
    ]  # fmt: skip
    for address, file in result.imports.items():
        assert address.startswith("gs://bucket/runs/both/imports/")
        assert file.is_file()


@pytest.mark.parametrize("root", ["minio://mlpipeline/runs", "s3://bucket/runs"])
def test_a_checkpoint_on_a_volume_is_imported_by_a_node_of_ours(root):
    """Kubeflow's importer reads object stores only (importer_launcher.go)."""
    result = with_environment(
        f"""{KUBEFLOW.replace("gs://bucket/runs", root)}\
workspace: /workspace
volumes: [{{claim: tfx-bert, mount: /workspace}}]
pools: {{cpu: {{cpu: 2}}}}
nodes: {{Checkpoint: cpu}}
"""
    )
    assert lint.findings(result.pipeline, result.platform, "kubeflow") == []
    assert container(result, "Checkpoint")["resources"]["resourceCpuLimit"] == "2"
    assert pods(result)["Checkpoint"]["pvcMount"][0]["mountPath"] == "/workspace"
    source = task(result, "Checkpoint")["inputs"]["parameters"]["source_uri"]["runtimeValue"]["constant"]
    assert f"{source}/Format-Serving/assets.extra/checkpoint/vocab.txt" in result.imports
    for node in ("VocabularyGen", "Pretrainer"):
        (base,) = [
            given["taskOutputArtifact"]
            for key, given in task(result, node)["inputs"]["artifacts"].items()
            if key == "base_model"
        ]
        assert base == {"producerTask": "Checkpoint", "outputArtifactKey": "model"}
    assert cached(result) == set(result.nodes) - {"BaselineVersion", "Pusher"}


def secrets(result, node="Trainer"):
    return {
        each["secretName"]: {key["secretKey"]: key["envVar"] for key in each["keyToEnv"]}
        for each in pods(result).get(node, {}).get("secretAsEnv", [])
    }


def test_a_workspace_in_s3_needs_no_volume():
    result = with_environment(KUBEFLOW.replace("gs://bucket/runs", "s3://bucket/runs"))
    assert lint.findings(result.pipeline, result.platform, "kubeflow") == []
    assert result.platform == {}
    variables = {each["name"]: each["value"] for each in container(result, "Trainer")["env"]}
    assert variables["TFX_BERT_CHECKPOINT_ROOT"] == "s3://bucket/runs/both/checkpoints"
    assert all(address.startswith("s3://bucket/runs/both/imports/") for address in result.imports)
    assert "Checkpoint" in cached(result)


def test_nodes_reach_kubeflows_own_store_with_its_own_keys_unless_others_are_named():
    kubeflow = KUBEFLOW.replace("gs://bucket/runs", "minio://mlpipeline/runs")
    own = {"accesskey": "AWS_ACCESS_KEY_ID", "secretkey": "AWS_SECRET_ACCESS_KEY"}
    assert secrets(with_environment(kubeflow)) == {"mlpipeline-minio-artifact": own}
    mine = "secrets: [{name: minio, env: {id: AWS_ACCESS_KEY_ID, key: AWS_SECRET_ACCESS_KEY}}]\n"
    assert set(secrets(with_environment(kubeflow + mine))) == {"minio"}
    # The launcher alone reads and writes pipeline_root.
    volume = "workspace: /data\nvolumes: [{claim: tfx-bert, mount: /data}]\n"
    assert secrets(with_environment(kubeflow + volume)) == {}
    pathlib.Path("environment.yaml").write_text(kubeflow + volume, "utf-8")
    read = loader.load("both.yaml", ["task.data.path=minio://mlpipeline/reviews.csv"])
    assert set(secrets(compiled(read, environment.load("environment.yaml")))) == {"mlpipeline-minio-artifact"}


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_writes_the_yaml_and_prints_notices(capsys):
    made("scratch")
    text = KUBEFLOW.replace(f"@sha256:{'0' * 64}", ":1.0")
    pathlib.Path("environment.yaml").write_text(text, "utf-8")
    compile_to(loader.load("scratch.yaml"), environment.load("environment.yaml"), None, cache=True)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("! Baseline, DataGate, Evaluator and 8 more: is cached under the image ")
    assert printed[0].endswith("give its digest, or set caching: false")
    assert printed[1] == "build/scratch-kubeflow.yaml: 13 nodes for kubeflow"
    written = pathlib.Path("build/scratch-kubeflow.yaml").read_text("utf-8")
    assert written == compiled(loader.load("scratch.yaml"), environment.load("environment.yaml")).text
    assert [file.name for file in pathlib.Path("build").iterdir()] == ["scratch-kubeflow.yaml"]


def test_the_command_writes_nothing_that_would_be_refused():
    made("scratch")
    pathlib.Path("environment.yaml").write_text(f"{KUBEFLOW}pools: {{small: {{memory: '512'}}}}\n"
                                                "nodes: {Trainer: small}\n", "utf-8")  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        compile_to(loader.load("scratch.yaml"), environment.load("environment.yaml"), "made.yaml", cache=True)
    assert str(caught.value) == (
        "Trainer: asks for 512 bytes of memory, with which no container starts (Kubernetes); write the unit too, such "
        "as 512Mi"
    )
    assert not pathlib.Path("made.yaml").exists()


def test_another_process_in_another_folder_writes_the_same_bytes(elsewhere):
    process, target = elsewhere
    _, told = process.communicate()
    assert process.returncode == 0, told
    assert {file.stem: file.read_bytes() for file in target.iterdir()} == {
        name: (COMPILED / f"{name}.yaml").read_bytes() for name in NAMES
    }
