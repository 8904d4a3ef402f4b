"""What a translation must keep: placeholders are copied, terms of a glossary are written as it says. In the graph.

Each such *span* of a source is stood for by a reserved piece, ⟨1⟩ to ⟨8⟩, in the order of the text; what stands behind
the piece is written in its place when the answer is detokenized. A ninth span stays text, and it can be told whether an
answer lacks it. Protected spans are taken out before any rule of the tokenizer sees them, so they are restored byte for
byte.

Axes: N texts, R = 8 reserved pieces, P = 2·R + 1 parts of a text: text, span, text, span … text.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models.text.reserved import MOST, RESERVED
from models.text.tokenization import Tokenizer, re2_literal

# In the text itself these vanish, as control characters do: nobody writes a reserved piece.
_WRITTEN = f"⟨[1-{MOST}]⟩"
_HASHES = 1 << 62


@dataclasses.dataclass(frozen=True)
class Protected:
    """Texts whose spans are taken out.

    Attributes:
      parts: string (N, P).
      numbers: int32 (N, P), of each part the number, from 0, of the piece that stands for it, or -1.
      standing: string (N, R), what stands behind each piece; "" where there is none.
      beyond: string (N,), the text behind the eighth span, where a ninth may be; "" where there are fewer spans.
    """

    parts: Any
    numbers: Any
    standing: Any
    beyond: Any

    def tokenize(self, tokenizer: Tokenizer) -> Any:
        """Pieces, RaggedTensor int64 (N, None)."""
        places = tf.constant([tokenizer.rules.reserve.index(piece) for piece in RESERVED])
        reserved = tf.where(self.numbers >= 0, tf.gather(places, tf.maximum(self.numbers, 0)), -1)
        return tokenizer.tokenize_parts(self.parts, reserved)


def restore(tokenizer: Tokenizer, ids: Any, standing: Any) -> Any:
    """Pieces as text, string (N,), with what stands behind the reserved ones.

    Args:
      tokenizer: of mode ``spaced``.
      ids: RaggedTensor int64 (N, None).
      standing: string (N, R), as in ``Protected``.
    """
    places = [RESERVED.index(piece) if piece in RESERVED else MOST for piece in tokenizer.rules.reserve]
    others = tf.constant([piece for piece in tokenizer.rules.reserve if piece not in RESERVED] or [""])
    # Reserved pieces of the user are written as they are.
    own = tf.tile(others[None], [tf.shape(standing)[0], 1])
    order, seen = [], 0
    for place in places:
        order.append(place if place < MOST else MOST + seen)
        seen += place == MOST
    return tokenizer.detokenize(ids, tf.gather(tf.concat([standing, own], axis=1), order, axis=1))


class Protection:
    """Finds spans by patterns and by a glossary.

    Args:
      patterns: RE2.
      glossary: terms of the source, and what each is in the target. A term that begins or ends with a letter or a digit
        of ASCII is found as a whole word; longer terms go before shorter ones.
    """

    def __init__(self, patterns: Sequence[str], glossary: Sequence[tuple[str, str]] = ()) -> None:
        terms = sorted(glossary, key=lambda pair: (-len(pair[0]), pair[0]))
        copied = [f"(?:{pattern})" for pattern in patterns]
        self._source = "|".join([*(_term(term) for term, _ in terms), *copied])
        self._target = "|".join(
            [*(_term(term) for term in sorted({b for _, b in terms}, key=lambda b: (-len(b), b))), *copied]
        )
        self._glossary = terms

    def source(self, text: Any) -> Protected:
        """Sources string (N,) as they are served: every span is taken out."""
        texts, spans = _split(text, self._source)
        there = spans != ""
        return _stood_for(texts, spans, there, self._translated(spans))

    def lost(self, beyond: Any, written: Any) -> Any:
        """How many of the ninth to the sixteenth spans answers lack: int64 (N,).

        Args:
          beyond: string (N,), as in ``Protected``.
          written: string (N,), the answers without what stood behind reserved pieces.
        """

        def missing() -> Any:
            wanted, there = self._translated(_split(beyond, self._source)[1]), _split(written, self._target)[1]
            kept = tf.reduce_any(_paired(wanted, there), axis=2)
            return tf.reduce_sum(tf.cast((wanted != "") & ~kept, tf.int64), axis=1)

        # Hardly any text has so many, and to look for them takes time.
        return tf.cond(tf.reduce_any(beyond != ""), missing, lambda: tf.zeros(tf.shape(beyond), tf.int64))

    def pair(self, text: Any, target: Any) -> tuple[Protected, Protected]:
        """Sources and targets, string (N,): a span is taken out that both have; others stay text.

        Of a glossary's term the target has what the glossary says. The same span several times is paired in order.
        """
        texts, spans = _split(text, self._source)
        target_texts, target_spans = _split(target, self._target)
        values = self._translated(spans)
        same = _paired(values, target_spans) & (spans != "")[:, :, None]
        paired = tf.reduce_any(same, axis=2)
        source = _stood_for(texts, spans, paired, values)
        number = tf.cumsum(tf.cast(paired, tf.int32), axis=1, exclusive=True)
        of_target = tf.reduce_max(tf.where(same, number[:, :, None], -1), axis=1)
        parts = _parts(target_texts, target_spans, of_target)
        return source, Protected(*parts, source.standing, tf.fill(tf.shape(target), ""))

    def _translated(self, spans: Any) -> Any:
        """Spans string (N, R), those of the glossary as it translates them."""
        if not self._glossary:
            return spans
        with tf.init_scope():  # now, not in the graph
            hashes = tf.strings.to_hash_bucket_fast([term for term, _ in self._glossary], _HASHES).numpy()
        order = np.argsort(hashes, kind="stable")
        terms, targets = zip(*(self._glossary[place] for place in order), strict=True)
        flat = tf.reshape(spans, [-1])
        found = tf.searchsorted(hashes[order], tf.strings.to_hash_bucket_fast(flat, _HASHES))
        place = tf.minimum(found, len(terms) - 1)
        known = tf.gather(terms, place) == flat
        return tf.reshape(tf.where(known, tf.gather(targets, place), flat), tf.shape(spans))


def _term(term: str) -> str:
    """A pattern that finds a term; RE2's word boundaries are those of ASCII."""
    ends = [r"\b" if char.isascii() and (char.isalnum() or char == "_") else "" for char in (term[0], term[-1])]
    return ends[0] + re2_literal(term) + ends[1]


def _split(text: Any, pattern: str) -> tuple[Any, Any]:
    """The first matches of ``pattern``, and the texts around them: string (N, R + 1) and (N, R); "" where no more."""
    rest = tf.strings.regex_replace(tf.convert_to_tensor(text, tf.string), _WRITTEN, "")
    texts, spans = [], []
    for _ in range(MOST if pattern else 0):
        # What comes before a span tells where the next search begins, whatever groups the pattern has.
        before = tf.strings.regex_replace(rest, rf"(?s)^(.*?)(?:{pattern}).*$", r"\1")
        span = tf.strings.regex_replace(rest, rf"(?s)^.*?({pattern}).*$", r"\1")
        found = tf.strings.length(before) < tf.strings.length(rest)
        span = tf.where(found, span, "")
        texts.append(before)
        spans.append(span)
        done = tf.strings.length(before) + tf.strings.length(span)
        rest = tf.strings.substr(rest, done, tf.strings.length(rest) - done)
    nothing = tf.fill([tf.size(rest), MOST], "")
    if not pattern:
        return tf.concat([rest[:, None], nothing], axis=1), nothing
    return tf.stack([*texts, rest], axis=1), tf.stack(spans, axis=1)


def _stood_for(texts: Any, spans: Any, taken: Any, values: Any) -> Protected:
    """Spans that are ``taken`` bool (N, R) get numbers in their order; ``values`` string (N, R) stand behind them."""
    number = tf.where(taken, tf.cumsum(tf.cast(taken, tf.int32), axis=1, exclusive=True), -1)
    cells = tf.where(taken)
    places = tf.stack([cells[:, 0], tf.cast(tf.gather_nd(number, cells), tf.int64)], axis=1)
    standing = tf.tensor_scatter_nd_update(tf.fill(tf.shape(values), ""), places, tf.gather_nd(values, cells))
    beyond = tf.where(spans[:, -1] != "", texts[:, -1], "")
    return Protected(*_parts(texts, spans, number), tf.ensure_shape(standing, [None, MOST]), beyond)


def _parts(texts: Any, spans: Any, numbers: Any) -> tuple[Any, Any]:
    """Texts (N, R + 1) and spans (N, R) as ``parts`` and ``numbers``."""
    rows = tf.shape(texts)[0]
    parts = tf.reshape(tf.stack([texts, tf.concat([spans, tf.fill([rows, 1], "")], 1)], 2), [rows, 2 * MOST + 2])
    kept = tf.concat([numbers, tf.fill([rows, 1], -1)], 1)
    return parts[:, :-1], tf.reshape(tf.stack([tf.fill(tf.shape(kept), -1), kept], 2), [rows, 2 * MOST + 2])[:, :-1]


def _paired(first: Any, second: Any) -> Any:
    """Which spans (N, R) of both are the same one, the n-th of equals with the n-th: bool (N, R, R)."""
    same = first[:, :, None] == second[:, None, :]
    return same & (_occurrence(first)[:, :, None] == _occurrence(second)[:, None, :])


def _occurrence(spans: Any) -> Any:
    """How many equal spans of the row are before each: int32 (N, R)."""
    same = tf.cast(spans[:, :, None] == spans[:, None, :], tf.int32)
    return tf.reduce_sum(tf.linalg.band_part(same, -1, 0), axis=2) - 1
