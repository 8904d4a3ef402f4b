"""What a model is compared with: answers that need no network, learned from the train split alone.

Every function takes the raw records of the train split and of the test split, arrays of values by feature, and returns
for each test record what ``row_metrics`` reads of an answer.
"""

import collections
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from models.task import Answers, Record

# A part of a word that a span covers: its first and last character in the word, label, whether the span begins there.
Part = tuple[int, int, str, bool]


def majority(train: Sequence[Record], test: Sequence[Record], labels: Sequence[str]) -> Answers:
    """The most frequent label of the train split: ``scores`` are the labels' shares there."""
    shares = np.bincount(_places(train, labels), minlength=len(labels)) / len(train)
    return [{"scores": shares}] * len(test)


def tfidf(train: Sequence[Record], test: Sequence[Record], labels: Sequence[str]) -> Answers:
    """Logistic regression over TF-IDF of words and pairs of words; ``scores`` are its probabilities."""
    from sklearn.linear_model import LogisticRegression

    right = _places(train, labels)
    vectors = _vectors(train, test)
    if vectors is None or len(np.unique(right)) == 1:
        return majority(train, test, labels)
    model = LogisticRegression(C=_STRENGTH, max_iter=1000).fit(vectors[0], right)
    scores = np.zeros((len(test), len(labels)))
    scores[:, model.classes_] = model.predict_proba(vectors[1])
    return [{"scores": row} for row in scores]


def best_set(train: Sequence[Record], test: Sequence[Record], labels: Sequence[str]) -> Answers:
    """The same labels for every text: those that have the best micro F1 on the train split; ``scores`` are 1 and 0."""
    counts = _masks(train, labels).sum(axis=0)
    order = np.argsort(-counts, kind="stable")
    # Of k labels assigned to everyone the best are the k most frequent ones.
    f1 = 2 * counts[order].cumsum() / (len(train) * np.arange(1, len(labels) + 1) + counts.sum())
    scores = np.zeros(len(labels))
    scores[order[: f1.argmax() + 1]] = 1
    return [{"scores": scores}] * len(test)


def tfidf_set(train: Sequence[Record], test: Sequence[Record], labels: Sequence[str]) -> Answers:
    """Logistic regression over TF-IDF, one a label; ``scores`` are the probabilities."""
    from sklearn.linear_model import LogisticRegression

    right, vectors = _masks(train, labels), _vectors(train, test)
    scores = np.repeat(right.mean(axis=0)[None], len(test), axis=0)
    if vectors is not None:
        for place, mask in enumerate(right.T):
            if 0 < mask.sum() < len(mask):  # else its share says all
                model = LogisticRegression(C=_STRENGTH, max_iter=1000).fit(vectors[0], mask)
                scores[:, place] = model.predict_proba(vectors[1])[:, 1]
    return [{"scores": row} for row in scores]


def mean(train: Sequence[Record], test: Sequence[Record]) -> Answers:
    """The mean number of the train split."""
    return [{"value": np.array(_numbers(train).mean())}] * len(test)


def ridge(train: Sequence[Record], test: Sequence[Record]) -> Answers:
    """Ridge regression over TF-IDF of words and pairs of words."""
    from sklearn.linear_model import Ridge

    vectors = _vectors(train, test)
    if vectors is None:
        return mean(train, test)
    return [{"value": value} for value in Ridge().fit(vectors[0], _numbers(train)).predict(vectors[1])]


def cosine(train: Sequence[Record], test: Sequence[Record]) -> Answers:
    """The cosine of the TF-IDF vectors of two texts; what a word weighs comes from the train split."""
    pairs = [_texts(test, name) for name in ("text", "text_pair")]
    known = [*_texts(train, "text"), *_texts(train, "text_pair")]
    if not any(map(_WORD.search, known)):
        return [{"similarity": np.array(0.0)}] * len(test)
    fitted = _vectorizer().fit(known)
    first, second = (fitted.transform(texts) for texts in pairs)  # of length 1
    return [{"similarity": value} for value in np.asarray(first.multiply(second).sum(axis=1)).ravel()]


def most_frequent_tag(train: Sequence[Record], test: Sequence[Record], *, every_word: bool) -> Answers:
    """Each word gets the tag that it mostly had in the train split.

    Words stand between white space. A tag is what spans cover of a word, and their labels; a part that begins no span
    continues the one that ended with the word before.

    Args:
      train: records with their spans.
      test: records to answer.
      every_word: whether a word that the train split does not have gets its most frequent label, else no span.
    """
    tags = collections.defaultdict[str, collections.Counter[tuple[Part, ...]]](collections.Counter)
    labels = collections.Counter[str]()
    for record in train:
        labels.update(value.decode() for value in record["span_label"])
        for word, parts in _tagged(record):
            tags[word][parts] += 1
    known = {word: counts.most_common(1)[0][0] for word, counts in tags.items()}
    usual = labels.most_common(1)[0][0] if labels and every_word else None
    return [_found(_texts([record], "text")[0], known, usual) for record in test]


def _tagged(record: Record) -> Iterator[tuple[str, tuple[Part, ...]]]:
    """Each word of a text, and its tag."""
    (text,) = _texts([record], "text")
    columns = (record[name].tolist() for name in ("span_start", "span_end", "span_label"))
    spans = sorted(zip(*columns, strict=True))
    for word in _GAPLESS.finditer(text):
        first, last = word.span()
        yield (
            word.group(),
            tuple(
                (max(start - first, 0), min(end, last) - first, label.decode(), start >= first)
                for start, end, label in spans
                if start < last and end > first
            ),
        )


def _found(text: str, known: Mapping[str, tuple[Part, ...]], usual: str | None) -> dict[str, np.ndarray]:
    spans = list[tuple[int, int, str]]()
    before = -1  # where the word before ended
    for word in _GAPLESS.finditer(text):
        first, last = word.span()
        unknown: tuple[Part, ...] = ((0, last - first, usual, True),) if usual is not None else ()
        for start, end, label, begins in known.get(word.group(), unknown):
            goes_on = not begins and start == 0 and spans and spans[-1][1:] == (before, label)
            begin = spans.pop()[0] if goes_on else first + start
            spans.append((begin, first + end, label))
        before = last
    return {
        "start": np.array([start for start, _, _ in spans], np.int64),
        "end": np.array([end for _, end, _ in spans], np.int64),
        "span_label": np.array([label.encode() for _, _, label in spans], object),
    }


# The inverse of the penalty's weight: texts are short, and a weaker penalty than scikit-learn's 1 does better on them.
_STRENGTH = 10.0
_WORD, _GAPLESS = re.compile(r"\w"), re.compile(r"\S+")


def _vectorizer() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")


def _vectors(train: Sequence[Record], test: Sequence[Record]) -> tuple[Any, Any] | None:
    """TF-IDF of both splits, sparse; of a pair side by side. None where the train split has no word."""
    from scipy import sparse

    parts = []
    for name in ("text", "text_pair"):
        if name in train[0] and any(map(_WORD.search, known := _texts(train, name))):
            fitted = _vectorizer()
            parts.append((fitted.fit_transform(known), fitted.transform(_texts(test, name))))
    return tuple(map(sparse.hstack, zip(*parts, strict=True))) if parts else None


def _texts(records: Sequence[Record], name: str) -> list[str]:
    return [record[name].item().decode() for record in records]


def _numbers(records: Sequence[Record]) -> np.ndarray:
    return np.array([record["label"].item() for record in records])


def _places(records: Sequence[Record], labels: Sequence[str]) -> np.ndarray:
    place = {label.encode(): number for number, label in enumerate(labels)}
    return np.array([place[record["label"].item()] for record in records])


def _masks(records: Sequence[Record], labels: Sequence[str]) -> np.ndarray:
    """Whether each record has each label: int (N, C)."""
    return np.array([[label.encode() in set(record["labels"]) for label in labels] for record in records], int)
