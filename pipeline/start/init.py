"""``tfx-bert init``: an experiment's YAML, and of labels its schema, from what a data file shows."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from configs.base import NAME, ConfigError
from configs.encoding import Encoding
from pipeline import loader
from pipeline.start import init_events, init_pairs, init_records, init_texts, shapes, sniff
from pipeline.start.init_events import Events
from pipeline.start.shapes import Shape


@dataclass(frozen=True)
class _Draft:
    """What is to be written, and what a person is told: what was seen, and what that rests on."""

    files: Mapping[Path, list[str]]
    seen: list[str]
    assumed: list[str]


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
    """Writes ``NAME.yaml``, and of labels ``schemas/NAME.pbtxt``, and prints what was seen and assumed.

    Raises:
      ConfigError: a file is there already and ``force`` is not given, or an option does not fit the file.
      DataError: the file cannot be read, or no text or label column is found.
    """
    named = {key: column for key, column in {"user": user, "item": item, "time": time}.items() if column}
    of_events, of_texts = bool(named or catalogue), bool(text or label)
    if of_texts and of_events:
        raise ConfigError("--text and --label are of texts, --user, --item, --time and --catalogue of events")
    name = _named(data, name)
    experiment = Path(f"{name}.yaml")
    if not of_texts and not of_events and (shape := shapes.of_file(data, encoding)):
        draft = _records(data, shape, name, checkpoint)
    elif not of_texts and (events := init_events.look(data, named, encoding, catalogue)):
        draft = _rows(events, experiment, init_events.yaml(events, name))
    elif of_events:
        raise ConfigError(f"{data} does not look like events: name who with --user and what with --item")
    elif not of_texts and not checkpoint and (pairs := init_pairs.look(data, encoding)):
        draft = _rows(pairs, experiment, init_pairs.yaml(pairs, name))
    elif shape := shapes.of_columns(data, encoding, text, label):
        draft = _records(data, shape, name, checkpoint)
    else:
        seen = sniff.look(data, text, label, encoding)
        files, why = init_texts.files(seen, name, checkpoint)
        draft = _Draft(files, seen.lines(), [*seen.assumed, why])
    _write(draft.files, force)
    _tell(draft, name)


def _rows(seen: Events, experiment: Path, lines: list[str]) -> _Draft:
    return _Draft({experiment: lines}, seen.lines(), seen.assumed)


def _records(data: str, shape: Shape, name: str, checkpoint: str | None) -> _Draft:
    seen = init_records.look(data, shape)
    lines, why = init_records.yaml(seen, name, checkpoint)
    return _Draft({Path(f"{name}.yaml"): lines}, seen.lines(), [*shape.assumed, why])


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


def _tell(draft: _Draft, name: str) -> None:
    console = Console(highlight=False, markup=False)
    for line in draft.seen:
        console.print(line, soft_wrap=True, markup=False)
    for assumption in draft.assumed:
        console.print(Text.assemble(("assumed  ", "yellow"), assumption), soft_wrap=True)
    written = " and ".join(map(str, draft.files))
    console.print(
        Text.assemble(("✓ ", "green"), f"{written}: review {'it' if len(draft.files) == 1 else 'them'}"), soft_wrap=True
    )
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
