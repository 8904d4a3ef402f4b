"""What a finished run came to, read from MLMD and from the artifacts it names."""

import pathlib
from typing import Any

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.pipeline import Pipeline

from components import verdict
from models import export, golden
from pipeline.result import Check, Pushed, Slice

# A slice of fewer records says more about chance than about the model.
_SLICE_RECORDS = 30


def data_digests(pipeline: Pipeline) -> dict[str, str]:
    """SHA-256 of each source's files, by the node that reads them."""
    return {
        node.id: node.exec_properties["input_digest"] for node in pipeline.components if node.id.endswith("ExampleGen")
    }


def read(pipeline: Pipeline, root: pathlib.Path, *, whole: bool) -> dict[str, Any]:
    """The fields of ``RunResult`` that the run decided.

    Args:
      pipeline: that ran.
      root: ``runs/<name>``.
      whole: false for a partial run, which decides nothing.
    """
    if not whole:
        return {"verdict": "done"}
    store = _Store(root / "metadata.sqlite", pipeline.pipeline_info.pipeline_name)
    nodes = {component.id for component in pipeline.components}
    found = verdict.read(store.outputs("Evaluator")["evaluation"].uri)
    model = store.outputs("Trainer" if "Trainer" in nodes else "Pretrainer")["model"]
    fields: dict[str, Any] = {
        "verdict": "blessed" if found.blessed else "not_blessed",
        "metrics": found.metrics,
        "majority": found.majority,
        "checks": [Check(**check.model_dump()) for check in found.checks],
        "weakest": _weakest(found),
        "most_missed": _most_missed(found),
        "example": golden.example(export.assets(f"{model.uri}/Format-Serving")),
    }
    if "Pusher" not in nodes:
        return {**fields, "verdict": "done"}
    if found.baseline and (version := store.version_of(found.baseline)):
        fields["baseline"] = version
        for place, check in enumerate(fields["checks"]):
            if check.name == "change":
                fields["checks"][place] = check.model_copy(update={"name": f"change from v{version}"})
    return {**fields, **_serving(store, root / "serving_model" / pipeline.pipeline_info.pipeline_name)}


def _serving(store: "_Store", folder: pathlib.Path) -> dict[str, Any]:
    versions = sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit())
    pushed = store.outputs("Pusher").get("pushed_model")
    fields: dict[str, Any] = {"serving": versions[-1] if versions else None}
    if pushed and store.state("Pusher") == metadata_store_pb2.Execution.COMPLETE:
        properties = pushed.custom_properties
        if properties["pushed"].int_value and properties["is_new"].int_value:
            version = int(properties["pushed_version"].string_value)
            fields["pushed"] = Pushed(version=version, path=str(folder / str(version)))
    return fields


def _weakest(found: verdict.Verdict) -> Slice | None:
    slices = [part for part in found.slices if part.n >= _SLICE_RECORDS and not part.name.startswith("label: ")]
    if not slices:
        return None
    return Slice(**min(slices, key=lambda part: part.value).model_dump())


def _most_missed(found: verdict.Verdict) -> tuple[str, str] | None:
    """The label of lowest recall, and what was mostly answered instead."""
    recalls = {name[len("recall[") : -1]: value for name, value in found.metrics.items() if name.startswith("recall[")}
    missed = [label for label in sorted(recalls, key=lambda label: recalls[label]) if label in found.mistaken]
    return (missed[0], found.mistaken[missed[0]]) if missed else None


def pipeline_run(root: pathlib.Path, since: float) -> str | None:
    """MLMD's name of the newest run that began after ``since`` (Unix seconds); None if none came that far."""
    path = root / "metadata.sqlite"
    runs = _open(path).get_contexts_by_type("pipeline_run") if path.is_file() else []
    mine = [run for run in runs if run.create_time_since_epoch >= since * 1000]
    return str(max(mine, key=lambda run: run.id).name) if mine else None


def _open(path: pathlib.Path) -> metadata_store.MetadataStore:
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    return metadata_store.MetadataStore(config)


class _Store:
    """The newest execution of each node of one pipeline."""

    def __init__(self, path: pathlib.Path, pipeline: str) -> None:
        self._store, self._pipeline = _open(path), pipeline

    def _execution(self, node: str) -> Any:
        context = self._store.get_context_by_type_and_name("node", f"{self._pipeline}.{node}")
        return max(self._store.get_executions_by_context(context.id), key=lambda execution: execution.id)

    def state(self, node: str) -> Any:
        return self._execution(node).last_known_state

    def outputs(self, node: str) -> dict[str, Any]:
        """The artifacts of the newest execution, by output key."""
        events = self._store.get_events_by_execution_ids([self._execution(node).id])
        keys = {event.artifact_id: event.path.steps[0].key for event in events if event.type in _OUTPUTS}
        return {keys[artifact.id]: artifact for artifact in self._store.get_artifacts_by_id(list(keys))}

    def version_of(self, model: str) -> int | None:
        """The version under which the model at this URI was pushed."""
        for artifact in self._store.get_artifacts_by_type("PushedModel"):
            properties = artifact.custom_properties
            if properties["model"].string_value == model and properties["pushed"].int_value:
                return int(properties["pushed_version"].string_value)
        return None


_OUTPUTS = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)
