"""What a container of ours runs: TFX's entry point for Kubeflow, and the cures for what stops it there.

    python -P -m pipeline.cluster.container --executor_class_path … --json_serialized_invocation_args … [Beam's flags]

Open-source Kubeflow Pipelines 2 hands a container other things than Vertex does, for which TFX was written:

- inputs arrive with a type that names nothing, ``{"instanceSchema": ""}``, or with a whole schema as its title
  (tensorflow/tfx#7768), and some without a name;
- an output ``executor-logs`` of a type that TFX cannot import is added where logs are kept;
- files are at ``/gcs/…``, ``/s3/…`` or ``/minio/…``, where the launcher copied them and looks for outputs, while the
  addresses say ``gs://…``.

On both, TFX imports a type of ours by its title, which is no path to a class; a second attempt finds what the first
left; and nobody removes the checkpoints of a training that is through. Of several workers each runs the executor; the
chief's alone is the node's.
"""

import argparse
import json
import logging
import os
import pathlib
import posixpath
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

from components import artifacts, beam_package
from components.storage import files
from models import progress
from models.training import replicas
from pipeline import exits
from pipeline.cluster import workers
from schemas import DataError

_INJECTED = "executor-logs"
# Types whose address is that of a file, and of no folder.
_FILES = (artifacts.HTML.TYPE_NAME, "tfx.String")
# Kubernetes shows the end of this file as the reason why a pod failed.
_TERMINATION = pathlib.Path("/dev/termination-log")


def remote(text: str) -> str:
    """Replaces mounted paths in ``text`` by the addresses that they stand for."""
    root = os.environ.get(files.ROOT, "/")
    for scheme, mount in files.MOUNTS.items():
        text = text.replace(f'"{root}{mount}', f'"{scheme}')
    return text


def prepared(invocation: str, inputs_spec: str, *, mounted: bool) -> pipeline_spec_pb2.ExecutorInput:
    """Repairs an ExecutorInput for TFX's entry point.

    Args:
      invocation: the ExecutorInput that the platform passed, as JSON.
      inputs_spec: the component's ComponentInputsSpec, as JSON: it knows the types.
      mounted: whether the executor reads and writes below the mounts; workers of a distributed runner cannot.
    """
    given = json_format.Parse(invocation, pipeline_spec_pb2.ExecutorInput(), ignore_unknown_fields=True)
    spec = json_format.Parse(inputs_spec, pipeline_spec_pb2.ComponentInputsSpec(), ignore_unknown_fields=True)
    given.outputs.artifacts.pop(_INJECTED, None)
    for key, found in given.inputs.artifacts.items():
        for artifact in found.artifacts:
            if key in spec.artifacts:
                artifact.type.CopyFrom(spec.artifacts[key].artifact_type)
            # TFX turns artifact ids into numbers and back. The way back fails for a number without a name.
            artifact.name = artifact.name or artifact.uri
    if mounted:
        for artifact in (*_each(given.inputs.artifacts), *_each(given.outputs.artifacts)):
            artifact.uri = files.mounted(artifact.uri)
        given.outputs.output_file = files.mounted(given.outputs.output_file)
    return given


def _each(lists: Mapping[str, Any]) -> Iterator[Any]:
    """Every RuntimeArtifact of ExecutorInput's lists."""
    for found in lists.values():
        yield from found.artifacts


class _Checkpoints(logging.Handler):
    """Remembers where trainings kept their checkpoints."""

    def __init__(self) -> None:
        super().__init__()
        self.folders: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Reads ``progress.Checkpoints``."""
        event = getattr(record, "event", None)
        if isinstance(event, progress.Checkpoints):
            self.folders.append(event.folder)


def run(arguments: argparse.Namespace, beam: Sequence[str]) -> None:
    """Runs the executor and writes its ExecutorOutput; a worker that is not the chief keeps its own for itself.

    Raises:
      Exception: whatever the executor raised.
    """
    beam_package.build_where_needed()
    # TFX imports an artifact's class by the title of its type.
    compiler_utils.TITLE_TO_CLASS_PATH.update(artifacts.titles())
    mounted = not any("Dataflow" in flag for flag in beam if flag.startswith("--runner"))
    inputs_spec = arguments.json_serialized_inputs_spec_args or "{}"
    given = prepared(arguments.json_serialized_invocation_args, inputs_spec, mounted=mounted)
    _there(given.inputs.artifacts)
    if replicas.chief():
        _clear([*_each(given.outputs.artifacts)], given.outputs.output_file)
    else:
        given.outputs.output_file = f"{tempfile.mkdtemp()}/executor_output.json"
    arguments.json_serialized_invocation_args = json_format.MessageToJson(given)
    checkpoints = _Checkpoints()
    progress.logger.addHandler(checkpoints)
    kubeflow_v2_run_executor.main((arguments, list(beam)))
    file = given.outputs.output_file
    with tf.io.gfile.GFile(file) as stream:
        told = stream.read()
    with tf.io.gfile.GFile(file, "w") as stream:
        stream.write(remote(told))
    for folder in filter(files.fileio.exists, checkpoints.folders):
        files.fileio.rmtree(folder)


def _there(inputs: Mapping[str, Any]) -> None:
    """Checks that the inputs exist. Kubeflow and Vertex reuse cached outputs unseen (kubeflow/pipelines#7939).

    Raises:
      FileNotFoundError: it is gone.
    """
    for key, found in inputs.items():
        for artifact in found.artifacts:
            if not files.fileio.exists(artifact.uri):
                address = json.loads(remote(json.dumps(artifact.uri)))
                raise FileNotFoundError(
                    f"the input {key!r} is gone from {address}, where an earlier run wrote it: something deleted it, "
                    "such as a lifecycle rule of the bucket, and the cache names it still; run once with --no-cache, "
                    "delete that earlier run (Kubeflow then forgets what it cached), and exempt pipeline_root from "
                    "the rule"
                )


def _clear(outputs: Sequence[Any], file: str) -> None:
    """Removes the outputs of an earlier attempt. Executors expect empty folders."""
    for place in (*(artifact.uri for artifact in outputs), file):
        if tf.io.gfile.isdir(place):
            tf.io.gfile.rmtree(place)
        elif tf.io.gfile.exists(place):
            tf.io.gfile.remove(place)
    for artifact in outputs:
        schema = artifact.type.schema_title or artifact.type.instance_schema
        is_file = any(name in schema for name in _FILES)
        tf.io.gfile.makedirs(posixpath.dirname(artifact.uri) if is_file else artifact.uri)


def main(argv: Sequence[str]) -> int:
    """Runs the node; its exit code tells faults of the data from others."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args")
    arguments, beam = parser.parse_known_args(argv)
    # Only the chief reports progress and removes the checkpoints.
    progress.logger.setLevel(logging.INFO if replicas.chief() else logging.WARNING)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(progress.Json())
    progress.logger.addHandler(handler)
    try:
        if several := os.environ.get(workers.VARIABLE):
            place = json.loads(arguments.json_serialized_invocation_args)["outputs"]["outputFile"]
            workers.run(several, place, argv)
        else:
            run(arguments, beam)
    except Exception as error:
        traceback.print_exc()
        sentence = str(error).strip() or type(error).__name__
        progress.emit(progress.Notice(sentence))
        if _TERMINATION.exists():
            _TERMINATION.write_text(sentence)
        return exits.DATA if isinstance(error, DataError) else exits.FAILED
    finally:
        progress.logger.removeHandler(handler)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
