"""Mode ``spaced``: text comes back from its pieces, letter by letter."""

import unicodedata

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.text import wordpiece
from models.text.tokenization import PLACEHOLDER, SPECIAL, TextRules, Tokenizer

# Letters, marks and digits of six scripts, and what all of them have.
SCRIPTS = {
    "Korean": "가각나단한글을를이가은는ㅋㅎㄱㅏ\u1112\u1161\u11ab",
    "Latin": "abcXYZéüñçßﬁ\u0301\u0308",
    "Cyrillic": "абвЖЩёйії",
    "Arabic": "ابتثجحخ\u064e\u0651٣",
    "Devanagari": "कखगघ\u093e\u094d\u0902१",
    "Han": "中文日本語漢字",
}
SHARED = " \t\n\u00a0\u3000.,;:!?()[]{}<>\"'`-–—…·%$#@&*+=/\\|~^_0123456789▁▂\u200b\x00\ufffd\ue000😀"
texts = st.one_of([st.text(alphabet=letters + SHARED, max_size=40) for letters in SCRIPTS.values()])


def tokenizer_of(texts: list[str], reserve: tuple[str, ...] = ()) -> Tokenizer:
    """Every letter is a piece, at the beginning of a word and inside one; pairs of some are pieces too."""
    rules = TextRules("spaced", reserve=reserve)
    normal = Tokenizer([*SPECIAL, *reserve], rules).normalize(texts).numpy()
    letters = sorted({char for text in normal for char in text.decode()} - {" "} | {"▁"})
    letters = [letter for letter in letters if not PLACEHOLDER <= ord(letter) < PLACEHOLDER + len(reserve)]
    marked = [f"▁{letter}" for letter in letters[::2] if letter != "▁"]
    return Tokenizer([*SPECIAL, *reserve, *letters, *(f"##{letter}" for letter in letters), *marked], rules)


def written(tokenizer: Tokenizer, texts: list[str]) -> list[str]:
    return [text.decode() for text in tokenizer.detokenize(tokenizer.tokenize(texts)).numpy()]


def expected(text: str) -> str:
    """Python's own rules: no control characters, NFC, one space between words."""
    kept = "".join(" " if char in "\t\n\r" else char for char in text)
    kept = "".join(char for char in kept if unicodedata.category(char) not in ("Cc", "Cf", "Co") and char != "\ufffd")
    return unicodedata.normalize("NFC", " ".join(kept.replace("▁", "▂").split()))


@given(st.lists(texts, min_size=20, max_size=60))
@settings(max_examples=60, deadline=None)
def test_the_text_comes_back(lines):
    tokenizer = tokenizer_of(lines)
    ids = tokenizer.tokenize(lines)
    assert not tf.reduce_any(ids.values == tokenizer.unk_id)
    assert written(tokenizer, lines) == [text.decode() for text in tokenizer.normalize(lines).numpy()]
    assert written(tokenizer, lines) == [expected(line) for line in lines]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("(a, b)", ["▁", "(", "a", ",", "▁b", ")"]),
        ("  a\t\nb ", ["▁a", "▁b"]),
        ("don't", ["▁don", "'", "t"]),
        ("학교에서 안녕", ["▁학교", "##에서", "▁", "##안녕"]),
        ("\u1112\u1161\u11a8교", ["▁학교"]),
        ("a▁b", ["▁a", "##▂", "##b"]),
        ("[SEP]", ["▁", "[", "SEP", "]"]),
        ("##a", ["▁", "#", "#", "a"]),
        ("中文", ["▁", "中", "文"]),
        ("", []),
        (" \n", []),
    ],
)
def test_pieces(text, pieces):
    vocabulary = ["▁", "▁a", "▁b", "a", "(", ")", ",", "▁don", "'", "t", "▁학교", "##에서", "##안녕", "##▂", "##b", "#"]
    vocabulary += ["[", "]", "SEP", "中", "文"]
    tokenizer = Tokenizer([*SPECIAL, *vocabulary], TextRules("spaced"))
    assert [tokenizer.vocabulary[piece] for piece in tokenizer.tokenize([text]).to_list()[0]] == pieces


def test_a_learned_vocabulary_writes_what_it_has_read():
    lines = ["설정(기본값)을 저장합니다.", "Save the (default) settings, please.", "a-b/c: 'd' \"e\"", "¿Qué? ¡Sí!"] * 3
    rules = TextRules("spaced")
    tokenizer = Tokenizer(wordpiece.learn(wordpiece.count([tf.constant(lines)], rules), 400), rules)
    # A letter that only begins words can begin one behind a bracket too.
    assert written(tokenizer, [*lines, "(Save)(설정)"]) == [*lines, "(Save)(설정)"]


def test_unknown_words_are_written_as_such():
    tokenizer = Tokenizer([*SPECIAL, "▁a"], TextRules("spaced"))
    assert written(tokenizer, ["a ☃ a"]) == ["a� a"]


def test_reserved_pieces_stand_in_the_text_as_they_are():
    lines = ["x[URL]y", "x [URL] y", "[URL][URL]", " [URL]."]
    assert written(tokenizer_of(lines, ("[URL]",)), lines) == ["x[URL]y", "x [URL] y", "[URL][URL]", "[URL]."]


def test_offsets_say_where_pieces_stand():
    tokenizer = Tokenizer([*SPECIAL, "▁", "▁ab", "##c", "(", "d", "▁d"], TextRules("spaced"))
    ids, first, end = tokenizer.tokenize_with_offsets([" abc  (d", "d"])
    assert ids.to_list() == tokenizer.tokenize([" abc  (d", "d"]).to_list() == [[6, 7, 5, 8, 9], [10]]
    assert (first.to_list(), end.to_list()) == ([[1, 3, 6, 6, 7], [0]], [[3, 4, 7, 7, 8], [1]])
