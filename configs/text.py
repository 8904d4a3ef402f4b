"""Sections ``text`` and ``vocabulary``: how text becomes pieces."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field, model_validator

from configs.base import Count, Section


class Replacement(Section):
    r"""An RE2 rule, applied in the graph before WordPiece, so served identically; ``with`` may use ``\1`` … ``\9``."""

    pattern: Annotated[str, Field(min_length=1)]
    with_: str = Field(alias="with")

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", strict=True, serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )

    @model_validator(mode="after")
    def _written_in_re2(self) -> Self:
        import pyarrow
        import pyarrow.compute

        try:  # TensorFlow's kernel is RE2 too, but ignores in silence what it cannot write
            pyarrow.compute.replace_substring_regex("", self.pattern, self.with_)
        except pyarrow.ArrowInvalid as error:
            said, groups = str(error), r"; groups in with are \1 to \9, a backslash is \\"
            hint = groups * said.startswith("Invalid replacement")
            raise ValueError(f"{said[:1].lower()}{said[1:]}{hint}") from None
        return self


class Text(Section):
    """How text becomes words.

    Attributes:
      mode: ``bert_uncased`` (Google's, exactly: lower-case, accents stripped), ``cased``, ``uncased_nfc``
        (lower-case, NFC, accents kept: right for Korean) or ``spaced`` (cased, and spaces are kept: for translation). A
        checkpoint brings its own.
      replace: rules applied first, in order.
    """

    mode: Literal["bert_uncased", "cased", "uncased_nfc", "spaced"] | None = None
    replace: list[Replacement] = []


class Vocabulary(Section):
    """``{learn: 32000, reserve: ["[URL]"]}`` or ``{path: vocab.txt}``.

    Attributes:
      learn: pieces to learn from the train splits.
      reserve: pieces that get an id of their own and are never split.
      path: a vocabulary to import, a piece a line.
    """

    learn: Annotated[Count, Field(ge=100)] | None = None  # letters alone are dozens
    reserve: list[str] = []
    path: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.learn is None) == (self.path is None):
            raise ValueError("give either learn (how many pieces) or path (a vocab.txt)")
        return self
