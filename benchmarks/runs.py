"""Runs of the real pipeline for benchmarks: variants of an experiment, in a runs folder of their own."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import BUILD, Finished, execute
from configs.experiment import Experiment
from pipeline import loader


def environment(runs: Path) -> Path:
    """An environment file like ``local`` that writes to ``runs``."""
    runs.mkdir(parents=True, exist_ok=True)
    file = runs / "environment.yaml"
    file.write_text(f"kind: local\norchestrator: local\nruns: {runs}\n", "utf-8")
    return file


def saved(experiment: Experiment, folder: Path) -> Path:
    """The experiment as a YAML file in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{experiment.name}.yaml"
    loader.save_resolved(experiment, file)
    return file


def task_only(experiment: Experiment, name: str, data: Path | None = None) -> Experiment:
    """The experiment without its corpus, under another name; with its records from ``data``, if given."""
    if experiment.task is None:
        raise ValueError(f"the benchmark needs an experiment with a task. Received: {experiment.name}")
    update: dict[str, Any] = {"name": name, "corpus": None, "pretrain": None}
    if data:
        source = experiment.task.data.model_copy(update={"path": [str(data)]})
        update["task"] = experiment.task.model_copy(update={"data": source})
    return experiment.model_copy(update=update)


def tfx_bert(*arguments: str, log: Path, allowed: tuple[int, ...] = (0,)) -> Finished:
    """The command in a process of its own."""
    return execute([str(Path(sys.executable).with_name("tfx-bert")), *arguments], log, allowed)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What the data nodes made of a task's records, by split.

    Attributes:
      examples: ExampleGen's folder: gzip TFRecords of raw records in ``Split-NAME/``.
      transformed: Transform's, of token ids.
      graph: Transform's graph, with the vocabulary in its folder ``vocabulary``.
    """

    examples: Path
    transformed: Path
    graph: Path

    def files(self, split: str) -> list[str]:
        """Transform's files of a split."""
        return sorted(str(path) for path in (self.transformed / f"Split-{split}").glob("*"))

    def records(self, split: str) -> list[tuple[str, str]]:
        """Text and label of every raw record of a split."""
        import tensorflow as tf

        spec = {name: tf.io.FixedLenFeature([], tf.string) for name in ("text", "label")}
        files = sorted(str(path) for path in (self.examples / f"Split-{split}").glob("*"))
        rows = tf.data.TFRecordDataset(files, compression_type="GZIP").map(
            lambda r: tf.io.parse_single_example(r, spec)
        )
        return [(row["text"].decode(), row["label"].decode()) for row in rows.as_numpy_iterator()]


def prepare(experiment: Experiment, sample: int | None = None) -> Prepared:
    """Runs the data nodes of the experiment's task; a second time they are reused.

    Args:
      experiment: its corpus is left out.
      sample: how many records; all where not given.
    """
    runs = BUILD / "runs"
    given = task_only(experiment, f"{experiment.name}-data")
    command = ["run", str(saved(given, BUILD)), "--env", str(environment(runs)), "--to", "Transform"]
    tfx_bert(*command, *(["--sample", str(sample)] if sample else []), log=BUILD / "prepare.log")
    folder = runs / (f"{given.name}-sample" if sample else given.name)
    return Prepared(
        artifact(folder, "ExampleGen", "examples"),
        artifact(folder, "Transform", "transformed_examples"),
        artifact(folder, "Transform", "transform_graph"),
    )


def artifact(folder: Path, node: str, key: str) -> Path:
    """What a node of the newest run made or reused.

    Args:
      folder: ``runs/<experiment>``.
      node: its id.
      key: of the output.

    Raises:
      ValueError: that run had no such node.
    """
    from pipeline.run import lineage

    newest = lineage.newest_run(folder)
    made = lineage.outputs(lineage.executions(folder, newest), node, key) if newest else []
    if not made:
        raise ValueError(f"the newest run in {folder} has no {key} of {node}: run the experiment to its end first")
    return Path(made[-1])
