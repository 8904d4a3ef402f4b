"""What can be known of deploy/ without Docker and without a cluster."""

import copy
import http.server
import json
import pathlib
import re
import subprocess
import threading

import kubernetes_validate
import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

DEPLOY = pathlib.Path(__file__).parents[3] / "deploy"
KUBERNETES = "1.37"
LABELS = {"app.kubernetes.io/name": "sentiment"}

# The flags used here, out of those in tensorflow_serving/model_servers/main.cc.
FLAGS = {
    "port": int,
    "rest_api_port": int,
    "model_name": str,
    "model_base_path": str,
    "model_config_file": str,
    "model_config_file_poll_wait_seconds": int,
    "allow_version_labels_for_unavailable_models": bool,
    "enable_batching": bool,
    "batching_parameters_file": str,
    "monitoring_config_file": str,
    "tensorflow_intra_op_parallelism": int,
    "tensorflow_inter_op_parallelism": int,
}


def documents(name: str) -> dict:
    return {each["kind"]: each for each in yaml.safe_load_all((DEPLOY / name).read_text())}


def base() -> dict:
    found = {}
    for name in yaml.safe_load((DEPLOY / "kubernetes/base/kustomization.yaml").read_text())["resources"]:
        found |= documents(f"kubernetes/base/{name}")
    return found


def patched(document: dict, operations: list[dict]) -> dict:
    """JSON Patch (RFC 6902): add and replace in mappings and at indices, all that the overlay uses."""
    document = copy.deepcopy(document)
    for operation in operations:
        *above, last = [part.replace("~1", "/") for part in operation["path"].lstrip("/").split("/")]
        place = document
        for part in above:
            place = place[int(part) if isinstance(place, list) else part]
        assert operation["op"] == "add" or last in place, f"nothing to replace at {operation['path']}"
        place[last] = operation["value"]
    return document


def gpu() -> dict:
    overlay = yaml.safe_load((DEPLOY / "kubernetes/gpu/kustomization.yaml").read_text())
    assert overlay["resources"] == ["../base"]
    found = base()
    for patch in overlay["patches"]:
        target = patch["target"]
        assert found[target["kind"]]["metadata"]["name"] == target["name"]
        found[target["kind"]] = patched(found[target["kind"]], yaml.safe_load(patch["patch"]))
    return found


def runtime_pod() -> dict:
    """The parts of the ServingRuntime that end in a pod, as one."""
    spec = documents("kserve/sentiment.yaml")["ServingRuntime"]["spec"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "sentiment", "annotations": spec["annotations"]},
        "spec": {"containers": spec["containers"], "volumes": spec["volumes"]},
    }


def container(kind: str) -> dict:
    if kind == "kserve":
        return runtime_pod()["spec"]["containers"][0]
    return {"cpu": base, "gpu": gpu}[kind]()["Deployment"]["spec"]["template"]["spec"]["containers"][0]


def service() -> dict:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["sentiment"]


def dockerfile_arguments() -> list[str]:
    stage = (DEPLOY / "Dockerfile").read_text().partition(" AS serving\n")[2]
    return json.loads(re.search(r"^ENTRYPOINT (.*)$", stage, re.M)[1])[1:]


# Kubernetes


@pytest.mark.parametrize("variant", [base, gpu])
def test_every_kubernetes_manifest_is_valid(variant):
    found = variant()
    assert sorted(found) == [
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "Service",
    ]
    for document in found.values():
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_validation_finds_a_key_that_kubernetes_does_not_know():
    deployment = base()["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)


def test_what_selects_pods_selects_these():
    found = base()
    assert found["Deployment"]["spec"]["template"]["metadata"]["labels"] == LABELS
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == LABELS
    assert found["Service"]["spec"]["selector"] == LABELS
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == LABELS
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == LABELS
    target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": found["Deployment"]["metadata"]["name"]}
    assert "replicas" not in found["Deployment"]["spec"]


def test_one_port_from_the_flag_to_the_network_policy():
    found = base()
    assert "--rest_api_port=8501" in container("cpu")["args"]
    assert container("cpu")["ports"] == [{"name": "rest", "containerPort": 8501}]
    assert found["Service"]["spec"]["ports"] == [{"name": "rest", "port": 8501, "targetPort": "rest"}]
    assert found["NetworkPolicy"]["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8501}]
    assert found["NetworkPolicy"]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert found["NetworkPolicy"]["spec"]["egress"] == []


@pytest.mark.parametrize("kind", ["cpu", "gpu", "kserve"])
def test_a_container_may_do_little(kind):
    security = container(kind)["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}
    around = security if kind == "kserve" else base()["Deployment"]["spec"]["template"]["spec"]["securityContext"]
    assert around["runAsNonRoot"] is True
    assert around["runAsUser"] == 1000
    assert around["seccompProfile"] == {"type": "RuntimeDefault"}
    resources = container(kind)["resources"]
    assert {"cpu", "memory"} <= resources["requests"].keys() & resources["limits"].keys()


def test_what_is_mounted_exists_and_only_tmp_is_writable():
    found = base()
    pod = found["Deployment"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["models"]["persistentVolumeClaim"] == {"claimName": "sentiment-models", "readOnly": True}
    assert found["PersistentVolumeClaim"]["metadata"]["name"] == "sentiment-models"
    assert volumes["config"]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    mounts = container("cpu")["volumeMounts"]
    assert {mount["name"] for mount in mounts} == volumes.keys()
    assert [mount["mountPath"] for mount in mounts if not mount.get("readOnly")] == ["/tmp"]
    assert not any("subPath" in mount for mount in mounts)  # such a file would never change


def test_the_gpu_variant():
    pod = gpu()["Deployment"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "tensorflow/serving:2.20.0-gpu"
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "2Gi", "nvidia.com/gpu": "1"}
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


# KServe, whose kinds kubernetes-validate does not know


def test_the_pod_of_the_kserve_runtime_is_valid():
    kubernetes_validate.validate(runtime_pod(), KUBERNETES, strict=True)


def test_the_inference_service_names_the_runtime_which_is_pinned():
    found = documents("kserve/sentiment.yaml")
    runtime, inference = found["ServingRuntime"], found["InferenceService"]
    assert runtime["apiVersion"] == "serving.kserve.io/v1alpha1"
    assert inference["apiVersion"] == "serving.kserve.io/v1beta1"
    assert set(runtime["spec"]) == {"annotations", "supportedModelFormats", "protocolVersions", "containers", "volumes"}
    assert runtime["spec"]["supportedModelFormats"] == [{"name": "tensorflow", "version": "2", "autoSelect": False}]
    [server] = runtime["spec"]["containers"]
    assert (server["name"], server["image"]) == ("kserve-container", "tensorflow/serving:2.20.0")
    model = inference["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"] == {"name": "tensorflow", "version": "2"}
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert model["storageUri"] == "pvc://sentiment-models/sentiment"
    [config] = [volume for volume in runtime["spec"]["volumes"] if volume["name"] == "config"]
    assert config["configMap"]["name"] == base()["ConfigMap"]["metadata"]["name"]


# Compose


def test_the_compose_service():
    assert service()["image"] == "tensorflow/serving:2.20.0"
    assert service()["volumes"] == ["../runs/sentiment/serving_model:/models:ro"]
    assert service()["ports"] == ["127.0.0.1:8501:8501"]
    assert service()["user"] == "1000:1000"
    assert service()["read_only"] is True
    assert service()["cap_drop"] == ["ALL"]
    assert service()["security_opt"] == ["no-new-privileges:true"]
    assert service()["deploy"]["resources"]["limits"] == {"cpus": "2", "memory": "2G"}


def test_the_compose_file_is_one_that_nothing_is_substituted_in():
    assert "$" not in (DEPLOY / "compose.yaml").read_text()  # compose would take it for a variable


# The server's flags


def flags(arguments: list[str]) -> dict[str, str]:
    parsed = {}
    for argument in arguments:
        name, _, value = re.fullmatch(r"--(\w+)(=(.+))?", argument).groups()
        kind = FLAGS[name]
        value = value or "true"
        assert kind is str or re.fullmatch(r"\d+" if kind is int else "true|false", value), argument
        parsed[name] = value
    assert len(parsed) == len(arguments), "a flag stands twice"
    return parsed


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        (lambda: service()["command"], "/models"),
        (lambda: container("cpu")["args"], "/etc/tfserving"),
        (lambda: container("gpu")["args"], "/etc/tfserving"),
    ],
    ids=["compose", "cpu", "gpu"],
)
def test_flags_that_make_canary_and_rollback_possible(arguments, folder):
    assert flags(arguments()) == {
        "rest_api_port": "8501",
        "model_config_file": f"{folder}/models.config",
        "model_config_file_poll_wait_seconds": "10",
        "allow_version_labels_for_unavailable_models": "true",
        "enable_batching": "true",
        "batching_parameters_file": f"{folder}/batching.config",
        "monitoring_config_file": f"{folder}/monitoring.config",
        "tensorflow_intra_op_parallelism": "2",
        "tensorflow_inter_op_parallelism": "2",
    }


def test_flags_of_the_image_and_of_kserve():
    image = flags(dockerfile_arguments())
    assert image["model_config_file"] == "/models/models.config"
    assert "model_config_file_poll_wait_seconds" not in image  # the file is part of the image
    kserve = flags(container("kserve")["args"])
    assert kserve["model_name"] == "{{.Name}}"
    assert kserve["model_base_path"] == "/mnt/models"
    assert kserve["rest_api_port"] == "8080"


def test_a_flag_that_the_server_does_not_know_is_found():
    with pytest.raises(KeyError, match="enable_baching"):
        flags(["--enable_baching"])


# TensorFlow Serving's configuration


# session_bundle_config.proto and monitoring_config.proto by their field names: tensorflow-serving-api has neither.
PROTOS = descriptor_pb2.FileDescriptorProto(
    name="serving_configs.proto", package="s", syntax="proto3", dependency=["google/protobuf/wrappers.proto"]
)
MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": ".google.protobuf.Int64Value",
        "batch_timeout_micros": ".google.protobuf.Int64Value",
        "max_enqueued_batches": ".google.protobuf.Int64Value",
        "num_batch_threads": ".google.protobuf.Int64Value",
        "enable_large_batch_splitting": ".google.protobuf.BoolValue",
        "max_execution_batch_size": ".google.protobuf.Int64Value",
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": ".s.PrometheusConfig"},
}


def parse(text: str, name: str):
    file = copy.deepcopy(PROTOS)
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {"bool": kinds.TYPE_BOOL, "string": kinds.TYPE_STRING}
    for message, fields in MESSAGES.items():
        added = file.message_type.add(name=message)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            added.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            added.field[-1].type = scalars.get(kind, kinds.TYPE_MESSAGE)
            if kind not in scalars:
                added.field[-1].type_name = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return text_format.Parse(text, message_factory.GetMessageClass(pool.FindMessageTypeByName(f"s.{name}"))())


def test_the_configuration_in_the_config_map():
    data = base()["ConfigMap"]["data"]
    assert sorted(data) == ["batching.config", "models.config", "monitoring.config"]
    models = text_format.Parse(data["models.config"], model_server_config_pb2.ModelServerConfig())
    [model] = models.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("sentiment", "/models/sentiment", "tensorflow")
    assert list(model.model_version_policy.specific.versions) == [1]
    assert dict(model.version_labels) == {"stable": 1}
    monitoring = parse(data["monitoring.config"], "MonitoringConfig")
    assert monitoring.prometheus_config.enable
    annotations = base()["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert monitoring.prometheus_config.path == annotations["prometheus.io/path"]
    batching = parse(data["batching.config"], "BatchingParameters")
    assert batching.enable_large_batch_splitting.value
    assert batching.max_execution_batch_size.value <= batching.max_batch_size.value
    assert str(batching.num_batch_threads.value) == container("cpu")["resources"]["limits"]["cpu"]


def test_a_batching_parameter_that_the_server_does_not_know_is_found():
    with pytest.raises(text_format.ParseError, match="max_bach_size"):
        parse("max_bach_size { value: 1 }", "BatchingParameters")


def test_each_step_of_the_runbook_is_a_configuration_whose_labels_are_loaded():
    page = (DEPLOY.parent / "docs/deploy.md").read_text()
    steps = [
        text_format.Parse(step, model_server_config_pb2.ModelConfig())
        for step in re.findall(r"```\n(model_version_policy.*?)```", page, re.S)
    ]
    assert [(list(step.model_version_policy.specific.versions), dict(step.version_labels)) for step in steps] == [
        ([1, 2], {"stable": 1}),
        ([1, 2], {"stable": 1, "canary": 2}),
        ([1, 2], {"stable": 2, "canary": 2}),
        ([1, 2], {"stable": 1}),
    ]


# The probe


def answer(*states: str, error: str = "OK") -> str:
    """As TensorFlow Serving writes it: GetModelStatusResponse in JSON."""
    versions = [
        {"version": str(number), "state": state, "status": {"error_code": error, "error_message": ""}}
        for number, state in enumerate(states, start=1)
    ]
    return json.dumps({"model_version_status": versions}, indent=1)


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # as TensorFlow Serving: a probe that asks for 1.1 would wait for the end

        def do_GET(self):
            self.server.asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.answer)))
            self.end_headers()
            self.wfile.write(self.server.answer.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def probes() -> dict[str, list[str]]:
    pod = container("cpu")
    assert service()["healthcheck"]["test"][0] == "CMD"
    return {
        "compose": service()["healthcheck"]["test"][1:],
        "startup": pod["startupProbe"]["exec"]["command"],
        "readiness": pod["readinessProbe"]["exec"]["command"],
        "kserve": container("kserve")["readinessProbe"]["exec"]["command"],
    }


def run(command: list[str], port: int) -> int:
    here = [re.sub(r"/(8501|8080)\b", f"/{port}", part).replace("{{.Name}}", "sentiment") for part in command]
    assert here != command
    return subprocess.run(here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=5).returncode


@pytest.mark.parametrize("kind", ["compose", "startup", "readiness", "kserve"])
def test_the_probe_sees_available_and_nothing_else(server, kind):
    command, port = probes()[kind], server.server_port
    server.answer = answer("LOADING")
    assert run(command, port) != 0
    server.answer = answer("AVAILABLE")
    assert run(command, port) == 0
    server.answer = answer("AVAILABLE", "LOADING")  # a canary that loads takes no pod out
    assert run(command, port) == 0
    server.answer = answer("END", error="UNAVAILABLE")
    assert run(command, port) != 0
    server.answer = '{ "error": "Could not find any versions of model sentiment" }'
    assert run(command, port) != 0
    assert server.asked == ["/v1/models/sentiment"] * 5


def test_the_probe_fails_where_nothing_listens(server):
    port = server.server_port
    server.shutdown()
    server.server_close()
    assert run(probes()["readiness"], port) != 0
