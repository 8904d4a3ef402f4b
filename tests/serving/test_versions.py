"""Versions that come, go and break while requests are answered. One server; each test has a model of its own."""

import json
import shutil
import threading

import pytest


class Half:
    """A model that answers x/2 + its version number.

    Args:
      client: of the server.
      name: of the model.
      halves: a folder of versions to push from.
      base: the folder that is served.
      configure: writes the model config file anew, this model's entry given.
    """

    def __init__(self, client, name, halves, base, configure):
        self.client, self.name, self.halves, self.base, self._configure = client, name, halves, base, configure

    def configure(self, policy, *labels):
        """``labels`` are pairs."""
        marked = "".join(f'version_labels {{ key: "{name}" value: {number} }}' for name, number in labels)
        entry = f'name: "{self.name}" base_path: "{self.base}" model_platform: "tensorflow"'
        self._configure(self.name, f"config {{ {entry} model_version_policy {{ {policy} }} {marked} }}")

    def forget(self):
        self._configure(self.name, "")

    def push(self, number):
        """As Pusher does it: whole, by a rename."""
        staged = self.base / f".staged-{number}"
        shutil.copytree(self.halves / str(number), staged)
        staged.rename(self.base / str(number))

    def answer(self, which=""):
        status, body = self.client.post(f"/v1/models/{self.name}{which}:predict", {"instances": [0.0]})
        return body["predictions"][0] if status == 200 else status

    def states(self):
        status, body = self.client.get(f"/v1/models/{self.name}")
        found = body["model_version_status"] if status == 200 else []
        return {int(each["version"]): each["state"] for each in found}

    def until(self, condition):
        self.client.until(lambda _: condition())

    def said(self, words):
        return any(self.name in line and words in line for line in self.client.log.read_text().splitlines())


@pytest.fixture(scope="module")
def halves(models, tmp_path_factory):
    """x/2 + N in folder N."""
    folder = tmp_path_factory.mktemp("halves")
    for number in (1, 2, 3):
        models.half_plus(folder / str(number), float(number))
    return folder


@pytest.fixture(scope="module")
def server(start, halves, tmp_path_factory):
    """The server, and what writes its config file."""
    folder = tmp_path_factory.mktemp("server")
    entries = {"always": f'config {{ name: "always" base_path: "{halves}" model_platform: "tensorflow" }}'}

    def configure(name, entry):
        entries[name] = entry
        (folder / "new").write_text(f"model_config_list {{ {' '.join(entries.values())} }}")
        (folder / "new").rename(folder / "models.config")

    configure("", "")
    with start(folder, "--config", folder / "models.config") as client:
        client.ready()
        yield client, configure, folder


@pytest.fixture
def half(server, halves, tmp_path, request):
    client, configure, _ = server
    base = tmp_path / "half"
    base.mkdir()
    model = Half(client, request.node.name.translate({ord(each): "_" for each in "[]\\"}), halves, base, configure)
    model.push(1)
    model.configure("latest {}")
    model.until(lambda: model.answer() == 1.0)
    yield model
    model.forget()


def test_a_new_version_takes_over_without_one_failed_request(half):
    seen, done = [], threading.Event()

    def ask():
        while not done.is_set():
            seen.append(half.answer())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in (2, 3):
        half.push(number)
        half.until(lambda number=number: half.answer() == number)
    half.until(lambda: half.states() == {1: "END", 2: "END", 3: "AVAILABLE"})
    done.set()
    for thread in threads:
        thread.join()
    assert set(seen) == {1.0, 2.0, 3.0}
    assert len(seen) > 50


def test_the_server_is_ready_when_every_model_has_a_version(half):
    assert half.client.get("/readyz") == (200, {"status": "ready"})
    shutil.rmtree(half.base / "1")
    half.until(lambda: half.states() == {1: "END"})
    assert half.client.get("/readyz") == (503, {"error": "not every model is AVAILABLE"})
    assert half.client.get("/healthz") == (200, {"status": "alive"})
    assert half.answer() == 404
    assert half.said("no versions in")
    half.push(2)
    half.client.ready()
    assert half.answer() == 2.0


def test_half_a_model_is_refused_with_the_reason_and_the_old_one_goes_on(half):
    (half.base / "2").mkdir()
    shutil.copy(half.halves / "2/saved_model.pb", half.base / "2")  # the variables are still to come
    half.until(lambda: half.states() == {2: "END", 1: "AVAILABLE"})
    fault = half.client.get(f"/v1/models/{half.name}/versions/2")[1]["model_version_status"][0]["status"]
    assert fault["error_code"] != "OK"
    assert "variables" in fault["error_message"]
    assert half.answer() == 1.0
    shutil.copytree(half.halves / "2/variables", half.base / "2/variables")
    half.until(lambda: half.answer() == 2.0)


@pytest.mark.parametrize("content", [b"", b"\x00rubbish", b"\xff" * 1000], ids=["empty", "rubbish", "long"])
def test_rubbish_is_refused_and_the_old_one_goes_on(half, tmp_path, content):
    shutil.copytree(half.halves / "2", tmp_path / "two")
    (tmp_path / "two/saved_model.pb").write_bytes(content)
    (tmp_path / "two").rename(half.base / "2")
    half.until(lambda: half.states() == {2: "END", 1: "AVAILABLE"})
    assert half.answer() == 1.0
    assert half.said("version 2 cannot be loaded")


def test_replaced_under_the_same_number_is_said_and_not_served(half):
    shutil.copytree(half.halves / "2", half.base / "other")
    (half.base / "1").rename(half.base / "old")
    (half.base / "other").rename(half.base / "1")
    half.until(lambda: half.said("version 1 changed on disk; what was loaded is served"))
    assert half.answer() == 1.0


def test_canary_and_rollback_by_labels_and_policies_of_the_config_file(half):
    def answers():
        return half.answer("/labels/stable"), half.answer("/labels/canary")

    half.push(2)
    half.push(3)
    half.configure("specific { versions: 1 versions: 2 }", ("stable", 1), ("canary", 2))
    half.until(lambda: answers() == (1.0, 2.0))
    assert {number for number, state in half.states().items() if state == "AVAILABLE"} == {1, 2}
    # A label moves when its version is there, not before.
    half.configure("specific { versions: 2 versions: 3 }", ("stable", 2), ("canary", 3))
    half.until(lambda: answers() == (2.0, 3.0))
    half.until(lambda: half.states() == {3: "AVAILABLE", 2: "AVAILABLE", 1: "END"})
    half.configure("all {}")
    half.until(lambda: set(half.states().values()) == {"AVAILABLE"})
    assert half.answer("/labels/stable") == 400
    half.configure("latest { num_versions: 2 }")
    half.until(lambda: half.states() == {3: "AVAILABLE", 2: "AVAILABLE", 1: "END"})


def test_a_model_that_is_configured_no_longer_is_gone_and_a_broken_file_changes_nothing(half, server):
    _, _, folder = server
    config = folder / "models.config"
    whole = config.read_text()
    config.write_text("model_config_list { config { nam")
    half.until(lambda: "the model configuration stays as it was" in half.client.log.read_text())
    assert half.answer() == 1.0
    config.write_text(whole)
    half.forget()
    half.until(lambda: half.answer() == 404)
    assert half.states() == {}


def test_the_access_log_names_who_asked_what_and_not_with_which_text(half, server):
    path, log = f"/v1/models/{half.name}:predict", server[2] / "access.log"
    status, headers, _ = half.client.ask("POST", path, b'{"instances": ["secret"]}', {"X-Request-Id": "r-17"})
    assert (status, headers["x-request-id"]) == (400, "r-17")
    half.until(lambda: "r-17" in log.read_text())
    (line,) = [json.loads(line) for line in log.read_text().splitlines() if "r-17" in line]
    assert (line["method"], line["path"], line["status"], line["version"]) == ("POST", path, 400, 1)
    assert "secret" not in log.read_text() + half.client.log.read_text()
