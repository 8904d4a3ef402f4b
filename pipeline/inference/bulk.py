"""``tfx-bert predict --input``: a file of records in, the same records with their answers out.

Three passes, each in flat memory. The first reads everything, so that what is wrong is told before the first answer.
The second answers batch by batch into ``OUTPUT.partial``, whose first line says what is answered by what: after a kill
it goes on behind the last whole batch, since a score's last digit depends on the batch it was computed in. The third
writes the records with their answers beside the output, then renames: a reader sees a whole file or none.
"""

import contextlib
import csv
import hashlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from components import digest
from components.records import bad_records, readers, writers
from components.records.formats import encodings
from components.records.rows import Bad, Row, place, require
from components.records.values import text_of
from configs.base import ConfigError
from configs.encoding import Encoding
from configs.sources import ENDINGS, Unlabelled
from configs.yaml.document import read as read_yaml
from models import families
from models.export import golden
from models.families import Input
from models.task import Task, nth
from pipeline.inference import partial, predict, whole
from pipeline.review.history import RESOLVED
from pipeline.run.result import RunError, RunResult, runs_of
from pipeline.terminal import noise
from pipeline.terminal.numbers import clock
from schemas import DataError

_BATCH = 32


class Given(Unlabelled):
    """The file of ``--input``; the options of the command line say the rest."""

    section = ""


@dataclass(frozen=True)
class _Answers:
    """The columns that the model adds, with their types."""

    kinds: Mapping[str, type]
    prefix: str

    def columns(self) -> list[str]:
        return [f"{self.prefix}{name}" for name in self.kinds]

    def schema(self) -> list[pyarrow.Field]:
        types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float32()}
        return [
            pyarrow.field(name, types[kind]) for name, kind in zip(self.columns(), self.kinds.values(), strict=True)
        ]


@dataclass
class _Job:
    """What is answered, and where it goes.

    Attributes:
      source: the input.
      output: where the answered records go.
      kind: format of the output.
      columns: of the input; those of the first record where records may differ.
      answers: the columns to add.
      asked: what the model takes, each with the column that it is read from.
      report: what the first pass counted.
      kinds: of values, by column: what Parquet's types are made of.
    """

    source: Given
    output: Path
    kind: str
    columns: list[str]
    answers: _Answers
    asked: list[tuple[Input, str]]
    report: bad_records.Report = field(default_factory=bad_records.Report)
    kinds: dict[str, set[str]] = field(default_factory=dict)

    @property
    def input(self) -> str:
        return self.source.path[0]

    @property
    def usable(self) -> int:
        return self.report.rows - self.report.bad

    @property
    def typed(self) -> bool:
        """Whether the columns keep the types that Parquet gave them."""
        return self.kind == readers.format_of(self.input, self.source) == "parquet"

    def beside(self, ending: str) -> Path:
        return self.output.with_name(f"{self.output.name}.{ending}")

    def rows(self) -> Iterator[tuple[Row, list[str]] | Bad]:
        """Each record with its texts, in order; the same in every pass."""
        reserved = set(self.answers.columns())
        for row in readers.rows(self.input, self.source, None):
            if isinstance(row, Bad):
                yield row
                continue
            try:
                texts = [_value(row.values, column, takes) for takes, column in self.asked]
                self._refuse(row.values, reserved)
            except ValueError as fault:
                yield Bad(self.input, row.line, str(fault))
            else:
                yield row, texts

    def _refuse(self, values: Mapping[str, Any], reserved: set[str]) -> None:
        for name in values:
            if name in reserved:
                raise ValueError(f"column {name!r} is one of the answers' too")
            if self.kind != "jsonl" and name not in self.columns:
                raise ValueError(f"key {name!r}, which the first record has not")
        if not self.typed:
            writers.line(values, "jsonl" if self.kind == "parquet" else self.kind)

    def good(self) -> Iterator[tuple[Row, list[str]]]:
        return (row for row in self.rows() if not isinstance(row, Bad))

    def raw_columns(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The columns as the output has them: of a table, all in every row."""
        return dict(values) if self.kind == "jsonl" else {name: values.get(name) for name in self.columns}


def bulk(
    root: Path,
    model: str | None,
    input_file: Path,
    output: Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    encoding: Encoding = "utf-8",
    on_bad_record: Any = "fail",
    max_bad_share: float = 0.05,
    prefix: str = "",
) -> None:
    """Answers every record of a file.

    Args:
      root: the environment's ``runs`` folder.
      model: ``NAME`` or ``NAME/VERSION``; None is the model pushed last.
      input_file: CSV, TSV, JSON Lines or Parquet, plain or gzip.
      output: likewise, by its ending.
      text: the column of the text, or of what a model with one input takes; None: the one that the model was trained
        on, or that of the input's name.
      text_pair: likewise, of models of pairs.
      encoding: of ``given``.
      on_bad_record: ``fail`` or ``quarantine``.
      max_bad_share: ``quarantine`` fails past this share.
      prefix: before the names of the columns that are added.

    Raises:
      RunError: no such model, one that answers nothing, or a partial output that was made from something else.
      ConfigError: options that do not fit the model or the files.
      DataError: a fault of the input.
    """
    folder = predict.newest(root, model)
    the_task, kept = predict.task_of(folder), golden.read(folder / "assets.extra")
    kind = _endings(input_file, output)
    options = {"encoding": encoding, "on_bad_record": on_bad_record, "max_bad_share": max_bad_share}
    source = Given(path=[str(input_file)], **options)
    first = next((row for row in readers.rows(str(input_file), source, None) if isinstance(row, Row)), None)
    columns, needed = list(first.values) if first else [], list(kept["inputs"])
    named = dict(zip(needed, needed, strict=True))
    if columns:  # else every record is bad, and the first pass says why
        named = _named({"text": text, "text_pair": text_pair}, needed, folder, source, columns)
    inputs = {each.name: each for each in families.load(the_task.family).inputs}
    kinds = {name: type(value) for name, value in the_task.to_row(golden.first(kept)).items()}
    asked = [(inputs[name], named[name]) for name in needed]
    job = _Job(source, output, kind, columns, _Answers(kinds, prefix), asked)
    _header(job)
    noise.hush()
    with (
        noise.captured(root / folder.parents[2].name / "predict.log") as terminal,
        partial.alone(job.beside("partial")) as file,
    ):
        console = Console(file=terminal, highlight=False, markup=False)
        with console.status(f"reading {input_file}"):
            began, before = time.monotonic(), _state(input_file)
            _survey(job)
            made_from = _made_from(job, folder)
            done = partial.resumed(file, job.beside("partial"), made_from, batch=_BATCH, total=job.usable)
        with _told(console, job, done) as advance:
            _answer(job, folder, the_task, file, done, advance)
        with console.status(f"writing {output}"):
            told = _write(job, file) if _state(input_file) == before else None
        if told is None or _state(input_file) != before:
            raise RunError(f"{input_file} changed while it was read; remove {job.beside('partial')} and begin again")
        job.beside("whole").replace(output)
        job.beside("partial").unlink(missing_ok=True)
        bad = f"{job.report.bad:,} bad" + f": {job.beside(bad_records.FILE)}" * bool(job.report.bad)
        parts = [f"{job.usable:,} rows", *(f"{count:,} {label}" for label, count in told.most_common()), bad]
        console.print(f"{output}: {' · '.join(parts)} · {clock(time.monotonic() - began)}", soft_wrap=True)


def _endings(given: Path, output: Path) -> str:
    """The output's format, by its ending."""
    for path, option in ((given, "--input"), (output, "--output")):
        kind = ENDINGS.get(Path(path.name.lower().removesuffix(".gz")).suffix)
        if kind in (None, "text") or (path == output and path.name.lower().endswith(".parquet.gz")):
            raise ConfigError(f"{option}: {path} must end in .csv, .tsv, .jsonl (each also with .gz) or .parquet")
    if output.exists() and output.samefile(given):
        raise ConfigError(f"--output: {output} is the input; name another file")
    if not output.parent.is_dir():
        raise ConfigError(f"--output: there is no folder {output.parent}; make it first")
    return str(kind)


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _header(job: _Job) -> None:
    """Raises DataError unless the given columns and the answers' go into one header."""
    added = job.answers.columns()
    if taken := [name for name in added if name in job.columns]:
        raise DataError(
            f"{job.input} has a column {taken[0]!r} already, and the answers need that name; "
            "give theirs another beginning: --prefix bert_"
        )
    if job.kind == "tsv" and (names := [name for name in [*job.columns, *added] if set(name) & set("\t\r\n")]):
        raise DataError(f"TSV cannot hold the name of the column {names[0]!r}; write .csv or .jsonl")


def _named(
    asked: dict[str, str | None], needed: list[str], folder: Path, source: Given, columns: list[str]
) -> dict[str, str]:
    """The text columns: those asked for, those that the model was trained on, or those of that very name."""
    if asked["text_pair"] and "text_pair" not in needed:
        raise ConfigError(f"--text-pair: {folder} takes one text, not a pair; leave the option out")
    trained, found = _trained_on(folder), {}
    for key in needed:
        option = key if key in asked else "text"  # a model with one input of another name
        if (name := asked[option]) is not None:
            require(f"{source.path[0]}:1", source.model_copy(update={option: name}), [name], columns)
        else:
            name = next((each for each in (trained.get(key), key) if each in columns), None)
        if name is None:
            tried = " or ".join(map(repr, dict.fromkeys(each for each in (trained.get(key), key) if each)))
            raise DataError(
                f"{source.path[0]} has no column {tried}; name the one to read with {place(source, option)}: "
                f"it has {', '.join(map(repr, columns[:20]))}."
            )
        found[key] = name
    return found


def _value(values: Mapping[str, Any], column: str, takes: Input) -> str:
    """What the model is asked of a row.

    Raises:
      RowError: why the row has none.
    """
    if takes.empty and (values.get(column) is None or not str(values[column]).strip()):
        return ""
    return text_of(values, column)


def _trained_on(folder: Path) -> dict[str, Any]:
    """``task.data`` of the run that pushed the model; nothing where that run is gone."""
    home = folder.parents[2]
    for run in reversed(runs_of(home.parent, home.name)):
        with contextlib.suppress(RunError):  # tfx-bert runs names the damaged ones
            pushed = RunResult.read(run).pushed
            if pushed and str(pushed.version) == folder.name and (run / RESOLVED).is_file():
                data: dict[str, Any] = read_yaml(run / RESOLVED).values["task"]["data"]
                return data
    return {}


# --- the first pass ------------------------------------------------------------------------------------------------


def _survey(job: _Job) -> None:
    """Counts the records; writes the bad ones beside the output.

    Raises:
      DataError: too many of them.
    """
    report, kept = job.report, job.beside(bad_records.FILE)
    job.kinds = {name: set() for name in job.columns}
    with kept.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "line", "reason"])
        for row in job.rows():
            report.rows += 1
            if isinstance(row, Bad):
                writer.writerow([row.file, row.line, row.reason])
                bad_records.count(report, "bad", [row.file, row.line, row.reason])
            elif job.kind == "parquet" and not job.typed:
                for name, value in row[0].values.items():
                    if kind := writers.kind_of(value):
                        job.kinds[name].add(kind)
    if not report.bad:
        kept.unlink()
    elif bad_records.too_many(report, job.source) or not job.usable:
        raise DataError(bad_records.refusal(report, job.source, str(kept)))


# --- the second pass -----------------------------------------------------------------------------------------------


def _made_from(job: _Job, folder: Path) -> dict[str, Any]:
    """All that decides the answers."""
    with Path(job.input).open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    options = job.source.model_dump(exclude={"path", "max_bad_share"}) | {takes.name: name for takes, name in job.asked}
    # Which records are usable depends on the output's format too.
    rows = {"usable": job.usable, "batch": _BATCH}
    return {"input": content, "model": digest.of_folder(folder), "set of options": options, "choice of rows": rows}


@contextlib.contextmanager
def _told(console: Console, job: _Job, done: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; Ctrl-C says how far it came and how to go on."""
    columns = (TextColumn("answering"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar, reached = progress.add_task("", total=job.usable, completed=done), [done]

        def advance(count: int) -> None:
            reached[0] += count
            progress.update(bar, completed=reached[0])

        try:
            yield advance
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted after {reached[0]:,} of {job.usable:,} rows; the same command goes on from there"
            ) from None


def _answer(
    job: _Job, folder: Path, the_task: Task, file: IO[bytes], done: int, advance: Callable[[int], None]
) -> None:
    """Appends a list of the cells for each record that has none yet; a batch is one write."""
    if done == job.usable:
        return
    answer, names = predict.load(folder), golden.read(folder / "assets.extra")["inputs"]
    for batch in predict.batches(itertools.islice(job.good(), done, None), _BATCH):
        texts = zip(*(texts for _, texts in batch), strict=True)
        arrays = whole.answers(answer, the_task, dict(zip(names, map(list, texts), strict=True)))
        found = [list(the_task.to_row(nth(arrays, index)).values()) for index in range(len(batch))]
        file.write("".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in found).encode())
        file.flush()
        advance(len(batch))


# --- the third pass ------------------------------------------------------------------------------------------------


def _write(job: _Job, file: IO[bytes]) -> Counter[str]:
    """Writes ``OUTPUT.whole``; gives the number of rows by label."""
    file.seek(0)
    file.readline()
    told = Counter[str]()
    with _writer(job) as write:
        for (given, _), line in zip(job.good(), file, strict=True):
            cells = dict(zip(job.answers.kinds, json.loads(line), strict=True))
            write({**job.raw_columns(given.values), **dict(zip(job.answers.columns(), cells.values(), strict=True))})
            if "label" in cells:
                told[cells["label"]] += 1
    return told


def _writer(job: _Job) -> contextlib.AbstractContextManager[Callable[[writers.Values], None]]:
    path = job.beside("whole")
    if job.kind != "parquet":
        columns = [*job.columns, *job.answers.columns()]
        return writers.lines(path, job.kind, columns, pack=job.output.name.lower().endswith(".gz"))
    if job.typed:
        with encodings.open_bytes(job.input) as stream:
            fields = pyarrow.parquet.read_schema(stream)
    else:
        fields = writers.schema_of(job.kinds)
    return writers.parquet(path, pyarrow.schema([*fields, *job.answers.schema()]))
