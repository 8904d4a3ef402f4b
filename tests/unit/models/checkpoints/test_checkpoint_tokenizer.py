"""What a folder says of its tokenizer, against Hugging Face's ``tokenizers``: the same ids, or refused by name."""

import json
import shutil

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from models.checkpoints import checkpoint, checkpoint_tokenizer
from models.text import tokenization
from schemas import DataError
from tests import bert_folder

PIECES = [
    *tokenization.SPECIAL,
    "the",
    "a",
    "hotel",
    "number",
    "4",
    "##2",
    "was",
    "good",
    "[E1]",
    "[E2]",
    "anna",
    "cafe",
]
PIECES += ["café", "好", ",", ".", "[", "]", "e", "##1", "un", "##able", "-", "Was"]
TEXTS = [
    "the hotel, number 42, was good",
    "The Café was good.",
    "a  CAFE\tun-able",
    "好好 was 好",
    "[E1] anna [E2]",
    "the[E1]anna",
    "",
]
BERT = normalizers.BertNormalizer
CUT = pre_tokenizers.BertPreTokenizer
AROUND = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))


def fast(normalizer, pre_tokenizer, post=AROUND, added=(), **model):
    settings = {"unk_token": "[UNK]", "max_input_chars_per_word": 100} | model
    tokenizer = Tokenizer(models.WordPiece({piece: index for index, piece in enumerate(PIECES)}, **settings))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    if post:
        tokenizer.post_processor = post
    tokenizer.add_special_tokens(list(tokenization.SPECIAL))
    tokenizer.add_tokens(list(added))
    return tokenizer


def written(folder, tokenizer, **config):
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **config}))
    return folder


def ids(folder, texts):
    said = checkpoint_tokenizer.read(folder)
    return tokenization.Tokenizer(said.vocabulary, tokenization.TextRules.load(said.rules)).tokenize(texts).to_list()


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer", "more"),
    [
        (BERT(lowercase=True), CUT(), {}),
        (BERT(lowercase=False), CUT(), {}),
        (BERT(lowercase=True, strip_accents=False), CUT(), {}),
        (normalizers.Sequence([BERT(lowercase=True)]), pre_tokenizers.Sequence([CUT()]), {}),
        (BERT(lowercase=True), CUT(), {"post": None}),
        (BERT(lowercase=True), CUT(), {"added": [AddedToken("[E1]", normalized=False), "[E2]"]}),
        (BERT(lowercase=False), CUT(), {"added": ["[NEW]"]}),
    ],
)
def test_what_is_taken_gives_the_ids_of_the_reference(tmp_path, normalizer, pre_tokenizer, more):
    tokenizer = fast(normalizer, pre_tokenizer, **more)
    expected = [tokenizer.encode(each, add_special_tokens=False).ids for each in (*TEXTS, "a [NEW] hotel")]
    assert ids(written(tmp_path, tokenizer), [*TEXTS, "a [NEW] hotel"]) == expected


@pytest.mark.parametrize(
    ("tokenizer", "key"),
    [
        (fast(normalizers.Lowercase(), CUT()), "normalizer must be"),
        (fast(normalizers.Sequence([normalizers.NFKC(), BERT()]), CUT()), "normalizer must be"),
        (fast(None, CUT()), "normalizer must be"),
        (fast(BERT(clean_text=False), CUT()), "normalizer.clean_text must be true, received false"),
        (fast(BERT(handle_chinese_chars=False), CUT()), "tokenize_chinese_chars=False"),
        (fast(BERT(lowercase=False, strip_accents=True), CUT()), "strip_accents=True"),
        (fast(BERT(), pre_tokenizers.WhitespaceSplit()), 'pre_tokenizer must be .*"WhitespaceSplit"'),
        (fast(BERT(), pre_tokenizers.Whitespace()), "pre_tokenizer must be"),
        (fast(BERT(), pre_tokenizers.Split(Regex(" "), "removed")), "pre_tokenizer must be"),
        (fast(BERT(), None), "pre_tokenizer must be .*received null"),
        (fast(BERT(), CUT(), processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2))), "post_processor must be"),
        (
            fast(BERT(), CUT(), processors.TemplateProcessing("$A [SEP]", special_tokens=[("[SEP]", 3)])),
            "post_processor",
        ),
        (fast(BERT(), CUT(), continuing_subword_prefix="@@"), 'model.continuing_subword_prefix must be "##"'),
        (fast(BERT(), CUT(), unk_token="[PAD]"), r'model.unk_token must be "\[UNK\]", received "\[PAD\]"'),
        (fast(BERT(), CUT(), max_input_chars_per_word=5), "max_input_chars_per_word must be 100, received 5"),
        (fast(BERT(), CUT(), added=[AddedToken("good", single_word=True)]), "added_tokens must be single words"),
        (fast(BERT(), CUT(), added=["two words"]), "added_tokens must be single words"),
        (Tokenizer(models.BPE()), 'model.type must be "WordPiece", received "BPE"'),
        (Tokenizer(models.Unigram([("▁a", -1.0)], 0)), 'model.type must be "WordPiece", received "Unigram"'),
    ],
)
def test_what_the_graph_does_not_do_is_refused_by_name(tmp_path, tokenizer, key):
    with pytest.raises(DataError, match=key):
        checkpoint_tokenizer.read(written(tmp_path, tokenizer))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"tokenizer_class": "KoBERTTokenizer"},
            r'\$.tokenizer_class must be BertTokenizer, received "KoBERTTokenizer"',
        ),
        (
            {"tokenizer_class": "PreTrainedTokenizerFast"},
            r"\$.tokenizer_class must be BertTokenizer",
        ),  # without its file
        ({"auto_map": {"AutoTokenizer": ["tokenization.Own", None]}}, "auto_map.AutoTokenizer must be absent"),
        ({"word_tokenizer_type": "mecab"}, r'\$.word_tokenizer_type must be "basic", received "mecab"'),
        ({"subword_tokenizer_type": "character"}, r'\$.subword_tokenizer_type must be "wordpiece"'),
        ({"do_basic_tokenize": False}, r"\$.do_basic_tokenize must be true, received false"),
        ({"pad_token": "<pad>"}, r'\$.pad_token must be "\[PAD\]", received "<pad>"'),
        ({"mask_token": {"content": "<mask>"}}, r'\$.mask_token must be "\[MASK\]", received "<mask>"'),
        ({"added_tokens_decoder": {"7": {"content": "b"}}}, "b has id 7, and 6 in the vocabulary"),
        ({"added_tokens_decoder": {"9": {"content": "[E1]"}}}, "from 0 on without a gap, received ids up to 9"),
        ({"additional_special_tokens": ["[E1]"]}, r"no file gives the added piece '\[E1\]' an id"),
        ({"added_tokens_decoder": ["[E1]"]}, "not laid out as transformers writes them"),
    ],
)
def test_settings_of_another_tokenizer_are_refused_by_name(tmp_path, config, message):
    bert_folder.write(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, **config}))
    with pytest.raises(DataError, match=message):
        checkpoint.read(tmp_path)


def test_the_class_may_stand_in_config_json(tmp_path):
    bert_folder.write(tmp_path)
    config = json.dumps({**bert_folder.CONFIG, "tokenizer_class": "BertJapaneseTokenizer"})
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(DataError, match=r'config.json: \$.tokenizer_class must be .* "BertJapaneseTokenizer"'):
        checkpoint.read(tmp_path)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ("<pad> <unk> <s> </s> <mask> a b", r"lacks \[PAD\] \[UNK\] \[CLS\] \[SEP\] \[MASK\]: .* other special pieces"),
        ("[PAD] [UNK] [CLS] [SEP] [MASK] a b a", r"vocab.txt:8: the piece 'a' stands in line 6 too.* change line 6"),
        ("[PAD] [UNK] [CLS] [SEP] [MASK] ▁a ▁b ▁c ▁d ▁e ▁f", "they are SentencePiece's"),
    ],
)
def test_vocabularies_that_are_none_of_berts(tmp_path, pieces, message):
    bert_folder.write(tmp_path)
    (tmp_path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces.split()), "utf-8")
    with pytest.raises(DataError, match=message):
        checkpoint_tokenizer.read(tmp_path)


def test_added_tokens_have_the_ids_that_transformers_gives_them(tmp_path):
    """The older layout: vocab.txt, added_tokens.json and special_tokens_map.json."""
    bert_folder.write(tmp_path, lower=True)
    (tmp_path / "added_tokens.json").write_text('{"[E1]": 7, "[E2]": 8}')
    (tmp_path / "special_tokens_map.json").write_text('{"additional_special_tokens": ["[E1]", "[E2]", "b"]}')
    said = checkpoint.read(tmp_path)
    assert said.vocabulary[5:] == ["a", "b", "[E1]", "[E2]"]
    assert said.rules == {"mode": "bert_uncased", "replace": [], "reserve": ["[E1]", "[E2]", "b"]}
    assert ids(tmp_path, ["[E1] a [E2]", "ab[E1]a"]) == [[7, 5, 8], [5, 6, 7, 5]]


def test_tokenizer_json_is_enough(tmp_path):
    fast(BERT(lowercase=False), CUT()).save(str(tmp_path / "tokenizer.json"))
    assert checkpoint_tokenizer.read(tmp_path).vocabulary == PIECES
    assert checkpoint_tokenizer.read(tmp_path).rules["mode"] == "cased"


def test_a_vocabulary_that_is_not_that_of_tokenizer_json_is_refused(tmp_path):
    fast(BERT(), CUT()).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "vocab.txt").write_text("\n".join([*PIECES[:6], "other"]))
    with pytest.raises(
        DataError, match=r"vocab.txt:7: the piece 'other' has the id 6 there and None in tokenizer.json"
    ):
        checkpoint_tokenizer.read(tmp_path)


def test_pieces_may_be_line_separators(tmp_path):
    pieces = [*tokenization.SPECIAL, "\u2028", "a\x85b"]
    (tmp_path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert checkpoint_tokenizer.read(tmp_path).vocabulary == pieces


def test_a_byte_order_mark_is_no_part_of_the_first_piece(tmp_path):
    for name, content in (
        ("vocab.txt", "\n".join(tokenization.SPECIAL)),
        ("tokenizer_config.json", '{"do_lower_case": true}'),
    ):
        (tmp_path / name).write_text(content, "utf-8-sig")
    assert checkpoint_tokenizer.read(tmp_path).vocabulary == list(tokenization.SPECIAL)


def test_a_folder_of_ours_that_transformers_added_to(tmp_path):
    """save_pretrained keeps our rules, and writes what was added into tokenizer.json."""
    shutil.copytree(bert_folder.TINY, tmp_path / "in")
    rules = {"mode": "cased", "replace": [], "reserve": ["[URL]"]}
    written(tmp_path, fast(BERT(lowercase=False), CUT(), added=["[E1]"]), tfx_bert=rules)
    assert checkpoint_tokenizer.read(tmp_path).rules == {**rules, "reserve": ["[URL]", "[E1]"]}
