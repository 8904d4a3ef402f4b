"""An experiment as what Kubeflow and Vertex take: a PipelineSpec 2.1, and a second document for Kubernetes.

TFX's compiler writes the nodes and what flows between them. What an environment says of machines, retries, caching and
pods has no place in TFX's pipeline, and is added here.
"""

import dataclasses
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig

from components.data.source_digest import SourceDigest
from components.deploy.pusher import Pusher
from components.deploy.vertex_pusher import VertexPusher
from components.evaluate.baseline import BaselineVersion
from components.storage import files
from components.train import training
from configs.clusters.cluster import LAST_ATTEMPT, TRAINERS, Cluster
from configs.clusters.kubeflow import Kubeflow, Secret
from configs.clusters.kubernetes import quantity
from configs.clusters.pools import Machine, Pool, Requirement, VertexPool
from configs.clusters.vertex import Vertex
from configs.experiment import Experiment
from pipeline.cluster import workers
from pipeline.dag import create_pipeline

# Our containers' entry point. TFX's own fails on open-source Kubeflow.
COMMAND = ["python", "-P", "-m", "pipeline.cluster.container"]
# These nodes are never cached: they read sources that may have changed since the last run.
_LOOKING = (SourceDigest, BaselineVersion, Pusher, VertexPusher)
# Kubernetes' well-known labels. Every machine has them, so they cannot tell two pools apart.
_EVERYWHERE = re.compile(
    r"(beta\.)?kubernetes\.io/(os|arch)|kubernetes\.io/hostname|"
    r"(topology|failure-domain\.beta)\.kubernetes\.io/(zone|region)"
)
# Whom nodes of ours, and Kubeflow's launcher in the same containers, ask within the cluster: ML Metadata, the object
# store, Kubeflow, Kubernetes, and the cloud's service that gives out identities. In the namespace of these services the
# launcher asks by their addresses, which the kubelet puts in place of $(…); elsewhere it leaves that as it is.
_NO_PROXY = (
    "localhost,127.0.0.1,metadata-grpc-service,metadata-grpc-service.kubeflow,minio-service.kubeflow,"
    "ml-pipeline.kubeflow,.kubeflow,.svc,.svc.cluster.local,kubernetes.default,$(KUBERNETES_SERVICE_HOST),"
    "$(METADATA_GRPC_SERVICE_SERVICE_HOST),$(MINIO_SERVICE_SERVICE_HOST),$(ML_PIPELINE_SERVICE_HOST),"
    "metadata.google.internal,169.254.169.254"
)

Spec = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What is submitted.

    Attributes:
      name: of the pipeline.
      pipeline: the PipelineSpec, as JSON.
      platform: the PlatformSpec; empty on Vertex.
      nodes: in an order that they can run in.
      imports: files of this machine that the nodes read, by the address that they read them at.
    """

    name: str
    pipeline: Spec
    platform: Spec
    nodes: tuple[str, ...]
    imports: Mapping[str, Path]

    @property
    def text(self) -> str:
        """The YAML: the same bytes for the same experiment, environment and files."""
        documents = [self.pipeline, self.platform] if self.platform else [self.pipeline]
        return yaml.safe_dump_all(documents, sort_keys=True, allow_unicode=True, width=120)


def compiled(
    experiment: Experiment, environment: Cluster, *, cache: bool = True, sample: int | None = None
) -> Compiled:
    """The experiment, ready for ``environment``.

    Args:
      experiment: what is trained on what.
      environment: where.
      cache: whether an unchanged node is reused, where the environment allows it.
      sample: see ``pipeline.create_pipeline``.
    """
    cache = cache and environment.caching
    made = create_pipeline(experiment, environment, cache=cache, sample=sample)
    config = KubeflowV2DagRunnerConfig(
        default_image=environment.image, default_commands=COMMAND, use_pipeline_spec_2_1=True
    )
    spec = KubeflowV2DagRunner(config).run(made, write_out=False)["pipelineSpec"]
    spec["defaultPipelineRoot"] = made.pipeline_info.pipeline_root  # for whoever submits the YAML by hand
    _titled(spec)
    _produced(spec)
    executors = spec["deploymentSpec"]["executors"]
    platform: dict[str, Spec] = {}
    if isinstance(environment, Kubeflow):
        environment = environment.model_copy(update={"secrets": _secrets(spec, environment)})
    for node in made.components:
        task, executor = spec["root"]["dag"]["tasks"][node.id], executors[f"{node.id}_executor"]
        task["cachingOptions"] = {"enableCache": cache and not isinstance(node, _LOOKING)}
        if "container" not in executor:
            continue
        task["retryPolicy"] = _retries(environment)
        _resources(executor["container"], node.id, environment)
        if variables := _variables(node.id, experiment, environment):
            executor["container"]["env"] = [{"name": name, "value": value} for name, value in variables.items()]
        if node.id in TRAINERS and isinstance(environment, Vertex):
            _workers(executor["container"], f"{made.pipeline_info.pipeline_name}-{node.id}", node.id, environment)
        if isinstance(environment, Kubeflow) and (pod := _pod(node.id, environment)):
            platform[f"{node.id}_executor"] = pod
    documents = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": platform}}}} if platform else {}
    return Compiled(
        name=made.pipeline_info.pipeline_name,
        pipeline=spec,
        platform=documents,
        nodes=tuple(node.id for node in made.components),
        imports=dict(_imports(spec, experiment, environment)),
    )


def _titled(spec: Spec) -> None:
    """Sets ``schemaTitle`` of Kubeflow's artifact types. Its pages need the title, TFX writes a schema."""
    for component in spec["components"].values():
        for output in component.get("outputDefinitions", {}).get("artifacts", {}).values():
            title = yaml.safe_load(output["artifactType"]["instanceSchema"])["title"]
            if title.startswith("system."):
                output["artifactType"] = {"schemaTitle": title, "schemaVersion": "0.0.1"}


def _produced(spec: Spec) -> None:
    """Corrects the producer of a parameter. TFX's step_builder.py writes ``<node>_task``, a name that no task has."""
    for task in spec["root"]["dag"]["tasks"].values():
        for source in task.get("inputs", {}).get("parameters", {}).values():
            if given := source.get("taskOutputParameter"):
                given["producerTask"] = given["producerTask"].removesuffix("_task")


def _retries(environment: Cluster) -> Spec:
    given = environment.retries
    # On Vertex the longest wait, an hour unless said otherwise. On Kubeflow Argo Workflows ends every attempt so long
    # after the first one began, and starts none later.
    longest = "3600s" if environment.kind == "vertex" else f"{LAST_ATTEMPT}s"
    return {
        "maxRetryCount": given.count,
        "backoffDuration": f"{given.backoff_seconds}s",
        "backoffFactor": float(given.factor),
        "backoffMaxDuration": longest,
    }


def _variables(node: str, experiment: Experiment, environment: Cluster) -> dict[str, str]:
    """The environment of a node's container, beside what its secrets say."""
    variables: dict[str, str] = {}
    if node in TRAINERS:
        root, seconds = environment.checkpoints(experiment.name), environment.checkpoint_seconds
        variables |= training.environment(root, seconds, resume=True)
    if isinstance(environment, Kubeflow) and environment.proxied:
        # Go's clients and Python's read one or the other.
        directly = ",".join([_NO_PROXY, *environment.no_proxy])
        variables |= {"NO_PROXY": directly, "no_proxy": directly}
    return variables


def _resources(container: Spec, node: str, environment: Cluster) -> None:
    """Limits of the pool. The text fields are what newer backends read, the numbers what older ones and Vertex do."""
    found = environment.machine(node)
    if not found or _several(found[1]):
        return
    machine, resources = found[1], Spec()
    if machine.cpu:
        cores = f"{machine.cpu:.3f}".rstrip("0").rstrip(".")
        resources |= {"cpuLimit": machine.cpu, "resourceCpuLimit": cores}
    if machine.memory:
        gigabytes = quantity(machine.memory) / 1e9
        resources |= {"memoryLimit": gigabytes, "resourceMemoryLimit": machine.memory}
    if machine.gpu:
        kind = machine.gpu.resource if isinstance(environment, Kubeflow) else machine.gpu.accelerator
        count = str(machine.gpu.count)
        resources["accelerator"] = {"type": kind, "count": count, "resourceType": kind, "resourceCount": count}
    if resources:
        container["resources"] = resources


def _several(machine: Machine) -> bool:
    return isinstance(machine, VertexPool) and machine.workers > 1


def _workers(container: Spec, name: str, node: str, environment: Vertex) -> None:
    """A node on several machines. Its own container only starts the training job, so it gets a small machine."""
    found = environment.machine(node)
    if not found or not _several(found[1]):
        return
    pool = environment.pools[found[0]]
    machine: Spec = {"machine_type": pool.machine_type}
    if pool.gpu:
        machine |= {"accelerator_type": pool.gpu.accelerator, "accelerator_count": pool.gpu.count}
    runs = {"image_uri": environment.image, "command": COMMAND, "env": [*container["env"]]}
    job = {
        "display_name": name,
        "worker_pool_specs": [
            {"machine_spec": machine, "replica_count": count, "container_spec": runs}
            for count in (1, pool.workers - 1)  # Vertex calls the first pool's the chief
        ],
        "project": environment.project,
        "location": environment.region,
        "staging_bucket": environment.pipeline_root,
        "labels": environment.labels,
        "encryption_spec_key_name": environment.encryption_key,
    }
    submission = {
        "service_account": environment.service_account,
        "network": environment.network,
        "restart_job_on_worker_restart": True,
    }
    given = json.dumps({"job": job, "submission": submission}, sort_keys=True)
    container["env"].append({"name": workers.VARIABLE, "value": given})


def _secrets(spec: Spec, environment: Kubeflow) -> list[Secret]:
    """The environment's secrets. Kubeflow's own secret is added where nodes read its store and no keys are given."""
    told = any("AWS_ACCESS_KEY_ID" in secret.env.values() for secret in environment.secrets)
    if told or "minio://" not in json.dumps(spec["root"]):
        return environment.secrets
    # As Kubeflow's launcher does (kubeflow/pipelines, backend/src/v2/config/env.go).
    keys = {"accesskey": "AWS_ACCESS_KEY_ID", "secretkey": "AWS_SECRET_ACCESS_KEY"}
    return [*environment.secrets, Secret(name="mlpipeline-minio-artifact", env=keys)]


def _pod(node: str, environment: Kubeflow) -> Spec:
    """The node's part of the Kubernetes document, checked against kfp-kubernetes' message.

    Only fields that a driver of 2.3 knows, because drivers parse strictly: names are plain, the parameters beside them
    came with 2.5 (kubeflow/pipelines#11935). nodeAffinity is known to all, and read since 2.14.
    """
    found = environment.machine(node)
    pool = environment.pools[found[0]] if found else Pool()
    pod: Spec = {
        "nodeSelector": {"labels": pool.node_selector},
        "tolerations": [_toleration(each.model_dump(exclude_none=True)) for each in pool.tolerations],
        "nodeAffinity": list(_affinity(pool, environment)),
        "podMetadata": {"labels": {**environment.labels, **pool.labels}, "annotations": pool.annotations},
        "imagePullSecret": [{"secretName": name} for name in environment.image_pull_secrets],
        "secretAsEnv": [
            {
                "secretName": secret.name,
                "keyToEnv": [{"secretKey": key, "envVar": variable} for key, variable in secret.env.items()],
            }
            for secret in environment.secrets
            if secret.env
        ],
        "secretAsVolume": [
            {"secretName": secret.name, "mountPath": secret.mount} for secret in environment.secrets if secret.mount
        ],
        "pvcMount": [{"constant": volume.claim, "mountPath": volume.mount} for volume in environment.volumes],
    }
    if environment.image_pull_policy:
        pod["imagePullPolicy"] = environment.image_pull_policy
    if environment.timeout_seconds:
        pod["activeDeadlineSeconds"] = environment.timeout_seconds
    if pool.shared_memory:
        # enabledSharedMemory is in the message too, but no release of the backend reads it (kubeflow/pipelines#10704).
        shm = {"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": pool.shared_memory}
        pod["emptyDirMounts"] = [shm]
    return json_format.MessageToDict(json_format.ParseDict(_filled(pod), KubernetesExecutorConfig()))


def _toleration(given: Spec) -> Spec:
    seconds = given.pop("seconds", None)
    return given if seconds is None else {**given, "tolerationSeconds": seconds}


def _affinity(pool: Pool, environment: Kubeflow) -> Iterator[Spec]:
    """The pool's node affinity. All requirements share one term, because terms are alternatives."""
    needed = [rule for rule in pool.affinity if rule.weight is None]
    for term in [needed] if needed else _away(pool, environment):
        yield {"matchExpressions": [rule.model_dump(exclude={"weight"}) for rule in term]}
    for rule in pool.affinity:
        if rule.weight is not None:
            yield {"matchExpressions": [rule.model_dump(exclude={"weight"})], "weight": rule.weight}


def _away(pool: Pool, environment: Kubeflow) -> list[list[Requirement]]:
    """Keeps a node without a pool off the machines that have a GPU.

    A machine is of a pool if it has every label that the pool asks for, and of none if it lacks one of each pool's. So
    each term, of which Kubernetes takes any, has one label of each pool.
    """
    if pool.gpu or pool.node_selector or pool.affinity:
        return []
    pools = [list(_lacking(other)) for other in environment.pools.values() if other.gpu]
    terms = [[*_joined(term)] for term in itertools.product(*filter(None, pools)) if term]
    return [term for number, term in enumerate(terms) if term not in terms[:number]]


def _lacking(pool: Pool) -> Iterator[Requirement]:
    """One expression for each label of ``pool``: a machine that matches any of them is not in the pool."""
    negated = {"In": "NotIn", "Exists": "DoesNotExist"}
    for rule in pool.required:
        if rule.operator in negated and not _EVERYWHERE.fullmatch(rule.key):
            yield rule.model_copy(update={"operator": negated[rule.operator]})


def _joined(rules: Iterable[Requirement]) -> Iterator[Requirement]:
    """Merges requirements so that each key occurs once."""
    by_key = sorted(rules, key=lambda rule: (rule.key, rule.operator))
    for _, group in itertools.groupby(by_key, key=lambda rule: (rule.key, rule.operator)):
        same = list(group)
        yield same[0].model_copy(update={"values": sorted({value for rule in same for value in rule.values})})


def _filled(value: Any) -> Any:
    """Drops empty values, at every depth."""
    if not isinstance(value, dict):
        return value
    cleaned = {key: _filled(inner) for key, inner in value.items()}
    return {key: inner for key, inner in cleaned.items() if inner not in ({}, [], None)}


def _imports(spec: Spec, experiment: Experiment, environment: Cluster) -> Iterator[tuple[str, Path]]:
    """Every file that a node is told to read below ``imports``; its name there holds the digest of its content."""
    root, home = environment.folder(experiment.name), environment.home(experiment.name)
    named = re.findall(re.escape(f"{home}/imports/") + r"[0-9a-f]{32}", yaml.safe_dump(spec, width=10**9))
    for address in sorted(set(named)):
        folder = root / address.removeprefix(f"{home}/")
        for name in files.below(str(folder)):
            yield f"{address}/{name}", folder / name
