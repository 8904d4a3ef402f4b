"""Which release reads what: kubeflow/pipelines, tags 2.0.5 to 2.17.0."""

from pathlib import Path

import pytest

from configs import environment
from configs.base import ConfigError
from pipeline.cluster.services import backend
from tests.unit.pipeline.cluster.conftest import IMAGE

UNKNOWN = {"commit_sha": "unknown", "tag_name": "unknown", "multi_user": False}
# As backend/src/apiserver/main.go and the page's handlers/healthz.ts answer.
BY_PAGE = {"apiServerCommitHash": "unknown", "apiServerTagName": "unknown", "apiServerReady": True, "buildDate": ""}


@pytest.mark.parametrize(
    ("healthz", "oldest", "newest"),
    [
        ({**UNKNOWN, "tag_name": "2.3.0"}, (2, 3, 0), (2, 3, 0)),
        ({**UNKNOWN, "tag_name": "2.17.0", "pipeline_store": "database"}, (2, 17, 0), (2, 17, 0)),
        ({**BY_PAGE, "apiServerTagName": "2.16.1", "pipelineStore": "database"}, (2, 16, 1), (2, 16, 1)),
        ({**BY_PAGE, "frontendTagName": "2.4.1"}, (2, 4, 1), (2, 4, 1)),
        ({**UNKNOWN, "pipeline_store": "database"}, (2, 14, 0), (999,)),
        ({**BY_PAGE, "pipelineStore": "kubernetes"}, (2, 14, 0), (999,)),
        ({**UNKNOWN, "tag_name": "master-55ec846", "pipeline_store": "database"}, (2, 14, 0), (999,)),
        (UNKNOWN, (0,), (2, 13, 999)),
        (BY_PAGE, (0,), (2, 13, 999)),
        ({"apiServerReady": False, "buildDate": ""}, (0,), (999,)),
        ({}, (0,), (999,)),
    ],
)
def test_a_server_is_as_old_as_it_says(healthz, oldest, newest):
    assert backend.server(healthz) == backend.Server(oldest, newest)


AFFINITY = ", affinity: [{key: nvidia.com/gpu.product, values: [L4]}]"


@pytest.fixture
def checked(folder, compiled):
    def check(release, cpu="", l4="", more=""):
        Path("k.yaml").write_text(
            f"kind: kubeflow\nimage: {IMAGE}\npipeline_root: gs://bucket/runs\n"
            f"pools:\n  cpu: {{cpu: 2{cpu}}}\n  l4: {{gpu: {{type: nvidia-l4}}{l4}}}\n"
            f"nodes: {{default: cpu, Trainer: l4}}\n{more}"
        )
        return backend.check(compiled("k.yaml"), environment.load("k.yaml"), backend.Server(release, release))

    return check


@pytest.mark.parametrize(
    ("given", "key", "since"),
    [
        ({"l4": AFFINITY}, "pools.l4.affinity", (2, 14, 0)),
        ({}, "retries.count", (2, 4, 1)),
        (
            {"cpu": ", labels: {team: nlp}", "more": "retries: {count: 0}"},
            "labels and annotations of pools.cpu",
            (2, 4, 1),
        ),
        ({"l4": ", shared_memory: 8Gi", "more": "retries: {count: 0}"}, "shared_memory", (2, 3, 0)),
        ({"more": "timeout_seconds: 600\nretries: {count: 0}"}, "timeout_seconds", (2, 1, 0)),
    ],
)
def test_what_an_older_release_would_drop_is_refused(checked, given, key, since):
    before = (*since[:2], since[2] - 1) if since[2] else (since[0], since[1] - 1, 9)
    with pytest.raises(ConfigError) as refused:
        checked(before, **given)
    (line,) = str(refused.value).splitlines()
    told = ".".join(map(str, since))
    assert line.startswith(key) and f"Kubeflow {'.'.join(map(str, before))} does not read it" in line
    assert f"it takes Kubeflow {told} or later" in line
    assert checked(since, **given) == []


def test_every_field_is_named(checked):
    with pytest.raises(ConfigError) as refused:
        checked((2, 3, 0), l4=AFFINITY)
    assert [line.partition(":")[0].partition(" ")[0] for line in str(refused.value).splitlines()] == [
        "retries.count",
        "pools.l4.affinity",
    ]


def test_where_only_taints_keep_nodes_off_the_gpus_a_person_is_told(checked):
    (told,) = checked((2, 5, 0), l4=", node_selector: {pool: l4}")
    assert told.startswith("Kubeflow 2.5.0 reads no affinity: only taints keep nodes without a GPU off")
    assert checked((2, 14, 0), l4=", node_selector: {pool: l4}") == []


def test_what_may_be_dropped_is_told(checked, compiled):
    checked((2, 14, 0))
    (told,) = backend.check(compiled("k.yaml"), environment.load("k.yaml"), backend.server({}))
    assert told.startswith("retries.count (2; 0 tries no node again): a Kubeflow older than 2.4.1 drops it")
