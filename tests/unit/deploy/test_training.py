"""The training job on Kubernetes, the account of Kubeflow's nodes, and the environments in the docs."""

import pathlib
import re

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from benchmarks import cost_on_paper
from configs import environment
from configs.clusters.cluster import Cluster
from configs.clusters.kubeflow import Kubeflow
from pipeline import cli, exits, loader

ROOT = pathlib.Path(__file__).parents[3]
TRAINING = ROOT / "deploy/kubernetes/training"
PAGE = (ROOT / "docs/deploy.md").read_text()
KUBERNETES = "1.37"


def documents(name: str) -> dict:
    return {each["kind"]: each for each in yaml.safe_load_all((TRAINING / name).read_text())}


def folder() -> dict:
    """What `kubectl apply -k` makes of the folder."""
    given = yaml.safe_load((TRAINING / "kustomization.yaml").read_text())
    assert given["generatorOptions"] == {"disableNameSuffixHash": True}
    [generated] = given["configMapGenerator"]
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": generated["name"]},
        "data": {name: (TRAINING / name).read_text() for name in generated["files"]},
    }
    return {"ConfigMap": config} | {kind: each for name in given["resources"] for kind, each in documents(name).items()}


def pod() -> dict:
    return documents("job.yaml")["Job"]["spec"]["template"]["spec"]


# The job


def test_every_manifest_is_valid():
    found = [*folder().values(), *documents("job.yaml").values(), *documents("kubeflow-runner.yaml").values()]
    assert sorted(each["kind"] for each in found) == [
        "ConfigMap",
        "Job",
        "PersistentVolumeClaim",
        "Role",
        "RoleBinding",
        "ServiceAccount",
        "ServiceAccount",
    ]
    for each in found:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_what_the_job_names_is_there():
    made, spec = folder(), pod()
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert spec["serviceAccountName"] == made["ServiceAccount"]["metadata"]["name"]
    claim = made["PersistentVolumeClaim"]["metadata"]["name"]
    assert volumes["workspace"] == {"name": "workspace", "persistentVolumeClaim": {"claimName": claim}}
    assert volumes["config"]["configMap"]["name"] == made["ConfigMap"]["metadata"]["name"]
    assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == volumes.keys()


def test_its_command_is_one_that_the_program_takes_with_files_that_load(tmp_path, monkeypatch):
    container = pod()["containers"][0]
    program, command, experiment, option, where = container["command"]
    assert (program, command, option) == ("tfx-bert", "run", "--env")
    assert not CliRunner().invoke(cli.main, [command, "--help"]).exit_code
    for name, text in folder()["ConfigMap"]["data"].items():
        (tmp_path / name).write_text(text)
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert pathlib.PurePath(experiment).parent == pathlib.PurePath(where).parent == pathlib.PurePath(mounts["config"])
    monkeypatch.chdir(tmp_path)
    loaded = environment.load(pathlib.PurePath(where).name)
    assert isinstance(loaded, environment.Local)
    name = loader.load(pathlib.PurePath(experiment).name).name
    kept = (loaded.pushed(name), loaded.checkpoints(name), str(loaded.folder(name)))
    assert all(path.startswith(f"{mounts['workspace']}/") for path in kept)


def test_what_cannot_get_better_is_not_tried_again():
    spec = documents("job.yaml")["Job"]["spec"]
    drained, final = spec["podFailurePolicy"]["rules"]
    assert drained == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert final["action"] == "FailJob"
    assert final["onExitCodes"]["containerName"] == pod()["containers"][0]["name"]
    assert final["onExitCodes"]["values"] == [exits.CONFIG, exits.DATA, exits.NOT_BLESSED]
    assert pod()["restartPolicy"] == "Never"  # Kubernetes refuses the policy with another one
    assert spec["backoffLimit"] > 0


def test_it_asks_for_a_gpu_where_there_is_one():
    container = pod()["containers"][0]
    assert container["image"].endswith("-gpu")
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod()["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod()["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_it_may_do_little_and_holds_no_secret():
    spec = pod()
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 1000  # the image's
    assert spec["automountServiceAccountToken"] is False
    assert folder()["ServiceAccount"]["automountServiceAccountToken"] is False
    assert spec["imagePullSecrets"] == [{"name": "tfx-bert-registry"}]
    assert container["env"] == [{"name": "HOME", "value": "/tmp"}]


# The account of Kubeflow's nodes


def test_kubeflows_nodes_may_report_and_read_what_is_named():
    found = documents("kubeflow-runner.yaml")
    assert found["Role"]["rules"] == [
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["kfp-launcher"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mlpipeline-minio-artifact"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": ["pipelines.kubeflow.org"], "resources": ["runs"], "verbs": ["get", "list", "update"]},
        {"apiGroups": ["pipelines.kubeflow.org"], "resources": ["artifacts"], "verbs": ["get", "list", "create"]},
    ]
    name = found["ServiceAccount"]["metadata"]["name"]
    assert found["RoleBinding"]["subjects"] == [{"kind": "ServiceAccount", "name": name}]
    assert found["RoleBinding"]["roleRef"]["name"] == found["Role"]["metadata"]["name"]
    assert environment.load("kubeflow").service_account == name


# The page


def test_every_environment_on_the_page_loads(tmp_path):
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.S | re.M)
    clusters = [block for block in blocks if re.search(r"^kind: (kubeflow|vertex)$", block, re.M)]
    loaded = []
    for number, block in enumerate(clusters):
        (tmp_path / f"{number}.yaml").write_text(block)
        loaded.append(environment.load(str(tmp_path / f"{number}.yaml")))
    assert all(isinstance(each, Cluster) for each in loaded)
    assert [each.kind for each in loaded] == ["kubeflow", "vertex", "kubeflow", "kubeflow"]
    for each in loaded:
        assert any(pool.gpu for pool in each.pools.values())
        if isinstance(each, Kubeflow):
            assert all(pool.node_selector or pool.affinity for pool in each.pools.values() if pool.gpu)


def commands() -> list[list[str]]:
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", PAGE, re.S | re.M))
    lines = re.findall(r"^tfx-bert (.*?)(?: +#.*)?$", blocks, re.M)
    return [line.split() for line in lines]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_every_command_on_the_page_is_one(arguments):
    name, *rest = arguments
    command = cli.main.commands[name]
    command.make_context(name, rest).close()


def test_the_costs_on_the_page_are_those_of_the_script():
    [operations] = re.findall(r"([\d.]+)·10¹⁹ operations", PAGE)
    assert cost_on_paper.table(float(operations) * 1e19) in PAGE


def test_operations_are_counted_in_the_graph():
    tiny = {"num_layers": 2, "hidden_dim": 128, "num_heads": 2}
    layers, width, length, vocabulary, masked = 2, 128, 40, 1000, 6
    dense = 2 * layers * 12 * width**2 * length  # every product with a weight, twice: multiply and add
    attention = 2 * layers * 2 * length**2 * width  # queries with keys, weights with values
    heads = 2 * masked * (width**2 + width * vocabulary) + 2 * width**2 + 2 * 2 * width
    products = dense + attention + heads
    assert products < cost_on_paper.counted(tiny, length, vocabulary) < 1.05 * products
