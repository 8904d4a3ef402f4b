"""Which columns are a text and its translation."""

import random

import pytest

from components.records.pair_columns import guess

CHANCE = random.Random(0)
WORDS = {
    "en": ["the", "chart", "insert", "row", "of", "values", "a", "cell"],
    "es": ["el", "gráfico", "insertar", "fila", "de", "valores", "una", "celda"],
    "ko": ["그", "차트를", "삽입", "행", "의", "값", "한", "셀"],
}
SENTENCES = [[CHANCE.randrange(8) for _ in range(CHANCE.randint(1, 20))] for _ in range(60)]


def texts(language, sentences=SENTENCES):
    return [" ".join(WORDS[language][word] for word in sentence) for sentence in sentences]


OTHERS = [[CHANCE.randrange(8) for _ in range(CHANCE.randint(1, 20))] for _ in range(60)]
LABELS = ["good", "bad"] * 30
NUMBERS = [str(number) for number in range(60)]


def found(columns):
    got = guess(columns)
    return (got.columns["text"], got.columns["target"]) if got else None


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"en": texts("en"), "ko": texts("ko")}, ("en", "ko")),
        ({"id": NUMBERS, "ko": texts("ko"), "en": texts("en"), "part": LABELS}, ("en", "ko")),
        ({"번역": texts("ko"), "원문": texts("en")}, ("원문", "번역")),
        ({"target": texts("en"), "other": texts("ko")}, ("other", "target")),
        ({"x": texts("ko"), "y": texts("en")}, ("x", "y")),  # by their scripts; the first one is the text
        ({"text_en": texts("en"), "text_es": texts("es")}, ("text_en", "text_es")),
        ({"es": texts("es"), "English": texts("en")}, ("English", "es")),
        ({"source": texts("es"), "target": texts("en")}, ("source", "target")),
        ({"x": texts("en"), "y": texts("es")}, None),  # of one script, and nothing names them
        ({"premise": texts("en"), "hypothesis": texts("en", OTHERS), "label": LABELS}, None),
        ({"en": texts("en"), "ko": texts("ko", OTHERS)}, None),  # their lengths do not go together
        ({"title": texts("en", OTHERS), "리뷰": texts("ko"), "감성": ["긍정", "부정"] * 30}, None),
        ({"리뷰": texts("ko"), "label": LABELS}, None),
        ({"en": texts("en")[:9], "ko": texts("ko")[:9]}, None),  # too few to tell
        ({"en": texts("en"), "ko": [""] * 60}, None),
        ({"en": ["same"] * 60, "ko": texts("ko")}, None),
        ({"source": texts("en"), "target": texts("en")}, None),  # of a text its own copy
        ({"id": NUMBERS, "label": LABELS}, None),
        ({}, None),
    ],
)
def test_which_columns_are_a_text_and_its_translation(columns, expected):
    assert found(columns) == expected


def test_a_person_is_told_why():
    (why,) = guess({"en": texts("en"), "ko": texts("ko")}).assumed
    assert why == "'en' is the text and 'ko' its translation: their lengths go together; edit task.data if they are not"
