"""What a platform passes to a container, and what it keeps of the container's outputs.

Open-source Kubeflow as its release 2.14.3 does it, below backend/src/v2 of kubeflow/pipelines: driver/driver.go and
resolve.go, metadata/client.go and converter.go, component/launcher_v2.go, objectstore/object_store.go.
"""

import dataclasses
import json
import shutil
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pipeline.cluster.compile import Spec

Platform = Literal["kubeflow", "vertex"]
LOGS = "executor-logs"
# By the parameterType that a component declares; STRING takes any value as text.
_KINDS: dict[str, tuple[type, ...]] = {
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}


class Refused(Exception):
    """A value that the platform cannot pass between tasks."""


@dataclasses.dataclass
class Outputs:
    """The outputs of a task: artifacts as RuntimeArtifact JSON, and parameters."""

    artifacts: dict[str, Spec] = dataclasses.field(default_factory=dict)
    parameters: Spec = dataclasses.field(default_factory=dict)


def executor_input(platform: Platform, folder: str, scratch: str, component: Spec, inputs: Outputs) -> Spec:
    """The ExecutorInput of a task, as JSON.

    Args:
      platform: whose.
      folder: the address that the task's outputs go below.
      scratch: a folder of the container, for what is no artifact.
      component: the task's ComponentSpec.
      inputs: what other tasks gave; see ``kept``.
    """
    vertex, declared = platform == "vertex", component.get("outputDefinitions", {})
    outputs = {
        key: {"uri": f"{folder}/{key}", "type": each["artifactType"], **_metadata(each)}
        for key, each in declared.get("artifacts", {}).items()
    }
    if not vertex:
        outputs[LOGS] = {"uri": f"{folder}/{LOGS}", "type": {"schemaTitle": "system.Artifact"}}
    given = {key: _named(each) if vertex else each for key, each in inputs.artifacts.items()}
    promised = {key: _named(each) if vertex else each for key, each in outputs.items()}
    place = folder if vertex else f"{scratch}/kfp/outputs"
    files = {key: {"outputFile": f"{place}/{key}"} for key in declared.get("parameters", {})}
    file = f"{folder}/executor_output.json" if vertex else f"{scratch}/kfp_outputs/output_metadata.json"
    # Protocol buffers as JSON leave out what is empty.
    return {
        "inputs": _filled({"parameterValues": inputs.parameters, "artifacts": _lists(given)}),
        "outputs": _filled({"parameters": files, "artifacts": _lists(promised)}) | {"outputFile": file},
    }


def _metadata(declared: Spec) -> Spec:
    return {"metadata": declared["metadata"]} if "metadata" in declared else {}


def _lists(artifacts: dict[str, Spec]) -> Spec:
    return {key: {"artifacts": [each]} for key, each in artifacts.items()}


def _filled(fields: Spec) -> Spec:
    return {key: value for key, value in fields.items() if value}


def _named(artifact: Spec) -> Spec:
    """Vertex gives every artifact a resource name."""
    return {**artifact, "name": f"projects/0/locations/here/metadataStores/default/artifacts/{_number(artifact)}"}


def _number(artifact: Spec) -> int:
    """A number in place of the id that ML Metadata would assign."""
    return zlib.crc32(artifact["uri"].encode())


def outputs_of(executor_input: Spec, component: Spec, read: Callable[[str], str | None]) -> Outputs:
    """What a container gave: its ExecutorOutput over what it was promised, and files where a parameter is not in it.

    Args:
      executor_input: the ExecutorInput.
      component: the task's ComponentSpec.
      read: a file's text by its address; None where there is none.

    Raises:
      Refused: a parameter was not given.
    """
    promised = executor_input["outputs"]
    written = json.loads(read(promised["outputFile"]) or "{}")
    outputs = Outputs(parameters=written.get("parameterValues", {}))
    for key, place in promised.get("parameters", {}).items():
        if key in outputs.parameters:
            continue
        found = read(place["outputFile"])
        if found is None:
            raise Refused(f"output parameter {key!r} was not given: the container wrote no {place['outputFile']}")
        kind = component["outputDefinitions"]["parameters"][key]["parameterType"]
        outputs.parameters[key] = found if kind == "STRING" else json.loads(found)
    for key, each in promised.get("artifacts", {}).items():
        artifact = {name: value for name, value in each["artifacts"][0].items() if name != "name"}
        for told_of in written.get("artifacts", {}).get(key, {}).get("artifacts", [])[:1]:
            artifact["uri"] = told_of.get("uri") or artifact["uri"]
            artifact["metadata"] = {**artifact.get("metadata", {}), **told_of.get("metadata", {})}
        outputs.artifacts[key] = artifact
    return outputs


def kept(key: str | None, artifact: Spec) -> Spec:
    """An artifact as Kubeflow passes it downstream: read back from ML Metadata, which keeps few types and no schema.

    Args:
      key: of the task's output; None for what was imported.
      artifact: RuntimeArtifact JSON.

    Raises:
      Refused: a property is null.
    """
    metadata = {"display_name": key} if key else {}
    session = {"Provider": artifact["uri"].partition("://")[0], "Params": {"fromEnv": "true"}}
    metadata["store_session_info"] = json.dumps(session, separators=(",", ":"))
    for name, value in artifact.get("metadata", {}).items():
        if value is None:
            raise Refused(
                f"output {key} has null as its property {name!r}, which Kubeflow cannot store: leave the property out"
            )
        metadata[name] = _stored(value)
    return {
        "name": str(_number(artifact)),
        "type": {"instanceSchema": ""},  # ToRuntimeArtifact in metadata/client.go
        "uri": artifact["uri"],
        "metadata": metadata,
    }


def _stored(value: Any) -> Any:
    """StructValueToMLMDValue in metadata/converter.go, and back."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        return {"list": value}
    return {"struct": value} if isinstance(value, dict) else value


def checked(component: Spec, parameters: Spec) -> Spec:
    """Input parameters of the types that a component declares, as handleParamTypeValidationAndConversion has them.

    Raises:
      Refused: a parameter is missing, or is of another type and not declared as text.
    """
    found = dict(parameters)
    for name, declared in component.get("inputDefinitions", {}).get("parameters", {}).items():
        wanted = declared["parameterType"]
        if name not in found:
            if declared.get("isOptional") or "defaultValue" in declared:
                continue
            raise Refused(f"input parameter {name!r} has neither a value nor a default")
        value = found[name]
        if wanted == "STRING":
            found[name] = text(value)
        elif wanted in _KINDS and (
            not isinstance(value, _KINDS[wanted]) or isinstance(value, bool) != (wanted == "BOOLEAN")
        ):
            raise Refused(f"input parameter {name!r} is declared as {wanted} and is {json.dumps(value)}")
    return found


def text(value: Any) -> str:
    """PbValueToText in metadata/converter.go."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float):
        return format(Decimal(repr(value)).normalize(), "f")
    return json.dumps(value, separators=(",", ":"))


def download(source: Path, target: Path) -> None:
    """DownloadBlob in objectstore/object_store.go: every object whose key begins so, up to 2.16 ``…/model_run`` too."""
    beside = source.parent.iterdir() if source.parent.is_dir() else ()
    for found in sorted(each for each in beside if each.name.startswith(source.name)):
        for file in _files(found):
            place = target.parent / file.relative_to(source.parent)
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)


def upload(source: Path, target: Path) -> None:
    """UploadBlob there: files; a bucket has no empty folders. What was not written is left out."""
    for file in _files(source):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    yield from (each for each in sorted(place.rglob("*")) if each.is_file())
