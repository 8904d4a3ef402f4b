"""Records of one text, or of two, and of what they are judged by."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from typing_extensions import override

from components.records.kind import Kind
from components.records.record import LeftOut, Record, key
from components.records.rows import Row
from components.records.values import name_of, text_of
from configs.sources import TextData, Unlabelled

D = TypeVar("D", bound=TextData | Unlabelled)
Features = Mapping[str, Sequence[bytes] | Sequence[int] | Sequence[float]]


class TextKind(Kind[D], abc.ABC, Generic[D]):
    """A kind whose records hold ``text``, ``text_pair`` (pairs) and ``gold``."""

    texts = ("text", "text_pair")

    @abc.abstractmethod
    def answer(self, values: Mapping[str, Any]) -> Features | None:
        """The right answer as features ``gold``; None: the record is left out.

        Args:
          values: of the row.

        Raises:
          RowError: the row has none, or none that is allowed.
        """

    def joined(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values, each text as one string."""
        return values

    @override
    def read(self, path: str, row: Row) -> Record | LeftOut:
        gold = self.answer(row.values)
        if gold is None:
            return LeftOut()
        texts = texts_of(self.joined(row.values), self.source)
        features: dict[str, Sequence[Any]] = {name: [name_of(row.values, name).encode()] for name in self.slices}
        for name, text in zip(self.texts, texts, strict=False):
            features[name] = [text.encode()]
        features.update(gold)
        features["origin"] = [f"{path}:{row.line}".encode()]
        return Record(features, key(texts), path, row.line)


def texts_of(values: Mapping[str, Any], source: TextData | Unlabelled) -> list[str]:
    """The text of a row, or the two of a pair, as they stand.

    Raises:
      RowError: why the row has none.
    """
    return [text_of(values, name) for name in (source.text, source.text_pair) if name is not None]
