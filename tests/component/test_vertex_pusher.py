"""What was pushed, in Vertex's registry and behind an endpoint: Google's client against a server in memory."""

import pathlib

import google.auth
import grpc
import pytest
import tensorflow as tf
from google.api_core import exceptions, grpc_helpers
from google.auth import credentials
from tfx.types import channel_utils, standard_artifacts

from components.deploy import vertex_pusher
from configs import environment
from configs.base import ConfigError
from configs.clusters.vertex import Endpoint, Vertex
from models import progress
from pipeline import loader
from pipeline.cluster import compile as compiler
from tests.component import vertex as fake

IMAGE = "europe-west4-docker.pkg.dev/my-project/nlp/tensorflow-serving:2.20.0"
PARENT = "projects/my-project/locations/europe-west4"
MODEL = f"{PARENT}/models/reviews"


@pytest.fixture
def vertex(bucket, monkeypatch):
    """A registry and endpoints, beside a bucket."""
    with fake.served() as (vertex, address):
        options = [("grpc.enable_http_proxy", 0)]
        monkeypatch.setattr(grpc_helpers, "create_channel", lambda *_, **__: grpc.insecure_channel(address, options))
        monkeypatch.setattr(google.auth, "default", lambda *_, **__: (credentials.AnonymousCredentials(), "my-project"))
        yield vertex


@pytest.fixture
def push(vertex, tmp_path, caplog):
    """Pushes content as a version, runs the node, and returns what it put out and said."""

    def run(content, version, root=tmp_path, **settings):
        pushed, deployed = standard_artifacts.PushedModel(), standard_artifacts.PushedModel()
        if content:
            folder = f"{root}/serving_model/reviews/{version}"
            tf.io.gfile.makedirs(f"{folder}/variables")
            for name in ("saved_model.pb", "variables/variables.data"):
                with tf.io.gfile.GFile(f"{folder}/{name}", "w") as file:
                    file.write(content)
            pushed.set_string_custom_property("pushed_destination", folder)
            pushed.set_string_custom_property("pushed_version", str(version))
        node = vertex_pusher.VertexPusher(
            channel_utils.as_channel([pushed]),
            Endpoint(**{"image": IMAGE, **settings}),
            project="my-project",
            region="europe-west4",
            encryption_key=None,
            name="reviews",
            folder="gs://bucket/vertex_model",
            source_digest="s",
        )
        vertex.asked.clear()
        with caplog.at_level("INFO", "tfx_bert"):
            vertex_pusher.Executor().Do(
                {"pushed_model": [pushed]}, {"deployed_model": [deployed]}, dict(node.spec.exec_properties)
            )
        events = [getattr(each, "event", None) for each in caplog.records]
        said = [str(event) for event in events if isinstance(event, progress.Summary)][-1]
        return deployed, said

    return run


def traffic(vertex):
    """Percent by the version in the registry."""
    (endpoint,) = vertex.endpoints.values()
    return {each.model_version_id: endpoint.traffic_split.get(each.id, 0) for each in endpoint.deployed_models}


def test_a_pushed_version_is_registered_and_deployed(push, vertex, bucket):
    made, said = push("first", 1, root="gs://bucket")
    assert vertex.asked == ["UploadModel", "CreateEndpoint", "DeployModel"]
    (model,), (endpoint,) = vertex.models[MODEL], vertex.endpoints.values()
    # TensorFlow Serving finds the version's number in the folder that Vertex copies, and nothing else.
    place = model.artifact_uri.removeprefix("gs://bucket/")
    copied = {name.removeprefix(place): data for name, data in bucket.objects.items() if name.startswith(place)}
    assert {name: data for name, data in copied.items() if data} == {
        "/1/saved_model.pb": b"first",
        "/1/variables/variables.data": b"first",
    }
    spec = model.container_spec
    assert spec.image_uri == IMAGE
    assert spec.command == ["/usr/bin/tensorflow_model_server"]
    assert "--model_base_path=$(AIP_STORAGE_URI)" in spec.args
    assert "--rest_api_port=8080" in spec.args
    assert [port.container_port for port in spec.ports] == [8080]
    assert (spec.predict_route, spec.health_route) == ("/v1/models/reviews:predict", "/v1/models/reviews/metadata")
    assert "default" in model.version_aliases
    (deployed,) = endpoint.deployed_models
    assert (endpoint.display_name, deployed.display_name) == ("reviews", "reviews-v1")
    assert deployed.dedicated_resources.machine_spec.machine_type == "n1-standard-4"
    assert traffic(vertex) == {"1": 100}
    assert made.get_string_custom_property("model") == f"{MODEL}@1"
    assert made.get_string_custom_property("endpoint") == endpoint.name
    assert said == f"v1 deployed · {endpoint.name}"


def test_run_again_nothing_is_done_twice(push, vertex):
    push("first", 1)
    _, said = push("first", 1)
    assert vertex.asked == []
    assert said == f"v1 already there · {PARENT}/endpoints/1"


def test_what_a_killed_run_did_is_not_done_again(push, vertex, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(vertex_pusher, "deploy", killed)
        with pytest.raises(KeyboardInterrupt):
            push("first", 1)
    assert vertex.asked == ["UploadModel"]
    push("first", 1)
    assert vertex.asked == ["CreateEndpoint", "DeployModel"]
    assert len(vertex.models[MODEL]) == 1


def test_a_new_version_takes_the_place_of_the_one_before(push, vertex):
    push("first", 1)
    push("second", 2, gpu={"type": "nvidia-l4"}, machine_type="g2-standard-8", min_replicas=2, max_replicas=3)
    assert vertex.asked == ["UploadModel", "DeployModel", "UndeployModel"]
    assert [model.version_id for model in vertex.models[MODEL]] == ["1", "2"]
    assert ["default" in model.version_aliases for model in vertex.models[MODEL]] == [False, True]
    assert traffic(vertex) == {"2": 100}
    (endpoint,) = vertex.endpoints.values()
    resources = endpoint.deployed_models[0].dedicated_resources
    assert (resources.min_replica_count, resources.max_replica_count) == (2, 3)
    assert resources.machine_spec.accelerator_type.name == "NVIDIA_L4"
    assert resources.machine_spec.accelerator_count == 1


def test_another_content_or_image_is_another_version_whatever_its_number(push, vertex):
    """As in a bucket that was emptied."""
    push("first", 1)
    push("other", 1)
    push("other", 1, image=f"{IMAGE}-gpu")
    assert [model.version_id for model in vertex.models[MODEL]] == ["1", "2", "3"]
    assert len({model.artifact_uri for model in vertex.models[MODEL]}) == 3
    assert traffic(vertex) == {"3": 100}


def test_a_canary_is_followed_by_another_and_then_gets_everything(push, vertex):
    push("first", 1, traffic=10)
    assert traffic(vertex) == {"1": 100}  # there is nobody to share with
    push("second", 2, traffic=10)
    assert traffic(vertex) == {"1": 90, "2": 10}
    push("third", 3, traffic=20)
    assert traffic(vertex) == {"1": 80, "3": 20}
    push("third", 3, traffic=20)
    assert vertex.asked == []
    push("third", 3)
    assert vertex.asked == ["UpdateEndpoint", "UndeployModel"]
    assert traffic(vertex) == {"3": 100}


def test_what_was_not_pushed_is_not_deployed(push, vertex):
    _, said = push("", 0)
    assert vertex.asked == []
    assert said == "nothing deployed: nothing was pushed"


def test_a_refusal_is_told(push, vertex, monkeypatch):
    def full(_, context):
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "CustomModelServingCPUs quota exceeded")

    monkeypatch.setattr(vertex, "DeployModel", full, raising=False)
    with pytest.raises(exceptions.ResourceExhausted, match="quota exceeded"):
        push("first", 1)


ENVIRONMENT = """
kind: vertex
project: my-project
region: europe-west4
image: europe-west4-docker.pkg.dev/my-project/nlp/tfx-bert:1
pipeline_root: gs://bucket/runs
{more}
"""


def load(more):
    pathlib.Path("vertex.yaml").write_text(ENVIRONMENT.format(more=more))
    made = environment.load("vertex.yaml")
    assert isinstance(made, Vertex)
    return made


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("one line\n\nanother line\n")
    (tmp_path / "base.yaml").write_text(
        "name: base\nvocabulary: {learn: 100}\nencoder: {num_layers: 1, hidden_dim: 8, num_heads: 1}\n"
        "corpus: {path: text.txt}\npretrain: {steps: 1}\n"
    )
    return loader.load("base.yaml")


def test_the_node_stands_behind_pusher_where_an_endpoint_is_wanted(experiment):
    assert "VertexPusher" not in compiler.compiled(experiment, load("")).nodes
    made = compiler.compiled(experiment, load(f"endpoint: {{image: {IMAGE}}}"))
    task = made.pipeline["root"]["dag"]["tasks"]["VertexPusher"]
    assert "Pusher" in task["dependentTasks"]
    assert not task["cachingOptions"]["enableCache"]
    given = task["inputs"]["parameters"]
    assert given["name"]["runtimeValue"]["constant"] == "base"
    assert given["folder"]["runtimeValue"]["constant"] == "gs://bucket/runs/base/vertex_model"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("endpoint: {image: 'tensorflow/serving:2.20.0'}", r"endpoint\.image.*Artifact Registry"),
        (f"endpoint: {{image: {IMAGE}, min_replicas: 2}}", "max_replicas is 1, less than min_replicas, 2"),
        (f"endpoint: {{image: {IMAGE}, traffic: 0}}", r"endpoint\.traffic"),
        (f"endpoint: {{image: {IMAGE}}}\nworkspace: /mnt/disk", r"\$\.workspace: Vertex takes a gs:// address"),
    ],
)
def test_what_vertex_would_refuse_is_refused_before(experiment, more, why):
    with pytest.raises(ConfigError, match=why):
        load(more)
