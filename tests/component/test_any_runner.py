"""The data nodes on a runner whose workers share neither process nor folder with the node: what they write is the same.

The runner is Beam's own portable job service; the workers come from Beam's worker pool. Flink, Spark and Dataflow speak
the same protocol.
"""

import csv
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.types import channel_utils, standard_artifacts

import schemas
from components.artifacts import BadRecords, Vocabulary
from components.data.example_gen import RecordExampleGen
from components.data.statistics_gen import StatisticsGen
from components.data.transform import Transform
from components.deploy.bulk_inferrer import BulkInferrer
from configs.sources import TaskData, Unlabelled
from models.bert.encoder import BertEncoder
from models.export import saved_model
from models.tasks.classification import Task
from models.text.tokenization import SPECIAL, TextRules, Tokenizer

DIRECT = ["--runner=DirectRunner", "--direct_running_mode=in_memory"]
CONFIG = {"labels": ["bad", "good"], "max_length": 16}
TOKENIZER = Tokenizer([*SPECIAL, "good", "bad", "film", "##s"], TextRules("bert_uncased"))
COMMON = {"input_digest": "i", "source_digest": "s"}


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """Flags for a job service and a worker pool in processes and folders of their own.

    The workers of ``cold`` import everything themselves, such as the operations of a graph.
    """
    folder = tmp_path_factory.mktemp("service")
    warm = Path(os.environ["WARM_PYTHON"])
    # A pool starts each worker as ``python``. None of the folders is a checkout of ours: the package is installed.
    paths = {"warm": warm.parent, "cold": Path(sys.executable).parent}
    ports = {name: _free_port() for name in paths}
    flags = {name: ["worker.worker_pool_main", f"--service_port={port}"] for name, port in ports.items()}
    flags["service"] = ["portability.local_job_service_main", "--port_file=port", f"--staging_dir={folder}/staging"]
    running = [
        subprocess.Popen(
            [warm, "-m", f"apache_beam.runners.{module}", *more],
            cwd=folder,
            env={**os.environ, "PATH": f"{paths.get(name, '')}:{os.environ['PATH']}"},
            stdout=(folder / name).open("w"),
            stderr=subprocess.STDOUT,
        )
        for name, (module, *more) in flags.items()
    ]
    try:
        while not (folder / "port").exists():
            assert {process.poll() for process in running} == {None}, (folder / "service").read_text()
            time.sleep(0.05)
        service = ["--runner=PortableRunner", f"--job_endpoint=localhost:{(folder / 'port').read_text()}"]
        workers = [*service, "--environment_type=EXTERNAL"]
        yield {name: [*workers, f"--environment_config=localhost:{port}"] for name, port in ports.items()}
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def _free_port() -> int:
    with socket.create_server(("localhost", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records, a vocabulary, a schema, a model."""
    folder = tmp_path_factory.mktemp("given")
    with (folder / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((f"{n} films", ("bad", "good")[n % 2]) for n in range(300))])
        csv.writer(file).writerow(("", "good"))
    for name in ("vocabulary", "schema"):
        (folder / name).mkdir()
    (folder / "vocabulary/vocab.txt").write_text("".join(f"{piece}\n" for piece in TOKENIZER.vocabulary))
    (folder / "vocabulary/text.json").write_text(json.dumps(TOKENIZER.rules.dump()))
    (folder / "schema/schema.pbtxt").write_text(
        schemas.dump(schemas.resolve("classification", labels=CONFIG["labels"]))
    )
    keras.utils.set_random_seed(2)
    sizes = {"num_layers": 1, "hidden_dim": 8, "num_heads": 1, "intermediate_dim": 8, "max_positions": 16}
    task = Task(CONFIG)
    saved_model.write(
        str(folder / "model/Format-Serving"),
        family="text",
        model=task.build(BertEncoder(vocabulary_size=TOKENIZER.size, **sizes)),
        the_task=task,
        featurize=lambda record: task.featurize(record, TOKENIZER),
        raw_spec={"text": tf.io.FixedLenFeature([], tf.string)},
    )
    return folder


def artifact(kind: Any, folder: Path) -> Any:
    made = kind()
    made.uri = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return made


def execute(node: Any, flags: list[str], folder: Path, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    executor = node.executor_spec.executor_class
    context = executor.Context(beam_pipeline_args=flags, tmp_dir=str(folder / "tmp"), unique_id="1")
    properties = {name: value for name, value in node.exec_properties.items() if value is not None}
    executor(context).Do(
        {name: [each] for name, each in inputs.items()}, {name: [each] for name, each in outputs.items()}, properties
    )


def records(split: Path) -> list[bytes]:
    """In their order. What wrote the features of a record may have put them in any."""
    files = sorted(map(str, split.iterdir()))
    found = tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
    return [tf.train.Example.FromString(record).SerializeToString(deterministic=True) for record in found]


def written(runner: Mapping[str, list[str]], given: Path, folder: Path) -> dict[str, Any]:
    """Runs the four nodes; what each of them wrote, by place: records in their order, statistics."""
    flags = runner["warm"]
    source = {"path": [str(given / "a.csv")], "on_bad_record": "quarantine"}
    kept = str(folder / "bad_records.csv")
    examples, scored = (artifact(standard_artifacts.Examples, folder / name) for name in ("examples", "scored"))
    for node, made in (
        (
            RecordExampleGen(
                "classification", TaskData(**source), labels=CONFIG["labels"], bad_records_path=kept, **COMMON
            ),
            examples,
        ),
        (RecordExampleGen("score", Unlabelled(**source), bad_records_path=kept, **COMMON), scored),
    ):
        bad = artifact(BadRecords, folder / "bad")
        execute(node, flags, folder, {}, {"examples": made, "bad_records": bad})
    schema = artifact(standard_artifacts.Schema, given / "schema")
    inputs = {"examples": examples, "schema": schema, "vocabulary": artifact(Vocabulary, given / "vocabulary")}
    channels = {name: channel_utils.as_channel([each]) for name, each in inputs.items()}
    statistics = artifact(standard_artifacts.ExampleStatistics, folder / "statistics")
    execute(
        StatisticsGen(channels["examples"], source_digest="s"),
        flags,
        folder,
        {"examples": examples},
        {"statistics": statistics},
    )
    transform = Transform(**channels, featurizer="models.tasks.classification.Task", config=CONFIG, source_digest="s")
    made = {
        "transform_graph": artifact(standard_artifacts.TransformGraph, folder / "graph"),
        "transformed_examples": artifact(standard_artifacts.Examples, folder / "transformed"),
    }
    execute(transform, runner["cold"], folder, inputs, made)
    blessing = artifact(standard_artifacts.ModelBlessing, given / "blessing")
    blessing.set_int_custom_property("blessed", 1)
    inputs = {
        "examples": scored,
        "model": artifact(standard_artifacts.Model, given / "model"),
        "model_blessing": blessing,
    }
    channels = {name: channel_utils.as_channel([each]) for name, each in inputs.items()}
    inferrer = BulkInferrer(**channels, answers=("label", "scores"), source_digest="s")
    execute(
        inferrer, flags, folder, inputs, {"output_examples": artifact(standard_artifacts.Examples, folder / "answered")}
    )
    found: dict[str, Any] = {
        f"{name}/{split.name}": records(split)
        for name in ("examples", "transformed", "answered")
        for split in sorted((folder / name).iterdir())
    }
    for path in sorted((folder / "statistics").rglob("*.pb")):
        statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
        found[f"statistics/{path.parent.name}"] = statistics.SerializeToString(deterministic=True)
    found["bad"] = (folder / "bad/bad_records.csv").read_text()
    return found


def test_workers_elsewhere_write_what_direct_runner_writes(
    portable: dict[str, list[str]], given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = written({"warm": DIRECT, "cold": DIRECT}, given, tmp_path / "here")
    elsewhere = written(portable, given, tmp_path / "elsewhere")
    assert {name: len(here[f"{name}/Split-train"]) for name in ("examples", "transformed")} == {
        "examples": 240,
        "transformed": 240,
    }
    assert len(here["answered/Split-score"]) == 300 and here["bad"].endswith(",column 'text' is empty\n")
    # How many texts a batch has is the runner's choice, and a product of matrices rounds by it.
    (labels, scores), (labels_elsewhere, scores_elsewhere) = (_answered(each) for each in (here, elsewhere))
    assert labels == labels_elsewhere
    np.testing.assert_allclose(scores, scores_elsewhere, rtol=1e-6)
    for name, found in here.items():
        assert elsewhere[name] == found, name


def _answered(written: dict[str, Any]) -> tuple[list[bytes], list[list[float]]]:
    """Takes the answered records out: without their scores, and the scores."""
    records = [tf.train.Example.FromString(record) for record in written.pop("answered/Split-score")]
    scores = [list(record.features.feature.pop("scores").float_list.value) for record in records]
    return [record.SerializeToString(deterministic=True) for record in records], scores
