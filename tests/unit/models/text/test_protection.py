"""Spans that are protected come back byte for byte, wherever they stand."""

import random
import re

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.text import wordpiece
from models.text.protection import Protection, restore
from models.text.reserved import MOST, RESERVED
from models.text.tokenization import TextRules, Tokenizer

PATTERNS = (r"%[A-Z0-9_]+%?", r"\$\(?\w+\)?\$?", r"\{[^}]*\}", r"<[^>]+>", r"https?://\S+")
# A rule that would destroy digits and addresses, if it saw them.
RULES = TextRules("spaced", replace=((r"[0-9]", "#"), ("http", "h")), reserve=("[URL]", *RESERVED))
LINES = ["Insert a chart into the page.", "행을 (모두) 삭제하시겠습니까?", "¿Borrar # filas?", "h: file {} <> a/b"] * 2
VOCABULARY = wordpiece.learn(wordpiece.count([tf.constant(LINES)], RULES), 400, RULES.reserve)
TOKENIZER = Tokenizer(VOCABULARY, RULES)
SPANS = (
    "%PRODUCTNAME",
    "%1%",
    "$(user)$",
    "{0}",
    "{na\u0065\u0301me  x}",
    "<b>",
    "<a\thref='▁'>",
    "http://a.b/?q=%1&r=é",
)


def texts(strings) -> list[str]:
    return [text.decode() for text in strings.numpy()]


def restored(protected) -> list[str]:
    return texts(restore(TOKENIZER, protected.tokenize(TOKENIZER), protected.standing))


def test_a_thousand_insertions_come_back_byte_for_byte():
    draw = random.Random(1)
    words = ["Insert", "a", "chart", "into", "the", "page.", "행을", "(모두)", "삭제"]
    lines = []
    for _ in range(1000):
        line = draw.choices(words, k=draw.randint(0, 5))
        for span in draw.choices(SPANS, k=draw.randint(1, MOST)):
            line.insert(draw.randint(0, len(line)), span)
        lines.append(" ".join(line))
    assert restored(Protection(PATTERNS).source(lines)) == lines


@given(st.lists(st.text(alphabet="ab%1{}<> \n가", max_size=20), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_spans_are_those_that_python_finds(lines):
    patterns = (r"%(\d)(b?)", r"\{[^}]*\}", r"<(a|b)+>")
    protected = Protection(patterns).source(lines)
    found = [[match[0] for match in re.finditer("|".join(patterns), line)][:MOST] for line in lines]
    assert [[span for span in texts(row) if span] for row in protected.standing] == found
    assert ["".join(texts(row)) for row in protected.parts] == lines


def test_the_ninth_stays_text():
    line = " ".join(f"<{number}>" for number in "abcdefghi")
    protected = Protection(PATTERNS).source([line])
    ids = [VOCABULARY[piece] for piece in protected.tokenize(TOKENIZER).to_list()[0]]
    assert [piece for piece in ids if piece in RESERVED] == list(RESERVED)
    assert texts(protected.standing[0]) == [f"<{letter}>" for letter in "abcdefgh"]
    assert restored(protected) == [line]


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        ("http://i.kr", 0),
        ("(http://i.kr)", 1),  # the pattern finds another address: with the bracket
        ("", 1),
        ("http://i.k", 1),
        ("http://i.kr http://i.kr", 0),
    ],
)
def test_a_ninth_that_the_answer_lacks_is_lost(answer, lost):
    nine = " ".join(f"http://{letter}.kr" for letter in "abcdefghi")
    protection = Protection(PATTERNS)
    beyond = protection.source([nine, "http://a.kr", ""]).beyond
    assert texts(beyond) == [" http://i.kr", "", ""]
    assert protection.lost(beyond, tf.constant([answer, "", ""])).numpy().tolist() == [lost, 0, 0]
    eleven = protection.source([f"{nine} {{0}} {{0}}"]).beyond
    assert protection.lost(eleven, tf.constant([f"{answer} {{0}}"])).numpy().tolist() == [lost + 1]


def test_a_ninth_term_is_kept_as_the_glossary_writes_it():
    protection = Protection(PATTERNS, GLOSSARY)
    beyond = protection.source(["%1 " * 8 + "cell"]).beyond
    lost = [protection.lost(beyond, tf.constant([answer])).numpy().tolist() for answer in ("셀", "cell", "")]
    assert lost == [[0], [1], [1]]


def test_nobody_writes_a_reserved_piece():
    protected = Protection(PATTERNS).source(["a ⟨1⟩ \ue000\ue001 %1 ⟨2⟩⟨⟨3⟩3⟩"])
    ids = [VOCABULARY[piece] for piece in protected.tokenize(TOKENIZER).to_list()[0]]
    assert [piece for piece in ids if piece in RESERVED] == ["⟨1⟩"]
    assert texts(protected.standing[0])[0] == "%1"


GLOSSARY = [("cell", "셀"), ("cell range", "셀 범위"), ("Größe", "크기"), ("행", "row")]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a cell", "a 셀"),
        ("a cell range", "a 셀 범위"),
        ("a cell, Cell, cells, supercell", "a 셀, Cell, cells, supercell"),
        ("행을 Größe", "row을 크기"),
        ("http://cell/cell", "http://cell/cell"),
    ],
)
def test_terms_are_written_as_the_glossary_says(text, written):
    protected = Protection(PATTERNS, GLOSSARY).source([text])
    assert texts(tf.strings.reduce_join(_with_standing(protected), axis=1)) == [written]


def _with_standing(protected):
    behind = tf.gather(protected.standing, tf.maximum(protected.numbers, 0), batch_dims=1)
    return tf.where(protected.numbers >= 0, behind, protected.parts)


@pytest.mark.parametrize(
    ("source", "target", "numbers"),
    [
        ("%1 of %2", "%2 중 %1", ([0, 1], [1, 0])),
        ("%1 and %1", "%1, %1", ([0, 1], [0, 1])),
        ("%1 and %1", "%1", ([0, -1], [0])),
        ("%1 <b> %2", "%2", ([-1, -1, 0], [0])),
        ("%1", "%2 %1", ([0], [-1, 0])),
        ("a cell %1", "%1 셀", ([0, 1], [1, 0])),
        ("a cell", "a cell", ([-1], [])),
        ("", "", ([], [])),
    ],
)
def test_pairs_take_out_what_both_have(source, target, numbers):
    pair = Protection(PATTERNS, GLOSSARY).pair([source], [target])
    for protected, expected in zip(pair, numbers, strict=True):
        spans = protected.parts[0, 1::2] != ""
        assert protected.numbers[0, 1::2][spans].numpy().tolist() == expected
    assert texts(tf.strings.reduce_join(_with_standing(pair[1]), axis=1)) == [target]


def test_without_patterns_nothing_is_taken_out():
    protected = Protection(()).source(["%1 <b>", ""])
    assert restored(Protection(PATTERNS).source(["%1"])) == ["%1"]
    assert (protected.numbers.numpy() == -1).all()
    assert texts(tf.strings.reduce_join(protected.parts, axis=1)) == ["%1 <b>", ""]
