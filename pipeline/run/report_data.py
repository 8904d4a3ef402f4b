"""What a report says of a run's data and lineage: read from MLMD, statistics, and the files of the data nodes."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.evaluate.report.data import Column, Source
from components.evaluate.report.graph import Box
from models.training import lengths
from pipeline.run.lineage import Execution, outputs
from pipeline.run.result import RunResult

_STATISTICS, _GENERATOR = "StatisticsGen", "ExampleGen"
_DIGITS = 8  # of a digest


def sources(
    known: list[Execution], result: RunResult, values: Mapping[str, Any], summaries: Mapping[str, str]
) -> list[Source]:
    """What the data nodes found, by source.

    Args:
      known: executions of the run.
      result: of the run.
      values: its resolved experiment.
      summaries: what each node said it produced.
    """
    return [
        _source(node, known, result, values, summaries)
        for node in dict.fromkeys(each.node for each in known if each.node.endswith(_GENERATOR))
    ]


def _source(
    node: str, known: list[Execution], result: RunResult, values: Mapping[str, Any], summaries: Mapping[str, str]
) -> Source:
    prefix = node.removesuffix(_GENERATOR)
    columns, counts = list[Column](), dict[str, int]()
    schema = next(iter(outputs(known, f"{prefix}SchemaGen", "schema")), None)
    closed = _closed(Path(schema)) if schema else set[str]()
    for uri in outputs(known, f"{prefix}{_STATISTICS}", "statistics"):
        for split, statistics in _statistics(Path(uri)):
            counts[split] = int(statistics.num_examples)
            columns += (_column(feature, split, closed) for feature in statistics.features)
    order = {name: place for place, name in enumerate(("train", "eval", "test"))}
    return Source(
        name=_section(node, values)[0],
        files=_files(node, result, values),
        counts=dict(sorted(counts.items(), key=lambda each: order.get(each[0], len(order)))),
        columns=sorted(
            (column for column in columns if column.name != "origin"),
            key=lambda column: (column.name, order.get(column.split, len(order))),
        ),
        lengths=summaries.get(f"{prefix}Transform", ""),
        rows=_rows(outputs(known, f"{prefix}Transform", "transform_graph")),
        bad=_reasons(outputs(known, node, "bad_records")),
        anomalies=_warnings(outputs(known, f"{prefix}DataGate", "report")),
    )


def _section(node: str, values: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The section of the YAML that a node's source stands in, and what it holds."""
    name = node.removesuffix(_GENERATOR).lower() or ("task" if "task" in values else "corpus")
    section = values.get(name) or {}
    return name, section.get("data", section) if name == "task" else section


def _files(node: str, result: RunResult, values: Mapping[str, Any]) -> str:
    """``reviews.csv, SHA-256 9e1b…``."""
    _, section = _section(node, values)
    paths = section.get("path") or [node]
    digest = result.data.get(node, "")
    names = ", ".join(map(str, paths if isinstance(paths, list) else [paths]))
    return f"{names}, SHA-256 {digest[:_DIGITS]}…" if digest else names


def _statistics(folder: Path) -> Iterator[tuple[str, Any]]:
    """TFDV's statistics by split."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    for path in sorted(folder.glob("Split-*/FeatureStats.pb")):
        found = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
        for statistics in found.datasets[:1]:
            yield path.parent.name.removeprefix("Split-"), statistics


def _closed(folder: Path) -> set[str]:
    """The features whose values the schema lists: labels, never texts."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    path = folder / "schema.pbtxt"
    if not path.is_file():
        return set()
    schema = text_format.Parse(path.read_text("utf-8"), schema_pb2.Schema())
    return {feature.name for feature in schema.feature if feature.domain or feature.HasField("string_domain")}


def _column(feature: Any, split: str, closed: set[str]) -> Column:
    name = ".".join(feature.path.step) if feature.path.step else feature.name
    if feature.HasField("num_stats"):
        found = feature.num_stats
        numbers = {"mean": found.mean, "low": found.min, "high": found.max}
        return Column(name, split, found.common_stats.num_non_missing, found.common_stats.num_missing, **numbers)
    found = feature.string_stats
    values: list[tuple[str, int]] = []
    if name in closed:
        ranks = [(bucket.label, int(bucket.sample_count)) for bucket in found.rank_histogram.buckets]
        values = ranks or [(each.value, int(each.frequency)) for each in found.top_values]
    return Column(
        name,
        split,
        found.common_stats.num_non_missing,
        found.common_stats.num_missing,
        values=values,
        distinct=found.unique or None,
        mean=found.avg_length,
    )


def _rows(folders: list[str]) -> dict[str, dict[int, int]]:
    """How long rows are, as Transform counted them."""
    return lengths.read(folders[-1]) if folders else {}


def _reasons(folders: list[str]) -> dict[str, int]:
    """How many records were set aside, by reason."""
    counted: Counter[str] = Counter()
    for path in (Path(folder) / "bad_records.csv" for folder in folders):
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                counted.update(row["reason"] for row in csv.DictReader(file))
    return dict(counted)


def _warnings(folders: list[str]) -> list[str] | None:
    """What the gate let pass; None where there was no gate."""
    paths = [path for path in (Path(folder) / "gate.json" for folder in folders) if path.is_file()]
    if not paths:
        return None
    return [str(warning) for path in paths for warning in json.loads(path.read_text("utf-8"))["warnings"]]


def drawing(
    known: list[Execution], result: RunResult, values: Mapping[str, Any]
) -> tuple[list[Box], list[tuple[str, str]]]:
    """The lineage: files, the nodes that led to the last one, and what was pushed.

    Args:
      known: executions of the run.
      result: of the run.
      values: its resolved experiment.
    """
    executed = {each.node: each for each in known}
    makers = _makers(known)
    edges = [
        (maker, each.node)
        for each in executed.values()
        for used in each.inputs.values()
        for artifact in used
        if (maker := makers.get(artifact.id)) and maker != each.node
    ]
    kept = _ancestors(edges, list(executed))
    boxes, files = [], []
    for node in result.data:
        if node in kept:
            title, note = _file(node, result, values)
            boxes.append(Box(f"file {node}", title, note, "file"))
            files.append((f"file {node}", node))
    boxes += [Box(node, node, "cached" if executed[node].cached else "") for node in executed if node in kept]
    if result.pushed and "Pusher" in kept:
        boxes.append(Box("pushed", f"{result.name} v{result.pushed.version}", "pushed", "end"))
        edges.append(("Pusher", "pushed"))
    return boxes, [*files, *(edge for edge in edges if edge[0] in kept)]


def _makers(known: list[Execution]) -> dict[int, str]:
    """By artifact, the node that made it; a Resolver makes nothing, and stands for what earlier runs made."""
    makers: dict[int, str] = {}
    for each in sorted(known, key=lambda execution: execution.node == "Resolver"):
        for made in each.outputs.values():
            for artifact in made:
                makers.setdefault(artifact.id, each.node)
    return makers


def _ancestors(edges: list[tuple[str, str]], nodes: list[str]) -> set[str]:
    """The last nodes that something went into and what they were made of.

    Nodes that only look at the data (statistics, gates) are left out once there is a model.
    """
    makers = {a for a, _ in edges}
    ends = [node for node in nodes if node not in makers and any(b == node for _, b in edges)]
    judged = [node for node in ends if not node.endswith(("DataGate", "ExampleValidator", _STATISTICS))]
    waiting, kept = judged or ends or nodes, set[str]()
    waiting = list(waiting)
    while waiting:
        node = waiting.pop()
        if node not in kept:
            kept.add(node)
            waiting += (a for a, b in edges if b == node)
    return kept


def _file(node: str, result: RunResult, values: Mapping[str, Any]) -> tuple[str, str]:
    """A file's name, and the first digits of its digest."""
    digest = result.data[node][:_DIGITS]
    if not node.endswith(_GENERATOR):
        return Path(result.checkpoint or node).name, digest
    paths = _section(node, values)[1].get("path") or [node]
    names = [Path(str(path)).name for path in (paths if isinstance(paths, list) else [paths])]
    return names[0] if len(names) == 1 else f"{names[0]} +{len(names) - 1}", digest
