"""Section ``task.data`` of a translation: texts with their translations."""

from pathlib import PurePath
from typing import Any, Literal, Self

from pydantic import model_validator
from typing_extensions import override

from configs.sources import ENDINGS, Split, SplitSource


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
            if aligned and len(set(given)) == 1:
                raise ValueError(f"{key} must be two different files. Received: {given[0]} twice")
        if self.format != "aligned" and self.text == self.target:
            raise ValueError(f"text and target must be two different columns. Received: {self.text!r} for both")
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
