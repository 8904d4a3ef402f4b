"""Sections ``corpus``, ``task.data`` and ``score``: files of records. See also ``events``, ``pairs``."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from configs.base import RANGE, Columns, Paths, Section, Share
from configs.encoding import Encoding

# Formats by the ending of a file's name.
ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
}


Comparison = Annotated[str, Field(pattern=RANGE.pattern)]


class LabelRanges(Section):
    """Labels cut from a number: ``{column: sentiment, ranges: {negative: "< -0.5", positive: "> 0.5"}}``.

    A record whose number lies in no range is left out, and counted as left out.
    """

    column: str
    ranges: dict[str, Comparison] = Field(min_length=2)


class Split(Section):
    """Shares of the distinct texts in each split. Decided by the hash of the normalised text."""

    train: Share = 0.8
    eval: Share = 0.1
    test: Share = 0.1

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.eval + self.test - 1) > 1e-6 or not self.train:
            raise ValueError(
                f"the shares must sum to 1 and train must not be 0. Received: {self.train}, {self.eval}, {self.test}"
            )
        return self


class Source(Section):
    """Files of records, or of text.

    Attributes:
      path: files or globs, gzip by their ending ``.gz``.
      format: from the file's ending where not given: ``csv``, ``tsv``, ``jsonl`` (``.json``, ``.ndjson``), ``parquet``,
        ``text`` (``.txt``). ``jsonl`` is an object a line, or one array of objects; ``labels.score`` names the key
        ``score`` of the object ``labels``.
      header: the names of all columns, for csv and tsv files that begin with a record.
      encoding: of the text files, by any of its names. ``latin-1`` is read as ``cp1252``, as browsers do.
      on_bad_record: ``fail`` stops before anything is trained; ``quarantine`` sets bad records aside, with place and
        reason.
      max_bad_share: ``quarantine`` fails past this share of the records.
      section: where it stands in the YAML; empty where options of the command line say it.
      keys: those whose values name columns, in the columns' order.
      endings: format by the ending of a file's name: the formats that it takes.
    """

    section: ClassVar[str]
    keys: ClassVar[tuple[str, ...]]
    endings: ClassVar[Mapping[str, str]] = ENDINGS

    path: Paths
    format: Literal["csv", "tsv", "jsonl", "parquet", "text"] | None = None
    header: Columns | None = None
    encoding: Encoding = "utf-8"
    on_bad_record: Literal["fail", "quarantine"] = "fail"
    max_bad_share: Share = 0.05

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Every column that is read, behind the key that names it."""
        named = [(key, name) for key in self.keys for name in _all(getattr(self, key))]
        return [(key, name.column if isinstance(name, LabelRanges) else name) for key, name in named]

    def misfit(self, path: str, file_format: str) -> tuple[str, str] | None:
        """The key that a file of this format does not go with, and why; None where there is none."""
        if file_format == "text":
            return "format", f"{path} is plain text; a task reads csv, tsv, jsonl or parquet."
        return None


class Unlabelled(Source):
    """Records to answer: one text, or two, and whatever else they hold.

    Under ``score`` only ``path`` must be given: the rest is as ``task.data`` has it.
    """

    section = "score"
    keys = ("text", "text_pair")

    text: str = "text"
    text_pair: str | None = None


class SplitSource(Source):
    """Files to learn from.

    Attributes:
      eval: files of the eval split; then ``path`` is train.
      test: files of the test split.
      split: shares of the splits that have no files of their own.
    """

    eval: Paths | None = None
    test: Paths | None = None
    split: Split = Split()

    @model_validator(mode="after")
    def _three_splits(self) -> Self:
        for name in ("eval", "test"):
            if getattr(self, name) is None and not getattr(self.split, name):
                raise ValueError(f"the {name} split is empty: give split.{name} a share, or {name} files of its own")
        return self


class TextData(SplitSource):
    """Records of one text, or two, and of what they are judged by."""

    section = "task.data"
    keys = ("text", "text_pair", "label")

    text: str = "text"
    text_pair: str | None = None


class TaskData(TextData):
    """A label each."""

    label: str | LabelRanges = "label"


class LabelsData(TextData):
    """Any number of labels each, none included.

    Attributes:
      label: a column of JSON lists, or of text with ``separator`` between the labels.
      separator: of labels in one cell.
    """

    label: str = "labels"
    separator: Annotated[str, Field(min_length=1)] = ","


class NumberData(TextData):
    """A number each.

    Attributes:
      label: its column.
      min, max: a record with a number beyond is bad.
    """

    label: str = "label"
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(f"min must be less than max. Received: min={self.min:g}, max={self.max:g}")
        return self


class PairNumberData(NumberData):
    """Two texts and a number each: how alike they are."""

    text_pair: str = "text_pair"


class SpanData(TextData):
    """Labels on parts of a text.

    CoNLL files: a word a line, its columns separated by white space (with ``unit: character`` by a tab), a blank line
    after each sentence; first column the word, last one the tag. Other formats hold a JSON list in the column
    ``label``: of ``{"start": 0, "end": 4, "label": "ORG"}``, in characters; or of tags, where ``text`` lists the words.

    Attributes:
      label: the column of tags or spans. Unused for CoNLL.
      scheme: how tags are read: with ``word`` each is the label of its word. As ``task.scheme``, where not given.
      unit: what a line of a CoNLL file holds; words are joined by spaces, characters by nothing.
    """

    endings = {".conll": "conll", ".jsonl": "jsonl", ".parquet": "parquet"}

    format: Literal["conll", "jsonl", "parquet"] | None = None  # type: ignore[assignment]
    label: str = "entities"
    scheme: Literal["BIO", "word"] = "BIO"
    unit: Literal["word", "character"] = "word"


class AnswerData(TextData):
    """Questions with their context and answers: SQuAD 1.1 or 2.0 JSON, as is, or a question a line of JSON Lines.

    Attributes:
      text: the question.
      text_pair: the context.
      answers: of JSON Lines: ``{"text": [...], "answer_start": [...]}``, in characters; empty lists: no answer.
    """

    keys = ("text", "text_pair", "answers")
    endings = {".json": "squad", ".jsonl": "jsonl", ".parquet": "parquet"}

    format: Literal["squad", "jsonl", "parquet"] | None = None  # type: ignore[assignment]
    text: str = "question"
    text_pair: str = "context"
    answers: str = "answers"


class Corpus(SplitSource):
    """Text for pretraining: a document is a blank-line separated paragraph, a file, a row, or rows that share a value.

    Attributes:
      text: the column, or several: each is a sentence of the row's document. Unused for plain text, where a line is a
        sentence.
      sentences: ``lines``: as above; ``split``: a column, or the lines of a plain-text document run together, are
        running text, whose sentences are found by its punctuation. Only pairs of sentences (nsp, sop) need them.
      document: rows with the same value here are one document; for plain text ``file``: a file is one document.
      order: sorts the rows of a document; else they keep the file's order.
    """

    section = "corpus"
    keys = ("text", "document", "order")

    text: Columns = ["text"]
    sentences: Literal["lines", "split"] = "lines"
    document: str | None = None
    order: str | None = None

    @model_validator(mode="after")
    def _order_needs_document(self) -> Self:
        if self.order and not self.document:
            raise ValueError("order sorts the rows of a document: name the column that joins them in document")
        return self

    @override
    def misfit(self, path: str, file_format: str) -> tuple[str, str] | None:
        if file_format != "text" or (not self.order and self.document in (None, "file")):
            return None
        key, value = ("order", self.order) if self.order else ("document", self.document)
        return key, f"plain text takes document: file, or neither. Received: {value!r}"


def _all(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value is not None else []
