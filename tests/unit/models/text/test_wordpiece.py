"""Learning and judging a vocabulary: words as the graph cuts them, the same pieces every time."""

import json
import pathlib
import subprocess
import sys
from collections import Counter

import pytest
import tensorflow as tf

from models.text import wordpiece
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from schemas import DataError

CORPUS = json.loads((pathlib.Path(__file__).parents[3] / "data" / "unicode.json").read_text("utf-8"))
LEARN = """
import json, sys
from models.text import wordpiece
print(json.dumps(wordpiece.learn(json.load(sys.stdin), 900)))
"""


def test_counts_words_and_no_reserved_pieces():
    rules = TextRules("uncased_nfc", (("http://[a-z]+", "[URL]"),), ("[URL]",))
    texts = [tf.constant(["Low, low 漢字!", "see http://abc"]), tf.constant(["LOW [URL]"])]
    assert wordpiece.count(texts, rules) == {"low": 3, ",": 1, "漢": 1, "字": 1, "!": 1, "see": 1}


@pytest.mark.parametrize("mode", ["bert_uncased", "cased", "uncased_nfc"])
def test_words_are_cut_where_the_tokenizer_cuts(mode):
    """A word of the learner is one of the tokenizer: joined by spaces, they give the same ids as the text."""
    rules = TextRules(mode)
    counts = wordpiece.count([tf.constant(CORPUS)], rules)
    tokenizer = Tokenizer(wordpiece.learn(counts, 1500), rules)
    alone = tokenizer.pieces(list(counts)).to_list()
    running = sum(len(ids) * times for ids, times in zip(alone, counts.values(), strict=True))
    assert running == len(tokenizer.tokenize(CORPUS).flat_values)


def test_every_character_is_cut_as_the_tokenizer_cuts():
    points = [*range(0xD800), *range(0xE000, 0x20000), *range(0x2A600, 0x2FB00)]
    texts = [f"a{chr(point)}b" for point in points]
    tokenizer = Tokenizer([*SPECIAL, "a", "b"], TextRules("cased"))
    counted = tf.strings.split(tf.strings.regex_replace(tokenizer.normalize(texts), wordpiece._ALONE, r" \1 "))
    differs = (counted.row_lengths() == 3) != (tokenizer.tokenize(texts).row_lengths() == 3)
    assert [hex(point) for point, bad in zip(points, differs.numpy(), strict=True) if bad] == []


def test_learned_pieces_in_order():
    counts = Counter({"low": 5, "lower": 3, "new": 4, "newer": 2, "zz": 1})
    pieces = wordpiece.learn(counts, 60, ["[URL]"])
    assert pieces[:6] == [*SPECIAL, "[URL]"]
    assert pieces[6:9] == ["l", "n", "z"]
    assert pieces[9:14] == ["##e", "##o", "##r", "##w", "##z"]
    assert {"low", "lower", "new", "newer"} <= set(pieces[14:])
    # A pair that was seen once is not merged.
    assert "zz" not in pieces
    assert len(set(pieces)) == len(pieces)


def test_size_is_a_limit_and_rare_characters_give_way():
    counts = wordpiece.count([tf.constant(CORPUS * 2)], TextRules())
    pieces = wordpiece.learn(counts, 200)
    assert len(pieces) == 200
    alphabet = [piece for piece in pieces[5:] if len(piece.removeprefix("##")) == 1]
    assert len(alphabet) <= 100
    assert {"a", "##a", "e", "##e"} <= set(alphabet)


def test_the_same_pieces_in_another_process():
    """The learner's own numbers change from process to process: it seeds its hash tables."""
    counts = wordpiece.count([tf.constant(CORPUS)], TextRules())
    command = [sys.executable, "-c", LEARN]
    other = subprocess.run(command, input=json.dumps(counts), capture_output=True, text=True, check=True).stdout
    assert json.loads(other) == wordpiece.learn(counts, 900)


def test_the_order_of_the_texts_changes_nothing():
    forth, back = (wordpiece.count([tf.constant(texts)], TextRules()) for texts in (CORPUS, CORPUS[::-1]))
    assert wordpiece.learn(forth, 700) == wordpiece.learn(back, 700)


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(wordpiece, "_MAX_WORDS", 10)
    texts = [tf.constant(["often"] * 3 + [f"word{number}"]) for number in range(50)]
    counts = wordpiece.count(texts, TextRules())
    assert counts["often"] == 150
    assert len(counts) <= 10


def test_running_words_are_scaled_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(wordpiece, "_MAX_LEARNED", 1000)
    text = "".join(wordpiece._running({"a": 4000, "b": 2000, "c": 1}))
    assert (text.count("a "), text.count("b "), text.count("c ")) == (666, 333, 1)


def test_report():
    tokenizer = Tokenizer([*SPECIAL, "low", "##er", "a"], TextRules())
    report = wordpiece.report(tokenizer, Counter({"low": 5, "lower": 3, "new": 1, "odd": 1}))
    assert (report.size, report.words, report.unknown, report.pieces_per_word) == (8, 10, 0.2, 1.3)
    assert report.top_unknown == [("new", 1), ("odd", 1)]
    assert str(report) == "8 pieces · 20.00 % [UNK] · 1.30 pieces a word"
    assert json.loads(report.dump())["top_unknown"] == [["new", 1], ["odd", 1]]


def test_nothing_to_learn_from():
    with pytest.raises(DataError, match="no words to learn"):
        wordpiece.learn({}, 100)
    with pytest.raises(ValueError, match=r"at least 10: 6 pieces are fixed\. Received: learn=9"):
        wordpiece.learn({"a": 1}, 9, ["[URL]"])
