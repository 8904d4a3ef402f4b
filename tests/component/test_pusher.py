"""The Pusher: whole versions under rising numbers."""

import pathlib
import threading
import uuid

import pytest
import tensorflow as tf

from components import pusher


def model(folder, weight):
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text("graph")
    (folder / "variables" / "variables.data").write_text(weight)
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


def test_ten_is_newer_than_nine(tmp_path):
    for version in (9, 10):
        (tmp_path / "serving" / str(version)).mkdir(parents=True)
    assert pusher.push(model(tmp_path / "a", "1"), str(tmp_path / "serving")) == (11, True)


def test_what_a_killed_push_left_is_replaced(tmp_path):
    half = tmp_path / "serving" / ".staged-1" / "variables"
    half.mkdir(parents=True)
    (half / "rubbish").write_text("half")
    pusher.push(model(tmp_path / "a", "1"), str(tmp_path / "serving"))
    assert not (tmp_path / "serving/1/variables/rubbish").exists()
    assert not (tmp_path / "serving/.staged-1").exists()


def test_a_full_disk_leaves_no_version(tmp_path, monkeypatch):
    def full(source, target, **_):
        (pathlib.Path(target) / "half").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pusher.files, "copy", full)
    with pytest.raises(OSError, match="No space left"):
        pusher.push(model(tmp_path / "a", "1"), str(tmp_path / "serving"))
    assert pusher.versions(tmp_path / "serving") == []


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
    assert all(files == {"saved_model.pb", "variables", "variables/variables.data"} for files in seen)


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
    assert pusher.push(model(tmp_path / "a", "1"), serving) == (1, True)
    assert written == ["1/variables/variables.data", "1/saved_model.pb"]
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
