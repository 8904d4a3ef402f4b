"""Records on disk, and Transform over them."""

import json
import pathlib

import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.transform import executor
from tfx.dsl.components.base import base_beam_executor
from tfx.types import channel_utils, standard_artifacts

from components.artifacts import Vocabulary
from components.data import transform
from models.text.tokenization import SPECIAL, TextRules

PIECES = [*SPECIAL, "a", "gorgeous", "film", "dull", "un", "##able", "!", "[URL]"]


def example(**columns: list[str]) -> bytes:
    record = tf.train.Example()
    for name, values in columns.items():
        record.features.feature[name].bytes_list.value.extend(value.encode() for value in values)
    return record.SerializeToString()


def artifact(kind, uri, **properties):
    """One that lies at ``uri``."""
    made = kind()
    made.uri = str(uri)
    for name, value in properties.items():
        setattr(made, name, value)
    return made


def run(
    tmp_path: pathlib.Path,
    rows: dict[str, list[bytes]],
    schema: str,
    featurizer: str,
    config: dict,
    learned: pathlib.Path | None = None,
    files: int = 1,
) -> tft.TFTransformOutput:
    """Runs the executor as a runner would; the component's own spec gives the properties.

    The vocabulary is ``learned``, or one of ``PIECES``. Every split has so many ``files``.
    """
    examples, schemas, vocabulary = standard_artifacts.Examples(), standard_artifacts.Schema(), Vocabulary()
    graph, transformed = standard_artifacts.TransformGraph(), standard_artifacts.Examples()
    for artifact, name in [
        (examples, "in"),
        (schemas, "schema"),
        (vocabulary, "vocab"),
        (graph, "graph"),
        (transformed, "out"),
    ]:
        artifact.uri = str(tmp_path / name)
    examples.split_names = json.dumps(list(rows))
    for split, records in rows.items():
        folder = tmp_path / "in" / f"Split-{split}"
        folder.mkdir(parents=True)
        for number in range(files):
            path = str(folder / f"data-{number:05}-of-{files:05}.gz")
            with tf.io.TFRecordWriter(path, options="GZIP") as writer:
                for record in records[len(records) * number // files : len(records) * (number + 1) // files]:
                    writer.write(record)
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "schema.pbtxt").write_text(schema)
    if learned:
        vocabulary.uri = str(learned)
    else:
        (tmp_path / "vocab").mkdir()
        (tmp_path / "vocab" / "vocab.txt").write_text("\n".join(PIECES) + "\n")
        rules = TextRules("bert_uncased", ((r"https?://\S+", "[URL]"),), ("[URL]",))
        (tmp_path / "vocab" / "text.json").write_text(json.dumps(rules.dump()))
    component = transform.Transform(
        *(channel_utils.as_channel([artifact]) for artifact in (examples, schemas, vocabulary)),
        featurizer,
        config,
        "digest",
    )
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=["--direct_running_mode=in_memory", f"--temp_location={tmp_path}"],
        tmp_dir=str(tmp_path),
        unique_id="1",
    )
    transform.Executor(context).Do(
        {"examples": [examples], "schema": [schemas], "vocabulary": [vocabulary]},
        {"transform_graph": [graph], "transformed_examples": [transformed]},
        component.exec_properties,
    )
    return tft.TFTransformOutput(graph.uri)


def run_tfx(tmp_path: pathlib.Path, featurizer: str, config: dict) -> None:
    """TFX's own executor over the same inputs: ``tfx_graph`` and ``tfx_out``."""
    examples, schemas = standard_artifacts.Examples(), standard_artifacts.Schema()
    graph, transformed = standard_artifacts.TransformGraph(), standard_artifacts.Examples()
    for artifact, name in [(examples, "in"), (schemas, "schema"), (graph, "tfx_graph"), (transformed, "tfx_out")]:
        artifact.uri = str(tmp_path / name)
    examples.split_names = json.dumps(["train", "eval", "test"])
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=["--direct_running_mode=in_memory"], tmp_dir=str(tmp_path), unique_id="2"
    )
    custom = {"featurizer": featurizer, "config": config, "vocabulary": str(tmp_path / "vocab")}
    executor.Executor(context).Do(
        {"examples": [examples], "schema": [schemas]},
        {"transform_graph": [graph], "transformed_examples": [transformed]},
        {
            "preprocessing_fn": "components.data.featurize.preprocessing_fn",
            "custom_config": json.dumps(custom),
            "disable_statistics": 1,
        },
    )
