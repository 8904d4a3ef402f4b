"""The keys of the task ``translation`` in the YAML."""

import csv
from pathlib import Path
from typing import Annotated, Any

import pydantic

# What user interfaces and documents hold that no language changes.
PROTECT = (
    r"%[A-Z0-9_]+%?",
    r"\$\(?\w+\)?\$?",
    r"\{[^{}]*\}",
    r"<[^<>]+>",
    r"https?://\S+",
    r"[\x{1F300}-\x{1FAFF}\x{2600}-\x{27BF}\x{1F1E6}-\x{1F1FF}\x{FE0F}\x{200D}]+",  # emoji
)


class Options(pydantic.BaseModel):
    """How texts are translated.

    Attributes:
      max_length: pieces of a source, the end included; a longer one is cut, and the answer says so. Longer pairs are
        not trained on.
      beam: answers that are pursued at a time; 1 is greedy.
      length_penalty: α of ``((5 + pieces) / 6)^α``, which log-probabilities are divided by (Wu et al. 2016, eq. 14).
      protect: RE2 patterns of what is copied and never translated; eight such spans of a text, the rest stays text.
      protect_strictly: whether an answer must hold all of them.
      glossary: terms and what each is in the target: a CSV file with the columns ``source`` and ``target``, or the
        terms themselves.
      label_smoothing: share of the target that all pieces get alike (Szegedy et al. 2016, section 7).
      memory: whether the model keeps the train pairs: it reads the translation of the most similar known source beside
        each source, and answers a known source with its known translation.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    max_length: Annotated[int, pydantic.Field(ge=8)] = 96
    beam: Annotated[int, pydantic.Field(ge=1, le=64)] = 4
    length_penalty: Annotated[float, pydantic.Field(ge=0)] = 0.6
    protect: list[str] = list(PROTECT)
    protect_strictly: bool = False
    glossary: dict[str, str] = {}
    label_smoothing: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.1
    memory: bool = False

    @pydantic.field_validator("protect")
    @classmethod
    def _written_in_re2(cls, patterns: list[str]) -> list[str]:
        import re2

        for pattern in patterns:
            try:
                empty = re2.compile(pattern).search("") is not None
            except re2.error as error:
                raise ValueError(f"{pattern!r} is no pattern of RE2: {_text(error)}") from None
            if empty:
                raise ValueError(f"{pattern!r} finds nothing everywhere: it must match a character at least")
        return patterns

    @pydantic.field_validator("glossary", mode="before")
    @classmethod
    def _read(cls, glossary: Any) -> Any:
        """The terms of a file: a run is decided by what it holds, not by its name."""
        return _terms(Path(glossary)) if isinstance(glossary, str) else glossary

    @pydantic.field_validator("glossary")
    @classmethod
    def _whole(cls, glossary: dict[str, str]) -> dict[str, str]:
        for source, target in glossary.items():
            if source != source.strip() or target != target.strip() or not source or not target:
                raise ValueError(f"a term is a text without blanks around it. Received: {source!r}: {target!r}")
        return glossary


def _terms(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if missing := {"source", "target"} - set(rows.fieldnames or ()):
                raise ValueError(f"{path}: the column {min(missing)} is missing; a glossary has source and target")
            terms = dict[str, str]()
            for row in rows:
                source, target = ((row[name] or "").strip() for name in ("source", "target"))
                if not source or not target:
                    raise ValueError(f"{path}:{rows.line_num}: source or target is empty")
                if terms.setdefault(source, target) != target:
                    raise ValueError(f"{path}:{rows.line_num}: {source!r} has another target above")
            return terms
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: it should hold the columns source and target") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (byte {error.start}): save the glossary as UTF-8") from None


def _text(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode() if isinstance(said, bytes) else str(said)
