"""Deploys a pushed model: Vertex's model registry, then an endpoint of stock TensorFlow Serving containers."""

from typing import TYPE_CHECKING, Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components import digest
from components.storage import files
from configs.clusters.vertex import Endpoint
from models import progress

if TYPE_CHECKING:  # the import takes three seconds, and compiling does not need it
    from google.cloud import aiplatform


class Executor(base_executor.BaseExecutor):
    """Uploads and deploys what is missing, so that a retry continues where it stopped."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Names the model and the endpoint in ``deployed_model``, if anything was pushed."""
        from google.cloud import aiplatform

        pushed = artifact_utils.get_single_instance(input_dict["pushed_model"])
        source = pushed.get_string_custom_property("pushed_destination")
        if not source:
            progress.emit(progress.Summary("nothing deployed: nothing was pushed"))
            return
        version, name = pushed.get_string_custom_property("pushed_version"), exec_properties["name"]
        wanted = Endpoint.model_validate_json(exec_properties["endpoint"])
        aiplatform.init(
            project=exec_properties["project"],
            location=exec_properties["region"],
            encryption_spec_key_name=exec_properties["encryption_key"] or None,
        )
        model, uploaded = register(source, version, name, exec_properties["folder"], wanted.image)
        endpoint, deployed = deploy(model, version, name, wanted)
        made = artifact_utils.get_single_instance(output_dict["deployed_model"])
        made.set_string_custom_property("model", model.versioned_resource_name)
        made.set_string_custom_property("endpoint", endpoint.resource_name)
        did = "deployed" if deployed else "registered" if uploaded else "already there"
        progress.emit(progress.Summary(f"v{version} {did} · {endpoint.resource_name}"))


def register(source: str, version: str, name: str, folder: str, image: str) -> tuple["aiplatform.Model", bool]:
    """The registry's model of this content in this image, and whether it was uploaded just now.

    Args:
      source: the pushed version.
      version: its number.
      name: of the model, for TensorFlow Serving and in the registry.
      folder: where each version goes alone: Vertex copies whole folders, and TensorFlow Serving looks for numbers.
      image: of TensorFlow Serving.
    """
    from google.api_core.exceptions import NotFound
    from google.cloud import aiplatform

    identity = name if name[0].isalpha() else f"m-{name}"[:63]  # the registry takes no digit in front
    # Not the number: it starts over in another bucket.
    alias = f"content-{digest.of_text(f'{digest.of_folder(source)} {image}')}"
    place = f"{folder}/{alias}"
    try:
        return aiplatform.Model(identity, version=alias), False
    except NotFound:
        pass
    try:
        of = {"parent_model": aiplatform.Model(identity).resource_name}
    except NotFound:
        of = {"model_id": identity}
    files.copy(source, f"{place}/{version}", last="saved_model.pb")
    model = aiplatform.Model.upload(
        **of,
        display_name=name,
        artifact_uri=place,
        version_aliases=[alias],
        version_description=source,
        labels={"pushed_version": version},
        serving_container_image_uri=image,
        # Without the stock entry point, a shell script that passes flags of its own.
        serving_container_command=["/usr/bin/tensorflow_model_server"],
        serving_container_args=[
            "--rest_api_port=8080",
            "--port=8500",
            f"--model_name={name}",
            "--model_base_path=$(AIP_STORAGE_URI)",  # Vertex puts in where its copy is
            "--file_system_poll_wait_seconds=60",  # every second, the default, is a request to the bucket every second
        ],
        serving_container_ports=[8080],
        serving_container_predict_route=f"/v1/models/{name}:predict",
        # GET /v1/models/NAME answers 200 while the model is loading; its metadata are there when it is loaded.
        serving_container_health_route=f"/v1/models/{name}/metadata",
    )
    return model, True


def deploy(model: "aiplatform.Model", version: str, name: str, target: Endpoint) -> tuple["aiplatform.Endpoint", bool]:
    """The endpoint, and whether the model was deployed to it just now.

    The version that had most of the traffic gets what the new one leaves; the others are undeployed: they cost money.
    """
    from google.cloud import aiplatform

    found = aiplatform.Endpoint.list(filter=f'display_name="{name}"', order_by="create_time")
    endpoint = found[0] if found else aiplatform.Endpoint.create(display_name=name)
    mine = [
        each.id
        for each in endpoint.list_models()
        if (each.model.partition("@")[0], each.model_version_id) == (model.resource_name, model.version_id)
    ]
    new = mine[0] if mine else "0"  # what a request calls the model that it deploys
    shares = {each: share for each, share in endpoint.traffic_split.items() if share}
    before = max((each for each in shares if each != new), key=shares.__getitem__, default=None)
    split = {new: target.traffic, before: 100 - target.traffic} if before and target.traffic < 100 else {new: 100}
    if not mine:
        endpoint.deploy(
            model,
            deployed_model_display_name=f"{name}-v{version}",
            traffic_split=split,
            machine_type=target.machine_type,
            min_replica_count=target.min_replicas,
            max_replica_count=target.max_replicas,
            accelerator_type=target.gpu.accelerator if target.gpu else None,
            accelerator_count=target.gpu.count if target.gpu else None,
            service_account=target.service_account,
        )
    elif shares != split:
        endpoint.update(traffic_split=split)
    for each in endpoint.list_models():
        if not endpoint.traffic_split.get(each.id):
            endpoint.undeploy(each.id)
    return endpoint, not mine


class Spec(component_spec.ComponentSpec):
    """See ``VertexPusher``."""

    PARAMETERS = {
        name: component_spec.ExecutionParameter(type=str)
        for name in ("endpoint", "project", "region", "encryption_key", "name", "folder", "source_digest")
    }
    INPUTS = {"pushed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel)}
    OUTPUTS = {"deployed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel)}


class VertexPusher(base_component.BaseComponent):
    """Brings what Pusher pushed behind an endpoint of Vertex.

    Args:
      pushed_model: of Pusher.
      endpoint: what is wanted.
      project: of Google Cloud.
      region: of the registry and the endpoint.
      encryption_key: a KMS key for both.
      name: of both, where the endpoint has none.
      folder: a ``gs://`` address for the copies that Vertex serves.
      source_digest: of the code behind this node.
    """

    SPEC_CLASS = Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        pushed_model: types.BaseChannel,
        endpoint: Endpoint,
        *,
        project: str,
        region: str,
        encryption_key: str | None,
        name: str,
        folder: str,
        source_digest: str,
    ) -> None:
        super().__init__(
            spec=Spec(
                pushed_model=pushed_model,
                endpoint=endpoint.model_dump_json(),
                project=project,
                region=region,
                encryption_key=encryption_key or "",
                name=endpoint.name or name,
                folder=folder,
                source_digest=source_digest,
                deployed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
