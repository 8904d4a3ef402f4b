"""WordPiece in the graph: raw strings to token ids, with the same operations in training and in serving.

Text is normalised first, then split into words and pieces by tensorflow-text. Every operation here is one that a stock
TensorFlow Serving links: TensorFlow's own, ``NormalizeUTF8`` and ``FastWordpieceTokenizeWithOffsets``.
"""

import dataclasses
import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import tensorflow as tf

from schemas import DataError

Mode = Literal["bert_uncased", "cased", "uncased_nfc", "spaced"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# A word of 100 characters, the longest that the reference tokenizer looks at, has at most 4 bytes a character.
MAX_BYTES_PER_WORD = 400
# A row of these alone needs no Unicode: the reference removes the other ASCII control characters.
PLAIN = r"[\t\n\r -~]*"
# Control and format characters but tab and line ends, the replacement character, the private planes.
CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9F}\p{Cf}\x{FFFD}\x{F0000}-\x{FFFFD}\x{100000}-\x{10FFFD}"
# Unicode's White_Space beyond ASCII, without U+0085, which counts as a control character.
SPACE = "[\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
# Mode ``spaced``: what a word begins with where a space or nothing is before it; and what stands for it in the text
# itself, the block that looks most like it.
SPACE_MARK, _MARK_OF_TEXT = "\u2581", "\u2582"
# A letter with what belongs to it: combining marks, and the vowels and finals of decomposed Hangul.
_LETTER = r"(?s)(.[\p{M}\x{1160}-\x{11FF}]*)"
# The private-use area stands for reserved pieces inside the graph: one character, hence one word and one piece.
PLACEHOLDER = 0xE000
MAX_RESERVED = 0xF8FF - PLACEHOLDER


@dataclasses.dataclass(frozen=True)
class TextRules:
    r"""How text becomes words.

    Attributes:
      mode: ``bert_uncased`` (lower-case, accents stripped: Devlin et al. 2019), ``cased`` (NFC), ``uncased_nfc``
        (lower-case, NFC, accents kept: right for Korean, whose syllables NFD would take apart) or ``spaced`` (as
        ``cased``, and pieces say where spaces are, so that ``Tokenizer.detokenize`` can write the text again).
      replace: RE2 patterns and what to write for them, applied first, in order. ``\1`` … ``\9`` are groups.
      reserve: pieces of the vocabulary that are never split, such as ``[URL]``; found in the text as they are written.
    """

    mode: Mode = "bert_uncased"
    replace: tuple[tuple[str, str], ...] = ()
    reserve: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}. Received: mode={self.mode!r}")
        if len(self.reserve) > MAX_RESERVED:
            raise ValueError(f"at most {MAX_RESERVED} pieces can be reserved. Received: {len(self.reserve)}")
        if bad := [piece for piece in self.reserve if not piece or piece in SPECIAL or re.search(r"\s", piece)]:
            raise ValueError(f"a reserved piece is one word other than {' '.join(SPECIAL)}. Received: reserve={bad}")

    def dump(self) -> dict[str, Any]:
        """What ``text.json`` holds."""
        replace = [{"pattern": pattern, "with": with_} for pattern, with_ in self.replace]
        return {"mode": self.mode, "replace": replace, "reserve": list(self.reserve)}

    @classmethod
    def load(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of ``dump``; only ``mode`` must be there."""
        replace = tuple((rule["pattern"], rule["with"]) for rule in value.get("replace", ()))
        return cls(value["mode"], replace, tuple(value.get("reserve", ())))


class Tokenizer:
    """WordPiece in the graph (Wu et al. 2016; the linear algorithm of Song et al. 2021).

    Example:
      >>> Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##able"], TextRules()).tokenize(["Unable"])
      <tf.RaggedTensor [[5, 6]]>

    Attributes:
      vocabulary: the pieces; a piece's place is its id.
      rules: how text becomes words.
      size: number of pieces, V.
      pad_id, unk_id, cls_id, sep_id, mask_id: ids of the special pieces.
    """

    def __init__(self, vocabulary: Sequence[str], rules: TextRules):
        self.vocabulary = tuple(vocabulary)
        self.rules = rules
        self.size = len(self.vocabulary)
        place = {piece: index for index, piece in enumerate(self.vocabulary)}
        if len(place) < self.size:
            double = next(piece for index, piece in enumerate(self.vocabulary) if place[piece] != index)
            raise DataError(f"the vocabulary holds the piece {double!r} twice: remove one of them")
        if absent := [piece for piece in (*SPECIAL, *rules.reserve) if piece not in place]:
            raise DataError(f"the vocabulary lacks {' '.join(absent)}: add a line for each of them to vocab.txt")
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (place[piece] for piece in SPECIAL)

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Reads ``vocab.txt`` and ``text.json`` from a vocabulary's ``folder``."""
        rules = json.loads((Path(folder) / "text.json").read_text("utf-8"))
        return cls(read_vocabulary(Path(folder) / "vocab.txt"), TextRules.load(rules))

    def normalize(self, text: Any) -> Any:
        """Applies the rules: ``text`` string (N,) -> string (N,).

        Control characters vanish, white space becomes a space, and the mode decides on case, accents and composition.
        A reserved piece becomes a private-use character; those in the text itself vanish as control characters do.
        In mode ``spaced`` there is one space between words and none around them: this is what ``detokenize`` writes.
        """
        return self._collapse(self._clean(tf.convert_to_tensor(text, tf.string)))

    def _clean(self, text: Any) -> Any:
        for pattern, with_ in self.rules.replace:
            text = tf.strings.regex_replace(text, pattern, with_)
        text = self._reserve(text)
        # Most rows of most corpora are plain, and Unicode costs more than WordPiece itself.
        rows = tf.where(tf.logical_not(tf.strings.regex_full_match(text, PLAIN)))
        text = tf.tensor_scatter_nd_update(text, rows, self._normalize_unicode(tf.gather_nd(text, rows)))
        return tf.strings.lower(text) if self._lowers else text

    @property
    def _lowers(self) -> bool:
        return self.rules.mode in ("bert_uncased", "uncased_nfc")

    def _collapse(self, text: Any) -> Any:
        if self.rules.mode != "spaced":
            return text
        return tf.strings.strip(tf.strings.regex_replace(text, r"[\t\n\r ]+", " "))

    def split_into(self, normal: Any) -> Any:
        """Normalised text string (N,) as it is split into words: in mode ``spaced`` with a mark for every space."""
        if self.rules.mode != "spaced":
            return normal
        marked = tf.strings.regex_replace(normal, r"(^|\s)(\S)", rf"\1{SPACE_MARK}\2")
        if self.rules.reserve:
            marked = tf.strings.regex_replace(marked, f"({self._reserved})", r" \1 ")
        return marked

    @property
    def _reserved(self) -> str:
        return rf"[\x{{{PLACEHOLDER:X}}}-\x{{{PLACEHOLDER + len(self.rules.reserve) - 1:X}}}]"

    def _reserve(self, text: Any) -> Any:
        if self.rules.reserve:
            text = tf.strings.regex_replace(text, f"{self._reserved}+", "")
        around = "" if self.rules.mode == "spaced" else " "  # a space that the text does not have
        for piece, placeholder in self.placeholders.items():
            text = tf.strings.regex_replace(text, re2_literal(piece), around + placeholder + around)
        return text

    def _normalize_unicode(self, text: Any) -> Any:
        import tensorflow_text

        private = rf"\x{{{PLACEHOLDER + len(self.rules.reserve):X}}}-\x{{F8FF}}"
        text = tf.strings.regex_replace(text, rf"[{CONTROL}{private}]+", "")
        text = tf.strings.regex_replace(text, SPACE, " ")
        if self.rules.mode == "spaced":
            text = tf.strings.regex_replace(text, SPACE_MARK, _MARK_OF_TEXT)
        if self._lowers:
            text = tf.strings.lower(text, encoding="utf-8")
        if self.rules.mode == "bert_uncased":
            return tf.strings.regex_replace(tensorflow_text.normalize_utf8(text, "NFD"), r"\p{Mn}+", "")
        return tensorflow_text.normalize_utf8(text, "NFC")

    @property
    def placeholders(self) -> dict[str, str]:
        """What stands for each reserved piece in normalised text."""
        return {piece: chr(PLACEHOLDER + index) for index, piece in enumerate(self.rules.reserve)}

    def tokenize(self, text: Any) -> Any:
        """Splits ``text`` string (N,) into pieces: RaggedTensor int64 (N, None), without special pieces."""
        return self.pieces(self.split_into(self.normalize(text)))

    def pieces(self, text: Any) -> Any:
        """``tokenize`` for words as ``split_into`` gives them."""
        return self._wordpiece().tokenize(text)

    def tokenize_parts(self, parts: Any, reserved: Any) -> Any:
        """``tokenize`` for text in parts, of which some are stood for by reserved pieces; no rule sees those.

        Args:
          parts: string (N, P), in order.
          reserved: int32 (N, P), of each part the place in ``rules.reserve`` of the piece that stands for it, or -1.

        Returns:
          RaggedTensor int64 (N, None).
        """
        clean = tf.reshape(self._clean(tf.reshape(parts, [-1])), tf.shape(parts))
        standing = tf.gather(list(self.placeholders.values()), tf.maximum(reserved, 0))
        text = tf.strings.reduce_join(tf.where(reserved >= 0, standing, clean), axis=1)
        return self.pieces(self.split_into(self._collapse(text)))

    def detokenize(self, ids: Any, standing: Any = None) -> Any:
        """The text of pieces, of mode ``spaced``: ``normalize(text)`` for the ids of ``tokenize(text)`` without [UNK].

        Args:
          ids: RaggedTensor int64 (N, None).
          standing: string (N, R), what to write for each piece of ``rules.reserve``; None writes the pieces themselves.

        Returns:
          String (N,).
        """
        written = [
            "" if piece in SPECIAL else piece.removeprefix("##").replace(SPACE_MARK, " ") for piece in self.vocabulary
        ]
        written[self.unk_id] = "\ufffd"
        strings = tf.gather(written, ids.values)
        if standing is not None and self.rules.reserve:
            place = np.full(self.size, -1, np.int32)
            place[[self.vocabulary.index(piece) for piece in self.rules.reserve]] = range(len(self.rules.reserve))
            number = tf.gather(place, ids.values)
            cells = tf.stack([tf.cast(ids.value_rowids(), tf.int32), tf.maximum(number, 0)], axis=1)
            strings = tf.where(number >= 0, tf.gather_nd(standing, cells), strings)
        joined = tf.strings.reduce_join(ids.with_values(strings).to_tensor(""), axis=1)
        return tf.strings.regex_replace(joined, "^ | $", "")

    def tokenize_with_offsets(self, text: Any) -> tuple[Any, Any, Any]:
        """Pieces, and where they stand in ``text`` as it was given.

        Each letter is normalised with the marks that follow it, and by itself: so ``replace``, and reserved pieces of
        several letters, find nothing here.

        Args:
          text: string (N,).

        Returns:
          ``tokenize``'s ids, and of each piece the first character and the one behind its last, counted in Unicode
          characters of ``text``: three RaggedTensors int64 (N, None) of the same rows.
        """
        # NUL is a control character, which no piece holds: it can stand between the letters.
        marked = tf.strings.regex_replace(tf.strings.regex_replace(text, r"\x00", " "), _LETTER, r"\1" + "\0")
        letters = tf.strings.split(marked, "\0")
        letters = tf.ragged.boolean_mask(letters, tf.strings.length(letters) > 0)
        normal = letters.with_values(self._mark(self._clean(letters.values), letters.value_rowids()))
        ids, first_byte, end_byte = self._wordpiece().tokenize_with_offsets(tf.strings.reduce_join(normal, axis=1))
        # Over all rows: the letter of every byte of the normalised text, and the characters before every letter.
        letter_bytes = tf.strings.length(normal).values
        letter_of = tf.repeat(tf.range(tf.size(letter_bytes)), letter_bytes)
        bytes_before = tf.cumsum(tf.concat([[0], letter_bytes], 0))
        before = tf.cumsum(tf.concat([[0], tf.strings.length(letters, unit="UTF8_CHAR").values], 0))
        start_of_row = tf.gather(letters.row_starts(), ids.value_rowids())
        row_bytes = tf.cast(tf.gather(bytes_before, start_of_row), tf.int64)

        def character(letter: Any) -> Any:
            return ids.with_values(tf.cast(tf.gather(before, letter) - tf.gather(before, start_of_row), tf.int64))

        first = tf.gather(letter_of, first_byte.values + row_bytes)
        last = tf.gather(letter_of, end_byte.values - 1 + row_bytes)
        return ids, character(first), character(last + 1)

    def _mark(self, letters: Any, row: Any) -> Any:
        """``split_into`` for letters string (L,), of which each belongs to a ``row`` int64 (L,)."""
        if self.rules.mode != "spaced":
            return letters
        space = tf.strings.regex_full_match(letters, r"\s*")
        begins = tf.concat([[True], space[:-1] | (row[1:] != row[:-1])], 0)[: tf.size(letters)]
        return tf.where(begins & ~space, SPACE_MARK + letters, letters)

    def _wordpiece(self) -> Any:
        import tensorflow_text

        # A constant of the graph that is being traced: exports hold the vocabulary and need no file.
        model = tf.constant(_model(self.vocabulary, self.rules.reserve))
        return tensorflow_text.FastWordpieceTokenizer(token_out_type=tf.int64, model_buffer=model)


def read_vocabulary(path: str | Path) -> list[str]:
    """The pieces of a ``vocab.txt`` on this machine, a piece a line.

    Raises:
      DataError: the file is absent, empty or not UTF-8.
    """
    try:
        return vocabulary(Path(path).read_bytes(), path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: it should hold the vocabulary, a piece a line") from None


def vocabulary(content: bytes, path: str | Path) -> list[str]:
    """The pieces in the content of a ``vocab.txt``, a piece a line.

    Raises:
      DataError: it is empty or not UTF-8; ``path`` is named.
    """
    try:
        pieces = content.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}): save the vocabulary as UTF-8") from None
    pieces = [piece.removesuffix("\r") for piece in pieces]
    if pieces == [""]:
        raise DataError(f"{path} is empty: it should hold the vocabulary, a piece a line")
    return pieces


def re2_literal(text: str) -> str:
    """An RE2 pattern that finds ``text`` itself. ``re.escape`` escapes for Python, which RE2 refuses in places."""
    return "".join(char if char.isalnum() else rf"\x{{{ord(char):X}}}" for char in text)


@functools.lru_cache(maxsize=8)
def _model(vocabulary: tuple[str, ...], reserve: tuple[str, ...]) -> Any:
    """The tokenizer's tables, uint8 (bytes,). Built once: Transform traces its function eight times."""
    from tensorflow_text.core.pybinds import pywrap_fast_wordpiece_tokenizer_model_builder as builder

    reserved = {piece: chr(PLACEHOLDER + index) for index, piece in enumerate(reserve)}
    pieces = [reserved.get(piece, piece) for piece in vocabulary]
    buffer = builder.build_fast_wordpiece_model(pieces, MAX_BYTES_PER_WORD, "##", "[UNK]", False, False)
    return np.frombuffer(buffer, np.uint8)


def single(ids: Any, cls_id: int, sep_id: int, max_length: int) -> tuple[Any, Any]:
    """``[CLS] a [SEP]``, with ``a`` cut to fit.

    Args:
      ids: RaggedTensor int64 (N, None).
      cls_id: of [CLS].
      sep_id: of [SEP].
      max_length: of the result, special pieces included, in tokens; at least 2.

    Returns:
      ``token_ids`` and ``segment_ids``, RaggedTensors int64 (N, None).
    """
    if max_length < 2:
        raise ValueError(f"max_length must leave room for [CLS] and [SEP]. Received: max_length={max_length}")
    column = tf.ones([ids.nrows(), 1], tf.int64)
    token_ids = tf.concat([column * cls_id, ids[:, : max_length - 2], column * sep_id], axis=1)
    return token_ids, tf.zeros_like(token_ids)


def pair(a: Any, b: Any, cls_id: int, sep_id: int, max_length: int) -> tuple[Any, Any]:
    """``[CLS] a [SEP] b [SEP]``, cut longest first: tokens fall off the end of the longer text, off ``b`` when equal.

    That is ``_truncate_seq_pair`` of Devlin et al. 2019's code in closed form. Segments: 0 to the first [SEP], then 1.

    Args:
      a: RaggedTensor int64 (N, None).
      b: RaggedTensor int64 (N, None).
      cls_id: of [CLS].
      sep_id: of [SEP].
      max_length: of the result, special pieces included, in tokens; at least 3.

    Returns:
      ``token_ids`` and ``segment_ids``, RaggedTensors int64 (N, None).
    """
    if max_length < 3:
        raise ValueError(f"max_length must leave room for [CLS] and two [SEP]. Received: max_length={max_length}")
    room = tf.cast(max_length - 3, tf.int64)
    keep = tf.minimum(a.row_lengths(), tf.maximum(room - b.row_lengths(), (room + 1) // 2))
    column = tf.ones([a.nrows(), 1], tf.int64)
    first = tf.concat([column * cls_id, _head(a, keep), column * sep_id], axis=1)
    second = tf.concat([_head(b, tf.minimum(b.row_lengths(), room - keep)), column * sep_id], axis=1)
    token_ids = tf.concat([first, second], axis=1)
    return token_ids, tf.concat([tf.zeros_like(first), tf.ones_like(second)], axis=1)


def _head(ids: Any, lengths: Any) -> Any:
    """The first ``lengths`` int64 (N,) tokens of each row of ``ids`` ragged (N, None)."""
    starts = ids.row_starts()
    return tf.gather(ids.values, tf.ragged.range(starts, starts + lengths))
