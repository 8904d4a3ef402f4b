"""Documents for pretraining: sentences in their order."""

from collections.abc import Iterator, Sequence

from typing_extensions import override

from components.records import kind, sentences
from components.records.readers import format_of
from components.records.record import Part, Record, key, ordered
from components.records.rows import Row, RowError
from components.records.values import name_of, order_of, refuse, text_of
from configs.sources import Corpus


class Kind(kind.Kind[Corpus]):
    """A row is a document, or a part of the one that its column ``document`` names."""

    data = Corpus
    texts = ("sentences",)
    noun = "documents"
    featurizer = "models.pretraining.pretraining_data.Corpus"

    @override
    def read(self, path: str, row: Row) -> Record | Part:
        source, plain = self.source, format_of(path, self.source) == "text"
        if plain:
            texts = row.values["sentences"]
            for text in texts:
                refuse(text, "the document")
        else:
            texts = [text_of(row.values, name).strip() for name in source.text]
        if source.sentences == "split":
            running = [" ".join(texts)] if plain else texts
            texts = [sentence for text in running for sentence in sentences.split(text)]
        if plain or source.document is None:
            return _document(texts, path, row.line)
        name = name_of(row.values, source.document)
        if not name:
            raise RowError(f"column {source.document!r} is empty")
        return Part(name, order_of(row.values, source.order), path, row.line, tuple(texts))

    @property
    @override
    def grouped(self) -> bool:
        return bool(self.source.document)

    @override
    def join(self, parts: Sequence[Part]) -> Iterator[tuple[None, Record]]:
        parts = ordered(parts)
        yield None, _document([text for part in parts for text in part.content], parts[0].file, parts[0].line)


def _document(texts: Sequence[str], path: str, line: int) -> Record:
    features = {"sentences": [text.encode() for text in texts], "origin": [f"{path}:{line}".encode()]}
    return Record(features, key(texts), path, line)
