"""Records on disk, and Transform over them."""

import json
import pathlib

import tensorflow as tf
import tensorflow_transform as tft
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


def run(
    tmp_path: pathlib.Path,
    rows: dict[str, list[bytes]],
    schema: str,
    featurizer: str,
    config: dict,
    learned: pathlib.Path | None = None,
) -> tft.TFTransformOutput:
    """Runs the executor as a runner would; the component's own spec gives the properties.

    The vocabulary is ``learned``, or one of ``PIECES``.
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
        with tf.io.TFRecordWriter(str(folder / "data-00000-of-00001.gz"), options="GZIP") as writer:
            for record in records:
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
