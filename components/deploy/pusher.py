"""Pusher with atomic versions: a version appears complete, under the next number, and old versions stay.

The stock Pusher copies in place, under the Unix second, so a server may load half a model.
"""

import contextlib
import errno
import json
import pathlib
import shutil
import time
import uuid
from typing import Any

from tfx.components.pusher import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs

from components import digest
from components.deploy.versions import model_of, versions
from components.storage import files
from components.storage.files import fileio
from models import progress
from models.export import identity

_STAGED = ".staged-"  # a copy that is not renamed yet
_ABANDONED = 86_400  # seconds after which such a copy is of a push that was killed
_CLAIMS = ".claims"  # files VERSION-DIGEST; no number: no server loads it


class Executor(executor.Executor):
    """Copies a blessed model beside its place, then renames it: readers see the old version or the new one."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Pushes a blessed model unless the newest version is the same model."""
        pushed = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            progress.emit(progress.Summary("nothing pushed: the model is not blessed"))
            return
        model = self.GetModelPath(input_dict)
        destination = json.loads(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY])
        folder = destination["filesystem"]["base_directory"]
        version, is_new = push(model, folder)
        configure(folder)
        pushed.set_string_custom_property("model", artifact_utils.get_single_uri(input_dict["model"]))
        pushed.set_int_custom_property("is_new", int(is_new))
        if not is_new:
            pushed.set_string_custom_property("same_as", f"v{version}")
        self._MarkPushed(pushed, pushed_destination=f"{folder}/{version}", pushed_version=str(version))
        progress.emit(progress.Summary(f"v{version}" if is_new else f"same as v{version}: nothing to push"))


class Pusher(component.Pusher):
    """TFX's Pusher with the executor above."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)


def push(model: str, folder: str) -> tuple[int, bool]:
    """Puts ``model`` under ``folder`` as its next version, unless the newest version is the same model.

    Others may push at the same time: another model gets another version, the same model the same one.

    Returns:
      The version, and whether it is new.
    """
    mine, there = identity.digest(model), versions(folder)
    if there and model_of(f"{folder}/{there[-1]}") == mine:
        return there[-1], False
    return _to_object_store(model, folder, there) if "://" in folder else _to_disk(model, folder, mine, there)


def _to_disk(model: str, folder: str, mine: str, there: list[int]) -> tuple[int, bool]:
    """Copies, then renames. The rename fails if another process has pushed this version meanwhile."""
    for left in pathlib.Path(folder).glob(f"{_STAGED}*"):
        with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
            if time.time() - left.stat().st_mtime > _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
    staged = pathlib.Path(folder, f"{_STAGED}{uuid.uuid4().hex}")  # no number: no server loads it
    known = set(there)
    try:
        files.copy(model, str(staged))
        while True:
            for version in set(versions(folder)) - known:
                if model_of(f"{folder}/{version}") == mine:
                    return version, False
                known.add(version)
            version = max(known, default=0) + 1
            try:
                staged.rename(f"{folder}/{version}")
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            else:
                return version, True
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _to_object_store(model: str, folder: str, there: list[int]) -> tuple[int, bool]:
    """Copies in place: an object store has no rename and no lock.

    The file that makes a folder a SavedModel comes last: a server that looks too early finds no model, and looks again.
    A version is written only under a claim that nobody disputes. Claims are never removed, and an object is listed as
    soon as it is written; so of two that claim one version at least one sees the other, and goes on to a later one. Who
    makes the same claim writes the same bytes: exports of one model that differ in these would make a mixture.
    """
    content, version = digest.of_folder(model), max(there, default=0) + 1
    fileio.makedirs(f"{folder}/{_CLAIMS}")
    while True:
        with fileio.open(f"{folder}/{_CLAIMS}/{version}-{content}", "w") as file:
            file.write(content)
        claims = [name.partition("-") for name in fileio.listdir(f"{folder}/{_CLAIMS}")]
        contents = sorted(claimed for number, _, claimed in claims if number == str(version))
        if contents == [content]:
            break
        version += 1 + contents.index(content)
    target = f"{folder}/{version}"
    for name in set(files.below(target)) - set(files.below(model)):  # of something older, with no claim
        fileio.remove(f"{target}/{name}")
    files.copy(model, target, last="saved_model.pb")
    return version, True


# Where TensorFlow Serving's container has the folder above the models (deploy/compose.yaml mounts it there).
_MOUNTED = "/models"
_CONFIGS = {
    "models.config": """\
# Which models, versions and labels are served; docs/deploy.md has a canary's edits. Written once: it is yours.
model_config_list {{
  config {{
    name: "{name}"
    base_path: "{mounted}/{name}"
    model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
""",
    "batching.config": """\
# Requests that wait are computed together, and none waits for others to come. As many threads as cores.
max_batch_size {{ value: 128 }}
enable_large_batch_splitting {{ value: true }}
max_execution_batch_size {{ value: 32 }}
batch_timeout_micros {{ value: 0 }}
num_batch_threads {{ value: 2 }}
max_enqueued_batches {{ value: 64 }}
""",
    "monitoring.config": """\
prometheus_config {{ enable: true path: "/monitoring/prometheus/metrics" }}
""",
}


def configure(folder: str) -> None:
    """Writes TensorFlow Serving's model config beside ``folder``. An existing file is the user's and stays."""
    parent, _, model = folder.rpartition("/")
    for name, text in _CONFIGS.items():
        if not fileio.exists(f"{parent}/{name}"):
            part = f"{parent}/.{name}-{uuid.uuid4().hex}"
            with fileio.open(part, "w") as file:
                file.write(text.format(name=model, mounted=_MOUNTED))
            fileio.rename(part, f"{parent}/{name}", overwrite=True)
