"""``tfx-bert run --dry-run`` before its first node, and where the first node fails; whole runs: tests/e2e."""

from pathlib import Path

import filelock
import pytest

from pipeline import loader
from pipeline.cluster import dry_run, rehearsal

from .conftest import IMAGE

KUBEFLOW = f"kind: kubeflow\nimage: {IMAGE}\npipeline_root: gs://bucket/runs\n"
VERTEX = f"kind: vertex\nproject: p\nregion: r\nimage: {IMAGE}\npipeline_root: gs://bucket/runs\n"
DRY_RUN = ("run", "x.yaml", "--dry-run", "--env")


@pytest.fixture(autouse=True)
def environments(folder):
    Path("k.yaml").write_text(KUBEFLOW)
    Path("v.yaml").write_text(f"{VERTEX}endpoint: {{image: r-docker.pkg.dev/p/nlp/tensorflow-serving:2.20.0}}\n")


def test_this_machine_and_a_part_of_the_dag_are_refused(tfx_bert):
    assert "--dry-run: this machine needs none" in tfx_bert(*DRY_RUN, "local", code=2)
    assert "--from and --to: a cluster runs every node" in tfx_bert(*DRY_RUN, "k.yaml", "--to", "Trainer", code=2)


def test_a_second_one_at_the_same_time_is_refused(tfx_bert):
    log = Path("runs/tiny_x/dry-run/logs/Trainer.log")
    log.parent.mkdir(parents=True)
    log.write_text("of the one that is under way")
    with filelock.FileLock("runs/tiny_x/.lock"):
        assert "another run of tiny_x is under way" in tfx_bert(*DRY_RUN, "k.yaml", code=1)
    assert log.is_file()


def test_faulty_data_ends_with_3_and_what_is_left_out_is_said(tfx_bert):
    Path("reviews.csv").write_text("text,label\n" + "fine,good\npoor,terrible\n" * 20)
    printed = tfx_bert(*DRY_RUN, "v.yaml", code=3)
    assert "! endpoint is left out" in printed
    assert "label 'terrible', allowed bad|good" in printed
    assert "✗ ExampleGen" in printed


def test_a_sample_is_a_rehearsal_of_the_rehearsal():
    short = loader.load("x.yaml").shortened(20)
    assert (short.name, short.train.epochs) == ("tiny_x-sample", 1)


def test_data_in_s3_lies_in_the_folder_of_its_bucket(s3, tmp_path):
    for name in ("a.csv", "b.csv"):
        s3.upload_file("reviews.csv", "bucket", f"data/{name}")
    experiment = loader.load("x.yaml", ["task.data.path=s3://bucket/data/*.csv"])
    rehearsal._fetch(experiment, dry_run.Cluster(tmp_path / "dry-run", "kubeflow", "s3://bucket/runs/1"))
    there = tmp_path / "dry-run/bucket/s3/bucket/data"
    assert {path.name for path in there.iterdir()} == {"a.csv", "b.csv"}
    assert (there / "a.csv").read_bytes() == Path("reviews.csv").read_bytes()
