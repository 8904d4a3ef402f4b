"""``tfx-bert init``: an experiment's YAML and schema from what a data file shows."""

import math
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

import schemas
from configs.base import NAME, ConfigError
from configs.encoding import Encoding
from configs.sources import TaskData
from configs.yaml.document import inline
from pipeline import loader
from pipeline.start import init_events, init_pairs
from pipeline.start.sniff import DataFile, look
from pipeline.terminal.numbers import share

MINILM = "data/minilm"


def init(
    data: str,
    name: str | None,
    text: str | None,
    label: str | None,
    encoding: Encoding | None,
    checkpoint: str | None,
    force: bool,
    *,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    catalogue: str | None = None,
) -> None:
    """Writes ``NAME.yaml``, and of texts ``schemas/NAME.pbtxt``, and prints what was seen and assumed.

    Raises:
      ConfigError: a file is there already and ``force`` is not given, or an option does not fit the file.
      DataError: the file cannot be read, or no text or label column is found.
    """
    named = {key: column for key, column in {"user": user, "item": item, "time": time}.items() if column}
    if text or label:
        if named or catalogue:
            raise ConfigError("--text and --label are of texts, --user, --item, --time and --catalogue of events")
    elif seen := init_events.look(data, named, encoding, catalogue):
        name = _named(data, name)
        _write({Path(f"{name}.yaml"): init_events.yaml(seen, name)}, force)
        _tell(seen.lines(), seen.assumed, f"{name}.yaml: review it", name)
        return
    elif named or catalogue:
        raise ConfigError(f"{data} does not look like events: name who with --user and what with --item")
    elif not checkpoint and (seen := init_pairs.look(data, encoding)):
        name = _named(data, name)
        _write({Path(f"{name}.yaml"): init_pairs.yaml(seen, name)}, force)
        _tell(seen.lines(), seen.assumed, f"{name}.yaml: review it", name)
        return
    _init_texts(data, name, text, label, encoding, checkpoint, force)


def _init_texts(
    data: str,
    name: str | None,
    text: str | None,
    label: str | None,
    encoding: Encoding | None,
    checkpoint: str | None,
    force: bool,
) -> None:
    seen = look(data, text, label, encoding)
    name = _named(data, name)
    yaml_file, schema_file = Path(f"{name}.yaml"), Path("schemas") / f"{name}.pbtxt"
    start, why = _start(seen, checkpoint)
    schema = schemas.resolve("classification", labels=seen.labels, slices=seen.slices, pair=seen.text_pair is not None)
    written = [_schema_header(seen, name) + schemas.dump(schema).removesuffix("\n")]
    _write({yaml_file: _yaml(seen, name, start, schema_file), schema_file: written}, force)
    _tell(seen.lines(), [*seen.assumed, why], f"{yaml_file} and {schema_file}: review them", name)


def _write(files: Mapping[Path, list[str]], force: bool) -> None:
    """Writes all of ``files`` or none; the first one is the experiment, which a run must not refuse."""
    for file in files:
        if file.parent.is_file():
            raise ConfigError(f"{file.parent} is a file; the schema goes into a folder of that name: rename it")
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        raise ConfigError(f"{' and '.join(there)} would be overwritten: --force does it, --name takes another name")
    with tempfile.TemporaryDirectory(dir=".", prefix=".init-") as folder:
        drafts = {file: Path(folder) / file.name for file in files}
        for file, draft in drafts.items():
            draft.write_text("\n".join(files[file]) + "\n", "utf-8")
        yaml_file, draft = next(iter(drafts.items()))
        try:
            loader.load(draft)  # nothing is written that a run would refuse
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(draft), str(yaml_file))) from None
        for file, draft in drafts.items():
            file.parent.mkdir(exist_ok=True)
            draft.replace(file)


def _tell(lines: Iterable[str], assumed: Iterable[str], written: str, name: str) -> None:
    console = Console(highlight=False, markup=False)
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
    for assumption in assumed:
        console.print(Text.assemble(("assumed  ", "yellow"), assumption), soft_wrap=True)
    console.print(Text.assemble(("✓ ", "green"), written), soft_wrap=True)
    console.print(f"Next:  tfx-bert check {name}.yaml | tfx-bert run {name}.yaml", soft_wrap=True)


def _named(data: str, name: str | None) -> str:
    name = name or _name(data)
    if not re.fullmatch(NAME, name):
        raise ConfigError(f"--name takes lower-case letters, digits, - and _, at most 63. Received: {name!r}")
    return name


def _name(data: str) -> str:
    stem = Path(data).name.split(".")[0].lower()
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in stem).strip("-")
    return name[:63] or "experiment"


def _start(seen: DataFile, checkpoint: str | None) -> tuple[dict[str, Any], str]:
    """The part of the YAML that says what training starts from, and why."""
    if checkpoint:
        from pipeline.start.check import checkpoint as read

        return {"checkpoint": checkpoint}, f"start from {checkpoint}: {read(Path(checkpoint))[1]}"
    if seen.language == "English":
        return {"checkpoint": MINILM}, f"English, so it starts from {MINILM} (tfx-bert data fetch minilm brings it)"
    # A thousand pieces for every 100 kB: rarer ones would be seen too seldom to be learned.
    pieces = min(16_000, max(1_000, round(seen.bytes / 100_000) * 1_000))
    mode = "uncased_nfc"
    why = (
        f"{seen.language}, and there is no checkpoint: it learns {pieces:,} pieces and a small encoder from nothing; "
        f"a BERT folder for this language does better: --checkpoint FOLDER"
    )
    return {"text": {"mode": mode}, "vocabulary": {"learn": pieces}, "encoder": "bert_tiny"}, why


def _yaml(seen: DataFile, name: str, start: dict[str, Any], schema: Path) -> list[str]:
    data: dict[str, Any] = {"path": seen.path, "text": seen.text}
    if seen.text_pair:
        data["text_pair"] = seen.text_pair
    data["label"] = {"column": seen.label, "ranges": seen.ranges} if seen.ranges else seen.label
    if seen.format_needed:
        data["format"] = seen.format
    if seen.encoding != "utf-8":
        data["encoding"] = seen.encoding
    if seen.bad:
        data["on_bad_record"] = "quarantine"
        if seen.bad_share > TaskData.model_fields["max_bad_share"].default:
            data["max_bad_share"] = min(1.0, math.floor(seen.bad_share * 100 + 1) / 100)
    # From nothing: more passes, at the higher rate that small encoders take.
    train = (
        "{epochs: 8, batch_size: 32, learning_rate: 3e-4}"
        if "encoder" in start
        else "{epochs: 3, batch_size: 32, learning_rate: 3e-5}"
    )
    lines = [
        f"# Written by tfx-bert init from {seen.path}. Review it, then: tfx-bert run {name}.yaml",
        f"name: {name}",
        *(f"{key}: {inline(value)}" for key, value in start.items()),
        "task:",
        "  type: classification",
        f"  data: {inline(data)}",
        f"  labels: {inline(seen.labels)}"
        + ("   # with two, the last one counts as positive" if len(seen.labels) == 2 else ""),
        f"  max_length: {seen.max_length}   # tokens; {share(seen.fitting)} of the texts fit, the others are cut",
        f"  schema: {schema}   # what a record must look like",
        f"train: {train}",
    ]
    if seen.slices:
        lines += ["evaluate:", f"  slices: {inline(list(seen.slices))}   # figures of their own for each value"]
    lines.append('# try: ["a text of your own"]   # what the model is asked at the end of a run')
    lines.append(
        "# Blessed if better than the majority class and no worse than the last one; evaluate.bless takes thresholds."
    )
    return lines


def _schema_header(seen: DataFile, name: str) -> str:
    return (
        f"# What a record of {name} must look like; inferred from {seen.path}, so it finds no fault in that file.\n"
        "# Review it: each string_domain lists the only values that may come, now and in later files.\n"
    )
