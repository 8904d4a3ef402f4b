"""What can be known of the Dockerfile and of what builds from it, without building: make image-test does that."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[3]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()


def stages() -> dict[str, list[str]]:
    """Instructions by stage, continued lines joined; the first is FROM."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    instructions = "\n".join(lines).replace("\\\n", " ").splitlines()
    found: dict[str, list[str]] = {}
    for instruction in instructions:
        if start := re.fullmatch(r"FROM (\S+) AS (\S+)", instruction):
            found[start[2]] = []
        if found:
            found[list(found)[-1]].append(re.sub(r"\s+", " ", instruction))
    return found


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==(\S+)", (ROOT / "requirements" / lock).read_text(), re.M))


def test_hadolint_has_nothing_to_say():
    hadolint = pathlib.Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "deploy/Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_images_start_from():
    base = re.search(r"^ARG BASE=(.*)$", DOCKERFILE, re.M)[1]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-trixie@sha256:[0-9a-f]{64}", base)
    assert {name: lines[0].split()[1] for name, lines in stages().items()} == {
        "build": "${BASE}",
        "cpu": "${BASE}",
        "pipeline-cpu": "cpu",
        "gpu": "cpu",
        "pipeline-gpu": "gpu",
        "dataflow": "pipeline-cpu",
        "serving": "tensorflow/serving:2.20.0",
    }


@pytest.mark.parametrize("target", ["pipeline-cpu", "pipeline-gpu"])
def test_an_image_of_the_pipeline(target):
    instructions = stages()[target]
    assert "WORKDIR /app" in instructions
    assert instructions.index("USER 1000:1000") > instructions.index("COPY . .")
    # A command of Kubeflow's, Vertex's or Kubernetes' is all that runs.
    assert not any(line.startswith(("ENTRYPOINT", "CMD")) for name in ("cpu", "gpu", target) for line in stages()[name])
    assert "STOPSIGNAL SIGINT" in instructions
    labels = re.findall(r"(org\.opencontainers\.image\.\w+)=", instructions[-1])
    assert [label.rpartition(".")[2] for label in labels] == ["title", "licenses", "version", "revision"]
    # What changes with every commit comes last, so that the layers before it stay.
    assert [line.split("=")[0] for line in instructions[-3:-1]] == ["ARG VERSION", "ARG REVISION"]


def test_both_images_of_the_pipeline_are_made_alike():
    cpu, gpu = stages()["pipeline-cpu"], stages()["pipeline-gpu"]
    assert cpu[1:] == gpu[1:]


def test_what_is_installed_is_locked_with_hashes_and_compiled():
    installs = [
        line for lines in stages().values() for line in lines if "pip install" in line and "editable" not in line
    ]
    assert len(installs) == 3
    assert all("--require-hashes" in line for line in installs)
    assert all("--compile-bytecode" in line for line in installs if "uv pip" in line)


def test_a_gpu_needs_nvidias_libraries_and_no_other_version():
    cpu, cuda = pins("cpu.txt"), pins("cuda.txt")
    assert cuda.items() >= cpu.items()
    added = cuda.keys() - cpu.keys()
    assert len(added) > 5
    assert all(name.startswith("nvidia-") for name in added)


def test_dataflow_starts_the_workers_of_the_locked_beam():
    copied = next(line for line in stages()["dataflow"] if line.startswith("COPY"))
    assert f"apache/beam_python3.11_sdk:{pins('cpu.txt')['apache-beam']} " in copied


def test_serving_pins_the_server_and_leaves_root():
    instructions = stages()["serving"]
    assert instructions[1:3] == ["COPY . /models/", "USER 1000:1000"]


def test_the_packages_and_nothing_else_are_in_the_context():
    listed = {line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    folders = {f"!{name.removesuffix('*')}" for name in packages}
    metadata = {"!pyproject.toml", "!README.md", "!LICENSE", "!requirements/run.in"}
    assert listed == {"*", "**/__pycache__", "!requirements/*.txt"} | metadata | folders


# scripts/image and scripts/image-test


def call(script: str, folder: pathlib.Path, **programs: str) -> subprocess.CompletedProcess:
    """With ``programs`` as the only builders on the PATH."""
    for name in ("bash", "dirname", "sed", "git", "id", "cat"):
        (folder / name).symlink_to(shutil.which(name))
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    environment = {"PATH": str(folder), "RECORD": str(folder / "record")}
    return subprocess.run([ROOT / "scripts" / script], capture_output=True, text=True, env=environment)


def test_without_a_builder_one_sentence_says_so(tmp_path):
    done = call("image", tmp_path, docker="exit 1")  # the client, without an engine
    assert done.returncode == 1
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("✗ no docker with a running engine, podman or buildah was found: install one of them")


def test_both_images_are_built_with_the_builder_that_works(tmp_path):
    done = call("image", tmp_path, docker="exit 1", podman='[ "$1" = version ] || echo "$@" >>"$RECORD"')
    assert done.returncode == 0, done.stderr
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert done.stdout.splitlines() == [f"tfx-bert:{version}-cpu", f"tfx-bert:{version}-gpu"]
    cpu, gpu = (tmp_path / "record").read_text().splitlines()
    assert cpu.startswith(
        f"build --file deploy/Dockerfile --target pipeline-cpu --tag tfx-bert:{version}-cpu "
        f"--build-arg VERSION={version} --build-arg REVISION="
    )
    assert gpu == cpu.replace("pipeline-cpu", "pipeline-gpu").replace("-cpu ", "-gpu ")


def test_what_image_test_needs_is_said_before_it_begins(tmp_path):
    done = call("image-test", tmp_path)
    assert done.returncode == 1
    [sentence] = done.stderr.splitlines()
    root = os.getuid() == 0
    assert sentence.startswith("✗ buildah was not found: apt-get" if root else "✗ an image is built here by chroot")
