from pathlib import Path

import pytest

from configs import environment
from configs.base import ConfigError
from configs.clusters.kubeflow import Kubeflow
from configs.clusters.pools import quantity
from configs.clusters.vertex import Vertex

# The digest of its image is an ellipsis: it loads, and `compile` refuses it.
GOLDEN = Path(__file__).parents[3] / "data" / "experiments" / "cluster.yaml"
KUBEFLOW = """\
kind: kubeflow
image: registry.example.org/tfx-bert:1.0
pipeline_root: gs://bucket/runs
"""
VERTEX = """\
kind: vertex
project: my-project
region: europe-west4
image: europe-west4-docker.pkg.dev/my-project/nlp/tfx-bert:1.0
pipeline_root: gs://bucket/runs
"""
L4 = """\
pools:
  cpu: {cpu: 8}
  l4:
    gpu: {type: nvidia-l4}
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def given(text):
        Path("e.yaml").write_text(text, "utf-8")
        return environment.load("e.yaml")

    return given


@pytest.fixture
def faults(load):
    def given(text):
        with pytest.raises(ConfigError) as caught:
            load(text)
        return str(caught.value).split("\n")

    return given


def test_an_environment_with_gpu_node_pools():
    found = environment.load(str(GOLDEN))
    assert isinstance(found, Kubeflow)
    assert (found.host, found.namespace, found.service_account) == (
        "https://kfp.example.org",
        "nlp",
        "pipeline-runner",
    )
    name, pool = found.machine("Trainer")
    assert (name, pool.gpu.type, pool.gpu.count, pool.gpu.resource) == ("l4", "nvidia-l4", 1, "nvidia.com/gpu")
    assert (pool.cpu, pool.memory, pool.shared_memory) == (8, "48Gi", "8Gi")
    assert pool.node_selector == {"cloud.google.com/gke-nodepool": "l4-spot"}
    assert [(each.key, each.operator) for each in pool.tolerations] == [("nvidia.com/gpu", "Exists")]
    assert found.machine("StatisticsGen")[0] == "cpu"
    assert found.home("reviews") == "gs://bucket/runs/reviews"
    assert found.pushed("reviews") == "gs://bucket/runs/reviews/serving_model/reviews"
    assert found.checkpoints("reviews") == "gs://bucket/runs/reviews/checkpoints"
    assert found.beam_pipeline_args == ["--runner=DirectRunner", "--direct_running_mode=in_memory"]


@pytest.mark.parametrize(("name", "kind"), [("kubeflow", Kubeflow), ("vertex", Vertex)])
def test_shipped_environments(name, kind):
    found = environment.load(name)
    assert isinstance(found, kind)
    assert found.machine("Trainer")[0] == "l4"
    assert found.machine("Evaluator")[0] == "cpu"


def test_everything_that_kubeflow_takes(load):
    found = load(f"""{KUBEFLOW}{L4}\
workspace: /data/tfx-bert/
nodes: {{Trainer: l4}}
auth: {{token: KFP_TOKEN}}
secrets: [{{name: kaggle, env: {{key: KAGGLE_KEY}}}}, {{name: certificates, mount: /certificates}}]
volumes: [{{claim: corpora, mount: /data}}]
image_pull_secrets: [registry]
labels: {{example.org/team: nlp}}
retries: {{count: 3}}
timeout_seconds: 86400
""")
    assert found.home("reviews") == "/data/tfx-bert/reviews"
    assert found.mounted == ("/data/",)
    assert found.machine("Trainer")[0] == "l4"
    assert found.machine("Evaluator") is None  # the platform decides
    assert (found.retries.count, found.retries.factor) == (3, 2)


DATAFLOW = (
    "beam: {runner: DataflowRunner, options: {temp_location: gs://bucket/tmp, sdk_container_image: x.org/beam:1}}\n"
)


def test_dataflow_works_where_vertex_does(load):
    found = load(f"{VERTEX}{DATAFLOW}")
    assert found.beam_pipeline_args == [
        "--project=my-project",
        "--region=europe-west4",
        "--runner=DataflowRunner",
        "--temp_location=gs://bucket/tmp",
        "--sdk_container_image=x.org/beam:1",
    ]


@pytest.mark.parametrize(
    ("text", "bytes_"), [("512", 512), ("1k", 1000), ("1Ki", 1024), ("48Gi", 48 * 2**30), ("1.5G", 1_500_000_000)]
)
def test_quantities_are_those_of_kubernetes(load, text, bytes_):
    found = load(f'{KUBEFLOW}pools: {{cpu: {{memory: "{text}"}}}}\n')
    assert quantity(found.pools["cpu"].memory) == bytes_


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{KUBEFLOW}hots: x\n", "e.yaml:4 $.hots: unknown key, did you mean host?"),
        (f"{KUBEFLOW}{L4}    node_selectr: {{pool: l4}}\n",
         "e.yaml:8 $.pools.l4.node_selectr: unknown key, did you mean node_selector?"),
        (f"{KUBEFLOW}{L4}    tolerations: [{{key: gpu, operater: Exists}}]\n",
         "e.yaml:8 $.pools.l4.tolerations[0].operater: unknown key, did you mean operator?"),
        (f"{KUBEFLOW}{L4}    tolerations: [{{key: gpu, operator: Exist}}]\n",
         "e.yaml:8 $.pools.l4.tolerations[0].operator: allowed Equal|Exists, received 'Exist', did you mean Exists?"),
        (f"{VERTEX}{L4}    node_selector: {{pool: l4}}\n",
         "e.yaml:10 $.pools.l4.node_selector: unknown key, allowed cpu, memory, gpu, workers, machine_type"),
        (f"{KUBEFLOW}{L4}nodes: {{Trainer: l5}}\n",
         "e.yaml:8 $.nodes.Trainer: allowed cpu|l4, received 'l5'"),
        (f"{KUBEFLOW}{L4}nodes: {{Trainer: l4s}}\n",
         "e.yaml:8 $.nodes.Trainer: allowed cpu|l4, received 'l4s', did you mean l4?"),
        (f"{KUBEFLOW}nodes: {{Trainer: l4}}\n",
         "e.yaml:4 $.nodes.Trainer: received 'l4', and there are no pools"),
        (f"{KUBEFLOW}{L4}nodes: {{trainr: l4}}\n",
         "e.yaml:8 $.nodes.trainr: there is no node 'trainr'; did you mean Trainer?"),
        (f"{KUBEFLOW}{L4}nodes: {{Checkpoint: l4}}\n",
         "e.yaml:8 $.nodes.Checkpoint: it only names files and runs on no machine; leave it out"),
        (f"{KUBEFLOW}pools: {{cpu: {{memory: 32ki}}}}\n",
         "e.yaml:4 $.pools.cpu.memory: takes a Kubernetes quantity such as 32Gi, received '32ki'"),
        (f"{KUBEFLOW}pools: {{cpu: {{memory: 32 GB}}}}\n",
         "e.yaml:4 $.pools.cpu.memory: takes a Kubernetes quantity such as 32Gi, received '32 GB'"),
        (f"{KUBEFLOW}pools: {{cpu: {{cpu: 0}}}}\n", "e.yaml:4 $.pools.cpu.cpu: must be more than 0.0, received 0"),
        (KUBEFLOW.replace("gs://bucket/runs", "bucket/runs"),
         "e.yaml:3 $.pipeline_root: takes an address such as gs://bucket/runs, or an absolute path on a volume; "
         "received 'bucket/runs'"),
        (KUBEFLOW.replace("gs://bucket/runs", "/data/runs"),
         "e.yaml:3 $.pipeline_root: Kubeflow takes gs://, s3:// or minio://, received '/data/runs'"),
        (KUBEFLOW.replace("gs://bucket/runs", "abfs://bucket/runs"),
         "e.yaml:3 $.pipeline_root: Kubeflow takes gs://, s3:// or minio://, received 'abfs://bucket/runs'"),
        (KUBEFLOW.replace("gs://bucket/runs", "s3://key:secret@bucket/runs"),
         "e.yaml:3 $.pipeline_root: takes s3://BUCKET/FOLDER: a bucket of lower-case letters, digits, -, _ and "
         "., and no keys, options or globs; keys and endpoints are variables (AWS_…), which secrets: sets"),
        (KUBEFLOW.replace("gs://bucket/runs", "minio:///runs"),
         "e.yaml:3 $.pipeline_root: takes minio://BUCKET/FOLDER: a bucket of lower-case letters, digits, -, _ and ., "
         "and no keys, options or globs; keys and endpoints are variables (AWS_…), which secrets: sets"),
        (f"{KUBEFLOW}workspace: s3://bucket/a?region=eu-west-1\n",
         "e.yaml:4 $.workspace: takes s3://BUCKET/FOLDER: a bucket of lower-case letters, digits, -, _ and "
         "., and no keys, options or globs; keys and endpoints are variables (AWS_…), which secrets: sets"),
        (f"{KUBEFLOW}workspace: /data\n",
         "e.yaml:4 $.workspace: no volume is mounted at /data; give a gs://, s3:// or minio:// address, or a folder on "
         "one of the volumes"),
        (f"{KUBEFLOW}workspace: hdfs://name/a\n",
         "e.yaml:4 $.workspace: takes gs://, s3://, minio:// or a folder on a volume, received 'hdfs://name/a'"),
        (f"{VERTEX}workspace: s3://bucket\n",
         "e.yaml:6 $.workspace: Vertex takes a gs:// address, received 's3://bucket'"),
        (VERTEX.replace("gs://", "s3://"),
         "e.yaml:5 $.pipeline_root: Vertex takes a gs:// address, received 's3://bucket/runs'"),
        (KUBEFLOW.replace("registry", "https://registry"),
         "e.yaml:2 $.image: takes a container image such as registry.example.org/tfx-bert:1.0, received "
         "'https://registry.example.org/tfx-bert:1.0'"),
        (f"{KUBEFLOW}{DATAFLOW}",
         "e.yaml:4 $.beam.runner: TensorFlow leaves empty objects for folders on gs://, and Kubeflow's launcher cannot "
         "download them (kubeflow/pipelines#13476); use DirectRunner, or kind: vertex"),
        (f"{VERTEX}beam: {{runner: DataflowRunner}}\n",
         "e.yaml:6 $.beam.options: DataflowRunner needs temp_location and sdk_container_image too"),
        (f"{VERTEX}{DATAFLOW.replace('gs://bucket/tmp', '/tmp')}",
         "e.yaml:6 $.beam.options.temp_location: Dataflow takes a gs:// address, received '/tmp'"),
        (f"{VERTEX}{DATAFLOW.replace('x.org/beam:1', 'europe-west4-docker.pkg.dev/my-project/nlp/tfx-bert:1.0')}",
         "e.yaml:6 $.beam.options.sdk_container_image: the nodes' image cannot start Beam's workers; give the image of "
         "deploy/Dockerfile's target dataflow"),
        (f"{KUBEFLOW}beam: {{runner: FlinkRunner}}\n",
         "e.yaml:4 $.beam.runner: allowed DirectRunner|DataflowRunner, received 'FlinkRunner'"),
        (f"{KUBEFLOW}auth: {{token: KFP_TOKEN, in_cluster: true}}\n",
         "e.yaml:4 $.auth: there is one way to say who asks; received token and in_cluster"),
        (f"{KUBEFLOW}service_account: runner@my-project.iam.gserviceaccount.com\n",
         "e.yaml:4 $.service_account: takes the name of a Kubernetes service account, received "
         "'runner@my-project.iam.gserviceaccount.com'; Workload Identity binds it to one of Google Cloud's"),
        (f"{VERTEX}service_account: runner\n",
         "e.yaml:6 $.service_account: Vertex takes its e-mail address, received 'runner'"),
        (f"{VERTEX}pools: {{two: {{workers: 2}}}}\n",
         "e.yaml:6 $.pools.two: 2 workers need a machine_type, such as g2-standard-8"),
        (f"{VERTEX}pools: {{one: {{machine_type: g2-standard-8}}}}\n",
         "e.yaml:6 $.pools.one: machine_type is of several workers; for one give cpu and memory, which Vertex chooses "
         "by"),
        (f"{VERTEX}pools: {{two: {{workers: 2, machine_type: g2-standard-8, cpu: 8}}}}\n",
         "e.yaml:6 $.pools.two: g2-standard-8 has its own cpu and memory; leave them out"),
        (f"{VERTEX}pools: {{two: {{workers: 2, machine_type: g2-standard-8}}}}\nnodes: {{default: two}}\n",
         "e.yaml:7 $.nodes.default: only Pretrainer and Trainer run on several workers; two has several"),
        (f"{KUBEFLOW}schedule: '@daily'\n",
         "e.yaml:4 $.schedule: takes minute, hour, day, month and weekday, a second before them where wanted: "
         "'0 3 * * MON' is every Monday at 03:00; received '@daily'"),
        (f"{VERTEX}schedule: 0 0 3 * * MON\n",
         "e.yaml:6 $.schedule: takes minute, hour, day, month and weekday, a time zone before them where wanted: "
         "'0 3 * * MON' is every Monday at 03:00; received '0 0 3 * * MON'"),
        (f"{VERTEX}schedule: 0 24 * * *\n",
         "e.yaml:6 $.schedule: a hour is * or 0 to 23: '0 3 * * MON' is every Monday at 03:00; received '24' in "
         "'0 24 * * *'"),
        (f"{VERTEX}schedule: 0 3 * * SO\n",
         "e.yaml:6 $.schedule: a weekday is * or 0 to 6 or SUN to SAT: '0 3 * * MON' is every Monday at 03:00; "
         "received 'SO' in '0 3 * * SO'"),
        (f"{VERTEX}schedule: TZ=Europe/Seoul 0 3 * * *\n",
         "e.yaml:6 $.schedule: there is no time zone 'Europe/Seoul'; one is Asia/Seoul, as in "
         "'TZ=Asia/Seoul 0 3 * * MON'"),
        (f"{KUBEFLOW}labels: {{my team: nlp}}\n",
         "e.yaml:4 $.labels.my team: takes a label's key such as team or example.org/team, its name letters, digits, "
         "-, _ and ., at most 63; received 'my team'"),
        (f"{KUBEFLOW}{L4}    node_selector: {{pool: l4 spot}}\n",
         "e.yaml:8 $.pools.l4.node_selector.pool: takes letters, digits, -, _ and ., at most 63, a letter or digit "
         "first and last; received 'l4 spot'"),
        (f"{VERTEX}labels: {{team: NLP}}\n",
         "e.yaml:6 $.labels.team: takes lower-case letters, digits, - and _, at most 63; received 'NLP'"),
        (f"{VERTEX}labels: {{1st: nlp}}\n",
         "e.yaml:6 $.labels.1st: takes a label's key, a lower-case letter first; received '1st'"),
        (f"{VERTEX}labels: {{'': nlp}}\n",
         "e.yaml:6 $.labels.: takes a label's key, a lower-case letter first; received ''"),
        (f"{VERTEX}labels: {{vertex-ai-pipelines-run-billing-id: x}}\n",
         "e.yaml:6 $.labels.vertex-ai-pipelines-run-billing-id: is a label that Vertex writes; leave it out"),
        (f"{VERTEX}labels: {dict.fromkeys((f'a{number}' for number in range(65)), 'x')}\n",
         "e.yaml:6 $.labels: takes at most 64 labels, received 65"),
        (f"{VERTEX}network: default\n",
         "e.yaml:6 $.network: takes projects/NUMBER/global/networks/NAME, with the project's number, such as "
         "projects/123456789012/global/networks/default; received 'default'"),
        (f"{VERTEX}network: projects/my-project/global/networks/default\n",
         "e.yaml:6 $.network: takes projects/NUMBER/global/networks/NAME, with the project's number, such as "
         "projects/123456789012/global/networks/default; received 'projects/my-project/global/networks/default'"),
        (f"{VERTEX}encryption_key: my-key\n",
         "e.yaml:6 $.encryption_key: takes projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY, received "
         "'my-key'"),
        (f"{KUBEFLOW}secrets: [{{name: kaggle}}]\n",
         "e.yaml:4 $.secrets[0]: no node would see it: give env: {KEY: VARIABLE}, or mount: /folder"),
        (f"{KUBEFLOW}{L4}    tolerations: [{{key: spot, operator: Exists, seconds: 30}}]\n",
         "e.yaml:8 $.pools.l4.tolerations[0]: seconds counts from when a pod is told to leave: it needs effect: "
         "NoExecute"),
        (f"{KUBEFLOW}{L4}    affinity: [{{key: pool}}]\n",
         "e.yaml:8 $.pools.l4.affinity[0]: operator In takes values; received []"),
        (f"{KUBEFLOW}{L4}    affinity: [{{key: pool, operator: Exists, values: [l4]}}]\n",
         "e.yaml:8 $.pools.l4.affinity[0]: operator Exists takes no values; received ['l4']"),
        (f'{KUBEFLOW}{L4}    affinity: [{{key: gpus, operator: Gt, values: [two]}}]\n',
         "e.yaml:8 $.pools.l4.affinity[0]: operator Gt takes one value, a whole number; received ['two']"),
        (f"{KUBEFLOW}retries: {{factor: 1.5}}\n",
         "e.yaml:4 $.retries.factor: expected a whole number, received 1.5"),
    ],
)  # fmt: skip
def test_a_fault_names_its_place_what_was_received_and_the_cure(faults, text, line):
    assert faults(text) == [line]


def test_every_fault_is_told_at_once_in_the_order_of_the_file(faults):
    text = f"{KUBEFLOW.replace('gs://bucket/runs', '/runs')}{L4}nodes: {{Trainer: l5, Evaluater: cpu, default: gpu}}\n"
    assert faults(text) == [
        "e.yaml:3 $.pipeline_root: Kubeflow takes gs://, s3:// or minio://, received '/runs'",
        "e.yaml:8 $.nodes.Trainer: allowed cpu|l4, received 'l5'",
        "e.yaml:8 $.nodes.Evaluater: there is no node 'Evaluater'; did you mean Evaluator?",
        "e.yaml:8 $.nodes.default: allowed cpu|l4, received 'gpu', did you mean cpu?",
    ]


def test_a_secret_that_was_written_down_is_not_repeated(faults):
    (line,) = faults(f"{KUBEFLOW}auth: {{token: eyJhbGciOiJSUzI1NiJ9.eyJzdWIi}}\n")
    assert line == (
        "e.yaml:4 $.auth.token: takes the name of an environment variable, such as KFP_TOKEN; never the secret itself"
    )
