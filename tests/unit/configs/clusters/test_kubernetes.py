"""Every rule at its boundary: what is accepted, what is refused, and where the sentence says that it stands."""

import copy
import functools
import gzip
import itertools
import json
import re
from pathlib import Path

import pydantic
import pytest

from configs import environment
from configs.base import ConfigError
from configs.clusters import kubernetes
from configs.clusters.kubeflow import Kubeflow

VERDICTS = Path(__file__).parents[3] / "data" / "kubernetes" / "verdicts.json.gz"
BASE = "kind: kubeflow\nimage: registry.example.org/tfx-bert:1.0\npipeline_root: gs://bucket/runs\n"
# The literal expressions of the sources, and the longest that each may be.
EXPRESSIONS = [
    # k8s.io/apimachinery pkg/util/validation/validation.go: dns1123LabelFmt, dns1123SubdomainFmt
    (kubernetes.object_name, "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", "a0-.A"),
    (kubernetes.volume_name, "[a-z0-9]([-a-z0-9]*[a-z0-9])?", "a0-.A"),
    # pkg/api/validate/content/kube.go: labelKeyFmt below a prefix, labelValueFmt
    (kubernetes.label_key,
     "([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]",
     "aA-./"),
    (kubernetes.label_value, "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", "aA-_. "),
    # pkg/api/resource/quantity.go: the grammar in the comment of Quantity, without its signs and zeros
    (kubernetes.quantity, "([1-9]+|[1-9]+\\.[1-9]*|\\.[1-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[1-9]+)?", "1.ekKi"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "expression", "alphabet"), EXPRESSIONS)
def test_rules_are_the_expressions_of_the_sources(rule, expression, alphabet):
    for length in range(5):
        for letters in itertools.product(alphabet, repeat=length):
            text = "".join(letters)
            try:
                rule(text)
                accepted = True
            except ValueError:
                accepted = False
            assert accepted == bool(re.fullmatch(expression, text)), text


LONG = {63: "a" * 63, 64: "a" * 64, 253: ".".join(["a" * 61] * 4) + ".abcde"}
# A line of YAML, the path in its refusals, and what stands for @: accepted, refused.
RULES = [
    ("namespace: '@'", "$.namespace", ["nlp", LONG[63]], ["", "Nlp", "nlp.team", "-nlp", LONG[64]]),
    ("service_account: '@'", "$.service_account", ["a.b", LONG[253]], ["", "Runner", LONG[253] + "a", "a@b.c"]),
    ("image_pull_secrets: ['@']", "$.image_pull_secrets[0]", ["re.gistry"], ["", "re_gistry", "registry/x"]),
    ("secrets: [{name: '@', env: {key: KEY}}]", "$.secrets[0].name", ["kag.gle", LONG[253]], ["", "kaggle_key"]),
    ("secrets: [{name: '@', mount: /data}]", "$.secrets[0].name",
     [LONG[63]], ["kag.gle", LONG[64], "shm", "s3-scratch", "kfp-launcher", "var-run-argo", "ca-bundle", "oci-0"]),
    ("secrets: [{name: a, env: {'@': KEY}}]", "$.secrets[0].env.@",
     ["tls.crt", "..a"[1:], "-_.", "K" * 253], ["a b", "a/b", ".", "..", "..a", "K" * 254]),
    ("secrets: [{name: a, env: {key: '@'}}]", "$.secrets[0].env.key",
     ["KAGGLE_KEY", "_a", "AWS_ACCESS_KEY_ID", "https_proxy", "HOME"],
     ["1KEY", "A-B", "A.B", "", "KEY=1", "KFP_POD_NAME", "KFP_POD_UID", "ARGO_TEMPLATE", "METADATA_GRPC_SERVICE_HOST",
      "ML_PIPELINE_SERVICE_PORT_GRPC", "KUBERNETES_SERVICE_HOST", "TFX_BERT_RESUME", "TF_CONFIG", "PATH", "NO_PROXY",
      "no_proxy"]),
    ("volumes: [{claim: '@', mount: /data}]", "$.volumes[0].claim",
     ["corpora", LONG[63]], ["", "Corpora", "cor.pora", LONG[64], "gcs-scratch", "tmp-dir-argo", "kfp-workspace"]),
    ("volumes: [{claim: corpora, mount: '@'}]", "$.volumes[0].mount",
     ["/data", "/data/", "/home/me", "/app/data", "/opt/models", "/tmp/mine", "/etc/ssl/mine", "/var/run/secrets/mine",
      "/gcsfuse"],
     ["", "data", "/", "//data", "/a:b", "/a/../b", "/{{x", "/gcs", "/gcs/bucket", "/s3", "/minio/", "/.cache",
      "/kfp-launcher", "/kfp", "/tmp", "/tmp/kfp/outputs", "/var/run/argo", "/var/run", "/run", "/var", "/argo/staging",
      "/dev/shm", "/proc", "/app", "/opt", "/opt/venv", "/usr", "/usr/local", "/etc", "/bin",
      "/var/run/secrets/kubernetes.io/serviceaccount"]),
    ("no_proxy: ['@']", "$.no_proxy[0]", [".example.org", "10.0.0.0/8", "registry:5000"], ["", "a,b", "a b", "$(X)"]),
    ("timeout_seconds: @", "$.timeout_seconds", [60, 2**31 - 1], [59, 2**31]),
    ("retries: {backoff_seconds: @}", "$.retries.backoff_seconds", [0, 86_400], [-1, 2**31]),
    ("retries: {factor: @}", "$.retries.factor", [1, 86_400], [0, 2**31]),
    ("retries: {count: 3, backoff_seconds: 30, factor: @}", "$.retries", [293], [294]),  # the last waits 30·factor²
    ("image_pull_policy: '@'", "$.image_pull_policy", ["Always", "IfNotPresent", "Never"], ["always", ""]),
    ("labels: {'@': x}", "$.labels.@",
     ["team", "example.org/Team_1", f"{LONG[253]}/{LONG[63]}", "app.kubernetes.io/name", "kueue.x-k8s.io/queue-name"],
     ["", "/x", "x/", "a/b/c", "Example.org/x", LONG[64], "workflows.argoproj.io/completed",
      "argoproj.io/x", "pipelines.kubeflow.org/v2_component", "pipeline/runid"]),
    ("labels: {x: '@'}", "$.labels.x", ["", "A-b_c.1", LONG[63]], ["-a", "a-", "a b", "é", LONG[64]]),
    ("pools: {p: {labels: {'@': x}}}", "$.pools.p.labels.@", ["team"], ["workflows.argoproj.io/workflow"]),
    ("pools: {p: {annotations: {'@': x}}}", "$.pools.p.annotations.@",
     ["Example.org/Team", "cluster-autoscaler.kubernetes.io/safe-to-evict", "sidecar.istio.io/inject"],
     ["a b", "workflows.argoproj.io/node-id", "pipelines.kubeflow.org/run_name", "kubernetes.io/config.mirror",
      "controller.kubernetes.io/pod-deletion-cost", "container.apparmor.security.beta.kubernetes.io/main",
      "seccomp.security.alpha.kubernetes.io/pod", "scheduler.alpha.kubernetes.io/tolerations"]),
    ("pools: {p: {annotations: {x: '@'}}}", "$.pools.p.annotations", ["", "é" * 122_879], ["é" * 122_880]),
    ("pools: {p: {node_selector: {'@': x}}}", "$.pools.p.node_selector.@", ["kubernetes.io/os", "pool"], ["", "a b"]),
    ("pools: {p: {node_selector: {x: '@'}}}", "$.pools.p.node_selector.x", ["", "l4-spot"], ["l4 spot", "l4/spot"]),
    ("pools: {p: {tolerations: [{key: '@', operator: Exists}]}}", "$.pools.p.tolerations[0].key",
     ["nvidia.com/gpu", ""], ["a b"]),
    ("pools: {p: {tolerations: [{key: x, value: '@'}]}}", "$.pools.p.tolerations[0].value", ["", "A.1"], ["a b"]),
    ("pools: {p: {tolerations: [{key: x, effect: '@'}]}}", "$.pools.p.tolerations[0].effect",
     ["NoSchedule", "PreferNoSchedule", "NoExecute"], ["noSchedule", "NoScheduleNoAdmit"]),
    ("pools: {p: {tolerations: [{key: x, operator: @}]}}", "$.pools.p.tolerations[0].operator",
     ["Exists", "Equal"], ["In", "Gt"]),
    ("pools: {p: {tolerations: [{@}]}}", "$.pools.p.tolerations[0]",
     ["operator: Exists", "operator: Exists, value: ''", "key: x, operator: Exists, effect: NoExecute, seconds: 0"],
     ["operator: Equal", "key: ''", "value: x", "key: x, operator: Exists, value: x",
      "key: x, effect: NoSchedule, seconds: 1"]),
    ("pools: {p: {tolerations: [{key: x, effect: NoExecute, seconds: @}]}}", "$.pools.p.tolerations[0].seconds",
     [0, 2**31 - 1], [-1, 2**31]),
    ("pools: {p: {affinity: [{key: '@', operator: Exists}]}}", "$.pools.p.affinity[0].key", ["a.b/c"], ["", "a b"]),
    ("pools: {p: {affinity: [{key: x, values: ['@']}]}}", "$.pools.p.affinity[0].values[0]", ["", "A"], ["a b", "-1"]),
    ("pools: {p: {affinity: [{key: x, operator: Gt, values: @}]}}", "$.pools.p.affinity[0]",
     ["['0']", "['999999999999999999']"], ["[]", "['1', '2']", "['x']", "['1.5']", "['9999999999999999999']"]),
    ("pools: {p: {affinity: [{key: x, operator: Exists, weight: @}]}}", "$.pools.p.affinity[0].weight",
     [1, 100], [0, 101]),
    ("pools: {p: {node_selector: {x: a, n: '4'}, affinity: [@]}}", "$.pools.p",
     ["{key: x, values: [a, b]}", "{key: x, operator: NotIn, values: [b]}", "{key: n, operator: Gt, values: ['3']}",
      "{key: x, values: [b], weight: 1}", "{key: y, operator: DoesNotExist}",
      "{key: y, values: [a, b]}, {key: y, operator: NotIn, values: [a]}"],
     ["{key: x, values: [b]}", "{key: x, operator: NotIn, values: [a]}", "{key: x, operator: DoesNotExist}",
      "{key: n, operator: Lt, values: ['4']}", "{key: x, operator: Gt, values: ['1']}",
      "{key: y, operator: Exists}, {key: y, operator: DoesNotExist}", "{key: y, values: [a]}, {key: y, values: [b]}"]),
    ("experiment: '@'", "$.experiment", ["x" * 128, "nightly runs"], ["", "x" * 129]),
    ("beam: {options: {'@': 1}}", "$.beam.options.@", ["direct_num_workers"], ["--region", "a b", "", "runner"]),
    ("pools: {p: {gpu: {type: x, resource: '@'}}}", "$.pools.p.gpu.resource",
     ["nvidia.com/gpu", "nvidia.com/mig-1g.5gb", "amd.com/gpu"],
     ["", "gpu", "cpu", "nvidia.com/", "requests.nvidia.com/gpu", "kubernetes.io/gpu", "Nvidia.com/gpu", "a/b/c"]),
    ("pools: {p: {gpu: {type: x, count: @}}}", "$.pools.p.gpu.count", [1, 16], [0, 17, 1.5]),
    ("pools: {p: {cpu: @}}", "$.pools.p.cpu", [0.001, 1.5, 4096], [0, -1, 0.0001, 4096.5]),
    ("pools: {p: {memory: '@'}}", "$.pools.p.memory",
     ["1", "64Ti", "1.5Gi", "1.Gi", ".5Gi", "12e9", "12E+9", "+1Gi", "128974848", "1000m"],
     ["", "0", "0Gi", "-1Gi", "1 Gi", "1K", "1KB", "1GB", "1gi", "1e", ".Gi", "65Ti", "8Ei", "Gi"]),
    ("pools: {p: {shared_memory: '@'}}", "$.pools.p.shared_memory", ["8Gi"], ["8GiB", "0"]),
]  # fmt: skip


def load(text: str):
    Path("e.yaml").write_text(text, "utf-8")
    return environment.load("e.yaml")


@pytest.mark.parametrize(("line", "path", "accepted", "refused"), RULES, ids=[rule[0] for rule in RULES])
def test_a_field_takes_what_kubernetes_takes(tmp_path, monkeypatch, line, path, accepted, refused):
    monkeypatch.chdir(tmp_path)
    for value in accepted:
        load(BASE + line.replace("@", _quoted(value, line)) + "\n")
    for value in refused:
        with pytest.raises(ConfigError) as caught:
            load(BASE + line.replace("@", _quoted(value, line)) + "\n")
        (told,) = str(caught.value).split("\n")
        assert told.startswith(f"e.yaml:4 {path.replace('@', str(value))}: "), told


def _quoted(value, line):
    """As it stands between the quotes of ``line``."""
    return value.replace("'", "''") if isinstance(value, str) and "'@'" in line else str(value)


# Where more is refused than Kubernetes does: what others have taken, what asks for nothing or for more than there is,
# what no machine can have, what a container cannot start with; and two fields that 1.32 does not look at.
STRICTER = re.compile(
    "is (a label|an annotation|a variable) of |is written where a proxy|is the name of a volume that every pod has|"
    "takes a folder of its own|(is in|would hide) a folder of|no machine can have|no machine has more|in steps of|"
    "more than 0|less than or equal to (4096|2147483647)|greater than or equal to (0|60)|valid string|"
    "takes the name of an environment variable|takes the resource of a device|takes one value, a whole number"
)


def test_what_kubernetes_refused_is_refused():
    recorded = json.loads(gzip.decompress(VERDICTS.read_bytes()))
    for path, value, refused in recorded["verdicts"]:
        given = copy.deepcopy(recorded["environment"])
        section = functools.reduce(lambda inner, key: inner[key], path[:-1], given)
        section[path[-1]] = value
        try:
            faults = [told for _, told in Kubeflow.model_validate(given).contradictions()]
        except pydantic.ValidationError as error:
            faults = [each["msg"] for each in error.errors()]
        if refused:
            assert faults, (path, value, refused)
        elif faults and value and "affinity" not in path and "image_pull_secrets" not in path:
            assert all(map(STRICTER.search, faults)), (path, value, faults)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("volumes: [{claim: a, mount: /a}, {claim: a, mount: /b}]",
         ["e.yaml:4 $.volumes[0].claim: there are 2 of the volume 'a' in each pod; give it once",
          "e.yaml:4 $.volumes[1].claim: there are 2 of the volume 'a' in each pod; give it once"]),
        ("volumes: [{claim: a, mount: /a}]\nsecrets: [{name: b, mount: /a/}]",
         ["e.yaml:4 $.volumes[0].mount: there are 2 of the mount '/a' in each pod; give it once",
          "e.yaml:5 $.secrets[0].mount: there are 2 of the mount '/a' in each pod; give it once"]),
        ("secrets: [{name: a, env: {x: KEY}}, {name: b, env: {y: KEY}}]",
         ["e.yaml:4 $.secrets[0].env.x: there are 2 of the variable 'KEY' in each pod; give it once",
          "e.yaml:4 $.secrets[1].env.y: there are 2 of the variable 'KEY' in each pod; give it once"]),
    ],
)  # fmt: skip
def test_what_a_pod_has_once(tmp_path, monkeypatch, text, faults):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(f"{BASE}{text}\n")
    assert str(caught.value).split("\n") == faults
