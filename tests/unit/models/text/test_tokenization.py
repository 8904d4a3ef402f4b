"""Tokenizing in the graph against the reference (Hugging Face tokenizers), and the pair rules against a plain loop."""

import json
import pathlib
import unicodedata

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Reference
from tokenizers import models, normalizers, pre_tokenizers

from models.text import tokenization, wordpiece
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from schemas import DataError

DATA = pathlib.Path(__file__).parents[3] / "data"
CORPUS = json.loads((DATA / "unicode.json").read_text("utf-8"))
# Where the reference departs from Google's code: it lower-cases letter by letter, so that no sigma is final. And it
# gives up on words above 100 characters, which cost us nothing.
KNOWN = {"ΑΣ ΟΔΥΣΣΕΥΣ", "a" * 101}
MODES = ("bert_uncased", "cased", "uncased_nfc")


def reference(vocabulary: list[str], *, lowercase: bool) -> Reference:
    pieces = {piece: index for index, piece in enumerate(vocabulary)}
    tokenizer = Reference(models.WordPiece(pieces, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def ids_of(tokenizer: Reference, texts: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


@pytest.fixture(scope="module", params=[*MODES, "spaced"])
def learned(request) -> Tokenizer:
    rules = TextRules(request.param)
    return Tokenizer(wordpiece.learn(wordpiece.count([tf.constant(CORPUS)], rules), 1200), rules)


# --- the reference --------------------------------------------------------------------------------------------------


def test_ids_equal_the_reference_on_a_unicode_corpus():
    vocabulary = wordpiece.learn(wordpiece.count([tf.constant(CORPUS)], TextRules()), 1200)
    ours = Tokenizer(vocabulary, TextRules()).tokenize(CORPUS).to_list()
    theirs = ids_of(reference(vocabulary, lowercase=True), CORPUS)
    assert {line for line, mine, other in zip(CORPUS, ours, theirs, strict=True) if mine != other} == KNOWN


def test_cased_ids_equal_the_reference_on_composed_text():
    corpus = [unicodedata.normalize("NFC", line) for line in CORPUS]
    vocabulary = wordpiece.learn(wordpiece.count([tf.constant(corpus)], TextRules("cased")), 1200)
    ours = Tokenizer(vocabulary, TextRules("cased")).tokenize(corpus).to_list()
    theirs = ids_of(reference(vocabulary, lowercase=False), corpus)
    assert {line for line, mine, other in zip(corpus, ours, theirs, strict=True) if mine != other} == {"a" * 101}


def code_points(ranges: str) -> list[int]:
    bounds = [(part.split("-")[0], part.split("-")[-1]) for part in ranges.split()]
    return [point for first, last in bounds for point in range(int(first, 16), int(last, 16) + 1)]


def test_every_character_cuts_words_as_in_the_reference_but_for_the_pinned_ones():
    vocabulary = [*SPECIAL, "a", "b", "##b", "ab"]
    kinds = {(5, 1, 6): ["a", "c", "b"], (1,): ["acb"], (8,): ["ab"]}
    # The first two planes hold all scripts; then the end of the ideographs, and the private and forbidden edges.
    checked = code_points(
        "0000-D7FF E000-1FFFF 2B700-2BA00 2CE00-2CFFF E0000-E01FF EFFFE-F0001 FFFFD-FFFFF 10FFFD-10FFFF"
    )
    texts = [f"a{chr(point)}b" for point in checked]
    ours = Tokenizer(vocabulary, TextRules()).tokenize(texts).to_list()
    theirs = ids_of(reference(vocabulary, lowercase=True), texts)
    found = {
        point: [kinds[tuple(mine)], kinds[tuple(other)]]
        for point, mine, other in zip(checked, ours, theirs, strict=True)
        if mine != other
    }
    pinned = json.loads((DATA / "unicode_divergences.json").read_text("utf-8"))
    del pinned["about"]
    assert found == {point: kind["words"] for kind in pinned.values() for point in code_points(kind["ranges"])}


# --- Unicode --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_composed_and_decomposed_text_give_the_same_words(mode):
    normalize = Tokenizer(SPECIAL, TextRules(mode)).normalize
    letters = [chr(point) for point in range(0x30000) if unicodedata.decomposition(chr(point))]
    # After a letter, where a sigma is final and an accent can compose, and alone.
    lines = [*CORPUS, *letters, *(f"A{letter}" for letter in letters)]
    composed, decomposed = (
        normalize([unicodedata.normalize(form, line) for line in lines]).numpy().tolist() for form in ("NFC", "NFD")
    )
    assert composed == decomposed


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("bert_uncased", "\u1112\u1161\u11ab\u1100\u1173\u11af cafe strasse".replace("strasse", "straße")),
        ("cased", "한글 Café Straße"),
        ("uncased_nfc", "한글 café straße"),
    ],
)
def test_modes(mode, words):
    decomposed = unicodedata.normalize("NFD", "한글 Café Straße")
    assert Tokenizer(SPECIAL, TextRules(mode)).normalize([decomposed]).numpy()[0].decode() == words


@pytest.mark.parametrize("mode", MODES)
def test_control_characters_vanish_and_all_white_space_splits(mode):
    vocabulary = [*SPECIAL, "ab", "x", "y"]
    texts = ["a\x00b", "a\x1bb", "a\u00adb", "a\u200bb", "\ufeffab", "a\ufffdb", "a\ue000b", "a\x85b"]
    spaces = [f"x{space}y" for space in " \t\n\r\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"]
    tokenizer = Tokenizer(vocabulary, TextRules(mode))
    assert tokenizer.tokenize(texts).to_list() == [[5]] * len(texts)
    assert tokenizer.tokenize(spaces).to_list() == [[6, 7]] * len(spaces)


def test_a_hangul_word_of_100_syllables_is_no_unknown_word():
    vocabulary = [*SPECIAL, "가", "##가", "\u1100\u1161", "##\u1100\u1161"]
    assert Tokenizer(vocabulary, TextRules("uncased_nfc")).tokenize(["가" * 100]).to_list() == [[5] + [6] * 99]
    # 200 letters: beyond what the reference looks at, and beyond 400 bytes.
    assert Tokenizer(vocabulary, TextRules("bert_uncased")).tokenize(["가" * 100]).to_list() == [[1]]


@given(st.lists(st.text(), min_size=1))
@settings(deadline=None)
def test_a_text_has_the_same_ids_alone_and_among_others(learned, lines):
    together = learned.tokenize(lines).to_list()
    assert together == [learned.tokenize([line]).to_list()[0] for line in lines]
    forbidden = {learned.pad_id, learned.cls_id, learned.sep_id, learned.mask_id}
    assert not forbidden & {piece for ids in together for piece in ids}


@given(st.binary())
@settings(deadline=None)
def test_any_bytes_give_ids(learned, line):
    assert all(0 <= piece < learned.size for piece in learned.tokenize(tf.constant([line])).to_list()[0])


# --- rules ----------------------------------------------------------------------------------------------------------


def test_replacements_run_in_order_before_anything_else():
    rules = TextRules("uncased_nfc", ((r"https?://\S+", "LINK"), ("L(I)NK", r"x\1"), ("ㅋ{3,}", "ㅋㅋ")))
    assert Tokenizer(SPECIAL, rules).normalize(["HTTP http://a.b/C ㅋㅋㅋㅋㅋ"]).numpy()[0].decode() == "http xi ㅋㅋ"


@pytest.mark.parametrize("mode", MODES)
def test_a_reserved_piece_is_one_piece_wherever_it_stands(mode):
    rules = TextRules(mode, (("http://[a-z]+", "[URL]"),), ("[URL]", "<이름>", "a+b"))
    tokenizer = Tokenizer([*SPECIAL, "x", "##x", "é", "e", "[", "]", "url", "[URL]", "<이름>", "a+b"], rules)
    ids = tokenizer.tokenize(["x[URL]x", "http://abc é", "<이름>a+b[URL]", "[url]", "[ URL ]"]).to_list()
    accent = 8 if mode == "bert_uncased" else 7
    lower = 11 if mode != "cased" else 1
    assert ids[:3] == [[5, 12, 5], [12, accent], [13, 14, 12]]
    assert ids[3] == [9, 11, 10]
    assert ids[4] == [9, lower, 10]


def test_nobody_writes_a_reserved_or_special_piece_by_its_private_character():
    tokenizer = Tokenizer([*SPECIAL, "[URL]", "[", "]", "sep"], TextRules(reserve=("[URL]",)))
    assert tokenizer.tokenize(["\ue000", "[SEP]"]).to_list() == [[], [6, 8, 7]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TextRules("lower"), "mode must be one of bert_uncased, cased, uncased_nfc, spaced"),
        (lambda: TextRules(reserve=("two words",)), "one word"),
        (lambda: TextRules(reserve=("[CLS]",)), "one word other than"),
    ],
)
def test_rules_that_cannot_work(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_rules_survive_a_round_trip():
    rules = TextRules("cased", (("a", "b"), ("c", "")), ("[URL]",))
    assert TextRules.load(json.loads(json.dumps(rules.dump()))) == rules
    assert TextRules.load({"mode": "cased"}) == TextRules("cased")


# --- vocabularies ---------------------------------------------------------------------------------------------------


def test_reads_a_folder(tmp_path):
    (tmp_path / "vocab.txt").write_bytes("\r\n".join([*SPECIAL, "é", " "]).encode() + b"\r\n")
    (tmp_path / "text.json").write_text(json.dumps(TextRules("cased").dump()))
    tokenizer = Tokenizer.read(tmp_path)
    assert tokenizer.vocabulary == (*SPECIAL, "é", " ")
    assert (tokenizer.size, tokenizer.pad_id, tokenizer.mask_id, tokenizer.rules.mode) == (7, 0, 4, "cased")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), (b"", "is empty"), ("가".encode("cp949"), r"not UTF-8 \(byte 0\)")],
)
def test_a_vocabulary_that_cannot_be_read(tmp_path, content, message):
    if content is not None:
        (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        tokenization.read_vocabulary(tmp_path / "vocab.txt")


@pytest.mark.parametrize(
    ("vocabulary", "rules", "message"),
    [
        (["[PAD]", "[UNK]"], TextRules(), r"lacks \[CLS\] \[SEP\] \[MASK\]"),
        ([*SPECIAL, "a", "b", "a"], TextRules(), "holds the piece 'a' twice"),
        ([*SPECIAL], TextRules(reserve=("[URL]",)), r"lacks \[URL\]"),
    ],
)
def test_a_vocabulary_that_cannot_work(vocabulary, rules, message):
    with pytest.raises(DataError, match=message):
        Tokenizer(vocabulary, rules)


# --- rows -----------------------------------------------------------------------------------------------------------


def truncated(a: list[int], b: list[int], room: int) -> tuple[list[int], list[int]]:
    """Devlin et al. 2019's loop, dropping at the end."""
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    return a, b


tokens = st.lists(st.integers(5, 99), max_size=20)


@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=5), st.integers(3, 24))
@settings(deadline=None)
def test_pairs_are_cut_longest_first(pairs, max_length):
    a, b = (tf.ragged.constant(side, dtype=tf.int64, ragged_rank=1) for side in zip(*pairs, strict=True))
    token_ids, segment_ids = tokenization.pair(a, b, 2, 3, max_length)
    for (first, second), row, segments in zip(pairs, token_ids.to_list(), segment_ids.to_list(), strict=True):
        first, second = truncated(first, second, max_length - 3)
        assert row == [2, *first, 3, *second, 3]
        assert segments == [0] * (len(first) + 2) + [1] * (len(second) + 1)


@given(st.lists(tokens, min_size=1, max_size=5), st.integers(2, 24))
@settings(deadline=None)
def test_a_single_text_is_cut_at_its_end(texts, max_length):
    token_ids, segment_ids = tokenization.single(
        tf.ragged.constant(texts, dtype=tf.int64, ragged_rank=1), 2, 3, max_length
    )
    assert token_ids.to_list() == [[2, *ids[: max_length - 2], 3] for ids in texts]
    assert segment_ids.to_list() == [[0] * min(len(ids) + 2, max_length) for ids in texts]


def test_rows_too_short_for_special_pieces_are_refused():
    ids = tf.ragged.constant([[5]], dtype=tf.int64)
    with pytest.raises(ValueError, match="Received: max_length=1"):
        tokenization.single(ids, 2, 3, 1)
    with pytest.raises(ValueError, match="Received: max_length=2"):
        tokenization.pair(ids, ids, 2, 3, 2)


# --- the graph ------------------------------------------------------------------------------------------------------


def test_the_graph_holds_only_operations_that_a_stock_server_links():
    rules = TextRules("uncased_nfc", (("a+", "b"),), ("[URL]",))
    tokenizer = Tokenizer([*SPECIAL, "[URL]"], rules)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)] * 2)
    def rows(a, b):
        return tokenization.single(tokenizer.tokenize(a), 2, 3, 8) + tokenization.pair(
            tokenizer.tokenize(a), tokenizer.tokenize(b), 2, 3, 8
        )

    graph = rows.get_concrete_function().graph.as_graph_def()
    operations = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
    # tensorflow-text has these two in every release since 2.10; all others are TensorFlow's own.
    beyond = {"NormalizeUTF8", "FastWordpieceTokenizeWithOffsets"}
    assert beyond <= operations
    assert operations - beyond <= set(tf.raw_ops.__dict__)
    assert not {op for op in operations if "Table" in op or "PyFunc" in op}


def test_tables_are_built_once_for_many_traces():
    vocabulary = [*SPECIAL, "once"]
    tokenization._model.cache_clear()
    for _ in range(3):
        tf.function(Tokenizer(vocabulary, TextRules()).tokenize).get_concrete_function(tf.TensorSpec([None], tf.string))
    assert tokenization._model.cache_info().misses == 1
