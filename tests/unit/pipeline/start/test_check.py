"""``tfx-bert check`` of data in S3: what this machine may not read, the nodes of a cluster may."""

import pathlib

import pytest
import yaml
from click.testing import CliRunner

from pipeline import cli

CLUSTER = "kind: kubeflow\nimage: registry.example.org/tfx-bert:1\npipeline_root: s3://bucket/runs\n"


@pytest.fixture
def check(s3, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    rows = "".join(f"a text of number {number},{'good' if number % 2 else 'bad'}\n" for number in range(40))
    s3.put_object(Bucket="bucket", Key="r.csv", Body=f"text,label\n{rows}".encode())
    pathlib.Path("k.yaml").write_text(CLUSTER)

    def run(path, *more, code=0):
        task = {"type": "classification", "data": {"path": path}, "labels": ["bad", "good"], "max_length": 16}
        given = {
            "name": "x",
            "vocabulary": {"learn": 100},
            "encoder": {"num_layers": 1, "hidden_dim": 8, "num_heads": 1},
        }
        pathlib.Path("x.yaml").write_text(yaml.safe_dump({**given, "task": task}))
        result = CliRunner().invoke(cli.main, ["check", "x.yaml", *more])
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_records_in_s3_are_counted(check):
    for environment in ("local", "k.yaml"):
        printed = check("s3://bucket/*.csv", "--env", environment)
        assert "✓ s3://bucket/*.csv: 40 records · about" in printed
        assert "bad · " in printed


def test_a_file_that_is_not_there_is_a_fault_everywhere(check):
    for environment in ("local", "k.yaml"):
        assert "$.task.data.path: no file matches 's3://bucket/q.csv'" in check(
            "s3://bucket/q.csv", "--env", environment, code=3
        )


def test_without_credentials_a_run_here_is_refused_and_one_on_a_cluster_is_not(check, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    sentence = "$.task.data.path: s3://bucket/r.csv cannot be read: no credentials; set AWS_ACCESS_KEY_ID"
    assert f"✗ {sentence}" in check("s3://bucket/r.csv", code=3)
    printed = check("s3://bucket/r.csv", "--env", "k.yaml")
    assert f"✓ not looked at from here, the nodes have credentials and a network of their own: {sentence}" in printed
    assert "estimate: none" in printed
