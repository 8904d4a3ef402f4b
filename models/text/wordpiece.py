"""Learning a WordPiece vocabulary, and judging one, on words as the tokenizer in the graph sees them.

The learner is the one of Hugging Face ``tokenizers``: byte-pair merges by frequency with ``##`` pieces. It took 2.3 CPU
seconds for 8,000 pieces on 6.5 MB where tensorflow-text's took 71.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from models.text.tokenization import MAX_BYTES_PER_WORD, SPACE_MARK, SPECIAL, TextRules, Tokenizer
from schemas import DataError

# What FastWordpieceTokenizer cuts out as a word of its own: punctuation (ASCII's symbols too), CJK ideographs, and the
# punctuation of Unicode 16, which RE2 does not know yet.
_ALONE = (
    r"([!-/:-@\[-`{-~\p{P}\x{1B4E}\x{1B4F}\x{1B7F}\x{10D6E}\x{113D4}\x{113D5}\x{113D7}\x{113D8}\x{11BE1}"
    r"\x{16D6D}-\x{16D6F}\x{1E5FF}\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}"
    r"\x{2B740}-\x{2B81F}\x{2B820}-\x{2CEAF}\x{2F800}-\x{2FA1F}])"
)
# Distinct words kept in memory, about 200 MB. Above this, the rarest are dropped, so that memory stays bounded.
_MAX_WORDS = 2_000_000
# Running words that the learner reads. Counts are scaled down to this: more words change only its time.
_MAX_LEARNED = 20_000_000
# Minimum frequency of a merge: a pair that occurs once does not justify a piece.
_MIN_FREQUENCY = 2
_TOP = 20


def count(texts: Iterable[Any], rules: TextRules) -> Counter[str]:
    """How often each word occurs.

    Args:
      texts: string tensors (N,), raw.
      rules: how text becomes words.

    Returns:
      Counts by word. Words too long for the tokenizer are among them, reserved pieces are not.
    """
    normalizer = Tokenizer([*SPECIAL, *rules.reserve], rules)

    def words_of(text: Any) -> Any:
        alone = tf.strings.regex_replace(normalizer.split_into(normalizer.normalize(text)), _ALONE, r" \1 ")
        return tf.unique_with_counts(tf.strings.split(alone).flat_values)

    split = tf.function(words_of, input_signature=[tf.TensorSpec([None], tf.string)])
    counts: Counter[bytes] = Counter()
    for text in texts:
        words = split(text)
        for word, times in zip(words.y.numpy().tolist(), words.count.numpy().tolist(), strict=True):
            counts[word] += times
        while len(counts) > _MAX_WORDS:
            least = min(counts.values())
            counts = Counter({word: times for word, times in counts.items() if times > least})
    reserved = {placeholder.encode() for placeholder in normalizer.placeholders.values()}
    return Counter({word.decode(errors="replace"): times for word, times in counts.items() if word not in reserved})


def learn(counts: Mapping[str, int], size: int, reserve: Sequence[str] = ()) -> list[str]:
    """At most ``size`` pieces: the special ones, ``reserve``, single characters, then merged ones, most useful first.

    The same counts give the same pieces in the same order. Up to half of the vocabulary goes to characters, the most
    frequent first; words with others become [UNK].

    Args:
      counts: of the words, as ``count`` gives them.
      size: pieces, V; there are fewer where the text does not hold as many.
      reserve: pieces that are never split.

    Raises:
      DataError: there are no words.
      ValueError: ``size`` leaves no room for characters.
    """
    from tokenizers import Tokenizer as Learner
    from tokenizers import models, pre_tokenizers, trainers

    fixed = [*SPECIAL, *dict.fromkeys(reserve)]
    alphabet = _alphabet(counts, (size - len(fixed)) // 4)
    if not counts:
        raise DataError("there are no words to learn a vocabulary from: the train split has no text")
    if not alphabet:
        least = len(fixed) + 4
        raise ValueError(f"learn must be at least {least}: {len(fixed)} pieces are fixed. Received: learn={size}")
    words = {
        word: times
        for word, times in counts.items()
        if set(word) <= alphabet and len(word.encode()) <= MAX_BYTES_PER_WORD
    }
    # The learner numbers characters as its hash table happens to give them, and breaks ties by number: given as special
    # pieces, in order, they have the same numbers every time.
    # A letter that begins a word behind a space may begin one behind a bracket.
    first = sorted({char for word in words for char in word[: 1 + word.startswith(SPACE_MARK)]})
    inner = sorted({f"##{char}" for word in words for char in word[1:]})
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=_MIN_FREQUENCY,
        special_tokens=[*fixed, *first, *inner],
        continuing_subword_prefix="##",
        show_progress=False,
    )
    learner = Learner(models.WordPiece(unk_token="[UNK]"))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    learner.train_from_iterator(_running(words), trainer)
    pieces: dict[str, int] = learner.get_vocab(with_added_tokens=False)
    return sorted(pieces, key=pieces.__getitem__)


def _alphabet(counts: Mapping[str, int], limit: int) -> set[str]:
    """The ``limit`` most frequent characters."""
    chars: Counter[str] = Counter()
    for word, times in counts.items():
        for char in word:
            chars[char] += times
    return set(sorted(chars, key=lambda char: (-chars[char], char))[: max(limit, 0)])


def _running(words: Mapping[str, int]) -> Iterator[str]:
    """Repeats each word by its count, in lines of bounded length."""
    scale = max(1, sum(words.values()) // _MAX_LEARNED)
    for word in sorted(words):
        times = max(1, words[word] // scale)
        yield from ((word + " ") * min(1000, times - done) for done in range(0, times, 1000))


@dataclasses.dataclass(frozen=True)
class Report:
    """How well a vocabulary covers the train split.

    Attributes:
      size: pieces, V.
      words: running words.
      unknown: share of the running words that become [UNK].
      pieces_per_word: mean over the running words.
      top_unknown: the most frequent words that become [UNK], with their counts.
    """

    size: int
    words: int
    unknown: float
    pieces_per_word: float
    top_unknown: list[tuple[str, int]]

    def __str__(self) -> str:
        unknown = f"{100 * self.unknown:.2f} %"
        return f"{self.size:,} pieces · {unknown} [UNK] · {self.pieces_per_word:.2f} pieces a word"

    def dump(self) -> str:
        """What ``report.json`` holds."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=1)


def report(tokenizer: Tokenizer, counts: Mapping[str, int]) -> Report:
    """Judges ``tokenizer`` on the words of ``count``."""
    total = pieces = unknown = 0
    top: list[tuple[str, int]] = []
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for start in range(0, len(ranked), 10_000):
        part = ranked[start : start + 10_000]
        ids = tokenizer.pieces([word for word, _ in part])
        lengths = ids.row_lengths().numpy().tolist()
        lost = tf.reduce_any(ids == tokenizer.unk_id, axis=1).numpy().tolist()
        for (word, times), length, is_lost in zip(part, lengths, lost, strict=True):
            total += times
            pieces += times * length
            unknown += times * is_lost
            if is_lost and len(top) < _TOP:
                top.append((word, times))
    return Report(tokenizer.size, total, unknown / max(total, 1), pieces / max(total, 1), top)
