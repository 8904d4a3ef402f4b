"""Vertex's model registry, endpoints and custom jobs, for Google's own client: a gRPC server that it is led to.

Models and endpoints are in memory; the machines of a job are processes.
"""

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator
from concurrent import futures

import grpc
from google.cloud.aiplatform_v1 import types
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, timestamp_pb2
from google.rpc import status_pb2

from pipeline.cluster import dry_run

_ROOT = pathlib.Path(__file__).parents[2]
_STATES = types.JobState
_DEDICATED = types.Model.DeploymentResourcesType.DEDICATED_RESOURCES


class Vertex(grpc.GenericRpcHandler):
    """Answers as the API's reference says.

    Attributes:
      models: versions by the model's resource name, oldest first.
      endpoints: by resource name.
      jobs: by resource name.
      looked: is called with a job that is asked for, before the answer.
      asked: names of the methods that change something, in order.
    """

    def __init__(self) -> None:
        self.models: dict[str, list[types.Model]] = {}
        self.endpoints: dict[str, types.Endpoint] = {}
        self.jobs: dict[str, types.CustomJob] = {}
        self.looked = lambda job: None
        self.asked: list[str] = []
        self._deployed = 0
        self._machines: dict[str, list[subprocess.Popen]] = {}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method.rpartition("/")[2]
        if not method.startswith(("Get", "List")):
            self.asked.append(method)
        return grpc.unary_unary_rpc_method_handler(
            getattr(self, method),
            request_deserializer=getattr(types, f"{method}Request").deserialize,
            response_serializer=lambda answer: (
                answer.SerializeToString()
                if isinstance(answer, operations_pb2.Operation | empty_pb2.Empty)
                else type(answer).serialize(answer)
            ),
        )

    def GetModel(self, request: types.GetModelRequest, context: grpc.ServicerContext) -> types.Model:  # noqa: N802
        name, _, version = request.name.partition("@")
        for model in self.models.get(name, []):
            if (version or "default") in (model.version_id, *model.version_aliases):
                return model
        return context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} is not found.")

    def UploadModel(self, request: types.UploadModelRequest, context: grpc.ServicerContext):  # noqa: N802
        name = request.parent_model or f"{request.parent}/models/{request.model_id}"
        if request.parent_model not in ("", *self.models):
            context.abort(grpc.StatusCode.NOT_FOUND, name)
        if not request.parent_model and name in self.models:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, name)
        versions = self.models.setdefault(name, [])
        for before in versions:  # an alias is of one version
            before.version_aliases = sorted({*before.version_aliases} - {*request.model.version_aliases})
        model = types.Model(request.model)
        model.name, model.version_id = name, str(len(versions) + 1)
        model.supported_deployment_resources_types = [_DEDICATED]
        versions.append(model)
        return _done(types.UploadModelResponse(model=name, model_version_id=model.version_id))

    def ListEndpoints(self, request: types.ListEndpointsRequest, _):  # noqa: N802
        found = [each for each in self.endpoints.values() if request.filter == f'display_name="{each.display_name}"']
        return types.ListEndpointsResponse(endpoints=found)

    def CreateEndpoint(self, request: types.CreateEndpointRequest, _):  # noqa: N802
        endpoint = types.Endpoint(request.endpoint)
        endpoint.name = f"{request.parent}/endpoints/{len(self.endpoints) + 1}"
        endpoint.create_time = timestamp_pb2.Timestamp(seconds=len(self.endpoints) + 1)
        self.endpoints[endpoint.name] = endpoint
        return _done(endpoint)

    def GetEndpoint(self, request: types.GetEndpointRequest, _) -> types.Endpoint:  # noqa: N802
        return self.endpoints[request.name]

    def UpdateEndpoint(self, request: types.UpdateEndpointRequest, _) -> types.Endpoint:  # noqa: N802
        assert list(request.update_mask.paths) == ["traffic_split"]
        endpoint = self.endpoints[request.endpoint.name]
        endpoint.traffic_split = _shares(endpoint, request.endpoint.traffic_split)
        return endpoint

    def DeployModel(self, request: types.DeployModelRequest, _):  # noqa: N802
        endpoint, deployed = self.endpoints[request.endpoint], types.DeployedModel(request.deployed_model)
        deployed.model, _, deployed.model_version_id = deployed.model.partition("@")
        self._deployed += 1
        deployed.id = str(100 * self._deployed)
        endpoint.deployed_models.append(deployed)
        split = {deployed.id if each == "0" else each: share for each, share in request.traffic_split.items()}
        endpoint.traffic_split = _shares(endpoint, split)
        return _done(types.DeployModelResponse(deployed_model=deployed))

    def UndeployModel(self, request: types.UndeployModelRequest, _):  # noqa: N802
        endpoint = self.endpoints[request.endpoint]
        assert not endpoint.traffic_split.get(request.deployed_model_id)
        endpoint.deployed_models = [each for each in endpoint.deployed_models if each.id != request.deployed_model_id]
        endpoint.traffic_split = _shares(endpoint, request.traffic_split)
        return _done(types.UndeployModelResponse())

    def CreateCustomJob(self, request: types.CreateCustomJobRequest, _) -> types.CustomJob:  # noqa: N802
        job = types.CustomJob(request.custom_job)
        job.name, job.state = f"{request.parent}/customJobs/{len(self.jobs) + 1}", _STATES.JOB_STATE_RUNNING
        self.jobs[job.name] = job
        runs = [pool.container_spec for pool in job.job_spec.worker_pool_specs for _ in range(pool.replica_count)]
        path = f"{pathlib.Path(os.environ['WARM_PYTHON']).parent}:{os.environ['PATH']}"
        image = {name: value for name, value in os.environ.items() if not name.startswith("TFX_BERT_")}
        self._machines[job.name] = [
            subprocess.Popen(
                [*run.command, *run.args],
                cwd=_ROOT,
                env={**image, "PATH": path, **{each.name: each.value for each in run.env}, **more},
            )
            for run, more in zip(runs, dry_run._machines(len(runs)), strict=True)
        ]
        return job

    def GetCustomJob(self, request: types.GetCustomJobRequest, _) -> types.CustomJob:  # noqa: N802
        job = self.jobs[request.name]
        self.looked(job)
        codes = [each.poll() for each in self._machines.get(job.name, [])]
        if codes and not any(codes) and None not in codes:
            job.state = _STATES.JOB_STATE_SUCCEEDED
        elif any(codes):
            self.fail(job, f"The replicas exited with {codes}.")
        return job

    def fail(self, job: types.CustomJob, sentence: str) -> None:
        """Ends a job: when a machine of it fails, Vertex stops the others."""
        for machine in self._machines.get(job.name, []):
            machine.kill()
        job.state, job.error = _STATES.JOB_STATE_FAILED, status_pb2.Status(code=3, message=sentence)

    def ListCustomJobs(self, request: types.ListCustomJobsRequest, _):  # noqa: N802
        labels = [(job, f'labels.{key}="{value}"') for job in self.jobs.values() for key, value in job.labels.items()]
        found = [job for job, label in labels if label == request.filter]
        return types.ListCustomJobsResponse(custom_jobs=found)

    def CancelCustomJob(self, request: types.CancelCustomJobRequest, _):  # noqa: N802
        self.jobs[request.name].state = _STATES.JOB_STATE_CANCELLING
        return empty_pb2.Empty()


def _shares(endpoint: types.Endpoint, split: dict[str, int]) -> dict[str, int]:
    assert sum(split.values()) == 100
    assert split.keys() <= {each.id for each in endpoint.deployed_models}
    return dict(split)


def _done(answer) -> operations_pb2.Operation:
    operation = operations_pb2.Operation(name="operations/1", done=True)
    operation.response.Pack(type(answer).pb(answer))
    operation.metadata.Pack(empty_pb2.Empty())
    return operation


@contextlib.contextmanager
def served() -> Iterator[tuple[Vertex, str]]:
    """What is there, and the address where it answers."""
    server, vertex = grpc.server(futures.ThreadPoolExecutor(4)), Vertex()
    server.add_generic_rpc_handlers([vertex])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield vertex, f"127.0.0.1:{port}"
    finally:
        server.stop(None)
