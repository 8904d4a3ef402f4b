"""The result of a finished run, read from MLMD and from the artifacts that it names."""

import pathlib
from typing import Any

from tfx.dsl.components.common.importer import SOURCE_URI_KEY
from tfx.orchestration.pipeline import Pipeline

from components.deploy.versions import versions
from components.evaluate import verdict
from components.train import fine_tuning
from configs.environment import Local
from configs.experiment import Experiment
from models.export import saved_model
from pipeline import asked
from pipeline.run import lineage
from pipeline.run.result import Pushed, compared, judged


def digests(pipeline: Pipeline) -> dict[str, str]:
    """SHA-256 of each source's files, and of the checkpoint's, by the node that reads them."""
    return {
        node.id: node.exec_properties["input_digest"]
        if node.id.endswith("ExampleGen")
        else pathlib.Path(node.exec_properties[SOURCE_URI_KEY]).name
        for node in pipeline.components
        if node.id.endswith(("ExampleGen", "Checkpoint"))
    }


def read(pipeline: Pipeline, experiment: Experiment, environment: Local, run: str) -> dict[str, Any]:
    """The fields of ``RunResult`` that a whole run decided.

    Args:
      pipeline: that ran.
      experiment: of that run.
      environment: where.
      run: its name in MLMD.
    """
    name = pipeline.pipeline_info.pipeline_name
    root, pushed = environment.folder(name), pathlib.Path(environment.pushed(name))
    known = lineage.executions(root, run)
    nodes = {component.id for component in pipeline.components}
    found = verdict.read(lineage.outputs(known, "Evaluator", "evaluation")[-1])
    if not nodes & {"Trainer", "Pretrainer"}:  # an analysis alone
        return judged(found) | ({"verdict": "done"} if found.blessed else {})
    model = lineage.outputs(known, "Trainer" if "Trainer" in nodes else "Pretrainer", "model")[-1]
    extra = saved_model.assets(f"{model}/Format-Serving")
    fields = judged(found)
    if "Trainer" in nodes:
        assert experiment.task
        fields["tried"] = asked.answers(extra.parent, experiment.task, experiment.try_)
        came_to = fine_tuning.read(extra)
        fields["fine_tuned"] = " · seeds ".join(filter(None, (str(came_to), came_to.seeds)))
    if "Pusher" not in nodes:
        return {**fields, "verdict": "done"}
    if found.baseline and (version := lineage.version_of(root, found.baseline)):
        fields = compared(fields, version)
    there = versions(pushed)
    fields["serving"] = there[-1] if there else None
    for node in (each for each in known if each.node == "Pusher" and not each.cached):
        for artifact in node.outputs.get("pushed_model", []):
            if artifact.properties.get("pushed") and artifact.properties.get("is_new"):
                version = int(artifact.properties["pushed_version"])
                fields["pushed"] = Pushed(version=version, path=str(pushed / str(version)))
    return fields
