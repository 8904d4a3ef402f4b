"""Follows one record through a finished run: ``python docs/one_record.py [RUN] [FILE:LINE]``.

Prints what every stage made of it; docs/one_record.md explains the stages in the same order.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.evaluate import verdict
from components.records import record
from components.records.kinds import classification
from components.train import training
from models import task
from models.text.tokenization import Tokenizer
from pipeline import loader
from pipeline.run import lineage
from pipeline.run.result import RunResult, find
from pipeline.terminal import noise

RUNS = Path("runs")
# A training record with an accent and with words that the vocabulary does not hold whole.
ORIGIN = "data/movie_reviews.csv:4621"


def main(run: str = "sentiment", origin: str = ORIGIN) -> None:
    """Prints the stages one after another."""
    noise.hush()
    folder = find(RUNS, run)
    made = lineage.executions(folder.parent, str(RunResult.read(folder).pipeline_run))

    def artifact(node: str, key: str) -> str:
        return lineage.outputs(made, node, key)[-1]

    experiment: Any = loader.load(folder / "experiment.resolved.yaml")
    examples, model = artifact("ExampleGen", "examples"), f"{artifact('Trainer', 'model')}/Format-Serving"
    raw = _raw(examples, origin)
    features = raw.features.feature
    text = features["text"].bytes_list.value[0].decode()

    _stage("1 row", _row(origin))
    _stage("2 tf.Example", _example(raw, experiment.task.data))
    statistics, schema = artifact("StatisticsGen", "statistics"), artifact("SchemaGen", "schema")
    _stage("3 statistics, schema, gate", _validated(statistics, schema, artifact("DataGate", "report")))
    tokenizer = Tokenizer.read(artifact("VocabularyGen", "vocabulary"))
    _stage("4 pieces", _pieces(tokenizer, text))
    the_task = task.load(experiment.task.type)(experiment.task.own())
    graph, transformed = artifact("Transform", "transform_graph"), artifact("Transform", "transformed_examples")
    rows = _rows(graph, transformed)
    _stage("5 Transform", _transformed(rows, tokenizer, the_task, text))
    _stage("6 batch", _batch(rows, tokenizer, the_task, text, experiment))
    _stage("7 logits", _logits(model, text, experiment.task.labels, features["label"].bytes_list.value[0].decode()))
    _stage("8 evaluation", _evaluated(artifact("Evaluator", "evaluation")))
    _stage("9 answer", _answer(model, text))


def _stage(title: str, lines: Iterator[str]) -> None:
    sys.stdout.write("\n".join([f"== {title}", *lines, "", ""]))


def _row(origin: str) -> Iterator[str]:
    path, _, line = origin.rpartition(":")
    with Path(path).open(encoding="utf-8") as file:
        yield next(itertools.islice(file, int(line) - 1, None)).rstrip("\n")


def _raw(examples: str, origin: str) -> Any:
    """The record of the train split that came from ``origin``."""
    import tensorflow as tf

    for serialized in tf.data.TFRecordDataset(training.matching([f"{examples}/Split-train/*"]), "GZIP"):
        example = tf.train.Example.FromString(serialized.numpy())
        if example.features.feature["origin"].bytes_list.value[0].decode() == origin:
            return example
    raise SystemExit(f"no record of the train split came from {origin}")


def _example(example: Any, source: Any) -> Iterator[str]:
    features = {name: feature.bytes_list.value[0].decode() for name, feature in example.features.feature.items()}
    yield from (f"{name}: {value!r}" for name, value in sorted(features.items()))
    key = record.key([features["text"]])
    point = int.from_bytes(key[:8], "big") / 2**64
    yield f"normalised: {record.normalize(features['text'])!r}"
    yield f"key: {key.hex()} → {point:.4f} → {classification.Kind(source).split_of(key, 'path')}"


def _validated(statistics: str, schema: str, gate: str) -> Iterator[str]:
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

    found = statistics_pb2.DatasetFeatureStatisticsList.FromString(
        Path(statistics, "Split-train", "FeatureStats.pb").read_bytes()
    ).datasets[0]
    label = next(feature for feature in found.features if feature.path.step[0] == "label")
    counts = ", ".join(f"{value.value} {value.frequency:,.0f}" for value in label.string_stats.top_values)
    yield f"statistics: {found.num_examples:,} records; label: {label.string_stats.unique} values: {counts}"
    wanted = text_format.Parse(Path(schema, "schema.pbtxt").read_text("utf-8"), schema_pb2.Schema())
    feature = next(feature for feature in wanted.feature if feature.name == "label")
    yield f"schema: {text_format.MessageToString(feature, as_one_line=True)}"
    yield f"schema: {text_format.MessageToString(wanted.string_domain[0], as_one_line=True)}"
    yield f"gate: {Path(gate, 'gate.json').read_text('utf-8')}"


def _pieces(tokenizer: Tokenizer, text: str) -> Iterator[str]:
    yield f"rules: {json.dumps(tokenizer.rules.dump())}"
    yield f"normalised: {tokenizer.normalize([text]).numpy()[0].decode()!r}"
    ids = tokenizer.tokenize([text]).to_list()[0]
    yield " ".join(f"{tokenizer.vocabulary[each]}={each}" for each in ids)


def _rows(graph: str, transformed: str) -> Any:
    import tensorflow_transform as tft

    from models.training.reading import rows

    spec = tft.TFTransformOutput(graph).transformed_feature_spec()
    return rows(training.matching([f"{transformed}/Split-train/*"]), spec)


def _token_ids(the_task: Any, tokenizer: Tokenizer, text: str) -> list[int]:
    import tensorflow as tf

    ids: list[int] = the_task.featurize({"text": tf.constant([text])}, tokenizer)["token_ids"].to_list()[0]
    return ids


def _transformed(rows: Any, tokenizer: Tokenizer, the_task: Any, text: str) -> Iterator[str]:
    ids = _token_ids(the_task, tokenizer, text)
    row = next(row for row in rows if row["token_ids"].numpy().tolist() == ids)
    for name, value in sorted(row.items()):
        yield f"{name}: {value.dtype.name} {_plain(value.numpy())!r}"
    yield f"decoded: {' '.join(tokenizer.vocabulary[each] for each in ids)}"


def _batch(rows: Any, tokenizer: Tokenizer, the_task: Any, text: str, experiment: Any) -> Iterator[str]:
    ids = _token_ids(the_task, tokenizer, text)
    batches = the_task.batches(rows, batch_size=experiment.train.batch_size, seed=experiment.seed, epoch=0)
    for step, batch in enumerate(batches, start=1):
        table = batch["token_ids"].numpy()
        for index, row in enumerate(table.tolist()):
            if row[: len(ids)] == ids and not any(row[len(ids) :]):
                shapes = ", ".join(f"{name} {value.dtype.name} {value.shape}" for name, value in batch.items())
                real = int(batch["padding_mask"].numpy().sum())
                yield f"epoch 1, step {step}, row {index}: {shapes}"
                yield f"real tokens: {real} of {table.size}"
                yield f"token_ids[{index}]: {row}"
                return


def _logits(model: str, text: str, labels: list[str], label: str) -> Iterator[str]:
    import numpy as np
    import tensorflow as tf
    import tensorflow_text  # noqa: F401 (its ops are in the graph)

    module = tf.saved_model.load(model)
    pooled = module.signatures["embed"](text=tf.constant([text]))["pooled"].numpy()[0]
    stored = tf.train.load_checkpoint(f"{model}/variables/variables")
    # The SavedModel numbers its variables; the classifier's two are known by their shapes.
    shapes = stored.get_variable_to_shape_map()
    kernel, bias = (
        next(
            stored.get_tensor(name)
            for name in shapes
            if shapes[name] == shape and stored.get_tensor(name).dtype.kind == "f"
        )
        for shape in ([len(pooled), len(labels)], [len(labels)])
    )
    logits = pooled @ kernel + bias
    scores = np.exp(logits) / np.exp(logits).sum()
    yield f"pooled: float32 ({len(pooled)},) [{', '.join(f'{each:.4f}' for each in pooled[:4])}, …]"
    yield "logits: " + ", ".join(f"{name} {each:.4f}" for name, each in zip(labels, logits, strict=True))
    yield "scores: " + ", ".join(f"{name} {each:.4f}" for name, each in zip(labels, scores, strict=True))
    yield f"loss: −ln {scores[labels.index(label)]:.4f} = {-np.log(scores[labels.index(label)]):.4f} nats"


def _evaluated(evaluation: str) -> Iterator[str]:
    found = verdict.read(evaluation)
    yield str(found)
    yield from (f"{part.name}: accuracy {part.value:.4f}, n={part.n}" for part in found.slices)


def _answer(model: str, text: str) -> Iterator[str]:
    import tensorflow as tf

    yield f"request:  {json.dumps({'instances': [{'text': text}]}, ensure_ascii=False)}"
    answer = tf.saved_model.load(model).signatures["serving_default"](text=tf.constant([text]))
    values = {name: _plain(value.numpy()[0]) for name, value in sorted(answer.items())}
    yield f"response: {json.dumps({'predictions': [values]}, ensure_ascii=False)}"


def _plain(value: Any) -> Any:
    """Numbers and text as JSON knows them."""
    if isinstance(value, bytes):
        return value.decode()
    listed = value.tolist() if hasattr(value, "tolist") else value
    return [_plain(each) for each in listed] if isinstance(listed, list) else listed


if __name__ == "__main__":
    main(*sys.argv[1:])
