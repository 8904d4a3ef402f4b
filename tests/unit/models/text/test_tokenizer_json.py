"""``tokenizer.json``, as the library that reads it tokenizes, against the tokenizer in the graph."""

import json
import pathlib
import unicodedata

import pytest
import tensorflow as tf
from tokenizers import Tokenizer as Reader

from models.text import tokenization, tokenizer_json, wordpiece
from models.text.tokenization import SPECIAL, TextRules, Tokenizer

DATA = pathlib.Path(__file__).parents[3] / "data"
CORPUS = json.loads((DATA / "unicode.json").read_text("utf-8"))
MODES = ("bert_uncased", "cased", "uncased_nfc")
SIGMAS = "ΑΣ ΟΔΥΣΣΕΥΣ Σ ΣΑ Α\u0301Σ. ΑΣΑ ΑΣ\u0301Α aΣ 1Σ Σ1 Α.Σ Α'Σ.Α"


def read(tmp_path, vocabulary, rules):
    """What another program reads; text that says [SEP] is text, as ``split_special_tokens`` tells transformers."""
    tokenizer_json.build(vocabulary, rules).save(str(tmp_path / "tokenizer.json"))
    reader = Reader.from_file(str(tmp_path / "tokenizer.json"))
    reader.encode_special_tokens = True
    return reader


def ids_of(reader, texts):
    return [encoding.ids for encoding in reader.encode_batch(texts, add_special_tokens=False)]


@pytest.mark.parametrize("mode", MODES)
def test_a_unicode_corpus_has_the_same_ids(mode, tmp_path):
    rules = TextRules(mode)
    vocabulary = wordpiece.learn(wordpiece.count([tf.constant([*CORPUS, SIGMAS])], rules), 1200)
    decomposed = [unicodedata.normalize("NFD", line) for line in CORPUS]
    lines = [*CORPUS, *decomposed, SIGMAS, "[CLS] a [SEP]", "a" * 400, "a" * 401]
    assert ids_of(read(tmp_path, vocabulary, rules), lines) == Tokenizer(vocabulary, rules).tokenize(lines).to_list()


@pytest.mark.parametrize("mode", MODES)
def test_every_character_cuts_words_the_same_way_but_for_the_pinned_ones(mode, tmp_path):
    def points(ranges):
        bounds = [(part.split("-")[0], part.split("-")[-1]) for part in ranges.split()]
        return {point for first, last in bounds for point in range(int(first, 16), int(last, 16) + 1)}

    checked = sorted(points("0000-D7FF E000-1FFFF 2B700-2BA00 E0000-E01FF EFFFE-F0001 FFFFD-FFFFF 10FFFD-10FFFF"))
    texts = [f"a{chr(point)}b" for point in checked]
    vocabulary = [*SPECIAL, "a", "b", "##b", "ab"]
    theirs = ids_of(read(tmp_path, vocabulary, TextRules(mode)), texts)
    ours = Tokenizer(vocabulary, TextRules(mode)).tokenize(texts).to_list()
    pinned = json.loads((DATA / "unicode_divergences.json").read_text("utf-8"))
    del pinned["about"]
    differ = {point for point, mine, other in zip(checked, ours, theirs, strict=True) if mine != other}
    assert differ <= set().union(*(points(kind["ranges"]) for kind in pinned.values()))


def test_texts_and_pairs_stand_between_special_pieces(tmp_path):
    vocabulary = [*SPECIAL, "a", "b"]
    reader, tokenizer = read(tmp_path, vocabulary, TextRules()), Tokenizer(vocabulary, TextRules())
    a, b = (tokenizer.tokenize([line]) for line in ("a a", "b"))
    assert [reader.encode("a a").ids] == tokenization.single(a, 2, 3, 8)[0].to_list()
    pair, (token_ids, segment_ids) = reader.encode("a a", "b"), tokenization.pair(a, b, 2, 3, 8)
    assert ([pair.ids], [pair.type_ids]) == (token_ids.to_list(), segment_ids.to_list())


REPLACED = [
    "see https://a.b/c?d=1 ㅋㅋㅋㅋ ok",
    "line\nhttp://x\ty",
    "12 345.6 ٣",
    "naïve_é",
    "<b> $5 ^",
    "",
    "aXbXX",
    "end$",
]


@pytest.mark.parametrize(
    ("pattern", "with_"),
    [
        (r"https?://\S+", "[URL]"),
        ("ㅋ{3,}", "ㅋㅋ"),
        (r"[\d.]+", "0"),
        (r"\w+", "x"),
        (r"[^\s\w]", r"\\"),
        (r"^see|\$$|[$^]x", "<"),
        (r"(?:X|XX)+?", ""),
        (r"\x{314B}+|\p{Hangul}", "k"),
        (r"[^\S\n]", "_"),
    ],
)
def test_replacements_match_the_same_text(pattern, with_, tmp_path):
    rules = TextRules("uncased_nfc", ((pattern, with_),), ("[URL]",) if with_ == "[URL]" else ())
    letters = sorted({char for char in "".join(REPLACED).lower() + "\\_<kx0" if char.isprintable() and char != " "})
    vocabulary = [*SPECIAL, "[URL]", *letters, *(f"##{char}" for char in letters)]
    replaced = Tokenizer(vocabulary, rules).tokenize(REPLACED).to_list()
    assert ids_of(read(tmp_path, vocabulary, rules), REPLACED) == replaced
    assert replaced != Tokenizer(vocabulary, TextRules("uncased_nfc")).tokenize(REPLACED).to_list()


@pytest.mark.parametrize(
    ("pattern", "with_", "sentence"),
    [
        ("(a)b", r"\1", r"and \1 copies a part of the text"),
        ("x*", "-", "'x*' matches between characters too"),
        ("(?i)x", "y", "'(?i' means something else outside RE2"),
        (r"\bx", "y", r"'\\bx' means something else outside RE2"),
        ("[[:alpha:]]", "y", "'[:a' means something else outside RE2"),
        (r"\[URL\]", "link", "the reserved [URL] itself is replaced, by 'link'"),
    ],
)
def test_what_cannot_be_said_is_refused(pattern, with_, sentence):
    rules = TextRules("uncased_nfc", ((pattern, with_),), ("[URL]",))
    with pytest.raises(tokenizer_json.Inexpressible) as refused:
        tokenizer_json.build([*SPECIAL, "[URL]"], rules)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("mode", MODES)
def test_a_reserved_piece_is_one_token_wherever_it_stands(mode, tmp_path):
    rules = TextRules(mode, (("http://[a-z]+", "[URL]"),), ("[URL]", "<이름>", "a+b"))
    vocabulary = [*SPECIAL, "x", "##x", "é", "e", "[", "]", "url", "[URL]", "<이름>", "a+b"]
    lines = [
        "x[URL]x",
        "http://abc é",
        "<이름>a+b[URL][URL]",
        "[url]",
        "[ URL ]",
        "[U\u200bRL]",
        "\ue000 \ue001x \ue009",
    ]
    assert ids_of(read(tmp_path, vocabulary, rules), lines) == Tokenizer(vocabulary, rules).tokenize(lines).to_list()
