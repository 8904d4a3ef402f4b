"""Sections ``corpus``, ``task.data`` and ``score``: files of records."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal, Self, TypeGuard

from pydantic import Field, model_validator
from typing_extensions import override

from configs.base import RANGE, Columns, Count, Paths, Section, Share
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


class ParallelSplit(Split):
    """Shares of the distinct source texts in each split, by their hash; or of what ``by`` says.

    Attributes:
      by: a column, such as a book or a project: pairs with the same value there are in the same split.
    """

    by: str | None = None


class ParallelData(SplitSource):
    """Texts with their translations: two columns of a table, or two files of lines.

    ``path: [train.en, train.ko]``: line n of the second file translates line n of the first one. ``eval`` and ``test``
    are then two files each too. Files that end in ``.txt``, and two files whose endings name no format, are read so.
    Several rows with the same source text are one pair, with the translation that is most frequent among them.

    Attributes:
      text: the column of the source text. Unused for files of lines.
      target: the column of the translation. Likewise.
      keep_equal: whether a text that is its own translation is a pair too; else it is left out.
    """

    section = "task.data"
    keys = ("text", "target")
    endings = {**ENDINGS, ".txt": "aligned"}

    format: Literal["csv", "tsv", "jsonl", "parquet", "aligned"] | None = None  # type: ignore[assignment]
    text: str = "text"
    target: str = "target"
    keep_equal: bool = False
    split: ParallelSplit = ParallelSplit()

    @model_validator(mode="before")
    @classmethod
    def _files_of_lines(cls, section: Any) -> Any:
        given = section.get("path") if isinstance(section, dict) else None
        if not isinstance(given, list) or len(given) != 2 or not all(isinstance(path, str) for path in given):
            return section
        return section if any(map(_known, given)) else {"format": "aligned", **section}

    @model_validator(mode="after")
    def _in_twos(self) -> Self:
        for key in ("path", "eval", "test"):
            given = getattr(self, key) or []
            aligned = [
                path for path in given if self.format == "aligned" or (not self.format and _ending(path) == ".txt")
            ]
            if aligned and (len(given), len(aligned)) != (2, 2):
                raise ValueError(
                    f"{key} must be two files of lines, one of the source texts and one of their translations. "
                    f"Received: {', '.join(given)}"
                )
        return self

    @property
    @override
    def columns(self) -> list[tuple[str, str]]:
        return super().columns + ([("split.by", self.split.by)] if self.split.by else [])

    @override
    def misfit(self, path: str, file_format: str) -> tuple[str, str] | None:
        if file_format != "aligned":
            return None
        if self.split.by:
            return "split.by", f"{path} is a file of lines and has no columns. Received: {self.split.by!r}"
        return None if self.beside(path) else ("path", f"{path} is a file of lines: name it as it is, not by a pattern")

    def beside(self, path: str) -> tuple[str, str] | None:
        """The two files of lines that ``path`` is one of: of the source texts, and of their translations."""
        pairs = (given for given in (self.path, self.eval, self.test) if given and path in given)
        return next(((first, second) for first, second in pairs), None)


def _ending(path: str) -> str:
    return PurePath(path.lower().removesuffix(".gz")).suffix


def _known(path: str) -> bool:
    """Whether the ending of a file's name says its format."""
    return _ending(path) in ENDINGS


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


class SequenceSplit(Section):
    """What eval and test ask for.

    Attributes:
      by: ``last``: the last event of each user is asked for by test, the one before it by eval. ``time``: train holds
        what happened before a time, eval and test ask for each user's first event behind it. ``user``: each user
        belongs to one split, by the hash of the user, and is asked for the last event.
      eval, test: by ``time``: where its events begin, as a share of all events, oldest first (.8, .9), or as a time
        such as ``2024-05-01``. By ``user``: its share of the users (.1, .1).
    """

    by: Literal["last", "time", "user"] = "last"
    eval: float | str | None = None
    test: float | str | None = None

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, section: Any) -> Any:
        given = {"time": {"eval": 0.8, "test": 0.9}, "user": {"eval": 0.1, "test": 0.1}}
        by = section.get("by") if isinstance(section, dict) else None
        return {**given[by], **section} if by in given else section

    @model_validator(mode="after")
    def _fits(self) -> Self:
        received = f"Received: eval={self.eval}, test={self.test}"
        if self.by == "last" and (self.eval, self.test) != (None, None):
            raise ValueError(f"by: last takes neither eval nor test; by: time and by: user do. {received}")
        if self.by == "user" and not (_share(self.eval) and _share(self.test) and self.eval + self.test < 1):
            raise ValueError(f"by: user takes shares of the users that are less than 1 together. {received}")
        if self.by == "time" and _share(self.eval) and _share(self.test) and not self.eval < self.test:
            raise ValueError(f"by: time needs eval to begin before test. {received}")
        return self


def _share(value: Any) -> TypeGuard[float]:
    """Whether a number is a share; others are times."""
    return isinstance(value, int | float) and 0 < value < 1


class Kept(Section):
    """Which rows are events: ``{column: rating, range: '>= 4'}``, or ``{column: event, values: [purchase]}``.

    The others are left out, and counted as left out.
    """

    column: str
    range: Comparison | None = None
    values: Columns | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.range is None) == (self.values is None):
            raise ValueError("give either range (of a number) or values (those that are events)")
        return self


class CatalogueData(Source):
    """What the items are called.

    Attributes:
      item: the column of the item.
      title: the column of its title.
    """

    section = "task.data.catalogue"
    keys = ("item", "title")

    item: str = "item"
    title: str = "title"


class Events(Source):
    """Events: who did what, and when. A row is an event.

    Attributes:
      user: the column that says who.
      item: the column that says what: ids without ``|``, which stands between the items of a request.
      time: the column that says when: a number, or ISO 8601 (without a zone: UTC). Not given: the order of the rows.
        Events of one time keep the order of the rows.
      keep: which rows are events; not given: all of them.
      repeats: ``keep``: every row is an event; ``last``: of a user's events with one item only the last one is.
      max_events: of a user with more events the last ones are kept.
    """

    keys = ("user", "item", "time")

    user: str = "user"
    item: str = "item"
    time: str | None = None
    keep: Kept | None = None
    repeats: Literal["keep", "last"] = "keep"
    max_events: Annotated[Count, Field(ge=4)] = 10_000

    @property
    @override
    def columns(self) -> list[tuple[str, str]]:
        return super().columns + ([("keep.column", self.keep.column)] if self.keep else [])


class SequenceData(Events):
    """Events to learn from.

    Attributes:
      catalogue: titles of the items, from files of their own.
      split: what train, eval and test are asked for.
    """

    section = "task.data"

    catalogue: CatalogueData | None = None
    split: SequenceSplit = SequenceSplit()

    @model_validator(mode="after")
    def _time_decides(self) -> Self:
        if self.split.by == "time" and self.time is None:
            raise ValueError("split: {by: time} needs the column that says when: time")
        return self


class UnlabelledEvents(Events):
    """Events of users who are each answered what comes next.

    Under ``score`` only ``path`` must be given: the rest is as ``task.data`` has it.
    """

    section = "score"


def _all(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value is not None else []
