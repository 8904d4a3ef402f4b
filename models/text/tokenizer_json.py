"""``tokenizer.json``: WordPiece for Hugging Face ``tokenizers``, in the steps of ``tokenization.Tokenizer``.

What differs stays: words are cut at punctuation and accents of the Unicode version that either library knows, and a
word may have 400 characters there, 400 bytes here.
"""

import re
from collections.abc import Sequence

import tensorflow as tf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from models.text.tokenization import CONTROL, MAX_BYTES_PER_WORD, PLACEHOLDER, SPACE, SPECIAL, TextRules

# A sigma that ends a word becomes ς for ICU and Python (Unicode, section 3.13, Final_Sigma: accents and such points are
# passed over); ``tokenizers`` goes letter by letter.
_FINAL_SIGMA = r"(?<=\p{L}|\p{L}[\p{M}.:'’]|\p{L}[\p{M}.:'’]{2})Σ(?![\p{M}.:'’]*\p{L})"
# RE2's classes are ASCII's, those of Oniguruma Unicode's.
_CLASSES = {r"\d": "0-9", r"\s": r"\t\n\f\r ", r"\w": "0-9A-Za-z_"}
# What both read alike, once anchors and classes are written out: no flags, no named groups, no \b, no [:alpha:].
_TOKEN = re.compile(r"\\(?:x\{[0-9A-Fa-f]+\}|[pP]\{\^?\w+\}|[dswDSWtnrf]|[^\w\s])|\(\?:|(?!\(\?|&&)[^\\]", re.DOTALL)


class Inexpressible(ValueError):
    """A rule that ``tokenizer.json`` cannot express."""


def build(vocabulary: Sequence[str], rules: TextRules) -> Tokenizer:
    """The tokenizer, with [CLS] and [SEP] around a text or a pair.

    Args:
      vocabulary: the pieces, in the order of their ids.
      rules: how text becomes words. Reserved pieces become added tokens.

    Raises:
      Inexpressible: a replacement says what only RE2 can; the mode is ``spaced``.
    """
    if rules.mode == "spaced":
        raise Inexpressible("the mode spaced marks spaces, which BERT's tokenizer drops")
    place = {piece: index for index, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(place, unk_token="[UNK]", max_input_chars_per_word=MAX_BYTES_PER_WORD))
    tokenizer.normalizer = normalizers.Sequence(_steps(rules))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(piece, place[piece]) for piece in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in SPECIAL])
    for piece in rules.reserve:
        if (changed := tokenizer.normalizer.normalize_str(piece)) != f" {piece} ":
            raise Inexpressible(f"the reserved {piece} itself is replaced, by {changed.strip()!r}")
    # Normalised, like the text that they are looked for in: a replacement may write them.
    tokenizer.add_tokens([AddedToken(piece, normalized=True) for piece in rules.reserve])
    return tokenizer


def _steps(rules: TextRules) -> list[normalizers.Normalizer]:
    """``models.text.tokenization.Tokenizer.normalize``, and the placeholders back to the pieces that they stand for."""
    pieces = {piece: chr(PLACEHOLDER + index) for index, piece in enumerate(rules.reserve)}
    free = PLACEHOLDER + len(pieces)
    steps = [_replace(*rule) for rule in rules.replace]
    if pieces:
        steps.append(normalizers.Replace(Regex(rf"[\x{{{PLACEHOLDER:X}}}-\x{{{free - 1:X}}}]+"), ""))
    steps += [normalizers.Replace(piece, f" {placeholder} ") for piece, placeholder in pieces.items()]
    steps.append(normalizers.Replace(Regex(rf"[{CONTROL}\x{{{free:X}}}-\x{{F8FF}}]+"), ""))
    steps.append(normalizers.Replace(Regex(SPACE), " "))
    if rules.mode != "cased":
        steps.append(normalizers.Replace(Regex(_FINAL_SIGMA), "ς"))
    steps.append(
        normalizers.BertNormalizer(
            clean_text=False,
            handle_chinese_chars=True,
            strip_accents=rules.mode == "bert_uncased",
            lowercase=rules.mode != "cased",
        )
    )
    if rules.mode != "bert_uncased":
        steps.append(normalizers.NFC())
    return [*steps, *(normalizers.Replace(placeholder, piece) for piece, placeholder in pieces.items())]


def _replace(pattern: str, with_: str) -> normalizers.Normalizer:
    if group := re.search(r"(?<!\\)(?:\\\\)*(\\\d)", with_):
        raise Inexpressible(f"{pattern!r} is replaced by {with_!r}, and {group[1]} copies a part of the text")
    if tf.strings.regex_full_match("", pattern):
        raise Inexpressible(f"{pattern!r} matches between characters too")
    try:
        return normalizers.Replace(Regex(_oniguruma(pattern)), with_.replace("\\\\", "\\"))
    except Exception as error:  # tokenizers raises nothing more special
        raise Inexpressible(f"{pattern!r}: {error}") from None


def _oniguruma(pattern: str) -> str:
    """RE2's ``pattern`` in the regular expressions of ``tokenizers``, where ^ and $ are those of a line."""
    out, at, inside = "", 0, False
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None or (inside and token[0] == "["):
            raise ValueError(f"{pattern[at : at + 3]!r} means something else outside RE2")
        text, at = token[0], token.end()
        if text.lower() in _CLASSES:
            members = _CLASSES[text.lower()]
            out += members if inside and text.islower() else f"[{'' if text.islower() else '^'}{members}]"
        elif not inside and text in "^$":
            out += r"\A" if text == "^" else r"\z"
        else:
            inside = text == "[" or (inside and text != "]")
            out += text
    return out
