"""Vertex's model registry and endpoints in memory, for Google's own client: a gRPC server that it is led to."""

import contextlib
from collections.abc import Iterator
from concurrent import futures

import grpc
from google.cloud.aiplatform_v1 import types
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, timestamp_pb2

_DEDICATED = types.Model.DeploymentResourcesType.DEDICATED_RESOURCES


class Vertex(grpc.GenericRpcHandler):
    """Answers as the API's reference says.

    Attributes:
      models: versions by the model's resource name, oldest first.
      endpoints: by resource name.
      asked: names of the methods that change something, in order.
    """

    def __init__(self) -> None:
        self.models: dict[str, list[types.Model]] = {}
        self.endpoints: dict[str, types.Endpoint] = {}
        self.asked: list[str] = []
        self._deployed = 0

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method.rpartition("/")[2]
        if not method.startswith(("Get", "List")):
            self.asked.append(method)
        return grpc.unary_unary_rpc_method_handler(
            getattr(self, method),
            request_deserializer=getattr(types, f"{method}Request").deserialize,
            response_serializer=lambda answer: (
                answer.SerializeToString()
                if isinstance(answer, operations_pb2.Operation)
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
