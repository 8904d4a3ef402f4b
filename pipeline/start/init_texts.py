"""An experiment on texts with a label or a number each, alone or in pairs."""

import math
from pathlib import Path
from typing import Any

import schemas
from configs.sources import TaskData
from configs.yaml.document import inline
from pipeline.start import beginning
from pipeline.start.sniff import DataFile
from pipeline.terminal.numbers import share


def files(seen: DataFile, name: str, checkpoint: str | None) -> tuple[dict[Path, list[str]], str]:
    """The lines of the experiment and, where there are labels, of its schema; and why it starts from what it does."""
    yaml_file, schema_file = Path(f"{name}.yaml"), Path("schemas") / f"{name}.pbtxt"
    start, why = beginning.start(seen.language, seen.bytes, checkpoint)
    written = {yaml_file: _yaml(seen, name, start, schema_file)}
    if seen.labels:
        schema = schemas.resolve(
            "classification", labels=seen.labels, slices=seen.slices, pair=seen.text_pair is not None
        )
        written[schema_file] = [_schema_header(seen, name) + schemas.dump(schema).removesuffix("\n")]
    return written, why


def _yaml(seen: DataFile, name: str, start: dict[str, Any], schema: Path) -> list[str]:
    data: dict[str, Any] = {"path": seen.path, "text": seen.text}
    if seen.text_pair:
        data["text_pair"] = seen.text_pair
    data["label"] = seen.label
    if seen.bounds:
        data["min"], data["max"] = seen.bounds
    if seen.format_needed:
        data["format"] = seen.format
    if seen.encoding != "utf-8":
        data["encoding"] = seen.encoding
    if seen.bad:
        data["on_bad_record"] = "quarantine"
        if seen.bad_share > TaskData.model_fields["max_bad_share"].default:
            data["max_bad_share"] = min(1.0, math.floor(seen.bad_share * 100 + 1) / 100)
    lines = [
        f"# Written by tfx-bert init from {seen.path}. Review it, then: tfx-bert run {name}.yaml",
        f"name: {name}",
        *(f"{key}: {inline(value)}" for key, value in start.items()),
        "task:",
        f"  type: {_type(seen)}",
        f"  data: {inline(data)}",
        *_judged(seen),
        *([] if seen.bounds or seen.text_pair else beginning.pooling(start, seen.records, len(seen.labels))),
        f"  max_length: {seen.max_length}   # tokens; {share(seen.fitting)} of the texts fit, the others are cut",
        *([] if seen.bounds else [f"  schema: {schema}   # what a record must look like"]),
        beginning.train(start, seen.records),
    ]
    if seen.slices:
        lines += ["evaluate:", f"  slices: {inline(list(seen.slices))}   # figures of their own for each value"]
    lines.append('# try: ["a text of your own"]   # what the model is asked at the end of a run')
    lines.append(
        "# Blessed if better than "
        + ("a constant answer" if seen.bounds else "the majority class")
        + " and no worse than the last one; evaluate.bless takes thresholds."
    )
    return lines


def _type(seen: DataFile) -> str:
    return "classification" if not seen.bounds else "similarity" if seen.text_pair else "regression"


def _judged(seen: DataFile) -> list[str]:
    """What a task's answers are, or what its numbers mean."""
    if not seen.bounds:
        two = "   # with two, the last one counts as positive" if len(seen.labels) == 2 else ""
        return [f"  labels: {inline(seen.labels)}{two}"]
    if seen.text_pair:
        return [
            "  objective: cosine   # of two vectors; type: regression reads both texts at once, and gives no vectors",
            f"  range: {inline(list(seen.bounds))}   # the numbers that stand for nothing alike, and for the same",
        ]
    return []


def _schema_header(seen: DataFile, name: str) -> str:
    return (
        f"# What a record of {name} must look like; inferred from {seen.path}, so it finds no fault in that file.\n"
        "# Review it: each string_domain lists the only values that may come, now and in later files.\n"
    )
