"""Pusher that a reader can watch: a version appears whole, under the next number, and old ones stay.

The stock Pusher copies in place, under the Unix second, so a server may load half a model.
"""

import json
from typing import Any

import tensorflow as tf
from tfx.components.pusher import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs

from components import digest, files
from components.versions import versions
from models import progress


class Executor(executor.Executor):
    """Copies a blessed model beside its place, then renames it: readers see the old version or the new one."""

    def Do(
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Pushes if every blessing was given and the newest version is another model."""
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
        self._MarkPushed(pushed, pushed_destination=f"{folder}/{version}", pushed_version=str(version))
        progress.emit(progress.Summary(f"v{version}" if is_new else f"v{version} is this model already"))


class Pusher(component.Pusher):
    """TFX's Pusher with the executor above."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)


def push(model: str, folder: str) -> tuple[int, bool]:
    """Puts ``model`` under ``folder`` as its next version, unless the newest version is the same model.

    An object store has no rename. There the file that makes a folder a SavedModel comes last: a server that looks too
    early finds no model, and looks again.

    Returns:
      The version, and whether it is new.
    """
    there = versions(folder)
    if there and digest.of_folder(f"{folder}/{there[-1]}") == digest.of_folder(model):
        return there[-1], False
    version = there[-1] + 1 if there else 1
    remote = "://" in folder
    staged = f"{folder}/{version if remote else f'.staged-{version}'}"  # no number: no server loads it
    if tf.io.gfile.exists(staged):  # of a run that was killed
        tf.io.gfile.rmtree(staged)
    files.copy(model, staged, last="saved_model.pb")
    if not remote:
        tf.io.gfile.rename(staged, f"{folder}/{version}")
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
    """Writes what TensorFlow Serving is started with beside ``folder``; what is there already is somebody's own."""
    parent, _, model = folder.rpartition("/")
    for name, text in _CONFIGS.items():
        if not tf.io.gfile.exists(f"{parent}/{name}"):
            with tf.io.gfile.GFile(f"{parent}/.{name}", "w") as file:
                file.write(text.format(name=model, mounted=_MOUNTED))
            tf.io.gfile.rename(f"{parent}/.{name}", f"{parent}/{name}")
