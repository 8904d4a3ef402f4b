"""The Pusher: whole versions under rising numbers."""

import concurrent.futures
import errno
import os
import pathlib
import shutil
import threading
import time
import uuid

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tfx.types import standard_artifacts

from components import digest
from components.deploy import pusher
from components.evaluate.baseline import Executor, VersionExecutor
from components.storage import s3 as s3_module
from models.export import identity


def graph(weight):
    """A SavedModel without variables: its one signature answers a constant."""
    saved = saved_model_pb2.SavedModel()
    meta = saved.meta_graphs.add()
    meta.graph_def.node.add(name="weight", op="Const").attr["value"].tensor.string_val.append(weight.encode())
    meta.signature_def["serving_default"].outputs["weight"].name = "weight:0"
    return saved.SerializeToString()


def model(folder, weight, written="once"):
    """``written``: bytes that decide nothing."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(graph(weight))
    (folder / "variables" / "variables.data").write_text(weight)
    (folder / "fingerprint.pb").write_text(written)
    return str(folder)


def test_versions_rise_and_old_ones_stay(tmp_path):
    serving = tmp_path / "serving"
    assert pusher.push(model(tmp_path / "a", "1"), str(serving)) == (1, True)
    assert pusher.push(model(tmp_path / "b", "2"), str(serving)) == (2, True)
    assert pusher.versions(serving) == [1, 2]
    assert (serving / "1/variables/variables.data").read_text() == "1"
    assert (serving / "2/variables/variables.data").read_text() == "2"


def test_the_same_model_is_not_pushed_again(tmp_path):
    first = model(tmp_path / "a", "1")
    assert pusher.push(first, str(tmp_path / "serving")) == (1, True)
    assert pusher.push(first, str(tmp_path / "serving")) == (1, False)
    assert pusher.versions(tmp_path / "serving") == [1]


@pytest.mark.parametrize("where", ["disk", "ram"])
def test_a_model_that_was_written_again_is_the_same(tmp_path, where):
    serving = str(tmp_path / "serving") if where == "disk" else f"ram://{uuid.uuid4()}/reviews"
    once, again = model(tmp_path / "a", "1"), model(tmp_path / "b", "1", written="again")
    assert digest.of_folder(once) != digest.of_folder(again)
    assert [pusher.push(each, serving) for each in (once, again)] == [(1, True), (1, False)]


@pytest.mark.parametrize("damage", ["saved_model.pb", None])
def test_a_version_that_is_damaged_is_no_model(tmp_path, damage):
    serving, given = tmp_path / "serving", model(tmp_path / "a", "1")
    assert pusher.push(given, str(serving)) == (1, True)
    if damage:
        (serving / "1/saved_model.pb").write_bytes(b"half")
    else:
        (serving / "1/saved_model.pb").unlink()
    assert pusher.push(given, str(serving)) == (2, True)


def baseline(tmp_path, candidate, serving):
    """What the two nodes of the baseline give: the parameter, and the baseline's folder."""
    given, version, found = standard_artifacts.Model(), standard_artifacts.String(), standard_artifacts.Model()
    given.uri, version.uri, found.uri = (str(tmp_path / uuid.uuid4().hex) for _ in range(3))
    shutil.copytree(candidate, f"{given.uri}/Format-Serving")
    pathlib.Path(found.uri).mkdir()
    where = {"pushed": str(serving)}
    VersionExecutor().Do({"model": [given]}, {"version": [version]}, where)
    Executor().Do({}, {"baseline": [found]}, {**where, "version": version.value})
    return version.value, pathlib.Path(found.uri)


def test_the_baseline_is_the_newest_pushed_model_that_is_another_one(tmp_path):
    serving, models = tmp_path / "serving", [model(tmp_path / name, name) for name in "ab"]
    told, folder = baseline(tmp_path, models[0], serving)
    assert told == ""
    assert [path.name for path in folder.iterdir()] == ["NONE"]  # no store loses it, as it does an empty folder
    pusher.push(models[0], str(serving))
    # It was pushed meanwhile, and is no baseline of itself: a run that repeats what was done is told the same.
    assert baseline(tmp_path, model(tmp_path / "again", "a", written="again"), serving)[0] == ""
    told, folder = baseline(tmp_path, models[1], serving)
    assert told == f"1@{identity.digest(models[0])}"
    assert (folder / "Format-Serving/saved_model.pb").read_bytes() == graph("a")
    pusher.push(models[1], str(serving))
    (serving / "3").mkdir()
    (serving / "3/saved_model.pb").write_bytes(b"half")
    assert baseline(tmp_path, models[1], serving)[0] == told  # neither itself nor what is damaged
    assert baseline(tmp_path, models[0], serving)[0].startswith("2@")


def test_ten_is_newer_than_nine(tmp_path):
    for version in (9, 10):
        (tmp_path / "serving" / str(version)).mkdir(parents=True)
    assert pusher.push(model(tmp_path / "a", "1"), str(tmp_path / "serving")) == (11, True)


def test_what_a_killed_push_left_goes_after_a_day(tmp_path):
    for name, age in (("old", 90_000), ("new", 0)):  # the new one may be of a push that runs
        half = tmp_path / f"serving/.staged-{name}/variables"
        half.mkdir(parents=True)
        (half / "rubbish").write_text("half")
        os.utime(half.parent, (time.time() - age,) * 2)
    pusher.push(model(tmp_path / "a", "1"), str(tmp_path / "serving"))
    assert {path.name for path in (tmp_path / "serving").iterdir()} == {"1", ".staged-new"}
    assert not (tmp_path / "serving/1/variables/rubbish").exists()


def test_a_full_disk_leaves_no_version(tmp_path, monkeypatch):
    def full(source, target, **_):
        (pathlib.Path(target) / "half").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pusher.files, "copy", full)
    with pytest.raises(OSError, match="No space left"):
        pusher.push(model(tmp_path / "a", "1"), str(tmp_path / "serving"))
    assert list((tmp_path / "serving").iterdir()) == []


def at_once(pushes):
    """What ``push`` returned to as many threads as there are pushes, all of which start together."""
    start = threading.Barrier(len(pushes))

    def push(given):
        start.wait()
        return pusher.push(*given)

    with concurrent.futures.ThreadPoolExecutor(len(pushes)) as pool:
        return list(pool.map(push, pushes))


def test_the_same_model_pushed_at_once_is_one_version(tmp_path):
    given, serving = model(tmp_path / "a", "1"), str(tmp_path / "serving")
    told = at_once([(given, serving)] * 8)
    assert sorted(told) == [*[(1, False)] * 7, (1, True)]
    assert [path.name for path in (tmp_path / "serving").iterdir()] == ["1"]


def test_models_pushed_at_once_get_versions_of_their_own(tmp_path):
    serving = tmp_path / "serving"
    told = at_once([(model(tmp_path / name, name), str(serving)) for name in "abcdefgh"])
    assert sorted(told) == [(version, True) for version in range(1, 9)]
    for (version, _), name in zip(told, "abcdefgh", strict=True):
        assert (serving / f"{version}/variables/variables.data").read_text() == name
        assert (serving / f"{version}/saved_model.pb").exists()


@pytest.mark.parametrize(("other", "told"), [("2", (2, True)), ("1", (1, False))], ids=["another", "the same"])
def test_a_version_that_appears_before_the_rename_is_not_replaced(tmp_path, monkeypatch, other, told):
    serving = tmp_path / "serving"
    model(serving / "1", other)
    known = iter([[], []])  # what was there before the copy, and after it
    real = pusher.versions
    monkeypatch.setattr(pusher, "versions", lambda folder: next(known, real(folder)))
    assert pusher.push(model(tmp_path / "a", "1"), str(serving)) == told
    assert (serving / "1/variables/variables.data").read_text() == other
    assert pusher.versions(serving) == list(range(1, told[0] + 1))


def test_a_rename_that_fails_for_another_reason_is_told(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(pathlib.Path, "rename", refused)
    with pytest.raises(OSError, match="Read-only"):
        pusher.push(model(tmp_path / "a", "1"), str(tmp_path / "serving"))
    assert list((tmp_path / "serving").iterdir()) == []


def test_a_reader_never_sees_half_a_version(tmp_path):
    """A server polls while versions are pushed: each one it sees is complete."""
    serving, seen, stop = tmp_path / "serving", [], threading.Event()

    def poll():
        while not stop.is_set():
            for version in pusher.versions(serving):
                files = {str(path.relative_to(serving / str(version))) for path in (serving / str(version)).rglob("*")}
                seen.append(files)

    reader = threading.Thread(target=poll)
    reader.start()
    for number in range(20):
        pusher.push(model(tmp_path / f"m{number}", str(number)), str(serving))
    stop.set()
    reader.join()
    assert seen
    whole = {"saved_model.pb", "fingerprint.pb", "variables", "variables/variables.data"}
    assert all(files == whole for files in seen)


def test_tensorflow_servings_files_are_written_once(tmp_path):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    folder = tmp_path / "serving_model" / "reviews"
    folder.mkdir(parents=True)
    pusher.configure(str(folder))
    names = sorted(path.name for path in folder.parent.iterdir())
    assert names == ["batching.config", "models.config", "monitoring.config", "reviews"]
    path = folder.parent / "models.config"
    (model,) = text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert (model.name, model.base_path, model.model_version_policy.latest.num_versions) == (
        "reviews",
        "/models/reviews",
        1,
    )
    path.write_text("mine")
    pusher.configure(str(folder))
    assert path.read_text() == "mine"


def test_on_an_object_store_the_graph_comes_last(tmp_path, monkeypatch):
    """``ram://`` stands for one: TensorFlow's own file system in memory, reached by the calls that reach gs://."""
    serving, written, copy = f"ram://{uuid.uuid4()}/serving/reviews", [], tf.io.gfile.copy

    def noted(source, target, overwrite=False):
        written.append(target.removeprefix(f"{serving}/"))
        assert pusher.versions(serving) == list(range(1, int(written[-1][0])))  # no server is told of a half
        copy(source, target, overwrite)

    monkeypatch.setattr(tf.io.gfile, "copy", noted)
    monkeypatch.setattr(tf.io.gfile, "rename", None)
    monkeypatch.setattr(pathlib.Path, "rename", None)
    assert pusher.push(model(tmp_path / "a", "1"), serving) == (1, True)
    assert written == ["1/fingerprint.pb", "1/variables/variables.data", "1/saved_model.pb"]
    assert pusher.push(model(tmp_path / "b", "2"), serving) == (2, True)
    assert pusher.push(str(tmp_path / "b"), serving) == (2, False)
    assert pusher.versions(serving) == [1, 2]


def test_what_a_killed_push_left_on_an_object_store_is_replaced(tmp_path):
    serving = f"ram://{uuid.uuid4()}/serving/reviews"
    tf.io.gfile.makedirs(f"{serving}/1/variables")
    with tf.io.gfile.GFile(f"{serving}/1/variables/rubbish", "w") as file:
        file.write("half")
    assert pusher.versions(serving) == []
    assert pusher.push(model(tmp_path / "a", "1"), serving) == (1, True)
    assert not tf.io.gfile.exists(f"{serving}/1/variables/rubbish")


@pytest.fixture(params=["gs", "s3"])
def store(request):
    """The scheme of a store with the bucket ``bucket``, and what gives its objects by name."""
    if request.param == "gs":
        bucket = request.getfixturevalue("bucket")
        return "gs", lambda: bucket.objects
    client = request.getfixturevalue("s3")
    return "s3", lambda: {
        each["Key"]: client.get_object(Bucket="bucket", Key=each["Key"])["Body"].read()
        for each in client.list_objects_v2(Bucket="bucket")["Contents"]
    }


def pushed(objects):
    """The objects of every version, by version."""
    found = {}
    for name, content in objects().items():
        version, _, path = name.removeprefix("reviews/").partition("/")
        if version.isdigit() and content:  # a folder is an object without content
            found.setdefault(int(version), {})[path] = content
    return found


def whole(weight):
    return {"saved_model.pb": graph(weight), "variables/variables.data": weight.encode(), "fingerprint.pb": b"once"}


def test_a_bucket_gets_whole_versions(store, tmp_path):
    scheme, objects = store
    a, b = model(tmp_path / "a", "1"), model(tmp_path / "b", "2")
    assert [pusher.push(each, f"{scheme}://bucket/reviews") for each in (a, b, b)] == [(1, True), (2, True), (2, False)]
    assert pushed(objects) == {version: whole(str(version)) for version in (1, 2)}


def test_the_same_model_pushed_at_once_to_a_bucket_is_one_version(store, tmp_path):
    scheme, objects = store
    told = at_once([(model(tmp_path / "a", "1"), f"{scheme}://bucket/reviews")] * 4)
    assert {version for version, _ in told} == {1}
    assert pushed(objects) == {1: whole("1")}


def test_models_pushed_at_once_to_a_bucket_get_versions_of_their_own(store, tmp_path):
    scheme, objects = store
    told = at_once([(model(tmp_path / name, name), f"{scheme}://bucket/reviews") for name in "abcd"])
    assert all(is_new for _, is_new in told)
    assert pushed(objects) == {version: whole(name) for (version, _), name in zip(told, "abcd", strict=True)}


def test_in_s3_the_graph_comes_last_and_what_a_killed_push_left_is_replaced(s3, tmp_path, monkeypatch):
    s3.put_object(Bucket="bucket", Key="serving/reviews/1/variables/rubbish", Body=b"half")
    written, upload = [], s3_module.upload

    def noted(source, target):
        written.append(target.removeprefix("s3://bucket/serving/"))
        assert pusher.versions("s3://bucket/serving/reviews") == []
        upload(source, target)

    monkeypatch.setattr(s3_module, "upload", noted)
    assert pusher.push(model(tmp_path / "a", "1"), "s3://bucket/serving/reviews") == (1, True)
    pusher.configure("s3://bucket/serving/reviews")
    assert written[-1] == "reviews/1/saved_model.pb"
    assert len(written) == 3
    names = [each["Key"].removeprefix("serving/") for each in s3.list_objects_v2(Bucket="bucket")["Contents"]]
    claim = f"reviews/.claims/1-{digest.of_folder(tmp_path / 'a')}"
    assert names == ["batching.config", "models.config", "monitoring.config", claim, *sorted(written)]


def test_a_version_that_two_claim_is_nobodys(tmp_path):
    serving, given = f"ram://{uuid.uuid4()}/reviews", model(tmp_path / "a", "1")
    tf.io.gfile.makedirs(f"{serving}/.claims")
    mine = digest.of_folder(given)
    for claim in (f"1-{'0' * 64}", f"2-{mine}", f"2-{'f' * 64}"):
        with tf.io.gfile.GFile(f"{serving}/.claims/{claim}", "w") as file:
            file.write("x")
    assert pusher.push(given, serving) == (3, True)  # 1: the second of two, so 1 + 1 + 1
