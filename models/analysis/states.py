"""The vectors of every layer that probes and geometry read: of sentences, and of some of their words.

Axes: N sentences, M words, L+1 layers (0: the embeddings), D hidden.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models.analysis.probe_tasks import Word, words
from models.bert.encoder import BertEncoder
from models.text import tokenization

_BATCH_CELLS = 1 << 17  # B·S² of a batch: attention's memory
_BATCH_ROWS = 64
_WORDS = 4  # of a sentence


@dataclasses.dataclass(frozen=True)
class Rows:
    """Texts as an encoder reads them.

    Attributes:
      ids: of each text, int (tokens,), special ones included.
      words: of all texts together, the number of the text and the word.
      places: int (M,), the token that stands for each word: its first piece.
    """

    ids: Sequence[np.ndarray]
    words: Sequence[tuple[int, Word]]
    places: np.ndarray

    def first(self, words: int) -> "Rows":
        """Those texts that hold the first words, which stand in the order of their texts."""
        kept = self.words[:words]
        return Rows(self.ids[: kept[-1][0] + 1], kept, self.places[:words])


def rows(
    texts: Sequence[str], tokenizer: tokenization.Tokenizer, max_length: int, tags: Sequence[Sequence[str]]
) -> Rows:
    """Tokenizes, and draws four words of each text whose first piece is read.

    Args:
      texts: each a row of its own.
      tokenizer: of the model.
      max_length: tokens of a row; what is behind them is cut.
      tags: of each text, of each word; none where it has none.
    """
    pieces, start, _ = tokenizer.tokenize_with_offsets(tf.constant(list(texts), tf.string))
    token_ids, _ = tokenization.single(pieces, tokenizer.cls_id, tokenizer.sep_id, max_length)
    ids, starts = _split(token_ids), [each[: max_length - 2] for each in _split(start)]
    generator = np.random.default_rng(0)
    found, places = list[tuple[int, Word]](), list[int]()
    for number, text in enumerate(texts):
        first = {int(where): place + 1 for place, where in reversed(list(enumerate(starts[number])))}
        known = [word for word in words(text, tags[number]) if word.start in first]
        drawn = sorted(generator.permutation(len(known))[:_WORDS].tolist())
        found += [(number, known[place]) for place in drawn]
        places += [first[known[place].start] for place in drawn]
    return Rows(ids, found, np.array(places, int))


def _split(ragged: tf.RaggedTensor) -> list[np.ndarray]:
    """Its rows; to iterate over it costs a millisecond a row."""
    return np.split(ragged.flat_values.numpy(), ragged.row_splits.numpy()[1:-1])


@dataclasses.dataclass(frozen=True)
class States:
    """Vectors, float32.

    Attributes:
      sentences: means over the tokens of each text, (L+1, N, D).
      words: of the first piece of each word, (L+1, M, D).
    """

    sentences: np.ndarray
    words: np.ndarray


def of(encoder: BertEncoder, given: Rows) -> States:
    """One pass over the texts, those of about one length together."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int64),
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([None, 2], tf.int64),
        ],
        autograph=False,
    )
    def read(ids: Any, lengths: Any, cells: Any) -> tuple[Any, Any]:
        mask = tf.sequence_mask(lengths, tf.shape(ids)[1])
        layers = encoder(ids, tf.zeros_like(ids), mask, return_all=True)["hidden_states"]
        share = (tf.cast(mask, tf.float32) / tf.cast(lengths, tf.float32)[:, None])[:, :, None]
        means = tf.stack([tf.reduce_sum(layer * share, axis=1) for layer in layers])
        return means, tf.stack([tf.gather_nd(layer, cells) for layer in layers])

    shape = (encoder.num_layers + 1, len(given.ids), encoder.hidden_dim)
    sentences = np.zeros(shape, np.float32)
    of_words = np.zeros((shape[0], len(given.words), shape[2]), np.float32)
    owner = np.array([number for number, _ in given.words], int)
    for batch in batches([len(each) for each in given.ids]):
        lengths = np.array([len(given.ids[place]) for place in batch])
        ids = np.zeros((len(batch), lengths.max()), np.int64)
        for row, place in enumerate(batch):
            ids[row, : lengths[row]] = given.ids[place]
        row_of = {place: row for row, place in enumerate(batch)}
        asked = np.flatnonzero(np.isin(owner, batch))
        cells = np.array([[row_of[owner[word]], given.places[word]] for word in asked], int).reshape(-1, 2)
        means, vectors = read(ids, lengths, cells)
        sentences[:, batch], of_words[:, asked] = means.numpy(), vectors.numpy()
    return States(sentences, of_words)


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of rows, the shortest first, as many together as memory takes."""
    order = np.argsort(lengths, kind="stable").tolist()
    start = 0
    while start < len(order):
        size = _BATCH_ROWS
        while size > 1 and size * lengths[order[min(start + size, len(order)) - 1]] ** 2 > _BATCH_CELLS:
            size //= 2
        yield order[start : start + size]
        start += size
