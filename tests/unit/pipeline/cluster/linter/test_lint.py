"""Every rule against a pipeline that the real compiler made, with one fault put into it."""

import copy
import json
import pathlib
import re

import pytest
import yaml
from tfx.components.example_gen.csv_example_gen.component import CsvExampleGen
from tfx.dsl.component.experimental.annotations import OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig
from tfx.orchestration.pipeline import Pipeline
from tfx.types import Channel, standard_artifacts

from configs.base import ConfigError
from pipeline.cluster.compile import Compiled
from pipeline.cluster.linter import lint
from pipeline.cluster.linter.finding import lines

GOLDEN = pathlib.Path(__file__).parents[4] / "data" / "compiled"


@pytest.fixture(scope="module")
def golden():
    """The documents of every golden file, by its name."""
    return {file.stem: [*yaml.safe_load_all(file.read_text("utf-8")), {}][:2] for file in GOLDEN.glob("*.yaml")}


class Broken:
    """A copy to put faults into."""

    def __init__(self, documents):
        self.pipeline, self.platform = copy.deepcopy(documents)
        self.root = self.pipeline["root"]
        self.tasks, self.components = self.root["dag"]["tasks"], self.pipeline["components"]
        self.executors = self.pipeline["deploymentSpec"]["executors"]

    def container(self, node):
        return self.executors[f"{node}_executor"]["container"]

    def set(self, node, key, value):
        self.tasks[node]["inputs"]["parameters"][key] = {"runtimeValue": {"constant": value}}

    @property
    def pods(self):
        return self.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    def rename(self, old, new):
        """A task, and nothing else."""
        self.tasks[new] = self.tasks.pop(old)

    def flags(self, **options):
        """Every container's flags for Beam."""
        for executor in self.executors.values():
            if arguments := executor.get("container", {}).get("args"):
                arguments[:] = [each for each in arguments if "=" not in each or not each.startswith("--")]
                arguments += [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()]


@pytest.mark.parametrize("name", sorted(file.stem for file in GOLDEN.glob("*.yaml")))
def test_what_the_compiler_makes_is_clean(golden, name):
    assert lint.findings(*golden[name], name.rpartition("-")[2]) == []


def schema_version(broken):
    broken.pipeline["schemaVersion"] = "2.0.0"


def named(name):
    def edit(broken):
        broken.pipeline["pipelineInfo"]["name"] = name

    return edit


def unknown_field(broken):
    broken.tasks["Trainer"]["priority"] = 1


def unknown_container_field(broken):
    broken.container("Trainer")["gpus"] = 1


def required_parameter(broken):
    broken.root["inputDefinitions"] = {"parameters": {"steps": {"parameterType": "NUMBER_INTEGER"}}}
    broken.tasks["Pretrainer"]["inputs"]["parameters"]["steps"] = {"componentInputParameter": "steps"}


def undeclared_parameter(broken):
    broken.tasks["Trainer"]["inputs"]["parameters"]["steps"] = {"componentInputParameter": "steps"}


def long_setting(broken):
    broken.set("ExampleGen", "labels", "x" * 131_072)


def long_pipeline(broken):
    for name in broken.tasks:
        broken.set(name, "more", "x" * 100_000)


def template_tag(broken):
    broken.set("VocabularyGen", "settings", '{"reserve": ["{{inputs.name}}"]}')


def template_tag_in_the_pod(broken):
    broken.pods["Trainer_executor"]["podMetadata"] = {"annotations": {"note": "{{workflow.name}}"}}


def two_dollars(broken):
    broken.set("VocabularyGen", "settings", '{"reserve": ["US$$"]}')


def a_variable(broken):
    broken.set("VocabularyGen", "settings", '{"reserve": ["$(KFP_POD_NAME)"]}')


def twin(broken):
    broken.executors["DataGate_executor"] = broken.executors["StatisticsGen_executor"]


def fraction(broken):
    broken.tasks["Trainer"]["retryPolicy"]["backoffFactor"] = 1.5


def short_window(broken):
    broken.tasks["Trainer"]["retryPolicy"]["backoffMaxDuration"] = "600s"


def waits_for_nothing(broken):
    broken.tasks["Trainer"]["dependentTasks"].append("Tuner")


def no_producer(broken):
    broken.tasks["Evaluator"]["inputs"]["artifacts"]["model"]["taskOutputArtifact"]["producerTask"] = "Tuner"


def dynamic(broken):
    source = {"producerTask": "DataGate_task", "outputParameterKey": "report"}
    broken.tasks["Trainer"]["inputs"]["parameters"]["rate"] = {"taskOutputParameter": source}


def no_output(broken):
    broken.tasks["Evaluator"]["inputs"]["artifacts"]["model"]["taskOutputArtifact"]["outputArtifactKey"] = "models"


def cycle(broken):
    broken.tasks["ExampleGen"]["dependentTasks"] = ["StatisticsGen"]


def underscore(broken):
    broken.rename("Pusher", "the_pusher")


def digit(broken):
    broken.rename("Pusher", "2nd-push")


def driver(broken):
    broken.rename("Pusher", "Trainer-driver")


def no_component(broken):
    broken.tasks["Pusher"]["componentRef"]["name"] = "Pushr"


def no_executor(broken):
    broken.components["Pusher"]["executorLabel"] = "Pushr_executor"


def resolver(broken):
    broken.executors["Baseline_executor"] = {"resolver": {"outputArtifactQueries": {}}}
    del broken.pods["Baseline_executor"]


def importer_condition(broken):
    broken.tasks["Checkpoint"]["triggerPolicy"] = {"condition": "1 == 1"}


def no_cel(broken):
    broken.tasks["Pusher"]["triggerPolicy"] = {"condition": "Unknown Comparison Operation 4"}


def condition_on_nothing(broken):
    condition = "inputs.artifacts['verdict'].artifacts[0].metadata['blessed'] == 1.0"
    broken.tasks["Pusher"]["triggerPolicy"] = {"condition": condition}


def hook(broken):
    broken.container("ExampleGen")["lifecycle"] = {"preCacheCheck": {"command": ["python"]}}


def infra_validator(broken):
    arguments = broken.container("ServingValidator")["args"]
    path = arguments.index("--executor_class_path") + 1
    arguments[path] = "tfx.components.infra_validator.executor.Executor"


def image(name):
    def edit(broken):
        for executor in broken.executors.values():
            if "container" in executor:
                executor["container"]["image"] = name

    return edit


def gpu(node, kind, count="1"):
    def edit(broken):
        broken.container(node)["resources"] = {"accelerator": {"type": kind, "count": count}}

    return edit


def several(kind, count=1):
    """Trainer on two machines."""

    def edit(broken):
        del broken.container("Trainer")["resources"]
        machine = {"machine_type": "g2-standard-8", "accelerator_type": kind, "accelerator_count": count}
        job = {"worker_pool_specs": [{"machine_spec": machine, "replica_count": 1}] * 2}
        broken.container("Trainer")["env"].append({"name": "TFX_BERT_WORKERS", "value": json.dumps({"job": job})})

    return edit


def huge(broken):
    broken.container("Trainer")["resources"] |= {"cpuLimit": 128.0, "memoryLimit": 700.0}


def foreign_type(broken):
    schema = {"instanceSchema": "title: sklearn.Model\ntype: object\n"}
    broken.components["Pusher"]["outputDefinitions"]["artifacts"]["pushed_model"]["artifactType"] = schema


def no_type(broken):
    broken.components["Pusher"]["outputDefinitions"]["artifacts"]["pushed_model"]["artifactType"] = {}


def imported(address):
    def edit(broken):
        broken.executors["Checkpoint_executor"]["importer"]["artifactUri"] = {"constant": address}

    return edit


def told(address):
    def edit(broken):
        broken.set("SchemaGen", "schema_file", address)

    return edit


def read_elsewhere(broken):
    source = {"path": ["gs://bucket/a.csv", "s3://bucket/b.csv"], "split": {"eval": 0.1}}
    source["label"] = {"column": "rating", "ranges": {"test": "< 0", "path": "> 0"}}
    broken.set("ExampleGen", "source", json.dumps(source))


def pushed_elsewhere(broken):
    broken.set("Pusher", "push_destination", '{"filesystem": {"base_directory": "/models"}}')


def checkpoints_elsewhere(broken):
    for variable in broken.container("Trainer")["env"]:
        if variable["name"].endswith("_ROOT"):
            variable["value"] = "hdfs://name/checkpoints"


def dataflow(**options):
    def edit(broken):
        broken.flags(runner="DataflowRunner", **({"sdk_container_image": "x.org/beam:1"} | options))

    return edit


def vertex_pods(broken):
    broken.platform = {"platforms": {"kubernetes": {}}}


def other_platform(broken):
    broken.platform["platforms"]["slurm"] = {}


def pod_of_nothing(broken):
    broken.pods["Tuner_executor"] = {}


def pod_of_an_importer(broken):
    broken.pods["Checkpoint_executor"] = {}


def pod(**fields):
    def edit(broken):
        broken.pods["Trainer_executor"] |= fields

    return edit


def no_gpu(broken):
    del broken.container("Trainer")["resources"]["accelerator"]


ERRORS = [
    ("kubeflow", schema_version,
     "pipeline: has schema version 2.0.0, 2.1.0 is read (Kubeflow); set use_pipeline_spec_2_1=True"),
    ("kubeflow", named("my_reviews"),
     "pipeline: is called 'my_reviews', a name takes lower-case letters, digits, - and . (Kubeflow); change $.name"),
    ("vertex", named("2nd-try"),
     "pipeline: is called '2nd-try', a name takes lower-case letters, digits and -, a letter first, at most 113 "
     "(Vertex); change $.name"),
    ("kubeflow", unknown_field,
     "pipeline: has the unknown field 'priority' at PipelineSpec.root.dag.tasks[Trainer], and Kubeflow refuses it "
     "(Kubeflow); remove or rename the field"),
    ("kubeflow", unknown_container_field,
     "pipeline: has the unknown field 'gpus' at PipelineDeploymentConfig.executors[Trainer_executor].container, and "
     "Kubeflow drops it (Kubeflow); remove or rename the field"),
    ("kubeflow", long_pipeline,
     "pipeline: has N bytes, a workflow holds 1,048,576 (Argo Workflows); split the experiment"),
    ("kubeflow", long_setting,
     "ExampleGen: has settings of N bytes, they travel as one argument of at most 131,072 (Linux); give fewer, "
     "longer files, or an address with a * such as gs://bucket/*.csv"),
    ("vertex", long_setting,
     "ExampleGen: has settings of N bytes, they travel as one argument of at most 131,072 (Linux); give fewer, "
     "longer files, or an address with a * such as gs://bucket/*.csv"),
    ("kubeflow", required_parameter,
     "pipeline: asks for the parameter 'steps', which has no default and is not passed (Kubeflow); write the value "
     "into the experiment"),
    ("vertex", required_parameter,
     "pipeline: asks for the parameter 'steps', which has no default and is not passed (Vertex); write the value "
     "into the experiment"),
    ("kubeflow", template_tag,
     "VocabularyGen: has '{{inputs.' in its setting 'settings', which is taken for a template's tag (Argo "
     "Workflows); write it with a blank between the braces: { {"),
    ("kubeflow", template_tag_in_the_pod,
     "Trainer: has '{{workflow.' in its pod, which is taken for a template's tag (Argo Workflows); write it with a "
     "blank between the braces: { {"),
    ("kubeflow", two_dollars,
     "VocabularyGen: has '$$' in its setting 'settings', which does not reach the node as it is (Kubernetes); write it "
     "without $, rename a column for instance"),
    ("kubeflow", a_variable,
     "VocabularyGen: has '$(KFP_POD_NAME)' in its setting 'settings', which does not reach the node as it is "
     "(Kubernetes); write it without $, rename a column for instance"),
    ("kubeflow", twin,
     "DataGate: runs the same container as CorpusStatisticsGen with other inputs or outputs, and would get those "
     "(Kubeflow); give it an environment variable of its own"),
    ("kubeflow", fraction,
     "Trainer: has a retryPolicy with the factor 1.5, whole numbers are read (Argo Workflows); set retries.factor to"
     " 1"),
    ("kubeflow", short_window,
     "Trainer: has no further attempt 600s after its first one began, however long that one ran (Argo Workflows); "
     "set backoffMaxDuration to longer than the node may take"),
    ("kubeflow", waits_for_nothing,
     "Trainer: waits for 'Tuner', which is no task (Kubeflow); name a task of the same DAG"),
    ("vertex", no_producer,
     "Evaluator: takes 'model' from the task 'Tuner': no task is called so (Vertex); name a task of the same DAG"),
    ("kubeflow", dynamic,
     "Trainer: takes 'rate' from the task 'DataGate_task': a dynamic exec property, channel.future(), compiles to "
     "that (Kubeflow); pass the artifact and read it in the executor"),
    ("vertex", no_output,
     "Evaluator: takes 'model' from Trainer, which has no output 'models' (Vertex); name one of its outputs"),
    ("kubeflow", undeclared_parameter,
     "Trainer: takes 'steps' from the parameter 'steps', which its DAG does not declare (Kubeflow); write the value "
     "into the experiment"),
    ("kubeflow", cycle,
     "ExampleGen: waits for itself: ExampleGen → StatisticsGen → ExampleGen (Kubeflow); remove one of these edges"),
    ("kubeflow", underscore,
     "the_pusher: has a name that is not letters, digits and -, a letter first, at most 121 (Argo Workflows); use "
     "with_id(...)"),
    ("kubeflow", digit,
     "2nd-push: has a name that is not letters, digits and -, a letter first, at most 121 (Argo Workflows); use "
     "with_id(...)"),
    ("kubeflow", driver,
     "Trainer-driver: is called like the driver that is run for Trainer (Kubeflow); use with_id(...)"),
    ("vertex", no_executor,
     "Pusher: has the executor 'Pushr_executor', which is not there (Vertex); compile again"),
    ("kubeflow", resolver,
     "Baseline: is run by a resolver, which is not implemented (Kubeflow); "
     "use components.evaluate.baseline, or an importer"),
    ("kubeflow", importer_condition,
     "Checkpoint: is an importer under a condition (Kubeflow); move it out of Cond(...); importing costs nothing"),
    ("kubeflow", no_cel,
     "Pusher: runs under 'Unknown Comparison Operation 4', which is no CEL (Kubeflow); compare with ==, < or >"),
    ("vertex", condition_on_nothing,
     "Pusher: runs under a condition on 'verdict', which it is not given (Vertex); compile again"),
    ("kubeflow", hook,
     "ExampleGen: has a lifecycle hook, which never runs: its driver does not see new files (Kubeflow); use an "
     "ExampleGen of components.data.example_gen"),
    ("vertex", infra_validator,
     "ServingValidator: is an InfraValidator, which needs a Docker daemon or a cluster of its own (Vertex); use "
     "components.deploy.serving_validator"),
    ("kubeflow", gpu("Trainer", "NVIDIA_L4"),
     "Trainer: asks for 'NVIDIA_L4', which is no resource of Kubernetes (Kubernetes); set gpu.resource: "
     "nvidia.com/gpu"),
    ("vertex", gpu("Trainer", "NVIDIA_T4"),
     "Trainer: asks for 'NVIDIA_T4', which it does not have (Vertex); set gpu.type: nvidia-tesla-t4"),
    ("vertex", gpu("Trainer", "NVIDIA_L4", "3"),
     "Trainer: asks for 3 accelerators (Vertex); set gpu.count to 1, 2, 4 or 8"),
    ("vertex", gpu("Trainer", "NVIDIA_TESLA_T4", "8"),
     "Trainer: asks for 8 accelerators (Vertex); set gpu.count to 1, 2 or 4"),
    ("vertex", gpu("Trainer", "NVIDIA_B200", "4"),
     "Trainer: asks for 4 accelerators (Vertex); set gpu.count to 8"),
    ("vertex", several("NVIDIA_T4"),
     "Trainer: asks for 'NVIDIA_T4', which it does not have (Vertex); set gpu.type: nvidia-tesla-t4"),
    ("vertex", several("NVIDIA_L4", 3),
     "Trainer: asks for 3 accelerators (Vertex); set gpu.count to 1, 2, 4 or 8"),
    ("vertex", huge,
     "Trainer: asks for 128 cores and 700 GB (Vertex); ask for at most 96 cores and 624 GB"),
    ("kubeflow", foreign_type,
     "Pusher: has the artifact 'pushed_model' of type 'sklearn.Model', which cannot be imported (our containers); "
     "add the type to components/artifacts.py"),
    ("vertex", no_type,
     "Pusher: has the artifact 'pushed_model' of type None, which cannot be imported (our containers); add the type "
     "to components/artifacts.py"),
    ("kubeflow", imported("/data/bert"),
     "Checkpoint: imports '/data/bert', which is in no object store that it knows (Kubeflow); set workspace to a "
     "gs:// address"),
    ("vertex", imported("s3://bucket/bert"),
     "Checkpoint: imports 's3://bucket/bert', which is in no object store that it knows (Vertex); set workspace to a"
     " gs:// address"),
    ("kubeflow", told("schema.pbtxt"),
     "SchemaGen: is told the address 'schema.pbtxt', which is relative to no folder of a container (our containers);"
     " give a gs://, s3:// or minio:// address, or a folder on a volume"),
    ("kubeflow", told("/data/schema.pbtxt"),
     "SchemaGen: is told the address '/data/schema.pbtxt', where no volume is mounted (our containers); give a gs://,"
     " s3:// or minio:// address, or a folder on a volume"),
    ("vertex", told("/data/schema.pbtxt"),
     "SchemaGen: is told the address '/data/schema.pbtxt', where no volume is mounted (our containers); give a gs://"
     " address"),
    ("vertex", read_elsewhere,
     "ExampleGen: is told the address 's3://bucket/b.csv', which asks for credentials of AWS's, and Vertex gives a "
     "node none (our containers); give a gs:// address"),
    ("kubeflow", told("hdfs://name/schema.pbtxt"),
     "SchemaGen: is told the address 'hdfs://name/schema.pbtxt', hdfs:// is read by none of our nodes (our "
     "containers); give a gs://, s3:// or minio:// address, or a folder on a volume"),
    ("kubeflow", pushed_elsewhere,
     "Pusher: is told the address '/models', where no volume is mounted (our containers); give a gs://, s3:// or "
     "minio:// address, or a folder on a volume"),
    ("vertex", checkpoints_elsewhere,
     "Trainer: is told the address 'hdfs://name/checkpoints', hdfs:// is read by none of our nodes (our containers);"
     " give a gs:// address"),
    ("vertex", vertex_pods,
     "pipeline: has a document for Kubernetes (Vertex); compile it for kind: vertex"),
    ("kubeflow", other_platform,
     "pipeline: has a document for the platform 'slurm' (Kubeflow); remove it"),
    ("kubeflow", pod_of_nothing,
     "pipeline: has a pod for the executor 'Tuner_executor', which is not there (Kubeflow); name an executor of the "
     "first document"),
    ("kubeflow", pod_of_an_importer,
     "Checkpoint: has a pod and runs no container: importers run in Kubeflow's own (Kubeflow); take the node out of "
     "nodes:"),
    ("kubeflow", pod(gpu=1),
     "Trainer: has a pod that has the unknown field 'gpu' at KubernetesExecutorConfig (Kubeflow); remove or rename "
     "the field"),
    ("kubeflow", pod(enabledSharedMemory={"size": "8Gi"}),
     "Trainer: has enabledSharedMemory, which no release reads (Kubeflow); use emptyDirMounts at /dev/shm"),
    ("kubeflow", pod(podMetadata={"labels": {"my team": "nlp"}}),
     "Trainer: has 'my team' as a label's key (Kubernetes); takes a label's key such as team or example.org/team, "
     "its name letters, digits, -, _ and ., at most 63"),
    ("kubeflow", pod(podMetadata={"labels": {"team": "nlp group"}}),
     "Trainer: has 'nlp group' as a label's value (Kubernetes); takes letters, digits, -, _ and ., at most 63, a "
     "letter or digit first and last"),
    ("kubeflow", pod(nodeAffinity=[{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["-l4"]}]}]),
     "Trainer: has '-l4' as a label's value (Kubernetes); takes letters, digits, -, _ and ., at most 63, a letter or"
     " digit first and last"),
    ("kubeflow", pod(secretAsVolume=[{"secretName": "kaggle.json", "mountPath": "/kaggle"}]),
     "Trainer: mounts 'kaggle.json', whose name becomes that of a volume: takes lower-case letters, digits and -, a "
     "letter or digit first and last, at most 63; received 'kaggle.json' (Kubernetes); give the secret or the claim "
     "another name"),
    ("kubeflow", pod(pvcMount=[{"constant": "data", "mountPath": "/a"}, {"constant": "data", "mountPath": "/b"}]),
     "Trainer: has 2 volumes called 'data' (Kubernetes); mount it once, or give one of them another name"),
    ("kubeflow", pod(pvcMount=[{"constant": "data", "mountPath": "/gcs"}]),
     "Trainer: mounts 'data': '/gcs' is in a folder of Kubeflow, /gcs; choose another, such as /data (Kubernetes); "
     "choose another mount"),
    ("kubeflow", pod(pvcMount=[{"constant": "a", "mountPath": "/data"}, {"constant": "b", "mountPath": "/data/"}]),
     "Trainer: mounts 2 volumes at /data (Kubernetes); choose another mount"),
]  # fmt: skip
NOTICES = [
    ("kubeflow", gpu("StatisticsGen", "nvidia.com/gpu"),
     "StatisticsGen: gets a GPU and never uses it (Kubeflow); move it to a pool without one, under nodes:"),
    ("kubeflow", no_gpu,
     "Trainer: may run on a GPU's machine and asks for no GPU: it would not see it (Kubernetes); give its pool gpu: "
     "{type: …}, or no toleration"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "edit", "line", "error"), [*((*each, True) for each in ERRORS), *((*each, False) for each in NOTICES)]
)
def test_every_fault_is_named_with_its_platform_and_its_cure(golden, kind, edit, line, error):
    broken = Broken(golden[f"both-{kind}"])
    edit(broken)
    found = lint.findings(broken.pipeline, broken.platform, kind)
    assert [(re.sub(r"[\d,]+ bytes", "N bytes", str(each)), each.error) for each in found] == [(line, error)]


@pytest.mark.parametrize(
    ("kind", "edit"),
    [
        ("vertex", schema_version),
        ("kubeflow", named("2nd-try-")),
        ("vertex", template_tag),
        ("vertex", fraction),
        ("vertex", underscore),
        ("vertex", importer_condition),
        ("vertex", hook),
        ("kubeflow", imported("s3://bucket/bert")),
        ("kubeflow", read_elsewhere),
        ("vertex", told("/gcs/bucket/schema.pbtxt")),
        ("vertex", dataflow(project="my-project", region="europe-west4", temp_location="gs://bucket/tmp")),
    ],
)
def test_what_one_platform_refuses_the_other_may_take(golden, kind, edit):
    broken = Broken(golden[f"both-{kind}"])
    edit(broken)
    assert lint.findings(broken.pipeline, broken.platform, kind) == []


def test_a_fault_of_many_nodes_is_one_line(golden):
    broken = Broken(golden["both-vertex"])
    dataflow(project="my-project", temp_location="bucket/tmp")(broken)
    nodes = "Analyzer, Baseline, BaselineVersion and 20 more: runs its Beam there:"
    cure = "(Dataflow); say it under beam.options in the environment"
    assert lines(lint.findings(broken.pipeline, broken.platform, "vertex")) == [
        f"{nodes} invalid GCS path (bucket/tmp), given for the option: temp_location {cure}",
        f"{nodes} missing required option: region {cure}",
    ]


DATAFLOW = {"project": "my-project", "region": "europe-west4", "temp_location": "gs://bucket/tmp"}
SAY = "(Dataflow); say it under beam.options in the environment"
IMAGE = "(Dataflow); set sdk_container_image to the image of deploy/Dockerfile's target dataflow"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"staging_location": "/tmp/staged"},
         f"invalid GCS path (/tmp/staged), given for the option: staging_location {SAY}"),
        ({"project": "My project"},
         "invalid Project ID (My project). Please make sure you specified the Project ID, not project description "
         + SAY),
        ({"num_workers": 9, "max_num_workers": 3}, f"num_workers (9) cannot exceed max_num_workers (3) {SAY}"),
        ({"num_workers": "many"}, f"argument --num_workers: invalid int value: 'many' {SAY}"),
        ({"sdk_container_image": ""}, f"the workers have no package of ours {IMAGE}"),
        ({"sdk_container_image": "x.org/beam:"}, f"no registry can serve the workers' image 'x.org/beam:' {IMAGE}"),
        ({"save_main_session": True},
         "save_main_session sends the globals of the container's own program to workers (Dataflow); leave it out: "
         "every function of ours is imported by its name"),
    ],
)  # fmt: skip
def test_what_dataflow_refuses_or_its_workers_lack(golden, options, line):
    broken = Broken(golden["both-vertex"])
    dataflow(**DATAFLOW | options)(broken)
    (found,) = lines(lint.findings(broken.pipeline, broken.platform, "vertex"))
    assert found.partition(": runs its Beam there: ")[2] == line


@pytest.mark.parametrize("setting", ["featurizer", "custom_config"])
def test_nothing_is_part_of_the_program_that_compiled(golden, setting):
    broken = Broken(golden["both-kubeflow"])
    broken.set("Transform", setting, json.dumps({"featurizer": "__main__.Task", "config": {}}))
    assert lines(lint.findings(broken.pipeline, broken.platform, "kubeflow")) == [
        f"Transform: has '__main__.Task' in its setting {setting!r}, which is part of the program that compiled it "
        "(our containers); move it to a module that the image has"
    ]


def test_the_workers_of_dataflow_see_no_volume(golden):
    broken = Broken(golden["both-kubeflow"])
    told("/data/schema.pbtxt")(broken)
    broken.pods["SchemaGen_executor"]["pvcMount"] = [{"constant": "corpora", "mountPath": "/data"}]
    assert lint.findings(broken.pipeline, broken.platform, "kubeflow") == []
    dataflow(project="my-project", region="europe-west4", temp_location="gs://bucket/tmp")(broken)
    assert lines(lint.findings(broken.pipeline, broken.platform, "kubeflow")) == [
        "SchemaGen: is told the address '/data/schema.pbtxt', which the workers of Dataflow do not see "
        "(our containers); give a gs:// address"
    ]


def test_errors_stop_and_notices_are_given_back(golden):
    broken = Broken(golden["both-kubeflow"])
    image("registry.example.org/tfx-bert:1.0")(broken)
    made = Compiled("both", broken.pipeline, broken.platform, (), {})
    assert lint.check(made, "kubeflow") == [
        "Analyzer, Baseline, BulkInferrer and 18 more: is cached under the image "
        "registry.example.org/tfx-bert:1.0, whose tag may come to mean other code (Kubeflow); "
        "give its digest, or set caching: false"
    ]
    # An ellipsis is what the documentation has in place of a digest.
    image("registry.example.org/tfx-bert@sha256:…")(broken)
    schema_version(broken)
    with pytest.raises(ConfigError) as caught:
        lint.check(made, "kubeflow")
    assert str(caught.value).split("\n") == [
        "pipeline: has schema version 2.0.0, 2.1.0 is read (Kubeflow); set use_pipeline_spec_2_1=True",
        "Analyzer, Baseline, BaselineVersion and 20 more: has the image 'registry.example.org/tfx-bert@sha256:…', "
        "which no registry can serve (Kubeflow); give NAME:TAG, or NAME@sha256: and 64 digits, as docker buildx "
        "imagetools inspect prints them",
    ]


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        *(
            (name, True)
            for name in ("tfx-bert", "r.example.org/a/b_c:1.0", "localhost:5000/a--b__c.d", "R.org:5000/a:_T-1")
        ),
        *((f"r.org/x@sha256:{'0' * number}", number == 64) for number in (63, 64, 65)),
        *(
            (name, False)
            for name in ("r.org/X", "r.org//x", "r.org/x/", "r.org/.x", "r.org/x-", "r.org/x..y", "r.org/x:")
        ),
        *((name, False) for name in ("r.org/x:-1", "r.org/x:1:2", "-r.org/x", "r.org:/x", "", f"r.org/x:{'1' * 129}")),
    ],
)
def test_images_are_those_of_registries(golden, name, sound):
    broken = Broken(golden["both-kubeflow"])
    image(name)(broken)
    found = [each for each in lint.findings(broken.pipeline, broken.platform, "kubeflow") if each.error]
    assert (not found) is sound
    assert all("which no registry can serve" in each.fault for each in found)


def tfx(*nodes, exit_handler=None):
    """What TFX's compiler makes of nodes."""
    config = KubeflowV2DagRunnerConfig(
        default_image=f"example.org/x@sha256:{'0' * 64}", default_commands=["true"], use_pipeline_spec_2_1=True
    )
    runner = KubeflowV2DagRunner(config)
    if exit_handler:
        runner.set_exit_handler(exit_handler)
    made = Pipeline(pipeline_name="tiny", pipeline_root="gs://bucket/root", components=list(nodes))
    return runner.run(made, write_out=False)["pipelineSpec"]


@component
def Count() -> OutputDict(number=int):  # noqa: N802 (a component is a class to those who use it)
    return {"number": 1}


@component
def Use(number: Parameter[int]):  # noqa: N802
    pass


def model(address, name="Model"):
    return Importer(source_uri=address, artifact_type=standard_artifacts.Model).with_id(name)


def latest():
    channels = {"model": standard_artifacts.Model, "model_blessing": standard_artifacts.ModelBlessing}
    given = {key: Channel(type=kind) for key, kind in channels.items()}
    return Resolver(strategy_class=LatestBlessedModelStrategy, **given).with_id("Latest")


def under_a_condition():
    blessing = Importer(source_uri="gs://bucket/blessing", artifact_type=standard_artifacts.ModelBlessing)
    with Cond(blessing.with_id("Blessing").outputs["result"].future()[0].custom_property("blessed") == 1):
        given = model("gs://bucket/model")
    return [blessing, given]


def fed_by(count):
    return [count, Use(number=count.outputs["number"].future()[0].value).with_id("Use")]


STOCK = {
    "a resolver": (
        lambda: tfx(latest()),
        ["Latest-model-blessing-resolver, Latest-model-resolver: is run by a resolver, which is not implemented "
         "(Kubeflow); use components.evaluate.baseline, or an importer"],
    ),
    "an ExampleGen of TFX": (
        lambda: tfx(CsvExampleGen(input_base="gs://bucket/data").with_id("ExampleGen")),
        ["ExampleGen: has a lifecycle hook, which never runs: its driver does not see new files (Kubeflow); "
         "use an ExampleGen of components.data.example_gen"],
    ),
    "a runtime parameter": (
        lambda: tfx(model(RuntimeParameter("address", str, default="gs://bucket/model"))),
        ["pipeline: asks for the parameter 'address', which has no default and is not passed (Kubeflow); "
         "write the value into the experiment"],
    ),
    "a runtime parameter behind an exit handler": (
        lambda: tfx(model(RuntimeParameter("address", str)), exit_handler=Count().with_id("End")),
        ["pipeline: asks for the parameter 'address', which has no default and is not passed (Kubeflow); "
         "write the value into the experiment",
         "Model: takes 'artifact_uri' from the parameter 'address', which its DAG does not declare (Kubeflow); "
         "write the value into the experiment"],
    ),
    "a dynamic exec property": (
        lambda: tfx(*fed_by(Count().with_id("Count"))),
        ["Use: takes 'number' from the task 'Count_task': a dynamic exec property, channel.future(), compiles to that "
         "(Kubeflow); pass the artifact and read it in the executor"],
    ),
    "a condition on an importer": (
        lambda: tfx(*under_a_condition()),
        ["Model: is an importer under a condition (Kubeflow); move it out of Cond(...); importing costs nothing"],
    ),
    "nothing": (lambda: tfx(model("gs://bucket/model"), exit_handler=Count().with_id("End")), []),
}  # fmt: skip


@pytest.mark.parametrize("name", STOCK)
def test_faults_that_tfx_compiles_without_a_word(name):
    make, told = STOCK[name]
    assert lines(lint.findings(make(), {}, "kubeflow")) == told
