"""Lint rules for containers: images, executors, machines, artifact types, addresses, Beam."""

import contextlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, SetupOptions, WorkerOptions
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from tfx.orchestration.kubeflow.v2 import compiler_utils

from components import artifacts
from configs.clusters.kubernetes import resource
from pipeline.cluster import workers
from pipeline.cluster.linter.finding import Documents, Finding, Node, Spec

# distribution/reference, regexp.go: domain, path, tag and digest, without IPv6. Kubernetes takes any text as an image,
# and a pod with another one waits for ever.
_DOMAIN = r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*(:[0-9]+)?"
_PATH = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"
_IMAGE = re.compile(rf"({_DOMAIN}/)?{_PATH}(/{_PATH})*(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?")
# Executors that run a model.
_COMPUTE = re.compile(r"(trainer|evaluator|serving_validator|bulk_inferrer)\b")
# Vertex AI, "Specify the machine configuration for a pipeline step".
_VERTEX_CORES, _VERTEX_MEMORY = 96, 624e9  # bytes
# google.cloud.aiplatform_v1.AcceleratorType, less TPUs, which nothing of ours uses, and what is retired; its import
# takes longer than all rules together. How many one machine has: Compute Engine, "Accelerator-optimized machine
# family", and "GPU machine types" for N1 machines.
_VERTEX_GPUS = {
    **dict.fromkeys(("NVIDIA_TESLA_P4", "NVIDIA_TESLA_P100", "NVIDIA_TESLA_T4"), (1, 2, 4)),
    **dict.fromkeys(("NVIDIA_TESLA_V100", "NVIDIA_L4", "NVIDIA_RTX_PRO_6000"), (1, 2, 4, 8)),
    **dict.fromkeys(("NVIDIA_A100_80GB", "NVIDIA_H100_80GB"), (1, 2, 4, 8)),
    "NVIDIA_TESLA_A100": (1, 2, 4, 8, 16),
    **dict.fromkeys(("NVIDIA_H100_MEGA_80GB", "NVIDIA_H200_141GB", "NVIDIA_B200"), (8,)),
    "NVIDIA_GB200": (4,),
}
_MAIN = re.compile(r"\b__main__\.\w+")
# CRI-O refuses to start a container with less: minMemoryLimit.
_LEAST_MEMORY = 12 * 2**20  # bytes
# Settings of our nodes that are addresses, at any depth.
_ADDRESSES = {"source_uri", "schema_file", "bad_records_path", "pushed", "base_directory", "path", "eval", "test"}


def _hooks(given: Documents) -> Iterator[Finding]:
    """TFX compiles the driver of its file-based ExampleGens to a hook."""
    if given.kind != "kubeflow":
        return
    for node in given.nodes:
        if node.container.get("lifecycle"):
            fault = "has a lifecycle hook, which never runs: its driver does not see new files"
            yield Finding(node.name, fault, "Kubeflow", "use an ExampleGen of components.data.example_gen")


def _infra_validator(given: Documents) -> Iterator[Finding]:
    for node in given.nodes:
        if "infra_validator" in _executor(node):
            fault = "is an InfraValidator, which needs a Docker daemon or a cluster of its own"
            yield Finding(node.name, fault, given.where, "use components.deploy.serving_validator")


def _images(given: Documents) -> Iterator[Finding]:
    for node in given.nodes:
        image = node.container.get("image", "")
        if not node.container:
            continue
        if not _IMAGE.fullmatch(image):
            fault = f"has the image {image!r}, which no registry can serve"
            cure = "give NAME:TAG, or NAME@sha256: and 64 digits, as docker buildx imagetools inspect prints them"
            yield Finding(node.name, fault, given.where, cure)
        elif "@sha256:" not in image and node.task.get("cachingOptions", {}).get("enableCache"):
            fault = f"is cached under the image {image}, whose tag may come to mean other code"
            yield Finding(node.name, fault, given.where, "give its digest, or set caching: false", error=False)


def _accelerators(given: Documents) -> Iterator[Finding]:
    for node in given.nodes:
        found = _accelerator(node)
        kind, count = found.get("type", ""), str(found.get("count", "0"))
        if not found:
            continue
        if given.kind == "kubeflow":
            try:
                resource(kind)
            except ValueError:
                fault = f"asks for {kind!r}, which is no resource of Kubernetes"
                yield Finding(node.name, fault, "Kubernetes", "set gpu.resource: nvidia.com/gpu")
        if given.kind == "vertex" and kind not in _VERTEX_GPUS:
            # nvidia-t4 means nvidia-tesla-t4.
            close = [name for name in _VERTEX_GPUS if name.endswith(kind.rpartition("_")[2])]
            there = ", ".join(name.lower().replace("_", "-") for name in close or _VERTEX_GPUS)
            yield Finding(node.name, f"asks for {kind!r}, which it does not have", "Vertex", f"set gpu.type: {there}")
        elif given.kind == "vertex" and int(count) not in _VERTEX_GPUS[kind]:
            there = " or ".join(", ".join(map(str, _VERTEX_GPUS[kind])).rsplit(", ", 1))
            yield Finding(node.name, f"asks for {count} accelerators", "Vertex", f"set gpu.count to {there}")
        if not _COMPUTE.search(_executor(node)):
            cure = "move it to a pool without one, under nodes:"
            yield Finding(node.name, "gets a GPU and never uses it", given.where, cure, error=False)


def _machines(given: Documents) -> Iterator[Finding]:
    for node in given.nodes:
        resources = node.container.get("resources", {})
        cores, memory = resources.get("cpuLimit", 0), resources.get("memoryLimit", 0) * 1e9
        if 0 < memory < _LEAST_MEMORY:
            fault = f"asks for {memory:,.0f} bytes of memory, with which no container starts"
            yield Finding(node.name, fault, "Kubernetes", "write the unit too, such as 512Mi")
        if given.kind == "vertex" and (cores > _VERTEX_CORES or memory > _VERTEX_MEMORY):
            fault = f"asks for {cores:g} cores and {memory / 1e9:g} GB"
            cure = f"ask for at most {_VERTEX_CORES} cores and {_VERTEX_MEMORY / 1e9:g} GB"
            yield Finding(node.name, fault, "Vertex", cure)


def _titles(given: Documents) -> Iterator[Finding]:
    """TFX's entry point imports the class of an artifact by the title of its type."""
    known = {*compiler_utils.TITLE_TO_CLASS_PATH, *artifacts.titles()}
    for node in given.nodes:
        schemas = [
            (key, each.get("artifactType", {}))
            for side in ("inputDefinitions", "outputDefinitions")
            for key, each in node.component.get(side, {}).get("artifacts", {}).items()
        ]
        for key, schema in schemas:
            title = schema.get("schemaTitle") or (yaml.safe_load(schema.get("instanceSchema") or "{}") or {}).get(
                "title"
            )
            if title not in known:
                fault = f"has the artifact {key!r} of type {title!r}, which cannot be imported"
                yield Finding(node.name, fault, "our containers", "add the type to components/artifacts.py")


def _addresses(given: Documents) -> Iterator[Finding]:
    for node in given.nodes:
        importer = node.executor.get("importer", {}).get("artifactUri", {}).get("constant")
        if importer is not None:
            yield from _imported(given, node.name, importer)
            continue
        variables = {each["name"]: each.get("value", "") for each in node.container.get("env", ())}
        told = [*_below(node.parameters), *(value for name, value in variables.items() if name.endswith("_ROOT"))]
        mounts = _mounts(given.pods.get(node.component.get("executorLabel", ""), {}))
        dataflow = "--runner=DataflowRunner" in _beam(node)
        cure = "give a gs:// address"
        if given.kind == "kubeflow" and not dataflow:
            cure = "give a gs://, s3:// or minio:// address, or a folder on a volume"
        for address in dict.fromkeys(told):
            if fault := _unreadable(given, address, mounts, dataflow=dataflow):
                yield Finding(node.name, f"is told the address {address!r}, {fault}", "our containers", cure)


def _imported(given: Documents, name: str, address: str) -> Iterator[Finding]:
    """importer_launcher.go takes what an object store serves; our containers read that below the launcher's mounts."""
    schemes = ("gs://", "s3://", "minio://") if given.kind == "kubeflow" else ("gs://",)
    if not address.startswith(schemes):
        fault = f"imports {address!r}, which is in no object store that it knows"
        yield Finding(name, fault, given.where, "set workspace to a gs:// address")


def _unreadable(given: Documents, address: str, mounts: Sequence[str], *, dataflow: bool) -> str | None:
    """The reason why our nodes cannot read or write at an address."""
    scheme, found, _ = address.partition("://")
    if found and scheme in ("s3", "minio"):
        if given.kind == "vertex":
            return "which asks for credentials of AWS's, and Vertex gives a node none"
        return "which asks for credentials of AWS's, and workers of Dataflow have none" if dataflow else None
    if found:
        return None if scheme == "gs" else f"{scheme}:// is read by none of our nodes"
    if not address.startswith("/"):
        return "which is relative to no folder of a container"
    mounted = tuple(mounts) if given.kind == "kubeflow" else ("/gcs/",)
    if not f"{address}/".startswith(mounted):
        return "where no volume is mounted"
    return "which the workers of Dataflow do not see" if dataflow else None


def _below(value: Any, key: str = "") -> Iterator[str]:
    """Every address in settings, which are JSON inside JSON."""
    if isinstance(value, dict):
        for inner_key, inner in value.items():
            if inner_key != "ranges":  # its keys are labels, whatever they are called
                yield from _below(inner, inner_key)
    elif isinstance(value, list):
        for inner in value:
            yield from _below(inner, key)
    elif isinstance(value, str) and value[:1] in ("{", "["):
        try:
            yield from _below(json.loads(value), key)
        except json.JSONDecodeError:
            return
    elif isinstance(value, str) and value and key in _ADDRESSES:
        yield value


def _mounts(pod: Spec) -> list[str]:
    """The folders of a pod's volumes."""
    volumes = [each["mountPath"] for field in ("pvcMount", "secretAsVolume") for each in pod.get(field, ())]
    return [f"{each.rstrip('/')}/" for each in volumes]


def _dataflow(given: Documents) -> Iterator[Finding]:
    """Beam's own rules for Dataflow, without those that make requests: its validate() would create a bucket."""
    for node in given.nodes:
        flags = _beam(node)
        if "--runner=DataflowRunner" not in flags:
            continue
        with contextlib.redirect_stderr(io.StringIO()) as refused:
            try:
                options = PipelineOptions(flags).view_as(GoogleCloudOptions)
                worker, setup = options.view_as(WorkerOptions), options.view_as(SetupOptions)
            except SystemExit:  # of Beam's argparse, behind what a person would be told
                faults = [refused.getvalue().rpartition("error: ")[2].strip()]
            else:
                faults = _dataflow_faults(options)
        for fault in faults:
            what = f"runs its Beam there: {fault[:1].lower()}{fault[1:].rstrip('.')}"
            yield Finding(node.name, what, "Dataflow", "say it under beam.options in the environment")
        if refused.getvalue():
            continue
        cure = "set sdk_container_image to the image of deploy/Dockerfile's target dataflow"
        if not (worker.sdk_container_image or setup.setup_file or setup.extra_packages):
            yield Finding(node.name, "runs its Beam there: the workers have no package of ours", "Dataflow", cure)
        elif worker.sdk_container_image and not _IMAGE.fullmatch(worker.sdk_container_image):
            fault = f"runs its Beam there: no registry can serve the workers' image {worker.sdk_container_image!r}"
            yield Finding(node.name, fault, "Dataflow", cure)
        if setup.save_main_session:
            fault = "runs its Beam there: save_main_session sends the globals of the container's own program to workers"
            yield Finding(node.name, fault, "Dataflow", "leave it out: every function of ours is imported by its name")


def _dataflow_faults(options: GoogleCloudOptions) -> list[str]:
    beam = PipelineOptionsValidator(options, None)
    worker = options.view_as(WorkerOptions)
    faults: list[str] = [*beam.validate_cloud_options(options), *beam.validate_gcs_path(options, "temp_location")]
    if options.staging_location:  # temp_location where not given: GoogleCloudOptions
        faults += beam.validate_gcs_path(options, "staging_location")
    if not options.region:
        faults.append("Missing required option: region.")
    faults += beam.validate_num_workers(worker)
    faults += beam.validate_worker_region_zone(worker)
    faults += beam.validate_pickle_library(options.view_as(SetupOptions))
    return faults


def _main(given: Documents) -> Iterator[Finding]:
    """What the program that compiled defines itself: a container runs another program."""
    for node in given.nodes:
        told = {"its executor": _executor(node)} | {
            f"its setting {key!r}": str(each) for key, each in node.parameters.items()
        }
        for what, value in told.items():
            if found := _MAIN.search(value):
                fault = f"has {found[0]!r} in {what}, which is part of the program that compiled it"
                cure = "move it to a module that the image has"
                yield Finding(node.name, fault, "our containers", cure)


def _accelerator(node: Node) -> Spec:
    """``type`` and ``count`` of its container's, or of the machines that it starts."""
    for variable in node.container.get("env", ()):
        if variable["name"] == workers.VARIABLE:
            machine: Spec = json.loads(variable["value"])["job"]["worker_pool_specs"][0]["machine_spec"]
            return {key.removeprefix("accelerator_"): machine[key] for key in machine if key != "machine_type"}
    found: Spec = node.container.get("resources", {}).get("accelerator", {})
    return found


def _executor(node: Node) -> str:
    """The path of its executor's class."""
    arguments = list(node.container.get("args", ()))
    flag = "--executor_class_path"
    return arguments[arguments.index(flag) + 1] if flag in arguments[:-1] else ""


def _beam(node: Node) -> list[str]:
    """Its flags for Beam."""
    return [each for each in node.container.get("args", ()) if each.startswith("--")]


RULES = (_hooks, _infra_validator, _images, _accelerators, _machines, _titles, _addresses, _dataflow, _main)
