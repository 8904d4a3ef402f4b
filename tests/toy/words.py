"""Words and how many vowels they have: a record holds the letters of a word."""

from typing_extensions import override

from components.records import kind
from components.records.record import Record, key
from components.records.rows import RowError
from components.records.values import number_of, text_of
from configs.sources import SplitSource


class WordData(SplitSource):
    section = "task.data"
    keys = ("word", "vowels")

    word: str = "word"
    vowels: str = "vowels"


class Kind(kind.Kind[WordData]):
    data = WordData
    texts = ("word",)
    gold = ("label",)
    noun = "words"

    @override
    def read(self, path, row):
        word, vowels = text_of(row.values, self.source.word), number_of(row.values[self.source.vowels])
        if vowels is None:
            raise RowError(f"column {self.source.vowels!r} is not a number")
        features = {"word": [letter.encode() for letter in word], "label": [float(vowels)]}
        return Record(features | {"origin": [f"{path}:{row.line}".encode()]}, key([word]), path, row.line)
