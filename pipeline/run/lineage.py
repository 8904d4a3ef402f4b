"""A run as MLMD records it: each execution, its inputs and outputs, and whether it was cached."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "metadata.sqlite"


@dataclass(frozen=True)
class Artifact:
    """An output of an execution."""

    id: int
    type: str
    uri: str
    properties: dict[str, Any]


@dataclass(frozen=True)
class Execution:
    """A node in a run.

    Attributes:
      node: its id.
      cached: whether its outputs were made by an earlier run.
      inputs: by the name of the channel.
      outputs: likewise.
      made_in: MLMD's name of the run that made the outputs.
    """

    node: str
    cached: bool
    inputs: dict[str, list[Artifact]]
    outputs: dict[str, list[Artifact]]
    made_in: str


def executions(folder: Path, pipeline_run: str) -> list[Execution]:
    """The executions of a run, in the order in which they began; none where the file that knew of them is gone.

    Args:
      folder: ``runs/<experiment>``.
      pipeline_run: MLMD's name of the run.
    """
    if not (folder / FILE).is_file():
        return []
    store = _open(folder)
    context = store.get_context_by_type_and_name("pipeline_run", pipeline_run)
    if context is None:
        return []
    found = sorted(store.get_executions_by_context(context.id), key=lambda each: each.id)
    return [_execution(store, each, pipeline_run) for each in found]


def newest_run(folder: Path, since: float = 0) -> str | None:
    """MLMD's name of the newest run that began after ``since`` (Unix seconds); None if none came that far."""
    if not (folder / FILE).is_file():
        return None
    runs = _open(folder).get_contexts_by_type("pipeline_run")
    mine = [run for run in runs if run.create_time_since_epoch >= since * 1000]
    return str(max(mine, key=lambda run: run.id).name) if mine else None


def version_of(folder: Path, model: str) -> int | None:
    """The version under which the model at the URI ``model`` was pushed."""
    for artifact in _open(folder).get_artifacts_by_type("PushedModel"):
        properties = dict(_properties(artifact))
        if properties.get("model") == model and properties.get("pushed"):
            return int(properties["pushed_version"])
    return None


def outputs(run: list[Execution], node: str, key: str) -> list[str]:
    """URIs that ``node`` made under ``key``."""
    return [artifact.uri for each in run if each.node == node for artifact in each.outputs.get(key, [])]


def ancestors(run: list[Execution], node: str) -> list[Execution]:
    """The executions whose outputs went, directly or not, into ``node``; nearest last."""
    makers = {artifact.id: each for each in run for made in each.outputs.values() for artifact in made}
    seen: dict[str, Execution] = {}

    def walk(execution: Execution) -> None:
        for artifact in (artifact for used in execution.inputs.values() for artifact in used):
            maker = makers.get(artifact.id)
            if maker and maker.node not in seen:
                walk(maker)
                seen[maker.node] = maker

    for execution in run:
        if execution.node == node:
            walk(execution)
    return list(seen.values())


def _open(folder: Path) -> Any:
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(folder / FILE)
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READONLY
    return metadata_store.MetadataStore(config)


def _execution(store: Any, execution: Any, pipeline_run: str) -> Execution:
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    events = store.get_events_by_execution_ids([execution.id])
    artifacts = {
        each.id: Artifact(each.id, each.type, each.uri, dict(_properties(each)))
        for each in store.get_artifacts_by_id([event.artifact_id for event in events])
    }
    inputs: dict[str, list[Artifact]] = {}
    made: dict[str, list[Artifact]] = {}
    for event in events:
        side = inputs if event.type in (mlmd.Event.INPUT, mlmd.Event.DECLARED_INPUT) else made
        key = next((step.key for step in event.path.steps if step.HasField("key")), "")
        side.setdefault(key, []).append(artifacts[event.artifact_id])
    cached = execution.last_known_state == mlmd.Execution.CACHED
    first = next((artifact for each in made.values() for artifact in each), None)
    made_in = _made_in(store, first.id) if cached and first else pipeline_run
    return Execution(_node(store, execution.id), cached, inputs, made, made_in)


def _node(store: Any, execution: int) -> str:
    """TFX names a node's context ``<pipeline>.<node>``."""
    names = [each.name for each in store.get_contexts_by_execution(execution) if each.type == "node"]
    return str(names[0].split(".", 1)[1]) if names else ""


def _made_in(store: Any, artifact: int) -> str:
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    events = [each for each in store.get_events_by_artifact_ids([artifact]) if each.type == mlmd.Event.OUTPUT]
    first = min(event.execution_id for event in events)
    return str(next(each.name for each in store.get_contexts_by_execution(first) if each.type == "pipeline_run"))


def _properties(artifact: Any) -> Iterator[tuple[str, Any]]:
    for name, value in [*artifact.properties.items(), *artifact.custom_properties.items()]:
        yield name, getattr(value, value.WhichOneof("value") or "string_value")
