"""What a translation model is compared with: the source itself, and the translation of the most similar known source.

Every function takes raw records, arrays of values by feature, and returns for each test record what ``figures.judged``
reads of an answer.
"""

from collections.abc import Sequence

import numpy as np

from models.task import Answers, Record

# Test records whose similarities to all train records are in memory at once.
_AT_ONCE = 500


def copy(train: Sequence[Record], test: Sequence[Record]) -> Answers:
    """The source as it is."""
    del train
    return [_answer(record["text"].item(), record) for record in test]


def nearest(train: Sequence[Record], test: Sequence[Record]) -> Answers:
    """The translation of the train record whose source has the highest cosine, of TF-IDF over character trigrams.

    ``similarity`` is that cosine; of as high ones the first record counts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    known, asked = ([record["text"].item().decode() for record in records] for records in (train, test))
    # Blanks around each text: a text of one letter has a trigram too.
    fitted = TfidfVectorizer(analyzer="char", ngram_range=(3, 3), preprocessor=lambda text: f" {text.lower()} ")
    vectors = fitted.fit_transform(known).T.tocsr()
    answers = []
    for start in range(0, len(test), _AT_ONCE):
        cosines = (fitted.transform(asked[start : start + _AT_ONCE]) @ vectors).toarray()
        for record, place, value in zip(test[start:], cosines.argmax(axis=1), cosines.max(axis=1), strict=False):
            answers.append(_answer(train[place]["target"].item(), record) | {"similarity": np.array(value)})
    return answers


def _answer(translation: bytes, record: Record) -> dict[str, np.ndarray]:
    return {"translation": np.array(translation, object), "source": np.array(record["text"].item(), object)}
