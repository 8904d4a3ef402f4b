import os
from pathlib import Path

import pytest
import tensorflow as tf

from components.storage import s3 as s3_module
from components.storage.files import fileio
from pipeline.cluster import staging
from pipeline.run.result import RunError


@pytest.fixture
def files(tmp_path):
    """Two files of this machine, by what comes behind the workspace's address."""
    local = tmp_path / "runs" / "x"
    for name, text in (("imports/1/a.csv", "text\n"), ("imports/2/schema.pbtxt", "feature {}\n")):
        (local / name).parent.mkdir(parents=True)
        (local / name).write_text(text)
    return local


def imports(files, workspace):
    return {f"{workspace}/{path.relative_to(files)}": path for path in files.rglob("*") if path.is_file()}


@pytest.fixture(params=["ram", "s3", "folder"])
def workspace(request, tmp_path):
    if request.param == "s3":
        request.getfixturevalue("s3")
        return "s3://bucket/workspace/x"
    if request.param == "folder":
        (tmp_path / "volume").mkdir()
        return str(tmp_path / "volume" / "x")
    address = f"ram://staging/{tmp_path.name}"
    tf.io.gfile.makedirs(address)
    return address


def read(address):
    with fileio.open(address) as file:
        return file.read()


def names(folder):
    return sorted(name for _, _, found in fileio.walk(folder) for name in found)


def test_files_lie_where_the_nodes_look(files, workspace, events):
    staging.stage(imports(files, workspace), workspace, files)
    assert read(f"{workspace}/imports/1/a.csv") == "text\n"
    assert names(workspace) == ["a.csv", "schema.pbtxt"]
    (event,) = events
    told = "" if "://" in workspace else ", which must be the cluster's volume"
    assert str(event) == f"copying 2 files, 16 B, to {workspace}/imports/{told}"


def test_what_is_there_is_not_copied_again(files, workspace, events):
    staging.stage(imports(files, workspace), workspace, files)
    (files / "imports/1/a.csv").write_text("its name holds the digest of what is there\n")
    staging.stage(imports(files, workspace), workspace, files)
    assert read(f"{workspace}/imports/1/a.csv") == "text\n"
    assert len(events) == 1


def test_a_copy_that_was_killed_does_not_count(files, workspace, monkeypatch):
    copy = tf.io.gfile.copy

    def half(source, target, overwrite):
        with tf.io.gfile.GFile(target, "w") as file:
            file.write("te")
        raise KeyboardInterrupt

    def cut(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(tf.io.gfile, "copy", half)
    upload = s3_module.upload
    monkeypatch.setattr(s3_module, "upload", cut)
    with pytest.raises(KeyboardInterrupt):
        staging.stage(imports(files, workspace), workspace, files)
    monkeypatch.setattr(tf.io.gfile, "copy", copy)
    monkeypatch.setattr(s3_module, "upload", upload)
    staging.stage(imports(files, workspace), workspace, files)
    assert read(f"{workspace}/imports/1/a.csv") == "text\n"
    assert names(workspace) == ["a.csv", "schema.pbtxt"]


def test_a_bucket_gets_the_object_under_its_name_at_once(files, monkeypatch):
    # An object of gs:// appears when its upload is done, and a rename would upload it again.
    copied = []
    monkeypatch.setattr(tf.io.gfile, "exists", lambda address: address.endswith("schema.pbtxt"))
    monkeypatch.setattr(tf.io.gfile, "copy", lambda source, target, overwrite: copied.append((source, target)))
    staging.stage(imports(files, "gs://bucket/x"), "gs://bucket/x", files)
    assert copied == [(str(files / "imports/1/a.csv"), "gs://bucket/x/imports/1/a.csv")]


def test_for_a_volume_of_the_cluster_it_says_what_to_copy_where(files, events):
    staging.stage(imports(files, "/no/such/volume"), "/no/such/volume", files)
    (event,) = events
    assert f"copy {files}/imports/ to /no/such/volume/imports/" in str(event)
    assert not Path("/no").exists()


def test_a_file_system_that_refuses_is_named(files, s3):
    with pytest.raises(
        RunError,
        match=r"s3://nowhere/imports cannot be read and written from here: s3://nowhere/imports/.*: there is no bucket "
        r"nowhere at http://.*; create it, or mend the address; or give workspace: in the environment another place",
    ):
        staging.stage(imports(files, "s3://nowhere"), "s3://nowhere", files)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An experiment's folder on a volume, whose nodes are another user."""
    monkeypatch.setattr(staging, "_USER", os.getuid() + 1)
    (tmp_path / "volume").mkdir()
    return tmp_path / "volume" / "x"


def mode(path):
    return f"{path.stat().st_mode & 0o7777:o}"


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_nodes_may_write_where_they_keep_what_outlives_a_run(files, home, umask):
    weights = files / "imports/3/assets.extra/checkpoint/vocab.txt"
    weights.parent.mkdir(parents=True)
    weights.write_text("[PAD]\n")
    before = os.umask(umask)
    try:
        (home / "checkpoints" / "0b0e").mkdir(parents=True)  # of a training of this user's
        staging.stage(imports(files, str(home)), str(home), files)
    finally:
        os.umask(before)
    assert (mode(home), mode(home / "checkpoints"), mode(home / "checkpoints" / "0b0e")) == ("1777", "777", "777")
    for path in (home / "imports").rglob("*"):
        rights = 0o555 if path.is_dir() else 0o444
        assert path.stat().st_mode & (rights | 0o022) == rights  # they read, and write nothing


def test_a_folder_of_the_nodes_stays_as_it_is(files, home, monkeypatch):
    monkeypatch.setattr(staging, "_USER", os.getuid())
    home.mkdir(mode=0o755)
    staging.stage(imports(files, str(home)), str(home), files)
    assert mode(home) == "755"


def test_a_folder_that_this_user_may_not_open_to_the_nodes_is_refused(home, monkeypatch):
    (home / "checkpoints").mkdir(parents=True)
    (home / "checkpoints").chmod(0o755)
    chmod = Path.chmod

    def refused(path, given):
        if path.name == "checkpoints":
            raise PermissionError(1, "Operation not permitted", str(path))
        chmod(path, given)

    monkeypatch.setattr(Path, "chmod", refused)
    with pytest.raises(RunError) as error:
        staging.stage({}, str(home), Path())
    assert str(error.value) == (
        f"the nodes, which are user {os.getuid() + 1}, may not write in {home}/checkpoints, which is user "
        f"{os.getuid()}'s (mode 755): call chmod a+rwx {home}/checkpoints as that user, or as root"
    )
